"""`Connection` while PostgreSQL is the authority: sqlite3's face over `driver.remote`.

The object's C part keeps its handle on the SQLite file, for the cursors that were opened before and for the way back;
it also keeps what an application sets and reads back, and makes CPython's own checks.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Literal

from dualdb.core.transaction import Event
from dualdb.driver.c_part import (
    autocommit,
    in_transaction,
    isolation_level,
    set_autocommit,
    set_isolation_level,
    total_changes,
)
from dualdb.driver.failure import or_back, refused, unasked_authorizer
from dualdb.driver.handle import ConnectionHandle, CursorHandle, behaviour
from dualdb.driver.returning import moved
from dualdb.driver.target_cursor import follow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from dualdb.driver.remote import Remote

_check = sqlite3.Connection.cursor
"""Makes CPython's checks: closed, another thread, no __init__."""


class TargetConnection(ConnectionHandle):
    """A connection while PostgreSQL is the authority."""

    __slots__ = ()

    # --- statements ------------------------------------------------------------------------------------------------

    def cursor(self, *factory: Any, **named: Any) -> Any:
        """As `sqlite3.Connection.cursor`."""
        with self._dualdb.turn:
            if self._dualdb.remote is None:
                return behaviour(self).cursor(self, *factory, **named)
            cursor: Any = super().cursor(*factory, **named)
            if isinstance(cursor, CursorHandle):
                follow(cursor)
            return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As `sqlite3.Connection.execute`."""
        return TargetConnection.cursor(self).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As `sqlite3.Connection.executemany`."""
        return TargetConnection.cursor(self).executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        """As `sqlite3.Connection.executescript`."""
        return TargetConnection.cursor(self).executescript(sql_script)

    # --- transactions ----------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """As `sqlite3.Connection.commit`."""
        _check(self)
        _finish(self, Event.COMMIT)

    def rollback(self) -> None:
        """As `sqlite3.Connection.rollback`."""
        _check(self)
        _finish(self, Event.ROLLBACK)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if kind is not None or value is not None or trace is not None:
            TargetConnection.rollback(self)
            return False
        try:
            TargetConnection.commit(self)
        except BaseException:
            TargetConnection.rollback(self)
            raise
        return False

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        on_sqlite: bool = in_transaction(self)  # raises when the connection is closed
        with self._dualdb.turn:
            self._dualdb.settle_rows()
            remote = self._dualdb.remote
            return on_sqlite if remote is None else remote.in_transaction

    @property
    def total_changes(self) -> int:
        """Rows written since the connection was opened."""
        on_sqlite: int = total_changes(self)
        with self._dualdb.turn:
            self._dualdb.settle_rows()
            remote = self._dualdb.remote
            return on_sqlite if remote is None else remote.total_changes

    @property  # type: ignore[override]
    def isolation_level(self) -> str | None:
        """How a transaction is begun before a write; None: not at all."""
        level: str | None = isolation_level(self)
        return level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        if level is None:
            TargetConnection.commit(self)
        set_isolation_level(self, level)

    if hasattr(sqlite3.Connection, "autocommit"):

        @property
        def autocommit(self) -> Any:
            """sqlite3's transaction control of Python 3.12: -1 as it always was, True, or False."""
            return autocommit(self)

        @autocommit.setter
        def autocommit(self, value: Any) -> None:
            before = autocommit(self)
            set_autocommit(self, value)
            remote = self._dualdb.remote
            if remote is None:
                return
            if value is True and remote.in_transaction:
                remote.control(Event.COMMIT, "COMMIT")
            elif value is False and before is not False and not remote.in_transaction:
                remote.control(Event.BEGIN, "BEGIN")

    # --- what only SQLite's own engine can do: refused, unless it answers again --------------------------------------

    def blobopen(self, *given: Any, **named: Any) -> Any:
        """Refused: PostgreSQL has no handle into a row."""
        if _is_back(self):
            return behaviour(self).blobopen(self, *given, **named)
        raise refused("a blob cannot be opened in place on PostgreSQL", "read and write it with SELECT and UPDATE")

    def iterdump(self, **named: Any) -> Any:
        """Refused: it would dump the follower."""
        if _is_back(self):
            return behaviour(self).iterdump(self, **named)
        raise _refused(self, "iterdump would dump what SQLite has, and PostgreSQL has the data", "use pg_dump")

    def backup(self, *given: Any, **named: Any) -> Any:
        """Refused: it would copy the follower."""
        if _is_back(self):
            return behaviour(self).backup(self, *given, **named)
        raise _refused(self, "backup would copy what SQLite has, and PostgreSQL has the data", "use pg_dump")

    def serialize(self, **named: Any) -> Any:
        """Refused: it would copy the follower."""
        if _is_back(self):
            return behaviour(self).serialize(self, **named)
        raise _refused(self, "serialize would copy what SQLite has, and PostgreSQL has the data", "use pg_dump")

    def deserialize(self, *given: Any, **named: Any) -> Any:
        """Refused: it would leave PostgreSQL, unsaid, for a database in memory."""
        if _is_back(self):
            return behaviour(self).deserialize(self, *given, **named)
        raise _refused(self, "deserialize would leave PostgreSQL for memory", "open ':memory:' for that")

    if hasattr(sqlite3.Connection, "load_extension"):  # some builds of Python do without

        def enable_load_extension(self, enable: bool, /) -> None:
            """Refused, unless it forbids them."""
            if _is_back(self):
                behaviour(self).enable_load_extension(self, enable)
            elif enable:
                raise _refused(self, "SQLite's extensions do not run in PostgreSQL", "do without")

        def load_extension(self, *given: Any, **named: Any) -> None:
            """Refused: the extension would not be asked."""
            if not _is_back(self):
                raise _refused(self, "SQLite's extensions do not run in PostgreSQL", "do without")
            behaviour(self).load_extension(self, *given, **named)

    def set_authorizer(self, authorizer_callback: Any) -> None:
        """Refused, unless it takes one away: nobody would ask it."""
        if _is_back(self):
            behaviour(self).set_authorizer(self, authorizer_callback)
        elif authorizer_callback is not None:
            raise unasked_authorizer(self._dualdb.asked.way_back)
        else:
            sqlite3.Connection.set_authorizer(self, None)


