"""The rows of an executemany, which can go on from the one that was refused; knows no database."""

from __future__ import annotations

from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


class Remaining:
    """An iterator that remembers what it handed out last, and what was written with the rows before that."""

    __slots__ = ("_rows", "_unread", "last", "written")

    def __init__(self, rows: Iterable[Any]) -> None:
        # As sqlite3 does: an iterator is taken at its word, and its `__iter__`, if any, not called.
        self._rows: Any = rows if hasattr(type(rows), "__next__") else iter(rows)
        self.last: tuple[Any, ...] = ()
        """The row handed out last, if any was."""
        self._unread: tuple[Any, ...] = ()
        self.written = 0

    def __iter__(self) -> Remaining:
        return self

    def __next__(self) -> Any:
        row = next(self._rows)
        self.last = (row,)
        return row

    def give_back(self, rows: Iterable[Any]) -> None:
        """These were handed out and not executed, the last one included."""
        self._unread, self.last = (*self._unread, *rows), ()

    def again(self) -> Iterator[Any]:
        """The row handed out last, and those behind it; before them what was given back."""
        return chain(self._unread, self.last, self._behind())

    def _behind(self) -> Iterator[Any]:
        return self._rows if type(self._rows).__module__ in _TRUSTED else _one_by_one(self._rows)


_TRUSTED = frozenset({"builtins", "itertools"})
"""Where the iterators are from whose `__iter__` does nothing for certain."""


def _one_by_one(rows: Any) -> Iterator[Any]:
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        yield row
