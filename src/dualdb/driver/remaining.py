"""The rows of an executemany, which can go on from the one that was refused; knows no database."""

from __future__ import annotations

import sqlite3
from itertools import chain, islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


_rowcount = sqlite3.Cursor.rowcount.__get__
"""Of the cursor's C part: while it executes many it has the sum so far, and none any more once it was refused."""


class Remaining:
    """An iterator that remembers what it handed out last, and what was written with the rows before that."""

    __slots__ = ("_cursor", "_rows", "_unread", "last", "resumable", "written")

    def __init__(self, rows: Iterable[Any], cursor: sqlite3.Cursor | None = None) -> None:
        """`cursor` is whose C part executes these rows and counts; without one the caller does."""
        # sqlite3 takes an iterator at its word, also one without `__iter__`.
        step = None if hasattr(type(rows), "__iter__") else getattr(rows, "__next__", None)
        self._rows = iter(rows) if step is None else iter(step, self)
        self.last: tuple[Any, ...] = ()
        """The row handed out last, if any was."""
        self._unread: tuple[Any, ...] = ()
        self._cursor = cursor
        self.written = 0
        self.resumable = True
        """Whether `again` has all that was not written."""

    def __iter__(self) -> Remaining:
        return self

    def __next__(self) -> Any:
        if self._cursor is not None:
            self.written = _rowcount(self._cursor)
        row = next(self._rows)
        self.last = (row,)
        return row

    def until_written(self) -> Iterator[Any]:
        """For who has the lock with the first row, as a rule, so that no other row is refused. None of the others is
        remembered, and they pass as fast as they can.
        """
        return chain(islice(self, 1), self._forgetting(), self._rows)

    def _forgetting(self) -> Iterator[Any]:
        self.resumable = False
        yield from ()

    def give_back(self, rows: Iterable[Any]) -> None:
        """These were handed out and not executed, nor was any other that was handed out since."""
        self._unread, self.last = tuple(rows), ()

    def again(self) -> Iterator[Any]:
        """The row handed out last, and those behind it; before them what was given back."""
        return chain(self._unread, self.last, self._rows)
