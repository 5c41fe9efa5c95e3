"""DDL while SQLite is the authority: it stands only where the control row, read in its own transaction, allows it.

A fence is triggers, and no trigger fires for CREATE, ALTER or DROP; a table that was made behind a fence would stay in
the file alone. What the statement does is SQLite's affair, and so is how it waits for other writers: the control row is
read after it, under the write lock that it took. Read before, it would give the transaction a snapshot, from which
SQLite waits for nobody.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import first_keyword
from dualdb.driver import fence
from dualdb.driver.failure import is_fence
from dualdb.stores.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.driver.connection import Connection, Cursor

_DDL = frozenset({"ALTER", "CREATE", "DROP"})
_TEMPORARY = re.compile(r"\s*CREATE\s+TEMP", re.IGNORECASE)
_TRANSACTION = ("Transaction", b"Transaction")
"""The operation that locks a database, as the connection's text factory may give it."""


def concerns(sql: str) -> bool:
    """Whether this changes the schema of a file."""
    return first_keyword(sql) in _DDL and _TEMPORARY.match(sql) is None


def execute(cursor: Cursor, sql: str, parameters: Any) -> Cursor:
    """As `Cursor.execute`; a move that is under way is waited out, and the statement goes where the data went."""
    connection: Connection = cursor.connection  # type: ignore[assignment]
    inside = connection.in_transaction
    own = sqlite3.Cursor(connection)
    own.row_factory = None
    if _leaves_the_file(own, sql, parameters) or not (inside or _can_begin(own)):
        sqlite3.Cursor.execute(cursor, sql, parameters)
        return cursor
    try:
        if _stands(cursor, own, sql, parameters):
            if inside:
                connection._memory.worked()
            else:
                own.execute("COMMIT")
            return cursor
    except BaseException:
        if inside:
            connection._memory.failed(sql, inside=inside, still_open=connection.in_transaction)
        raise
    finally:
        if not inside and connection.in_transaction:
            own.execute("ROLLBACK")
    if connection.in_transaction:
        own.execute("ROLLBACK")
    fence.outlast(connection, inside=inside, implicit=False)
    return cursor.execute(sql, parameters)


def _leaves_the_file(own: sqlite3.Cursor, sql: str, parameters: Any) -> bool:
    """Whether SQLite is going to write nothing into the file: what is there already, what is not, what is temporary.

    Compiling it says so and takes neither a lock nor a snapshot. What cannot be told counts as a change.
    """
    try:
        program = own.execute(f"EXPLAIN {sql}", parameters).fetchall()
    except (sqlite3.Error, sqlite3.Warning, ValueError, TypeError):
        return False  # the statement itself will say it
    locks: Sequence[tuple[Any, ...]] = [step for step in program if step[1] in _TRANSACTION]
    return bool(locks) and not any(database == 0 and writes for _, _, database, writes, *_ in locks)


def _can_begin(own: sqlite3.Cursor) -> bool:
    """Open a transaction in which nothing is done yet; False while another statement of this connection is writing,
    which no fence has refused, and which keeps one from rising until it is over.
    """
    try:
        own.execute("SAVEPOINT _dualdb_schema")  # BEGIN would be let through, and its COMMIT refused
    except sqlite3.OperationalError:
        return False
    return True


def _stands(cursor: Cursor, own: sqlite3.Cursor, sql: str, parameters: Any) -> bool:
    """Execute it; False when a fence is up, and it has to be undone."""
    try:
        sqlite3.Cursor.execute(cursor, sql, parameters)
    except sqlite3.IntegrityError as exc:
        if is_fence(exc):  # DROP deletes rows of other tables where foreign keys say so
            return False
        raise
    return not own.execute(query("source/watch.sql", "away")).fetchone()[0]
