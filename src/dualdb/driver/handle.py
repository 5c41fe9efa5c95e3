"""What every connection and cursor of ours carries, whichever database is the authority.

All of it hangs on one attribute, `_dualdb`: whatever an application's own class calls its attributes and methods, they
cannot take the place of ours. A slot, so that an object can change its class when the authority does, and so that, as
with `sqlite3`'s own classes, a stray attribute is an error.
"""

from __future__ import annotations

import sqlite3
from _thread import RLock
from functools import lru_cache

from dualdb.driver.c_part import become, set_text_factory, text_factory
from dualdb.driver.transaction_memory import TransactionMemory
from dualdb.driver.watch import SETTLED, UNREADABLE, find_watch
from dualdb.driver.write_access import is_read_only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Self

    from dualdb.driver.answer import Answer
    from dualdb.driver.remote import Remote
    from dualdb.driver.watch import Watch


_open = sqlite3.Connection.__init__
_POSITIONS = (
    "database",
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "factory",
    "cached_statements",
    "uri",
)
_OWN_COLLATIONS = frozenset({"binary", "nocase", "rtrim"})


class ConnectionState:
    """A connection's own state beside the C object's. It does not know its connection, which would outlive its last
    reference by that.
    """

    __slots__ = (
        "aloof",
        "authorizer",
        "counter",
        "detect_types",
        "flushes",
        "home",
        "look_at",
        "memory",
        "path",
        "read_only",
        "remote",
        "replaced",
        "seen",
        "shared",
        "turn",
        "watch",
        "written_elsewhere",
    )

    def __init__(self, home: type[ConnectionHandle], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Of a connection that was opened with these arguments, and of which no more is known."""
        given = dict(zip(_POSITIONS, args, strict=False)) | kwargs
        self.home = home
        """The object's class while SQLite is the authority."""
        self.detect_types: int = given.get("detect_types", 0)
        self.shared = not given.get("check_same_thread", True)
        """Whether threads may share the connection."""
        self.watch: Watch | None = None
        """None: the file was never prepared, as far as is known."""
        self.counter: Sequence[int] = UNREADABLE
        """The hint's counter at [0]."""
        self.seen = -1
        """The counter as of when the control row was last read; -1: read it before the next statement."""
        self.path: str | None = None
        """The file as SQLite resolved it, '' when there is none, None: ask."""
        self.look_at = 0.0
        """When to look again whether the file has been prepared since; monotonic seconds. 0.0: at once; less: it has,
        and could not know.
        """
        self.memory = TransactionMemory()
        """What the open transaction has done."""
        self.read_only = False
        """Whether the file was opened for reading only."""
        self.aloof: type | None = None
        """The last cursor of a class that cannot follow."""
        self.authorizer = False
        """Whether the application has set one; SQLite does not tell."""
        self.replaced: frozenset[str] = frozenset()
        """Those of SQLite's own collations that the application has put its own in the place of, lower-cased."""
        self.turn = RLock()
        """Whose turn it is, where threads share the connection: to follow the authority, and to ask PostgreSQL."""
        self.flushes: list[Callable[[], None]] = []
        """Each executes what one executemany on PostgreSQL has made ready, before anything else is done there."""
        self.written_elsewhere = 0
        """Rows that it has written on PostgreSQL, beyond what SQLite counts."""
        self.remote: Remote | None = None
        """What the connection has on the other side while PostgreSQL is the authority."""

    @property
    def asked(self) -> Remote:
        """The other side, for whoever is called because it answers."""
        assert self.remote is not None  # noqa: S101 - the object has the class that says so
        return self.remote

    def settle_rows(self) -> None:
        """Before anything is done on PostgreSQL: what was given to an executemany before comes first."""
        for flush in self.flushes:
            flush()

    def settle(self, connection: sqlite3.Connection) -> None:
        """Find out which file it has open, and whether that was prepared."""
        self.path = path_of(connection)
        if not self.path:
            self.be_private()
            return
        watch = find_watch(self.path)
        if watch is not None:
            self.watch_over(connection, watch)

    def be_private(self) -> None:
        """Nobody else has this database, or nobody has any."""
        self.watch, self.counter, self.seen, self.path = None, SETTLED, SETTLED[0], ""

    def watch_over(self, connection: sqlite3.Connection, watch: Watch) -> None:
        """Begin to watch the file."""
        self.watch, self.counter, self.seen, self.look_at = watch, watch.counter, -1, 0.0
        self.read_only = is_read_only(connection)

    def look_again(self) -> None:
        """Read the control row before the next statement."""
        self.seen = -1
        if self.remote is not None:
            self.remote.seen = -1


class CursorState:
    """A cursor's own state beside the C object's, from when PostgreSQL first was its authority."""

    __slots__ = ("busy", "home", "result")

    def __init__(self, home: type[CursorHandle]) -> None:
        self.home = home
        """The object's class while SQLite is the authority."""
        self.result: Answer | None = None
        """What PostgreSQL answered, if it was asked."""
        self.busy = False
        """Whether it is executing many, and the application makes the next row."""


class ConnectionHandle(sqlite3.Connection):
    """A connection of ours. The slot is its subclasses', each where the layout of its bases has room."""

    __slots__ = ()

    _dualdb: ConnectionState

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Nothing is open yet. Where a factory of the application's opens it past our `__init__`, the first statement
        settles what it is.
        """
        self = super().__new__(cls)
        _hang(self, ConnectionState(cls, args, kwargs))
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        before: ConnectionState | None = getattr(self, "_dualdb", None)
        home = type(self) if before is None else before.home
        try:
            given, named = _passed(args, kwargs)
            _open(self, *given, **named)
        finally:
            # Where it was open before, sqlite3's part has closed that and cleared whatever the object held.
            if getattr(self, "_dualdb", None) is None:
                if before is not None and before.remote is not None:
                    before.remote.close()
                    become(self, home)
                _hang(self, ConnectionState(home, args, kwargs))
        _hang(self, ConnectionState(home, args, kwargs))
        self._dualdb.settle(self)

    def close(self) -> None:
        """As `sqlite3.Connection.close`; what is kept of the file may end then, though the object lives on."""
        super().close()  # raises in another thread
        state = self._dualdb
        state.be_private()
        if state.remote is not None:
            state.remote.close()  # what is not committed is rolled back
            state.remote = None
            become(self, state.home)

    # SQLite's part keeps what it is taught, for the way back; a statement that uses it while PostgreSQL answers is
    # refused (`driver.taught`). These are here, as a method may be called that was looked up before the class changed.

    def create_function(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_function`."""
        sqlite3.Connection.create_function(self, *given, **named)
        _relearn(self)

    def create_aggregate(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_aggregate`."""
        sqlite3.Connection.create_aggregate(self, *given, **named)
        _relearn(self)

    def create_window_function(self, *given: Any, **named: Any) -> None:
        """As `sqlite3.Connection.create_window_function`."""
        sqlite3.Connection.create_window_function(self, *given, **named)
        _relearn(self)

    def create_collation(self, name: str, callback: Any, /) -> None:
        """As `sqlite3.Connection.create_collation`; SQLite itself does not tell whose a collation of its names is."""
        sqlite3.Connection.create_collation(self, name, callback)
        if name.lower() in _OWN_COLLATIONS:
            self._dualdb.replaced |= {name.lower()}
        _relearn(self)


def _passed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with all but the first by name: by position they are deprecated, as `dualdb.connect` has said."""
    named = dict(zip(_POSITIONS[1:], args[1:], strict=False))
    if len(args) > len(_POSITIONS) or named.keys() & kwargs.keys():
        return args, kwargs  # for sqlite3 to say what is wrong
    return args[:1], named | kwargs


def _hang(connection: ConnectionHandle, state: ConnectionState) -> None:
    object.__setattr__(connection, "_dualdb", state)  # a class of the application's may watch what is set


def _relearn(connection: ConnectionHandle) -> None:
    """What the connection was taught has changed."""
    remote = connection._dualdb.remote
    if remote is not None:
        remote.taught = None


class CursorHandle(sqlite3.Cursor):
    """A cursor of ours. The slot is its subclasses', as with connections; it is unset until PostgreSQL answers."""

    __slots__ = ()

    _dualdb: CursorState


def behaviour(handled: ConnectionHandle | CursorHandle) -> Any:
    """The class of ours whose methods are in force for it: what calls itself again goes here, for the application's own
    methods have been through already, as sqlite3 never goes through them either.
    """
    own: Any = type(handled)
    return _behaviour(own)


@lru_cache(maxsize=256)
def _behaviour(cls: Any) -> Any:
    return next(base for base in cls.__mro__ if not _HANDLES.isdisjoint(base.__bases__))


_HANDLES = frozenset({ConnectionHandle, CursorHandle})


def path_of(connection: sqlite3.Connection) -> str:
    """The file as SQLite has resolved it, '' for a private database; takes no lock and reads no page. Raises
    sqlite3.ProgrammingError where sqlite3 does: closed, never opened, another thread's.
    """
    cursor = sqlite3.Connection.cursor(connection)  # the one of the class would crash on what was never opened
    cursor.row_factory = None
    factory = text_factory(connection)
    set_text_factory(connection, str)
    try:
        return str(cursor.execute("PRAGMA database_list").fetchone()[2] or "")
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.Error, TypeError):
        return ""
    finally:
        set_text_factory(connection, factory)
