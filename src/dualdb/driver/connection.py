"""`Connection` and `Cursor` while SQLite is the authority: `sqlite3`'s own, with an eye on the hint.

Capture is the work of triggers inside the file, so nothing happens here but one comparison before each statement, and
what a fence asks for (`driver.fence`). PostgreSQL is not known here: when it becomes the authority the object changes
its class (`driver.target_connection`), and fetching, committing and all the rest stay C code until then.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from time import monotonic

from dualdb.driver.failure import is_fence, overtaken, unasked_authorizer
from dualdb.driver.handle import ConnectionHandle, CursorHandle
from dualdb.driver.remaining import Remaining
from dualdb.driver.watch import UNREADABLE, find_lost, find_unhinted, find_watch, next_look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Any, Literal

    from dualdb.driver.watch import Watch

_new_cursor = sqlite3.Connection.cursor
_commit = sqlite3.Connection.commit
_rollback = sqlite3.Connection.rollback
_leave = sqlite3.Connection.__exit__
_blobopen = sqlite3.Connection.blobopen
_execute = sqlite3.Cursor.execute
_executemany = sqlite3.Cursor.executemany
_executescript = sqlite3.Cursor.executescript

_NEVER_DDL = frozenset("SsIiUuRrBbPpWwEeVv")
"""With these letters SELECT and INSERT begin, and all other frequent statements but DELETE and COMMIT."""
_UNKNOWN = -1.0
"""Stands for the time of the next look where the last one could not tell whether the file was prepared."""


class Cursor(CursorHandle):
    """A cursor while SQLite is the authority."""

    __slots__ = ()

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        """As `sqlite3.Cursor.execute`; a refusal by a fence is waited out."""
        try:
            connection: Connection = self.connection  # type: ignore[assignment]
            stirred = connection._counter[0] != connection._seen
        except AttributeError:  # another module's connection, or no __init__: sqlite3 says what it says
            return _execute(self, sql, parameters)
        if stirred and connection._notice():
            return self._follow().execute(sql, parameters)
        if connection._watch is None:
            return self._execute_unwatched(sql, parameters)
        if type(sql) is str and sql[:1] not in _NEVER_DDL:
            from dualdb.driver import schema_guard

            if schema_guard.concerns(sql):
                return schema_guard.execute(self, sql, parameters)
        inside = connection.in_transaction
        try:
            _execute(self, sql, parameters)
        except BaseException as exc:
            if not is_fence(exc):
                connection._memory.failed(sql, inside=inside, still_open=connection.in_transaction)
                raise
        else:
            connection._memory.done(sql, inside=inside, still_open=connection.in_transaction)
            return self
        from dualdb.driver import fence

        fence.outlast(connection, inside=inside)
        return self.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor:
        """As `sqlite3.Cursor.executemany`; from the row that a fence refused it goes on where the data went."""
        try:
            connection: Connection = self.connection  # type: ignore[assignment]
            stirred = connection._counter[0] != connection._seen
        except AttributeError:
            return _executemany(self, sql, parameters)
        if stirred and connection._notice():
            return self._follow().executemany(sql, parameters)
        if connection._watch is None:
            return _executemany(self, sql, parameters)
        inside = connection.in_transaction
        rows = Remaining(parameters, self)
        try:
            _executemany(self, sql, rows)
        except BaseException as exc:
            if not is_fence(exc):
                connection._memory.failed(sql, inside=inside, still_open=connection.in_transaction)
                raise
        else:
            connection._memory.done(sql, inside=inside, still_open=connection.in_transaction)
            return self
        from dualdb.driver import fence

        fence.outlast(connection, inside=inside)
        self.executemany(sql, rows.again())
        return self._add(rows.written)

    def executescript(self, sql_script: str, /) -> Cursor:
        """As `sqlite3.Cursor.executescript`; on a prepared file one statement after the other, so that a fence can be
        met between two of them.
        """
        try:
            connection: Connection = self.connection  # type: ignore[assignment]
            stirred = connection._counter[0] != connection._seen
        except AttributeError:
            return _executescript(self, sql_script)  # type: ignore[return-value]
        if stirred and connection._notice():
            return self._follow().executescript(sql_script)
        if connection._watch is None:
            return _executescript(self, sql_script)  # type: ignore[return-value]
        from dualdb.driver import script

        script.run(self, sql_script)
        return self

    def _execute_unwatched(self, sql: str, parameters: Any) -> Cursor:
        """For what may have waited for a lock while the file was prepared and moved."""
        connection: Connection = self.connection  # type: ignore[assignment]
        inside = connection.in_transaction
        try:
            _execute(self, sql, parameters)
        except sqlite3.IntegrityError as exc:
            path = connection._path if is_fence(exc) else None
            watch = (find_watch(path) or find_unhinted(path)) if path else None
            if watch is None:
                raise
            connection._watch_over(watch, used=inside)
        else:
            # Who has waited for the lock that kept us from knowing may have read a follower.
            unsure = connection._look_at == _UNKNOWN and self.description is not None and not connection.in_transaction
            return self._follow().execute(sql, parameters) if unsure and connection._notice() else self
        from dualdb.driver import fence

        fence.outlast(connection, inside=inside)
        return self.execute(sql, parameters)

    def _add(self, written: int) -> Cursor:
        """This cursor, with the rows that an executemany wrote before it was refused in its count as well."""
        if written > 0:  # the C part's count cannot be set: until its next execution the cursor shows an answer of ours
            lastrowid, rowcount = self.lastrowid, self.rowcount
            from dualdb.driver.answer import Answer

            self._follow()._result = Answer(rowcount=written + rowcount, lastrowid=lastrowid)
        return self

    def _follow(self) -> Cursor:
        """This cursor, of the class that its connection's authority asks for."""
        from dualdb.driver.target_classes import remade
        from dualdb.driver.target_cursor import TargetCursor

        _execute(self, "SELECT 1 WHERE 0")  # ends what it was reading, as any execution does; makes CPython's checks
        self._home = type(self)
        self._result = None
        self.__class__ = remade(type(self), CursorHandle, TargetCursor)
        return self


