"""DDL while SQLite is the authority: carried out only where the control row, read in its own transaction, allows it.

A fence is triggers, and no trigger fires for CREATE, ALTER or DROP; a table that was made behind a fence would stay in
the file alone. What the statement does is SQLite's affair.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import first_keyword
from dualdb.driver import fence
from dualdb.stores.queries import query

if TYPE_CHECKING:
    from dualdb.driver.connection import Connection, Cursor

_DDL = frozenset({"ALTER", "CREATE", "DROP"})
_TEMPORARY = re.compile(r"\s*CREATE\s+TEMP", re.IGNORECASE)


def concerns(sql: str) -> bool:
    """Whether this changes the schema of a file."""
    return first_keyword(sql) in _DDL and _TEMPORARY.match(sql) is None


def execute(cursor: Cursor, sql: str, parameters: Any) -> Cursor:
    """As `Cursor.execute`; a move that is under way is waited out, and the statement goes where the data went."""
    connection: Connection = cursor.connection  # type: ignore[assignment]
    inside = connection.in_transaction
    own = sqlite3.Cursor(connection)
    own.row_factory = None
    if not inside:
        own.execute("BEGIN IMMEDIATE")  # no fence rises before this is over
    try:
        if _is_at_home(own):
            sqlite3.Cursor.execute(cursor, sql, parameters)
            if inside:
                connection._memory.worked()
            else:
                own.execute("COMMIT")
            return cursor
    finally:
        if not inside and connection.in_transaction:
            own.execute("ROLLBACK")
    if connection.in_transaction:
        own.execute("ROLLBACK")
    fence.outlast(connection, inside=inside, implicit=False)
    return cursor.execute(sql, parameters)


def _is_at_home(own: sqlite3.Cursor) -> bool:
    found = own.execute(query("source/watch.sql", "authority")).fetchone()
    return found is None or (found[0] != "postgres" and found[1] != "moving")
