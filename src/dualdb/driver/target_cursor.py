"""`Cursor` while PostgreSQL is the authority: sqlite3's face over `driver.remote`.

The object's C part stays what it was and is asked for what it knows best: whether the cursor, its connection and its
thread are the right ones.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from dualdb.driver import execution
from dualdb.driver.answer import Answer, prime
from dualdb.driver.handle import CursorHandle, behaviour
from dualdb.driver.remaining import Remaining
from dualdb.driver.remote import MovedError
from dualdb.driver.returning import moved

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

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As `sqlite3.Cursor.execute`."""
        _check(self)
        connection = self.connection
        with connection._dualdb.turn:  # threads may share it, and each statement is one step
            going = _going(self)
            if going is None:
                try:
                    execution.execute(self, connection, sql, parameters)
                except MovedError:
                    connection._dualdb.look_again()
                    going = TargetCursor
        return self if going is None else going.execute(self, sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As `sqlite3.Cursor.executemany`."""
        _check(self)
        connection = self.connection
        with connection._dualdb.turn:
            going = _going(self)
            if going is None:
                rows = Remaining(parameters)
                try:
                    execution.executemany(self, connection, sql, rows)
                except MovedError:
                    connection._dualdb.look_again()
                else:
                    return self
        if going is not None:
            return going.executemany(self, sql, parameters)
        TargetCursor.executemany(self, sql, rows.again())
        return _add(self, rows.written)

    def executescript(self, sql_script: str, /) -> Any:
        """As `sqlite3.Cursor.executescript`, one statement after the other."""
        _check(self)
        connection = self.connection
        with connection._dualdb.turn:
            going = _going(self)
        if going is not None:
            return going.executescript(self, sql_script)
        execution.executescript(self, connection, sql_script)
        return self

    # --- fetching --------------------------------------------------------------------------------------------------

    def fetchone(self) -> Any:
        """The next row, None behind the last."""
        _check(self)
        return _row(self)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next `size` rows, `arraysize` when it is not given; all that are left when it is 0 or less."""
        _check(self)
        wanted = self.arraysize if size is None else size
        rows = iter(partial(_row, self), None)
        return list(islice(rows, wanted) if wanted > 0 else rows)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        _check(self)
        return list(iter(partial(_row, self), None))

    def __iter__(self) -> TargetCursor:
        return self

    def __next__(self) -> Any:
        _check(self)
        row = _row(self)
        if row is None:
            raise StopIteration
        return row

    @property
    def description(self) -> Any:
        """Names of the result's columns, None when there are none."""
        return (self._dualdb.result or _BLANK).description

    @property
    def rowcount(self) -> int:
        """Rows written, -1 for anything but INSERT, UPDATE, DELETE, REPLACE."""
        return (self._dualdb.result or _BLANK).rowcount

    @property
    def lastrowid(self) -> int | None:
        """The rowid that was inserted last on this connection, as of this cursor's last execute."""
        return (self._dualdb.result or _BLANK).lastrowid

    def close(self) -> None:
        """Forget what is left."""
        self._dualdb.result = None
        sqlite3.Cursor.close(self)


def _row(cursor: TargetCursor) -> Any:
    answer = cursor._dualdb.result or _BLANK
    row = answer.next()
    if row is None or cursor.row_factory is None:
        return row
    factory: Any = cursor.row_factory
    if not answer.primed and isinstance(factory, type) and issubclass(factory, sqlite3.Row):
        prime(cursor, [column[0] for column in answer.description])
        answer.primed = True
    return factory(cursor, row)


def _add(cursor: TargetCursor, written: int) -> TargetCursor:
    """The cursor, with the rows that an executemany wrote before it was refused in its count as well."""
    result = cursor._dualdb.result
    if result is not None and result.rowcount >= 0:
        result.rowcount += written
    return cursor


def _going(cursor: TargetCursor) -> Any:
    """None while PostgreSQL answers. Otherwise the cursor has its class of SQLite's back, and this is the part of it
    that executes: an application's own methods have been through already.
    """
    if cursor.connection._dualdb.remote is not None and not moved(cursor.connection):
        return None
    home: Any = cursor._dualdb.home
    cursor.__class__ = home
    return behaviour(cursor)
