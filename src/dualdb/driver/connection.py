"""`Connection` and `Cursor` while SQLite is the authority: `sqlite3`'s own, with an eye on the hint.

Capture is the work of triggers inside the file, so nothing happens here but one comparison before each statement, and
what a fence asks for (`driver.fence`). PostgreSQL is not known here: when it becomes the authority the object changes
its class (`driver.target_connection`), and fetching, committing and all the rest stay C code until then.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import lru_cache

from dualdb.driver.authority import UNKNOWN, notice
from dualdb.driver.c_part import (
    alone,
    autocommit,
    connection_of,
    in_transaction,
    isolation_level,
    rowcount,
    set_autocommit,
    set_isolation_level,
    total_changes,
)
from dualdb.driver.failure import is_busy, is_fence, stuck
from dualdb.driver.handle import ConnectionHandle, CursorHandle, behaviour, path_of
from dualdb.driver.source_rows import LeftError, SourceRows
from dualdb.driver.target_classes import Unannounced
from dualdb.driver.watch import SETTLED, find_unhinted, find_watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Any, Literal


_new_cursor = sqlite3.Connection.cursor
_commit = sqlite3.Connection.commit
_rollback = sqlite3.Connection.rollback
_leave = sqlite3.Connection.__exit__
_blobopen = sqlite3.Connection.blobopen
_execute = sqlite3.Cursor.execute
_executemany = sqlite3.Cursor.executemany
_executescript = sqlite3.Cursor.executescript

_ADDRESSES = ("postgresql://", "postgres://")
"""What the address of a server begins with."""
_UNGUARDED = frozenset("SsIiUuRrBbWwEeVv")
"""With these letters SELECT and INSERT begin, and all other frequent statements but DELETE and COMMIT."""


class SourceCursor(CursorHandle):
    """A cursor while SQLite is the authority."""

    __slots__ = ()

    def execute(self, sql: str, parameters: Any = (), /) -> Any:  # noqa: C901 - each call would cost every statement
        """As `sqlite3.Cursor.execute`; a refusal by a fence is waited out."""
        try:
            connection: SourceConnection = connection_of(self)
            state = connection._dualdb
        except AttributeError:  # another module's connection, or no __init__: sqlite3 says what it says
            return _execute(self, sql, parameters)
        if state.counter[0] != state.seen and notice(connection):
            return _follow(self).execute(self, sql, parameters)
        if state.counter is SETTLED:
            return _execute(self, sql, parameters)
        text: object = sql
        if state.watch is not None and isinstance(text, str) and text[:1] not in _UNGUARDED:
            guard = _guard(text)
            if guard is not None:
                return guard.execute(self, sql, parameters)
        inside, seen = in_transaction(connection), state.seen
        changes = total_changes(connection) if state.shared else 0
        try:
            _execute(self, sql, parameters)
        except BaseException as exc:
            if not _is_overtaken(connection, exc):
                if not inside:  # what is remembered is of the last one, which a COMMIT by text may have ended unheard
                    state.memory.ended()
                state.memory.failed(sql, inside=inside, still_open=in_transaction(connection), busy=is_busy(exc))
                raise
            fenced = True
        else:
            certain = state.remote is None and state.look_at != UNKNOWN and not state.shared
            if certain or _stands(self, connection, inside=inside, seen=seen, changes=changes):
                # Not where the memory would learn nothing: that is nearly every statement.
                if state.memory.opening is not None if inside else in_transaction(connection):
                    state.memory.done(sql, inside=inside, still_open=in_transaction(connection))
                return self
            fenced = state.remote is None
        if fenced:
            from dualdb.driver import fence

            fence.outlast(connection, inside=inside)
        return SourceCursor.execute(self, sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As `sqlite3.Cursor.executemany`; from the row that a fence refused it goes on where the data went."""
        try:
            connection: SourceConnection = connection_of(self)
            state = connection._dualdb
        except AttributeError:
            return _executemany(self, sql, parameters)
        if state.counter[0] != state.seen and notice(connection):
            return _follow(self).executemany(self, sql, parameters)
        if state.counter is SETTLED:
            return _executemany(self, sql, parameters)
        if state.watch is not None and _guard(sql) is not None:
            for row in parameters:
                SourceCursor.execute(self, sql, row)
            return self
        rows = SourceRows(parameters, self)
        is_open = _execute_rows(self, connection, sql, rows)
        if is_open is None:
            return self
        # Rows whose maker has ended the transaction stand by themselves.
        with alone(connection, rows.again(), not is_open) as again:
            SourceCursor.executemany(self, sql, again)
        if rows.written > 0:
            from dualdb.driver.target_cursor import add

            add(self, rows.written)
        return self

    def executescript(self, sql_script: str, /) -> Any:
        """As `sqlite3.Cursor.executescript`; on a prepared file one statement after the other, so that a fence can be
        met between two of them.
        """
        try:
            connection: SourceConnection = connection_of(self)
            state = connection._dualdb
        except AttributeError:
            return _executescript(self, sql_script)
        if state.counter[0] != state.seen and notice(connection):
            return _follow(self).executescript(self, sql_script)
        if state.counter is SETTLED:
            return _executescript(self, sql_script)
        if state.watch is None:
            try:
                return _executescript(self, sql_script)
            finally:
                state.memory.worked()  # as far as is known, if it has left a transaction open
        from dualdb.driver import script

        script.run(self, sql_script)
        return self


