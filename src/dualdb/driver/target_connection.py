"""`Connection` while PostgreSQL is the authority: sqlite3's face over `driver.remote`.

The object's C part keeps its handle on the SQLite file, for the cursors that were opened before and for the way back;
it also keeps what an application sets and reads back, and makes CPython's own checks.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Literal

from dualdb.core.transaction import Event, State
from dualdb.driver.failure import refused, unasked_authorizer
from dualdb.driver.handle import ConnectionHandle, CursorHandle
from dualdb.driver.target_classes import remade
from dualdb.driver.target_cursor import TargetCursor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from dualdb.driver.remote import Remote

_LEGACY = -1
_check = sqlite3.Connection.cursor
"""Makes CPython's checks: closed, another thread, no __init__."""
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
            cursor._home = type(cursor)
            cursor._result = None
            cursor.__class__ = remade(type(cursor), CursorHandle, TargetCursor)
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> TargetCursor:
        """As `sqlite3.Connection.execute`."""
        cursor: TargetCursor = TargetConnection.cursor(self)
        return cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> TargetCursor:
        """As `sqlite3.Connection.executemany`."""
        cursor: TargetCursor = TargetConnection.cursor(self)
        return cursor.executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> TargetCursor:
        """As `sqlite3.Connection.executescript`."""
        cursor: TargetCursor = TargetConnection.cursor(self)
        return cursor.executescript(sql_script)

    # --- transactions ----------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """As `sqlite3.Connection.commit`."""
        _check(self)
        self._finish(Event.COMMIT)

    def rollback(self) -> None:
        """As `sqlite3.Connection.rollback`."""
        _check(self)
        self._finish(Event.ROLLBACK)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if kind is not None or value is not None or trace is not None:
            self.rollback()
            return False
        try:
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return False

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        sqlite3.Connection.total_changes.__get__(self)  # raises when the connection is closed
        return bool(self._remote.in_transaction)

    @property
    def total_changes(self) -> int:
        """Rows written since the connection was opened."""
        sqlite3.Connection.total_changes.__get__(self)
        return int(self._remote.total_changes)

    @property  # type: ignore[override]
    def isolation_level(self) -> str | None:
        """How a transaction is begun before a write; None: not at all."""
        level: str | None = _level.__get__(self)
        return level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        if level is None:
            self.commit()
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
            if value is True and self._remote.in_transaction:
                self._remote.control(Event.COMMIT, "COMMIT")
            elif value is False and before is not False and not self._remote.in_transaction:
                self._remote.control(Event.BEGIN, "BEGIN")

    def _finish(self, event: Event) -> None:
        mode = getattr(self, "autocommit", _LEGACY)
        with self._turn:
            if mode is True or (mode is not False and not self._remote.in_transaction):
                return
            self._remote.control(event, event.name)
            if mode is False:
                self._remote.control(Event.BEGIN, "BEGIN")

    # --- the authority ---------------------------------------------------------------------------------------------

    def _arrive(self, remote: Remote) -> None:
        """PostgreSQL has become the authority."""
        self._remote = remote
        if getattr(self, "autocommit", _LEGACY) is False and not remote.in_transaction:
            remote.control(Event.BEGIN, "BEGIN")

    def _moved(self) -> bool:
        """Look at the hint; True when SQLite is the authority again and this object has changed its class back."""
        remote: Remote | None = self._remote
        if remote is not None and self._counter[0] == remote.seen:
            return False
        with self._turn:
            remote = self._remote
            if remote is None:  # another thread has been here
                return True
            watch = self._watch
            if watch is None or remote.transaction.state not in (State.IDLE, State.BEGUN):
                return False  # what has read or written stays where it is
            watch = self._watch = watch.current()
            self._counter = watch.counter
            seen = watch.seen()
            authority = watch.authority(seen)
            if authority is not None and authority.remote:
                remote.refresh(seen)
                return False
            replay = self._memory.replay if remote.in_transaction else ()
            if replay is None:
                return False
            remote.close()
            self._memory.ended()
            self._remote = None
            self.__class__ = self._home  # type: ignore[assignment]
            self._look_again()
            self._replay(replay)
            return True

    def _notice(self) -> bool:
        """For a cursor that was made before the authority changed: True while PostgreSQL has it."""
        return not self._moved()

    def _look_again(self) -> None:
        """Read the control row before the next statement."""
        self._remote.seen = -1

    # --- what only this connection can compute ---------------------------------------------------------------------

    # SQLite's part keeps it for the way back; a statement that uses it meanwhile is refused (`driver.taught`).

    def create_function(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_function`."""
        super().create_function(*given, **named)
        self._remote.taught = None

    def create_aggregate(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_aggregate`."""
        super().create_aggregate(*given, **named)
        self._remote.taught = None

    def create_window_function(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_window_function`."""
        super().create_window_function(*given, **named)
        self._remote.taught = None

    def create_collation(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_collation`."""
        super().create_collation(*given, **named)
        self._remote.taught = None

    # --- what only SQLite's own engine can do ----------------------------------------------------------------------

    def _refused(self, cause: str, otherwise: str = "") -> sqlite3.Error:
        _check(self)
        return refused(cause, f"{otherwise}go back to SQLite first: {self._remote.way_back}")

    def blobopen(self, *_: Any, **__: Any) -> sqlite3.Blob:
        """Refused: PostgreSQL has no handle into a row."""
        _check(self)
        raise refused("a blob cannot be opened in place on PostgreSQL", "read and write it with SELECT and UPDATE")

    def iterdump(self, **_: Any) -> Any:
        """Refused: it would dump the follower."""
        raise self._refused("iterdump would dump the SQLite file, which only follows now", "use pg_dump, or ")

    def backup(self, *_: Any, **__: Any) -> None:
        """Refused: it would copy the follower."""
        raise self._refused("backup would copy the SQLite file, which only follows now", "use pg_dump, or ")

    def serialize(self, **_: Any) -> bytes:
        """Refused: it would copy the follower."""
        raise self._refused("serialize would copy the SQLite file, which only follows now", "use pg_dump, or ")

    def deserialize(self, *_: Any, **__: Any) -> None:
        """Refused: it would leave PostgreSQL, unsaid, for a database in memory."""
        raise self._refused("deserialize would leave PostgreSQL for memory", "open ':memory:' for that, or ")

    def enable_load_extension(self, enable: bool, /) -> None:
        """Refused, unless it forbids them."""
        _check(self)
        if enable:
            raise self._refused("SQLite's extensions do not run in PostgreSQL")

    def load_extension(self, *_: Any, **__: Any) -> None:
        """Refused: the extension would not be asked."""
        raise self._refused("SQLite's extensions do not run in PostgreSQL")

    def set_authorizer(self, authorizer_callback: Any) -> None:
        """Refused, unless it takes one away: nobody would ask it."""
        if authorizer_callback is not None:
            _check(self)
            raise unasked_authorizer(self._remote.way_back)
        super().set_authorizer(None)


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