def arrive(connection: ConnectionHandle, remote: Remote) -> None:
    """PostgreSQL has become the authority, and the connection has this class."""
    connection._dualdb.remote = remote
    if autocommit(connection) is False and not remote.in_transaction:
        remote.control(Event.BEGIN, "BEGIN")


def _finish(connection: TargetConnection, event: Event) -> None:
    state = connection._dualdb
    mode = autocommit(connection)
    with state.turn:
        state.settle_rows()
        remote = state.remote
        if remote is None:  # called by a method that was looked up before the class changed back
            (behaviour(connection).commit if event is Event.COMMIT else behaviour(connection).rollback)(connection)
        elif mode is False or (mode is not True and remote.in_transaction):
            remote.control(event, event.name)
            if mode is False:
                remote.control(Event.BEGIN, "BEGIN")


def _is_back(connection: TargetConnection) -> bool:
    """Whether SQLite is the authority again, and the object has its class back."""
    _check(connection)
    return connection._dualdb.remote is None or moved(connection)


def _refused(connection: TargetConnection, cause: str, remedy: str) -> sqlite3.Error:
    return refused(cause, or_back(remedy, connection._dualdb.asked.way_back))


PASSED_ON = {
    # Public attributes of sqlite3.Connection that are left to the C part, and why that is right.
    "close": "the handle's, which ends both sides",
    **dict.fromkeys(
        ("create_aggregate", "create_collation", "create_function", "create_window_function"),
        "the handle's: kept for the way back, and a statement that uses it meanwhile is refused",
    ),
    "interrupt": "ends what the C part is doing; a statement on PostgreSQL ends with its own time-outs",
    "set_progress_handler": "called while SQLite's engine works, which it does not",
    "set_trace_callback": "called for what SQLite's engine executes",
    "getlimit": "limits of SQLite's engine, kept for the way back",
    "setlimit": "as getlimit",
    "getconfig": "switches of SQLite's engine, kept for the way back",
    "setconfig": "as getconfig",
    "row_factory": "read by each cursor when it is made, as ever",
    "text_factory": "read by each execution",
    "__call__": "makes a statement object that nobody can use",
    "__enter__": "returns the connection",
    **dict.fromkeys(
        (
            "DataError",
            "DatabaseError",
            "Error",
            "IntegrityError",
            "InterfaceError",
            "InternalError",
            "NotSupportedError",
            "OperationalError",
            "ProgrammingError",
            "Warning",
        ),
        "sqlite3's exception classes are the ones that are raised",
    ),
}
CURSOR_PASSED_ON = {
    # The same for sqlite3.Cursor.
    "arraysize": "a number that fetchmany reads",
    "connection": "the same object",
    "row_factory": "read when a row is fetched",
    "setinputsizes": "does nothing in sqlite3 either",
    "setoutputsize": "does nothing in sqlite3 either",
}
