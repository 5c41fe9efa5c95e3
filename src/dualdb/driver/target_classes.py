"""The classes that connections and cursors change to: the application's own, with PostgreSQL's behaviour beneath them.

Made once for each class; an object's attributes, methods and `isinstance` stay what they were. Knows no behaviour.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from dualdb.driver.handle import ConnectionHandle, CursorHandle
from dualdb.driver.target_connection import TargetConnection
from dualdb.driver.target_cursor import TargetCursor


def target_class(home: type) -> Any:
    """What a connection of this class becomes while PostgreSQL is the authority."""
    return _made(home, ConnectionHandle, TargetConnection)


def target_cursor_class(home: type) -> Any:
    """What a cursor of this class becomes while PostgreSQL is the authority."""
    return _made(home, CursorHandle, TargetCursor)


@lru_cache(maxsize=256)
def _made(home: Any, handle: Any, target: Any) -> Any:
    """`target` goes right before the class that it replaces and behind every class of the application's."""
    local = next(base for base in home.__mro__ if handle in base.__bases__)
    replaced = _named(local, (target, local))
    return replaced if home is local else _named(home, (home, replaced))


def _named(like: type, bases: tuple[type, ...]) -> type:
    names = {"__module__": like.__module__, "__qualname__": like.__qualname__, "__slots__": ()}
    return type(like.__name__, bases, names)
