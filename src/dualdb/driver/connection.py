"""`Connection` and `Cursor` while SQLite is the authority: `sqlite3`'s own, with an eye on the hint.

Capture is the work of triggers inside the file, so nothing happens here but one comparison before each statement, and
what a fence asks for (`driver.fence`). PostgreSQL is not known here: when it becomes the authority the object changes
its class (`driver.target_connection`), and fetching, committing and all the rest stay C code until then.
"""

from __future__ import annotations

import os
import sqlite3
from functools import lru_cache
from time import monotonic

from dualdb.driver.failure import is_fence, overtaken
from dualdb.driver.handle import ConnectionHandle, CursorHandle
from dualdb.driver.remaining import Remaining
from dualdb.driver.transaction_memory import TransactionMemory
from dualdb.driver.watch import SETTLED, UNREADABLE, find_lost, find_unhinted, find_watch, has_log, next_look
from dualdb.driver.write_access import is_read_only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Any, Literal

    from dualdb.driver.watch import Watch

_open = sqlite3.Connection.__init__
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
_POSITIONS = ("database", "timeout", "detect_types", "isolation_level", "check_same_thread", "factory")


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
        connection: Connection = self.connection  # type: ignore[assignment]
        inside = connection.in_transaction
        try:
            _execute(self, sql, parameters)
        except sqlite3.IntegrityError as exc:
            if not (is_fence(exc) and connection._watch_over(find_unhinted(connection._path), used=inside)):
                raise
        else:
            return self._read_again(sql, parameters) if connection._fresh else self
        from dualdb.driver import fence

        fence.outlast(connection, inside=inside)
        return self.execute(sql, parameters)

    def _read_again(self, sql: str, parameters: Any) -> Cursor:
        """This cursor, after the first statement that touched the file: what was read of a follower whose hint was lost
        is read where the data is. A write would have met the fence.
        """
        connection: Connection = self.connection  # type: ignore[assignment]
        if not has_log(connection._path):
            return self
        connection._fresh = False
        used = connection.in_transaction
        if not connection._watch_over(find_lost(connection._path), used=used):
            return self
        if not used and self.description is not None and connection._notice():
            return self._follow().execute(sql, parameters)
        return self

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._counter = SETTLED
        self._seen = 0
        self._watch = None
        self._memory = TransactionMemory()
        self._read_only = False
        self._replaced = frozenset()
        self._fresh = False
        self._remote = None
        _open(self, *args, **kwargs)
        given = dict(zip(_POSITIONS, args, strict=False)) | kwargs
        self._home = type(self)
        self._timeout_s = given.get("timeout", 5.0)
        self._detect_types = given.get("detect_types", 0)
        self._path = _path_of(self)
        if not self._path:
            return
        self._watch = find_watch(self._path)
        self._read_only = self._watch is not None and is_read_only(self)
        self._look_at = next_look()
        self._counter = UNREADABLE if self._watch is None else self._watch.counter
        self._fresh = self._watch is None
        self._seen = -1

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

    # --- the authority ---------------------------------------------------------------------------------------------

    def _notice(self) -> bool:
        """Look why the counter is not the one seen last; True when PostgreSQL is the authority and this object has
        changed its class.
        """
        watch = self._watch
        if watch is None:
            now = monotonic()
            if now < self._look_at:
                return False
            self._look_at, self._fresh = next_look(), False
            watch = find_watch(self._path) or find_unhinted(self._path)
            if watch is None or not self._watch_over(watch, used=True):
                return False
        return self._learn(watch)

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

    def _watch_over(self, watch: Watch | None, *, used: bool) -> bool:
        """Begin to watch a file whose hint was lost before this connection looked; whether there is such a watch.
        `used`: a transaction is open.
        """
        if watch is None:
            return False
        self._watch, self._counter, self._seen = watch, watch.counter, -1
        self._read_only = is_read_only(self)
        if used:
            self._memory.worked()  # as far as is known
        return True

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


def _path_of(connection: sqlite3.Connection) -> str:
    """The file as SQLite has resolved it, '' for a private database; takes no lock and reads no page."""
    try:
        path = sqlite3.Cursor(connection).execute("PRAGMA database_list").fetchone()[2]
    except (sqlite3.Error, TypeError):
        return ""
    return os.fspath(path or "")
