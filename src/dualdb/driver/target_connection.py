"""`Connection` while PostgreSQL is the authority: sqlite3's face over `driver.remote`.

The object's C part keeps its handle on the SQLite file, for the cursors that were opened before and for the way back;
it also keeps what an application sets and reads back, and makes CPython's own checks.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Literal

from dualdb.core.transaction import Event
from dualdb.driver.failure import refused, unasked_authorizer
from dualdb.driver.handle import ConnectionHandle, CursorHandle, CursorState, behaviour
from dualdb.driver.target_classes import remade
from dualdb.driver.target_cursor import TargetCursor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from dualdb.driver.remote import Remote

_LEGACY = -1
_check = sqlite3.Connection.cursor
"""Makes CPython's checks: closed, another thread, no __init__."""
_in_transaction: Any = sqlite3.Connection.in_transaction
_total_changes: Any = sqlite3.Connection.total_changes
_level: Any = sqlite3.Connection.isolation_level
_autocommit: Any = getattr(sqlite3.Connection, "autocommit", None)


class TargetConnection(ConnectionHandle):
    """A connection while PostgreSQL is the authority."""

    __slots__ = ()

    # --- statements ------------------------------------------------------------------------------------------------

    def cursor(self, *factory: Any, **named: Any) -> Any:
        """As `sqlite3.Connection.cursor`."""
        cursor: Any = super().cursor(*factory, **named)
        if isinstance(cursor, CursorHandle):
            cursor._dualdb = CursorState(type(cursor))
            cursor.__class__ = remade(type(cursor), CursorHandle, TargetCursor)
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As `sqlite3.Connection.execute`."""
        cursor: TargetCursor = TargetConnection.cursor(self)
        return cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As `sqlite3.Connection.executemany`."""
        cursor: TargetCursor = TargetConnection.cursor(self)
        return cursor.executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        """As `sqlite3.Connection.executescript`."""
        cursor: TargetCursor = TargetConnection.cursor(self)
        return cursor.executescript(sql_script)

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
        _total_changes.__get__(self)  # raises when the connection is closed
        remote = self._dualdb.remote
        return remote.in_transaction if remote is not None else _in_transaction.__get__(self)

    @property
    def total_changes(self) -> int:
        """Rows written since the connection was opened."""
        _total_changes.__get__(self)
        remote = self._dualdb.remote
        return remote.total_changes if remote is not None else _total_changes.__get__(self)

    @property  # type: ignore[override]
    def isolation_level(self) -> str | None:
        """How a transaction is begun before a write; None: not at all."""
        level: str | None = _level.__get__(self)
        return level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        if level is None:
            TargetConnection.commit(self)
        _level.__set__(self, level)

    if _autocommit is not None:

        @property
        def autocommit(self) -> Any:
            """sqlite3's transaction control of Python 3.12: -1 as it always was, True, or False."""
            return _autocommit.__get__(self)

        @autocommit.setter
        def autocommit(self, value: Any) -> None:
            before = self.autocommit
            _autocommit.__set__(self, value)
            remote = self._dualdb.remote
            if remote is None:
                return
            if value is True and remote.in_transaction:
                remote.control(Event.COMMIT, "COMMIT")
            elif value is False and before is not False and not remote.in_transaction:
                remote.control(Event.BEGIN, "BEGIN")

    # --- what only this connection can compute ---------------------------------------------------------------------

    # SQLite's part keeps it for the way back; a statement that uses it meanwhile is refused (`driver.taught`).

    def create_function(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_function`."""
        super().create_function(*given, **named)
        _relearn(self)

    def create_aggregate(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_aggregate`."""
        super().create_aggregate(*given, **named)
        _relearn(self)

    def create_window_function(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_window_function`."""
        super().create_window_function(*given, **named)
        _relearn(self)

    def create_collation(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_collation`."""
        super().create_collation(*given, **named)
        _relearn(self)

    # --- what only SQLite's own engine can do ----------------------------------------------------------------------

    def blobopen(self, *_: Any, **__: Any) -> sqlite3.Blob:
        """Refused: PostgreSQL has no handle into a row."""
        _check(self)
        raise refused("a blob cannot be opened in place on PostgreSQL", "read and write it with SELECT and UPDATE")

    def iterdump(self, **_: Any) -> Any:
        """Refused: it would dump the follower."""
        raise _refused(self, "iterdump would dump the SQLite file, which only follows now", "use pg_dump, or ")

    def backup(self, *_: Any, **__: Any) -> None:
        """Refused: it would copy the follower."""
        raise _refused(self, "backup would copy the SQLite file, which only follows now", "use pg_dump, or ")

    def serialize(self, **_: Any) -> bytes:
        """Refused: it would copy the follower."""
        raise _refused(self, "serialize would copy the SQLite file, which only follows now", "use pg_dump, or ")

    def deserialize(self, *_: Any, **__: Any) -> None:
        """Refused: it would leave PostgreSQL, unsaid, for a database in memory."""
        raise _refused(self, "deserialize would leave PostgreSQL for memory", "open ':memory:' for that, or ")

    def enable_load_extension(self, enable: bool, /) -> None:
        """Refused, unless it forbids them."""
        _check(self)
        if enable:
            raise _refused(self, "SQLite's extensions do not run in PostgreSQL")

    def load_extension(self, *_: Any, **__: Any) -> None:
        """Refused: the extension would not be asked."""
        raise _refused(self, "SQLite's extensions do not run in PostgreSQL")

    def set_authorizer(self, authorizer_callback: Any) -> None:
        """Refused, unless it takes one away: nobody would ask it."""
        if authorizer_callback is not None:
            _check(self)
            raise unasked_authorizer(self._dualdb.asked.way_back)
        super().set_authorizer(None)


def arrive(connection: ConnectionHandle, remote: Remote) -> None:
    """PostgreSQL has become the authority, and the connection has this class."""
    connection._dualdb.remote = remote
    if getattr(connection, "autocommit", _LEGACY) is False and not remote.in_transaction:
        remote.control(Event.BEGIN, "BEGIN")


def _finish(connection: TargetConnection, event: Event) -> None:
    state = connection._dualdb
    mode = getattr(connection, "autocommit", _LEGACY)
    with state.turn:
        remote = state.remote
        if remote is None:  # called by a method that was looked up before the class changed back
            (behaviour(connection).commit if event is Event.COMMIT else behaviour(connection).rollback)(connection)
        elif mode is False or (mode is not True and remote.in_transaction):
            remote.control(event, event.name)
            if mode is False:
                remote.control(Event.BEGIN, "BEGIN")


def _relearn(connection: TargetConnection) -> None:
    """What the connection was taught has changed."""
    if connection._dualdb.remote is not None:
        connection._dualdb.remote.taught = None


def _refused(connection: TargetConnection, cause: str, otherwise: str = "") -> sqlite3.Error:
    _check(connection)
    return refused(cause, f"{otherwise}go back to SQLite first: {connection._dualdb.asked.way_back}")


PASSED_ON = {
    # Public attributes of sqlite3.Connection that are left to the C part, and why that is right.
    "close": "the handle's, which ends both sides",
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