class Connection(ConnectionHandle):
    """A connection while SQLite is the authority."""

    __slots__ = ()

    def cursor(self, factory: Any = Cursor) -> Any:
        """As `sqlite3.Connection.cursor`; a cursor class of the application's gets ours as its base."""
        return _new_cursor(self, factory if factory is Cursor else adopted_cursor(factory))

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        """As `sqlite3.Connection.execute`."""
        return _new_cursor(self, Cursor).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor:
        """As `sqlite3.Connection.executemany`."""
        return _new_cursor(self, Cursor).executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Cursor:
        """As `sqlite3.Connection.executescript`."""
        return _new_cursor(self, Cursor).executescript(sql_script)

    def commit(self) -> None:
        """As `sqlite3.Connection.commit`."""
        if self._remote is not None:  # called by a method that was looked up before the class changed
            self.commit()
            return
        _commit(self)
        self._memory.ended()

    def rollback(self) -> None:
        """As `sqlite3.Connection.rollback`."""
        if self._remote is not None:
            self.rollback()
            return
        _rollback(self)
        self._memory.ended()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if self._remote is not None:  # `with` looks this method up before its block is entered
            return self.__exit__(kind, value, trace)
        result = _leave(self, kind, value, trace)
        self._memory.ended()
        return result

    def blobopen(self, table: str, column: str, row: int, /, **kwargs: Any) -> sqlite3.Blob:
        """As `sqlite3.Connection.blobopen`; writes that no trigger sees are journaled first."""
        if self._counter[0] != self._seen and self._notice():
            return self.blobopen(table, column, row, **kwargs)
        if self._watch is not None and not kwargs.get("readonly", False) and kwargs.get("name", "main") == "main":
            from dualdb.driver import blob

            blob.journal(self, table, row)
        return _blobopen(self, table, column, row, **kwargs)

    # What takes the database as a whole is SQLite's own affair, unless this is only the follower.

    def backup(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.backup`."""
        if self._counter[0] != self._seen and self._notice():
            return self.backup(*given, **named)
        return super().backup(*given, **named)

    def iterdump(self, **named: Any) -> Any:
        """As `sqlite3.Connection.iterdump`."""
        if self._counter[0] != self._seen and self._notice():
            return self.iterdump(**named)
        return self._dumped(super().iterdump(**named))

    def _dumped(self, lines: Iterator[str]) -> Iterator[str]:
        try:
            yield from lines
        except sqlite3.Error:
            if self._remote is not None:  # a move has overtaken it
                self.iterdump()
            raise

    def serialize(self, **named: Any) -> bytes:
        """As `sqlite3.Connection.serialize`."""
        if self._counter[0] != self._seen and self._notice():
            return self.serialize(**named)
        return super().serialize(**named)

    def deserialize(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.deserialize`."""
        if self._counter[0] != self._seen and self._notice():
            return self.deserialize(*given, **named)
        super().deserialize(*given, **named)
        if named.get("name", "main") == "main":
            self._be_private()  # the file is left as it is
        return None

    # --- the authority ---------------------------------------------------------------------------------------------

    def _notice(self) -> bool:
        """Look why the counter is not the one seen last; True when PostgreSQL is the authority and this object has
        changed its class.
        """
        with self._turn:
            if self._remote is not None:  # another thread has been here
                return True
            watch = self._watch or self._look()
            return watch is not None and self._learn(watch)

    def _look(self) -> Watch | None:
        """Whether the file has been prepared, or was and its hint is lost."""
        if self._path is None:
            self._settle()
        if self._watch is not None or not self._path or monotonic() < self._look_at:
            return self._watch
        # With autocommit=False sqlite3 has begun one by itself.
        inside = self.in_transaction and getattr(self, "autocommit", None) is not False
        used = inside or self._look_at != 0.0
        try:
            watch = find_watch(self._path) or find_lost(self._path)
        except sqlite3.Error:
            self._look_at = _UNKNOWN
            return None
        if watch is None:
            self._look_at = next_look()
        else:
            self._watch_over(watch, used=used)
        return watch

    def _learn(self, watch: Watch) -> bool:
        # 1. note the counter; 2. read the control row, which cannot be older; 3. act.
        watch = self._watch = watch.current()
        self._counter = watch.counter
        seen = watch.seen()
        inside = self.in_transaction
        authority = watch.authority(seen)
        if authority is None:
            self._watch, self._counter, self._look_at = None, UNREADABLE, next_look()
            return False
        if authority.mirrored and not self._read_only:  # a relay writes into the file
            from dualdb.driver.relaying import keep_relaying

            keep_relaying(watch)
        if not authority.remote:
            # Also while a move is under way: whoever goes to PostgreSQL writes the outcome into this row before.
            self._seen = seen
            return False
        replay = self._memory.replay if inside else ()
        if replay is None:
            # The transaction keeps its snapshot to the end; its writes are refused by SQLite itself or by the fence.
            self._look_again()
            return False
        if self._authorizer:
            raise unasked_authorizer(watch.way_back)
        self._become_remote(watch)
        self._replay(replay)
        return True

    def _become_remote(self, watch: Watch) -> Any:
        """Change the class: from the next call on PostgreSQL answers."""
        from dualdb.driver.remote import Remote
        from dualdb.driver.target_classes import remade
        from dualdb.driver.target_connection import TargetConnection
        from dualdb.driver.write_access import WriteAccess

        # First what may fail; the transaction has done nothing, or was rolled back.
        remote = Remote(watch, self._timeout_s, self._memory, WriteAccess(self, read_only=self._read_only))
        remote.last_rowid = sqlite3.Cursor(self).execute("SELECT last_insert_rowid()").fetchone()[0]
        remote.total_changes = self.total_changes
        if self.in_transaction:
            _rollback(self)
        self._home = type(self)
        self._look_again()  # a cursor made before the change asks, and follows
        self.__class__ = remade(type(self), ConnectionHandle, TargetConnection)  # type: ignore[arg-type]
        self._arrive(remote)  # type: ignore[attr-defined]
        return remote

    def _become_doomed(self) -> None:
        """The transaction was rolled back underneath the application, which has yet to do so itself."""
        if self._watch is not None:
            remote = self._become_remote(self._watch)
            remote.seen = -1
            remote.doom(overtaken())

    def _look_again(self) -> None:
        """Read the control row before the next statement."""
        self._seen = -1


def adopted(factory: Any) -> Any:
    """A connection factory whose connections are ours: a foreign subclass of sqlite3's gets ours as its base."""
    return _adopted(factory, sqlite3.Connection, Connection)


def adopted_cursor(factory: Any) -> Any:
    """A cursor factory whose cursors are ours."""
    return _adopted(factory, sqlite3.Cursor, Cursor)


def _adopted(factory: Any, foreign: type, ours: type) -> Any:
    if not isinstance(factory, type) or issubclass(factory, ours) or not issubclass(factory, foreign):
        return factory
    made: Any = ours if factory is foreign else _with_base(factory, ours)  # type: ignore[arg-type]
    return made


@lru_cache(maxsize=128)
def _with_base(factory: Any, ours: Any) -> Any:
    try:
        names = {"__module__": factory.__module__, "__qualname__": factory.__qualname__, "__slots__": ()}
        return type(factory.__name__, (factory, ours), names)
    except TypeError:  # its own slots leave no room for ours: it stays sqlite3's
        return factory
