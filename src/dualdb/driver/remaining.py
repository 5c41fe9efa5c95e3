"""The rows of an executemany, which can go on from the one that was refused; knows no database."""

from __future__ import annotations

from itertools import chain, islice

from dualdb.driver.c_part import connection_of, in_transaction, rowcount

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from typing import Any


class Remaining:
    """An iterator that remembers what it handed out last, and what was written with the rows before that."""

    __slots__ = ("_cursor", "_rows", "_unread", "inside", "last", "number", "over", "resumable", "written")

    def __init__(self, rows: Iterable[Any], cursor: sqlite3.Cursor | None = None) -> None:
        """`cursor` is whose C part executes these rows and counts; without one the caller does."""
        # As sqlite3 does: an iterator is taken at its word, and its `__iter__`, if any, not called.
        self._rows: Any = rows if hasattr(type(rows), "__next__") else iter(rows)
        self.last: tuple[Any, ...] = ()
        """The row handed out last, if any was."""
        self._unread: tuple[Any, ...] = ()
        self._cursor = cursor
        self.written = 0
        self.number = 0
        self.inside = False
        """How many rows the C part has asked for, and whether a transaction was open when it got the last."""
        self.over = False
        """Whether all were handed out, and asked for more."""
        self.resumable = True
        """Whether `again` has all that was not written."""

    def __iter__(self) -> Remaining:
        return self

    def __next__(self) -> Any:
        cursor = self._cursor
        if cursor is not None:
            self.number += 1
            self.written = rowcount(cursor)
        try:
            row = next(self._rows)
        except StopIteration:
            self.over = True
            raise
        if cursor is not None:
            self.inside = in_transaction(connection_of(cursor))
        self.last = (row,)
        return row

    def held(self) -> Iterator[Any]:
        """For who has the lock with the first row, as a rule, so that no other row is refused. None of the others is
        remembered, and they pass as fast as they can.
        """
        return chain(islice(self, 1), self._forgetting(), self._behind())

    def give_back(self, rows: Iterable[Any]) -> None:
        """These were handed out and not executed, the last one included."""
        self._unread, self.last = (*self._unread, *rows), ()

    def again(self) -> Iterator[Any]:
        """The row handed out last, and those behind it; before them what was given back."""
        return chain(self._unread, self.last, self._behind())

    def _forgetting(self) -> Iterator[Any]:
        self.resumable = False
        yield from ()

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
