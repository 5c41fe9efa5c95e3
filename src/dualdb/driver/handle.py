"""What every connection and cursor of ours carries, whichever database is the authority.

State only: slots, so that an object can change its class when the authority does, and so that, as with `sqlite3`'s own
classes, an application's stray attribute is an error.
"""

from __future__ import annotations

import os
import sqlite3

from dualdb.driver.transaction_memory import TransactionMemory
from dualdb.driver.watch import SETTLED, UNREADABLE

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
        "_watch",
    )

    _authorizer: bool
    """Whether the application has set one; SQLite does not tell."""
    _counter: Sequence[int]
    """The hint's counter at [0]."""
    _seen: int
    """The counter as of when the control row was last read; -1: read it before the next statement."""
    _watch: Watch | None
    """None: the file was never prepared, as far as is known; nothing is before the first statement."""
    _path: str
    """The file as SQLite resolved it, '' when there is none."""
    _look_at: float
    """When to look again whether the file has been prepared since; monotonic seconds, 0.0 before the first look."""
    _timeout_s: float
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

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Nothing is open yet; sqlite3 says so of an object that stays like this."""
        self = super().__new__(cls)
        self._forget()
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self._remote is not None:  # it is open, and becomes another one
            self._remote.close()
            self.__class__ = self._home
        try:
            _open(self, *args, **kwargs)
        finally:
            self._forget()  # sqlite3's part has cleared whatever an open object held
        given = dict(zip(_POSITIONS, args, strict=False)) | kwargs
        self._timeout_s = given.get("timeout", 5.0)
        self._detect_types = given.get("detect_types", 0)
        self._path = _path_of(self)
        if self._path:
            self._counter, self._seen = UNREADABLE, -1

    def _forget(self) -> None:
        self._authorizer = False
        self._counter, self._seen = SETTLED, SETTLED[0]
        self._detect_types, self._timeout_s = 0, 5.0
        self._home = type(self)
        self._look_at = 0.0
        self._memory = TransactionMemory()
        self._path = ""
        self._read_only = False
        self._remote = None
        self._replaced = frozenset()
        self._watch = None

    def close(self) -> None:
        """As `sqlite3.Connection.close`; what is kept of the file may end then, though the object lives on."""
        super().close()  # raises in another thread
        self._watch, self._counter, self._seen = None, SETTLED, SETTLED[0]
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
    """The file as SQLite has resolved it, '' for a private database; takes no lock and reads no page."""
    try:
        path = sqlite3.Cursor(connection).execute("PRAGMA database_list").fetchone()[2]
    except (sqlite3.Error, TypeError):
        return ""
    return os.fspath(path or "")
