"""What the C part of a connection or cursor knows, past whatever the application's class calls by the same name.

sqlite3 itself reads its own fields and never a class attribute, property or method of the application's.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LEGACY = -1
"""`autocommit` where transactions are begun as they were before Python 3.12."""

_autocommit: Any = getattr(sqlite3.Connection, "autocommit", None)
_isolation_level: Any = sqlite3.Connection.isolation_level
_text_factory: Any = sqlite3.Connection.text_factory
_row_factory: Any = sqlite3.Cursor.row_factory
_arraysize: Any = sqlite3.Cursor.arraysize
_connection: Any = sqlite3.Cursor.connection
_in_transaction: Any = sqlite3.Connection.in_transaction
_total_changes: Any = sqlite3.Connection.total_changes

connection_of = _connection.__get__
"""A cursor's connection; raises AttributeError before its `__init__`."""
in_transaction = _in_transaction.__get__
"""Whether SQLite has a transaction open; raises ProgrammingError when the connection is closed."""
total_changes = _total_changes.__get__
"""Rows written through SQLite; raises as `in_transaction` does."""
isolation_level = _isolation_level.__get__
rowcount = sqlite3.Cursor.rowcount.__get__
"""What SQLite has written by the cursor's last execution: the sum so far while that executes many, -1 for a read."""
text_factory = _text_factory.__get__
set_text_factory = _text_factory.__set__
row_factory = _row_factory.__get__
arraysize = _arraysize.__get__


def autocommit(connection: sqlite3.Connection) -> Any:
    """True, False, or LEGACY."""
    return LEGACY if _autocommit is None else _autocommit.__get__(connection)


def set_autocommit(connection: sqlite3.Connection, value: Any) -> None:
    """As the attribute is set, from Python 3.12 on."""
    _autocommit.__set__(connection, value)


def busy_timeout_s(connection: sqlite3.Connection) -> float:
    """How long SQLite waits for a lock, as it was opened or a PRAGMA has set it since; takes none to look."""
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    return float(cursor.execute("PRAGMA busy_timeout").fetchone()[0]) / 1000


def set_isolation_level(connection: sqlite3.Connection, level: str | None) -> None:
    """As the attribute is set; None commits what SQLite has open."""
    _isolation_level.__set__(connection, level)


def begins_by_itself(connection: sqlite3.Connection) -> bool:
    """Whether sqlite3 begins a transaction before a write."""
    return autocommit(connection) == LEGACY and isolation_level(connection) is not None


def is_dml(sql: object) -> bool:
    """Whether it is what sqlite3 begins a transaction for, as far as can be told at a glance: not behind a comment."""
    return isinstance(sql, str) and sql.lstrip()[:7].upper().startswith(("INSERT", "UPDATE", "DELETE", "REPLACE"))


@contextmanager
def alone(connection: sqlite3.Connection, rows: Iterator[Any], wanted: bool) -> Iterator[Iterator[Any]]:
    """The same rows, for an executemany that begins no transaction by itself, if that is wanted.

    It would before it asks for a row: what makes them finds the connection as it was.
    """
    level = isolation_level(connection)
    if not wanted or level is None or autocommit(connection) != LEGACY:
        yield rows
        return
    asked = False

    def restoring() -> Iterator[Any]:
        nonlocal asked
        asked = True
        set_isolation_level(connection, level)
        yield from rows

    set_isolation_level(connection, None)
    try:
        yield restoring()
    finally:
        if not asked:
            set_isolation_level(connection, level)


def become(handled: sqlite3.Connection | sqlite3.Cursor, cls: type) -> None:
    """Give an object another class, whatever its own does with what is set."""
    object.__setattr__(handled, "__class__", cls)
