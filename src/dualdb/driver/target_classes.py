"""The classes that connections and cursors change to: the application's own, with PostgreSQL's behaviour beneath them.

Made once for each class; an object's attributes, methods and `isinstance` stay what they were. Knows no behaviour.
"""

from __future__ import annotations

from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Unannounced:
    """Comes first, so that a class of the application's is not told of the one that is derived from it here."""

    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None:
        """Nothing is done."""


@lru_cache(maxsize=256)
def remade(home: Any, handle: Any, target: Any) -> Any:
    """The class `home` with `target` right before the one that it replaces, behind every class of the application's.

    The one to be replaced is that which stands next to `handle`, the state that both have in common.
    """
    local = next(base for base in home.__mro__ if handle in base.__bases__)
    replaced = _named(local, (target, local))
    if home is local:
        return replaced
    return _named(home, (home, replaced) if issubclass(home, Unannounced) else (Unannounced, home, replaced))


def _named(like: type, bases: tuple[type, ...]) -> type:
    names = {"__module__": like.__module__, "__qualname__": like.__qualname__, "__slots__": ()}
    return type(like.__name__, bases, names)
