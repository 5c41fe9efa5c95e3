"""`Cursor` while PostgreSQL is the authority: sqlite3's face over `driver.remote`.

The object's C part stays what it was and is asked for what it knows best: whether the cursor, its connection and its
thread are the right ones.
"""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import TYPE_CHECKING, Any

from dualdb.driver import execution
from dualdb.driver.answer import Answer, prime
from dualdb.driver.handle import CursorHandle
from dualdb.driver.remaining import Remaining
from dualdb.driver.remote import MovedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dualdb.driver.target_connection import TargetConnection

_check = sqlite3.Cursor.fetchone
"""Finds no row here, after all of CPython's checks: closed, another thread, no __init__."""
_BLANK = Answer()


class TargetCursor(CursorHandle):
    """A cursor while PostgreSQL is the authority."""

    __slots__ = ()

    connection: TargetConnection

    def execute(self, sql: str, parameters: Any = (), /) -> TargetCursor:
        """As `sqlite3.Cursor.execute`."""
        _check(self)
        connection = self.connection
        if connection._remote is None or connection._moved():
            return self._follow().execute(sql, parameters)  # type: ignore[no-any-return]
        try:
            with connection._turn:  # threads may share it, and each statement is one step
                execution.execute(self, connection, sql, parameters)
        except MovedError:
            pass
        else:
            return self
        connection._look_again()
        return self.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> TargetCursor:
        """As `sqlite3.Cursor.executemany`."""
        _check(self)
        connection = self.connection
        if connection._remote is None or connection._moved():
            return self._follow().executemany(sql, parameters)  # type: ignore[no-any-return]
        rows = Remaining(parameters)
        try:
            with connection._turn:  # threads may share it, and each statement is one step
                execution.executemany(self, connection, sql, rows)
        except MovedError:
            pass
        else:
            return self
        connection._look_again()
        self.executemany(sql, rows.again())
        return self._add(rows.written)

    def executescript(self, sql_script: str, /) -> TargetCursor:
        """As `sqlite3.Cursor.executescript`, one statement after the other."""
        _check(self)
        connection = self.connection
        if connection._remote is None or connection._moved():
            return self._follow().executescript(sql_script)  # type: ignore[no-any-return]
        execution.executescript(self, connection, sql_script)
        return self

    # --- fetching --------------------------------------------------------------------------------------------------

    def fetchone(self) -> Any:
        """The next row, None behind the last."""
        _check(self)
        return self._row()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next `size` rows, `arraysize` when it is not given; all that are left when it is 0 or less."""
        _check(self)
        wanted = self.arraysize if size is None else size
        rows = iter(self._row, None)
        return list(islice(rows, wanted) if wanted > 0 else rows)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        _check(self)
        return list(iter(self._row, None))

    def __iter__(self) -> TargetCursor:
        return self

    def __next__(self) -> Any:
        _check(self)
        row = self._row()
        if row is None:
            raise StopIteration
        return row

    def _row(self) -> Any:
        answer: Answer = self._result or _BLANK
        row = answer.next()
        if row is None or self.row_factory is None:
            return row
        factory: Any = self.row_factory
        if not answer.primed and isinstance(factory, type) and issubclass(factory, sqlite3.Row):
            prime(self, [column[0] for column in answer.description])
            answer.primed = True
        return factory(self, row)

    @property
    def description(self) -> Any:
        """Names of the result's columns, None when there are none."""
        return (self._result or _BLANK).description

    @property
    def rowcount(self) -> int:
        """Rows written, -1 for anything but INSERT, UPDATE, DELETE, REPLACE."""
        return (self._result or _BLANK).rowcount

    @property
    def lastrowid(self) -> int | None:
        """The rowid that was inserted last on this connection, as of this cursor's last execute."""
        return (self._result or _BLANK).lastrowid

    def close(self) -> None:
        """Forget what is left."""
        self._result = None
        sqlite3.Cursor.close(self)

    def _add(self, written: int) -> TargetCursor:
        """This cursor, with the rows that an executemany wrote before it was refused in its count as well."""
        if self._result.rowcount >= 0:
            self._result.rowcount += written
        return self

    def _follow(self) -> Any:
        """This cursor, of the class that it has while SQLite is the authority."""
        self.__class__ = self._home  # type: ignore[assignment]
        return self