class Cursor(SourceCursor):
    """A cursor that follows its connection's authority."""

    __slots__ = ("_dualdb",)


class SourceConnection(ConnectionHandle):
    """A connection while SQLite is the authority."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        target = args[0] if args else kwargs.get("database")
        if not isinstance(target, str) or not target.startswith(_ADDRESSES):
            super().__init__(*args, **kwargs)
            return
        private = (":memory:", *args[1:]) if args else args
        super().__init__(*private, **(kwargs if args else kwargs | {"database": ":memory:"}))
        from dualdb.driver.direct import open_directly  # nobody else needs PostgreSQL when he connects

        try:
            open_directly(self, target)
        except BaseException:
            sqlite3.Connection.close(self)
            raise

    def cursor(self, factory: Any = Cursor) -> Any:
        """As `sqlite3.Connection.cursor`; a cursor class of the application's gets ours as its base."""
        if factory is Cursor:
            return _new_cursor(self, Cursor)
        cursor = _new_cursor(self, adopted_cursor(factory))
        if not isinstance(cursor, CursorHandle):
            self._dualdb.look_at = 0.0  # not even for a hundredth of a second
            if _has_left(self) or self._dualdb.watch is not None:
                raise stuck("cursor", type(cursor))
            self._dualdb.aloof = type(cursor)
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As `sqlite3.Connection.execute`."""
        return _new_cursor(self, Cursor).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As `sqlite3.Connection.executemany`."""
        return _new_cursor(self, Cursor).executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        """As `sqlite3.Connection.executescript`."""
        return _new_cursor(self, Cursor).executescript(sql_script)

    def commit(self) -> None:
        """As `sqlite3.Connection.commit`."""
        if self._dualdb.remote is not None:  # called by a method that was looked up before the class changed
            behaviour(self).commit(self)
            return
        _commit(self)
        if autocommit(self) is not True:
            self._dualdb.memory.ended()

    def rollback(self) -> None:
        """As `sqlite3.Connection.rollback`."""
        if self._dualdb.remote is not None:
            behaviour(self).rollback(self)
            return
        _rollback(self)
        if autocommit(self) is not True:
            self._dualdb.memory.ended()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if self._dualdb.remote is not None:  # `with` looks this method up before its block is entered
            left: Literal[False] = behaviour(self).__exit__(self, kind, value, trace)
            return left
        try:
            return _leave(self, kind, value, trace)
        finally:  # what cannot be committed is rolled back
            if autocommit(self) is False or not in_transaction(self):
                self._dualdb.memory.ended()

    @property
    def total_changes(self) -> int:
        """As `sqlite3.Connection.total_changes`."""
        changes: int = total_changes(self)
        return changes + self._dualdb.written_elsewhere

    @property  # type: ignore[override]
    def isolation_level(self) -> str | None:
        """As `sqlite3.Connection.isolation_level`."""
        level: str | None = isolation_level(self)
        return level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        set_isolation_level(self, level)
        if level is None and (autocommit(self) is False or not in_transaction(self)):  # what was open is committed
            self._dualdb.memory.ended()

    if hasattr(sqlite3.Connection, "autocommit"):

        @property
        def autocommit(self) -> Any:
            """As `sqlite3.Connection.autocommit`, of Python 3.12."""
            return autocommit(self)

        @autocommit.setter
        def autocommit(self, value: Any) -> None:
            inside = in_transaction(self)
            set_autocommit(self, value)
            if value is True or not inside:  # what was open is committed; or one was begun
                self._dualdb.memory.ended()

    def set_authorizer(self, authorizer_callback: Any) -> None:
        """As `sqlite3.Connection.set_authorizer`."""
        if self._dualdb.remote is not None:
            behaviour(self).set_authorizer(self, authorizer_callback)
            return
        super().set_authorizer(authorizer_callback)
        self._dualdb.authorizer = authorizer_callback is not None

    def blobopen(self, table: str, column: str, row: int, /, **kwargs: Any) -> Any:
        """As `sqlite3.Connection.blobopen`; writes that no trigger sees are journaled first."""
        if _has_left(self):
            return behaviour(self).blobopen(self, table, column, row, **kwargs)
        watched = self._dualdb.watch is not None
        if watched and not kwargs.get("readonly", False) and kwargs.get("name", "main").lower() == "main":
            from dualdb.driver.blob import journal

            journal(self, table, row)
        blob = _blobopen(self, table, column, row, **kwargs)
        if in_transaction(self):
            self._dualdb.memory.worked()
        return blob

    # What takes the database as a whole is SQLite's own affair, unless this is only the follower: that refuses.

    def backup(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.backup`."""
        if _has_left(self):
            behaviour(self).backup(self, *given, **named)
        super().backup(*given, **named)

    def iterdump(self, **named: Any) -> Any:
        """As `sqlite3.Connection.iterdump`."""
        if _has_left(self):
            behaviour(self).iterdump(self, **named)
        return _dumped(self, super().iterdump(**named))

    def serialize(self, **named: Any) -> bytes:
        """As `sqlite3.Connection.serialize`."""
        if _has_left(self):
            behaviour(self).serialize(self, **named)
        image = super().serialize(**named)
        if in_transaction(self):
            self._dualdb.memory.worked()
        return image

    def deserialize(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.deserialize`."""
        if _has_left(self):
            behaviour(self).deserialize(self, *given, **named)
        super().deserialize(*given, **named)
        if named.get("name", "main").lower() == "main":
            self._dualdb.be_private()  # the file is left as it is


class Connection(SourceConnection):
    """A connection that follows its file's authority."""

    __slots__ = ("_dualdb",)


# --- beside the classes: what is no name of sqlite3's must not be one of theirs --------------------------------------


def _guard(sql: object) -> Any:
    """Who executes it on a prepared file, if it is not sqlite3 alone."""
    if not isinstance(sql, str) or sql[:1] in _UNGUARDED:
        return None
    first_keyword, guards = _guards()
    guard = guards.get(first_keyword(sql))
    return guard if guard is not None and guard.concerns(sql) else None


@lru_cache(maxsize=1)
def _guards() -> Any:
    from dualdb.core.sqltext import first_keyword
    from dualdb.driver import schema_guard, settings_guard

    return first_keyword, {"PRAGMA": settings_guard, **dict.fromkeys(schema_guard.DDL, schema_guard)}


def _is_overtaken(connection: SourceConnection, error: BaseException) -> bool:
    """Whether a fence refused it: of a file that is watched, or was prepared since this connection looked."""
    state = connection._dualdb
    if not is_fence(error):
        return False
    if state.watch is None and state.path:
        watch = find_watch(state.path) or find_unhinted(state.path)
        if watch is not None:
            state.watch_over(connection, watch)
    return state.watch is not None


def _stands(cursor: SourceCursor, connection: SourceConnection, *, inside: bool, seen: int, changes: int) -> bool:
    """Whether what was executed just now on SQLite is done, though it was not known that SQLite has the say; `inside` a
    transaction, with the hint's counter at `seen` and `changes` done before.
    """
    state = connection._dualdb
    reads = cursor.description is not None and rowcount(cursor) < 0
    # Not rowcount alone: it is 0 where triggers write, and until the rows of RETURNING are fetched.
    wrote = rowcount(cursor) > 0 or (state.shared and total_changes(connection) != changes)
    if state.remote is not None:
        # Another thread has left meanwhile. What was committed had met no fence, and is carried.
        if not (inside or reads or in_transaction(connection)) and wrote:
            return True
        _undo(connection)
        return False
    if state.look_at == UNKNOWN and reads:
        # Who has waited for the lock that kept us from knowing may have read a follower.
        fresh = not inside or state.memory.opening is not None
        return not (fresh and notice(connection))
    # sqlite3 loses the error of one thread where another one that shares the connection asks SQLite for something just
    # then. It would be the fence's that tells of a write that wrote nothing.
    return wrote or rowcount(cursor) != 0 or not state.shared or not _may_be_fenced(connection, seen)


def _execute_rows(cursor: SourceCursor, connection: SourceConnection, sql: str, rows: SourceRows) -> bool | None:
    """Execute rows as far as SQLite is the authority: None when they are done, else whether a transaction is open where
    it has to go on.
    """
    state = connection._dualdb
    seen = state.seen
    if not rows.inside:  # what is remembered is of the last one, see `execute`
        state.memory.ended()
    try:
        _executemany(cursor, sql, rows.handed(sql))
    except LeftError:
        return state.remote is not None and state.remote.in_transaction
    except BaseException as exc:
        if not rows.resumable or not _is_overtaken(connection, exc):
            rows.noted(exc)
            raise
    else:
        # Of rows that were not all asked for sqlite3 has lost an error, see `_stands`.
        if not state.shared or rows.over or not _may_be_fenced(connection, seen):
            rows.noted(None)
            return None
    from dualdb.driver import fence

    fence.outlast(connection, inside=rows.inside, implicit=False)
    return rows.inside


def _may_be_fenced(connection: SourceConnection, seen: int) -> bool:
    """Whether a fence may have risen since the hint's counter was `seen`; other threads have looked at it since."""
    state = connection._dualdb
    if state.watch is None:
        watch = find_watch(state.path) if state.path else None
        if watch is None:
            return False
        state.watch_over(connection, watch)
    elif seen != -1 and not state.watch.retired and not state.counter[0] & 1:
        return state.counter[0] != seen
    # The counter stays odd where its writer has died: then the row itself is asked.
    authority = state.watch.authority(-1) if state.watch is not None else None
    return authority is not None and (authority.remote or authority.under_way)


def _undo(connection: SourceConnection) -> None:
    """Leave what was begun on SQLite alone, where it is not to be."""
    if in_transaction(connection):
        sqlite3.Connection.rollback(connection)


def _has_left(connection: SourceConnection) -> bool:
    state = connection._dualdb
    return state.counter[0] != state.seen and notice(connection)


def _dumped(connection: SourceConnection, lines: Iterator[str]) -> Iterator[str]:
    """The lines of a dump, which is refused where a move overtakes it: half of it would be another database's."""
    try:
        for line in lines:
            if connection._dualdb.remote is not None:
                behaviour(connection).iterdump(connection)
            yield line
    except sqlite3.Error:
        if connection._dualdb.remote is not None:
            behaviour(connection).iterdump(connection)
        raise


def _follow(cursor: SourceCursor) -> Any:
    """Give a cursor the class that PostgreSQL's answers need; returns the part of it that gives them, for an
    application's own methods have been through already.
    """
    from dualdb.driver.target_cursor import follow

    _execute(cursor, "SELECT 1 WHERE 0")  # ends what it was reading, as any execution does; makes CPython's checks
    follow(cursor)
    return behaviour(cursor)


def check_that_it_follows(connection: Any) -> None:
    """Raise NotSupportedError, the connection closed, where its class is not ours and its file was prepared."""
    if isinstance(connection, ConnectionHandle) or not isinstance(connection, sqlite3.Connection):
        return
    path = path_of(connection)
    if path and (find_watch(path) or find_unhinted(path)):
        connection.close()
        raise stuck("connection", type(connection))


def adopted(factory: Any) -> Any:
    """A connection factory whose connections are ours: a foreign subclass of sqlite3's gets ours as its base."""
    return _adopted(factory, sqlite3.Connection, Connection)


def adopted_cursor(factory: Any) -> Any:
    """A cursor factory whose cursors are ours."""
    return _adopted(factory, sqlite3.Cursor, Cursor)


def _adopted(factory: Any, foreign: type, ours: type) -> Any:
    behaviour: Any = ours.__base__
    if not isinstance(factory, type) or issubclass(factory, behaviour) or not issubclass(factory, foreign):
        return factory
    made: Any = ours if factory is foreign else _with_base(factory, ours)  # type: ignore[arg-type]
    return made


@lru_cache(maxsize=128)
def _with_base(factory: Any, ours: Any) -> Any:
    names = {name: getattr(factory, name) for name in ("__module__", "__qualname__", "__doc__")}
    # Its own slots may leave no room for those of ours, but for a slot behind them.
    for base, slots in ((ours, ()), (ours.__base__, ours.__slots__)):
        with suppress(Exception):  # whatever a metaclass of the application's has against it
            return type(factory.__name__, (Unannounced, factory, base), names | {"__slots__": slots})
    return factory  # it stays sqlite3's
