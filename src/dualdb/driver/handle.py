"""What every connection and cursor of ours carries, whichever database is the authority.

State only: slots, so that an object can change its class when the authority does, and so that, as with `sqlite3`'s own
classes, an application's stray attribute is an error.
"""

from __future__ import annotations

import sqlite3
from _thread import RLock

from dualdb.driver.transaction_memory import TransactionMemory
from dualdb.driver.watch import SETTLED, UNREADABLE, find_watch
from dualdb.driver.write_access import is_read_only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from dualdb.driver.watch import Watch


_open = sqlite3.Connection.__init__
_POSITIONS = ("database", "timeout", "detect_types", "isolation_level", "check_same_thread", "factory")
_OWN_COLLATIONS = frozenset({"binary", "nocase", "rtrim"})


class ConnectionHandle(sqlite3.Connection):
    """A connection's own state beside the C object's."""

    __slots__ = (
        "_authorizer",
        "_counter",
        "_detect_types",
        "_home",
        "_look_at",
        "_memory",
        "_path",
        "_read_only",
        "_remote",
        "_replaced",
        "_seen",
        "_timeout_s",
        "_turn",
        "_watch",
    )

    _authorizer: bool
    """Whether the application has set one; SQLite does not tell."""
    _counter: Sequence[int]
    """The hint's counter at [0]."""
    _seen: int
    """The counter as of when the control row was last read; -1: read it before the next statement."""
    _watch: Watch | None
    """None: the file was never prepared, as far as is known."""
    _path: str | None
    """The file as SQLite resolved it, '' when there is none, None: ask."""
    _look_at: float
    """When to look again whether the file has been prepared since; monotonic seconds. 0.0: it has not looked yet;
    less: it has, and could not know.
    """
    _timeout_s: float
    _turn: RLock
    """Whose turn it is, where threads share the connection: to follow the authority, and to ask PostgreSQL."""
    _detect_types: int
    _home: type[ConnectionHandle]
    """The object's class while SQLite is the authority."""
    _memory: TransactionMemory
    """What the open transaction has done."""
    _read_only: bool
    """Whether the file was opened for reading only."""
    _remote: Any
    """What the connection has on the other side while PostgreSQL is the authority."""

    _replaced: frozenset[str]
    """Those of SQLite's own collations that the application has put its own in the place of, lower-cased."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Nothing is open yet. Where a factory of the application's opens it past our `__init__`, `_settle` follows."""
        self = super().__new__(cls)
        self._forget(args, kwargs)
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        remote, home = getattr(self, "_remote", None), getattr(self, "_home", type(self))
        try:
            _open(self, *args, **kwargs)
        finally:
            # Where it was open before, sqlite3's part has closed that and cleared whatever the object held.
            if not hasattr(self, "_watch"):
                if remote is not None:
                    remote.close()
                    self.__class__ = home
                self._forget(args, kwargs)
        self._forget(args, kwargs)
        self._settle()

    def _forget(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Be a connection that was opened like this, and of which no more is known."""
        given = dict(zip(_POSITIONS, args, strict=False)) | kwargs
        self._authorizer = False
        self._counter, self._seen = UNREADABLE, -1
        self._detect_types = given.get("detect_types", 0)
        self._home = type(self)
        self._look_at = 0.0
        self._memory = TransactionMemory()
        self._path = None
        self._read_only = False
        self._remote = None
        self._replaced = frozenset()
        self._timeout_s = given.get("timeout", 5.0)
        self._turn = RLock()
        self._watch = None

    def _settle(self) -> None:
        """Find out which file it has open, and whether that was prepared."""
        self._path = _path_of(self)
        if not self._path:
            self._be_private()
            return
        watch = find_watch(self._path)
        if watch is not None:
            self._watch_over(watch, used=False)

    def _be_private(self) -> None:
        """Nobody else has this database, or nobody has any."""
        self._watch, self._counter, self._seen, self._path = None, SETTLED, SETTLED[0], ""

    def _watch_over(self, watch: Watch, *, used: bool) -> None:
        """Begin to watch the file. `used`: statements may have been executed before, and a transaction be open."""
        self._watch, self._counter, self._seen = watch, watch.counter, -1
        self._read_only = is_read_only(self)
        if used:
            self._memory.worked()  # as far as is known

    def close(self) -> None:
        """As `sqlite3.Connection.close`; what is kept of the file may end then, though the object lives on."""
        super().close()  # raises in another thread
        self._be_private()
        if self._remote is not None:
            self._remote.close()  # what is not committed is rolled back
            self._remote = None

    def set_authorizer(self, authorizer_callback: Any) -> None:
        """As `sqlite3.Connection.set_authorizer`."""
        super().set_authorizer(authorizer_callback)
        self._authorizer = authorizer_callback is not None

    def create_collation(self, name: str, callback: Any, /) -> None:
        """As `sqlite3.Connection.create_collation`; SQLite itself does not tell whose a collation of its names is."""
        super().create_collation(name, callback)
        if name.lower() in _OWN_COLLATIONS:
            self._replaced |= {name.lower()}

    def _replay(self, statements: tuple[str, ...]) -> None:
        """Open a transaction as it was opened elsewhere; with `autocommit=False` one is open already."""
        for statement in statements[1:] if self.in_transaction else statements:
            self.execute(statement)


class CursorHandle(sqlite3.Cursor):
    """A cursor's own state beside the C object's."""

    __slots__ = ("_home", "_result")

    _home: type[CursorHandle]
    """The object's class while SQLite is the authority; unset until it changes first."""
    _result: Any
    """What PostgreSQL answered; unset until it does first."""


def _path_of(connection: sqlite3.Connection) -> str:
    """The file as SQLite has resolved it, '' for a private database; takes no lock and reads no page. Raises
    sqlite3.ProgrammingError where sqlite3 does: closed, never opened, another thread's.
    """
    cursor = sqlite3.Connection.cursor(connection)  # the one of the class would crash on what was never opened
    cursor.row_factory = None
    factory, connection.text_factory = connection.text_factory, str
    try:
        return str(cursor.execute("PRAGMA database_list").fetchone()[2] or "")
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.Error, TypeError):
        return ""
    finally:
        connection.text_factory = factory
