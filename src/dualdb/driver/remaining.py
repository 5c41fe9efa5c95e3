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

    __slots__ = ("_cursor", "_last", "_rows", "written")

    def __init__(self, rows: Iterable[Any], cursor: sqlite3.Cursor | None = None) -> None:
        """`cursor` is whose C part executes these rows and counts; without one the caller does."""
        self._rows = iter(rows)
        self._last: tuple[Any, ...] = ()
        self._cursor = cursor
        self.written = 0

    def __iter__(self) -> Remaining:
        return self

    def __next__(self) -> Any:
        if self._cursor is not None:
            self.written = _rowcount(self._cursor)
        row = next(self._rows)
        self._last = (row,)
        return row

    def until_written(self) -> Iterator[Any]:
        """For a transaction: with the first row it has the lock, and no other row can be refused. So none of the others
        is remembered, and they pass as fast as they can.
        """
        return chain(islice(self, 1), self._rows)

    def again(self) -> Iterator[Any]:
        """The row handed out last, and those behind it."""
        return chain(self._last, self._rows)
