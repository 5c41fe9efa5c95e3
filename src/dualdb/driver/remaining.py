"""The rows of an executemany, which can go on from the one that was refused; knows no database."""

from __future__ import annotations

from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


class Remaining:
    """An iterator that remembers what it handed out last."""

    __slots__ = ("_last", "_rows")

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)
        self._last: tuple[Any, ...] = ()

    def __iter__(self) -> Remaining:
        return self

    def __next__(self) -> Any:
        row = next(self._rows)
        self._last = (row,)
        return row

    def again(self) -> Iterator[Any]:
        """The row handed out last, and those behind it."""
        return chain(self._last, self._rows)
