"""`Cursor` while PostgreSQL is the authority: sqlite3's face over `driver.remote`.

The object's C part stays what it was and is asked for what it knows best: whether the cursor, its connection and its
thread are the right ones.
"""

from __future__ import annotations

import sqlite3
from operator import index
from typing import TYPE_CHECKING, Any

from dualdb.driver import execution
from dualdb.driver.answer import Answer, prime
from dualdb.driver.c_part import alone, arraysize, become, connection_of, in_transaction, row_factory, text_factory
from dualdb.driver.handle import CursorHandle, CursorState, behaviour
from dualdb.driver.remaining import Remaining
from dualdb.driver.remote import MovedError
from dualdb.driver.returning import moved
from dualdb.driver.target_classes import remade

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dualdb.driver.handle import ConnectionState
    from dualdb.driver.target_connection import TargetConnection

_check = sqlite3.Cursor.fetchone
"""Finds no row here, after all of CPython's checks: closed, another thread, no __init__."""
_fetchmany = sqlite3.Cursor.fetchmany
"""The same, and what it says to a size."""
_BLANK = Answer()
_END = object()


class TargetCursor(CursorHandle):
    """A cursor while PostgreSQL is the authority."""

    __slots__ = ()

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As `sqlite3.Cursor.execute`."""
        _check(self)
        connection: TargetConnection = connection_of(self)
        with connection._dualdb.turn:  # threads may share it, and each statement is one step
            going = _going(self)
            if going is None:
                try:
                    execution.execute(self, connection, sql, parameters)
                except MovedError:
                    connection._dualdb.look_again()
                    going = TargetCursor
                except sqlite3.IntegrityError:
                    _count_nothing(connection)
                    raise
        return self if going is None else going.execute(self, sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As `sqlite3.Cursor.executemany`."""
        _check(self)
        connection: TargetConnection = connection_of(self)
        with connection._dualdb.turn:
            going = _going(self)
            if going is None:
                state = connection._dualdb
                rows = _SharedRows(parameters, state)
                self._dualdb.busy = True
                try:
                    execution.executemany(self, connection, sql, rows)
                except MovedError:
                    state.look_again()
                    is_open = in_transaction(connection) if state.remote is None else state.remote.in_transaction
                except sqlite3.IntegrityError as exc:
                    if exc is not rows.failed:
                        _count_nothing(connection)
                    raise
                else:
                    return self
                finally:
                    self._dualdb.busy = False
        if going is not None:
            return going.executemany(self, sql, parameters)
        # Rows whose maker has ended the transaction stand by themselves.
        with alone(connection, rows.again(), not is_open) as again:
            TargetCursor.executemany(self, sql, again)
        add(self, rows.written)
        return self

    def executescript(self, sql_script: str, /) -> Any:
        """As `sqlite3.Cursor.executescript`, one statement after the other."""
        _check(self)
        connection: TargetConnection = connection_of(self)
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
        row = _row(self)
        return None if row is _END else row

    def fetchmany(self, size: Any = _BLANK) -> list[Any]:
        """The next `size` rows, `arraysize` when it is not given; all that are left when it is 0 or less."""
        wanted = arraysize(self) if size is _BLANK else size
        _fetchmany(self, wanted)
        return _rows(self, index(wanted))

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        _check(self)
        return _rows(self, 0)

    def __iter__(self) -> TargetCursor:
        return self

    def __next__(self) -> Any:
        _check(self)
        row = _row(self)
        if row is _END:
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
        """Forget the rows that are left; what it has done stays known."""
        _check_at_leisure(self)
        result = self._dualdb.result
        if result is not None:
            result.drop()
        sqlite3.Cursor.close(self)


class _SharedRows(Remaining):
    """Rows of an executemany that lets other threads have the connection while the application makes the next one, as
    sqlite3 does: that may take what only such a thread can give.
    """

    __slots__ = ("_remote", "_state", "failed")

    def __init__(self, rows: Iterable[Any], state: ConnectionState) -> None:
        super().__init__(rows)
        self._state = state
        self._remote = state.remote
        self.failed: BaseException | None = None
        """What the application's own maker of rows has raised."""

    def __next__(self) -> Any:
        turn = self._state.turn
        turn.release()
        try:
            row = next(self._rows)
        except BaseException as exc:
            self.failed = exc
            raise
        finally:
            turn.acquire()
        self.last = (row,)
        if self._state.remote is not self._remote:  # one of them has taken it to another database
            raise MovedError
        return row


def _count_nothing(connection: TargetConnection) -> None:
    """SQLite counts a statement that was undone as one that changed nothing."""
    if connection._dualdb.remote is not None:
        connection._dualdb.remote.changes = 0


def _row(cursor: TargetCursor) -> Any:
    """The next row as the application's factory makes it, which may be anything; `_END` behind the last."""
    answer = cursor._dualdb.result or _BLANK
    factory: Any = row_factory(cursor)
    # Whatever makes the rows may make them by `sqlite3.Row`. It is told before one is taken: what fails loses none.
    if factory is not None and not answer.primed and answer.has_rows:
        prime(cursor, answer)
    row = answer.next(text_factory(connection_of(cursor)))
    if row is None:
        return _END
    return row if factory is None else factory(cursor, row)


def _rows(cursor: TargetCursor, wanted: int) -> list[Any]:
    """So many of the rows that are left, all of them when it is 0 or less."""
    rows: list[Any] = []
    while (row := _row(cursor)) is not _END:
        rows.append(row)
        if len(rows) == wanted:
            break
    return rows


def follow(cursor: CursorHandle) -> None:
    """Give a cursor of ours this class, if it has another one."""
    if not isinstance(cursor, TargetCursor):
        home: Any = type(cursor)
        object.__setattr__(cursor, "_dualdb", CursorState(home))
        become(cursor, remade(home, CursorHandle, TargetCursor))


def add(cursor: CursorHandle, written: int) -> None:
    """Let a cursor count the rows too that an executemany wrote where the data was before, until its next execution."""
    lastrowid, rowcount = cursor.lastrowid, cursor.rowcount
    follow(cursor)  # the C part's count cannot be set: it shows an answer of ours
    if rowcount >= 0:
        cursor._dualdb.result = Answer(rowcount=written + rowcount, lastrowid=lastrowid)


def _check_at_leisure(cursor: TargetCursor) -> None:
    if cursor._dualdb.busy:
        raise sqlite3.ProgrammingError("Recursive use of cursors not allowed.")


def _going(cursor: TargetCursor) -> Any:
    """None while PostgreSQL answers. Otherwise the cursor has its class of SQLite's back, and this is the part of it
    that executes: an application's own methods have been through already.
    """
    connection: TargetConnection = connection_of(cursor)
    _check_at_leisure(cursor)
    connection._dualdb.settle_rows()
    if connection._dualdb.remote is not None and not moved(connection):
        return None
    become(cursor, cursor._dualdb.home)
    return behaviour(cursor)
