"""DDL while SQLite is the authority: it stands only where the control row, read in its own transaction, allows it.

A fence is triggers, and no trigger fires for CREATE, ALTER or DROP; a table that was made behind a fence would stay in
the file alone. What the statement does is SQLite's affair, and so is how it waits for other writers: the control row is
read after it, under the write lock that it took. Read before, it would give the transaction a snapshot, from which
SQLite waits for nobody. Only beside an unfinished write, where nothing could be undone, it is read before.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import explained, first_keyword
from dualdb.driver import fence
from dualdb.driver.c_part import connection_of, in_transaction
from dualdb.driver.failure import is_busy, is_fence, locked
from dualdb.driver.handle import behaviour
from dualdb.stores.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.driver.connection import SourceConnection, SourceCursor

DDL = frozenset({"ALTER", "CREATE", "DROP"})
_TEMPORARY = re.compile(r"\s*CREATE\s+TEMP", re.IGNORECASE)
_TRANSACTION = ("Transaction", b"Transaction")
"""The operation that locks a database, as the connection's text factory may give it."""


def concerns(sql: str) -> bool:
    """Whether this changes the schema of a file."""
    return first_keyword(sql) in DDL and _TEMPORARY.match(sql) is None


def execute(cursor: SourceCursor, sql: str, parameters: Any) -> Any:
    """As `Cursor.execute`; a move that is under way is waited out, and the statement goes where the data went."""
    connection: SourceConnection = connection_of(cursor)
    inside = in_transaction(connection)
    own = sqlite3.Cursor(connection)
    own.row_factory = None
    program = _program(own, sql, parameters)
    if program is not None and not _writes(program):
        return _execute_elsewhere(cursor, connection, sql, parameters)
    if not inside and not _can_begin(own):
        if program is not None and _is_fenced_beside_a_write(connection, own):
            fence.outlast(connection, inside=False, implicit=False)
            return behaviour(cursor).execute(cursor, sql, parameters)
        sqlite3.Cursor.execute(cursor, sql, parameters)
        return cursor
    try:
        if _stands(cursor, own, sql, parameters):
            if inside:
                connection._dualdb.memory.worked()
            else:
                own.execute("COMMIT")
            return cursor
    except BaseException as exc:
        if inside:
            still_open = in_transaction(connection)
            connection._dualdb.memory.failed(sql, inside=inside, still_open=still_open, busy=is_busy(exc))
        raise
    finally:
        if not inside and in_transaction(connection):
            own.execute("ROLLBACK")
    if in_transaction(connection):
        own.execute("ROLLBACK")
    fence.outlast(connection, inside=inside, implicit=False)
    return behaviour(cursor).execute(cursor, sql, parameters)


def _execute_elsewhere(cursor: SourceCursor, connection: SourceConnection, sql: str, parameters: Any) -> Any:
    """In another database than the file, perhaps with what is read in this one."""
    sqlite3.Cursor.execute(cursor, sql, parameters)
    if in_transaction(connection):
        connection._dualdb.memory.worked()
    return cursor


def _program(own: sqlite3.Cursor, sql: str, parameters: Any) -> Sequence[tuple[Any, ...]] | None:
    """What SQLite compiles it to, which takes neither a lock nor a snapshot; None when it does not compile."""
    try:
        return own.execute(explained(sql), parameters).fetchall()
    except (sqlite3.Error, sqlite3.Warning, ValueError, TypeError):
        return None  # the statement itself will say it


def _writes(program: Sequence[tuple[Any, ...]]) -> bool:
    """Whether it is going to write into the file: not where nothing is to be done, or what is temporary is meant.

    What cannot be told counts as a change.
    """
    locks = [step for step in program if step[1] in _TRANSACTION]
    return not locks or any(database == 0 and writes for _, _, database, writes, *_ in locks)


def _is_fenced_beside_a_write(connection: SourceConnection, own: sqlite3.Cursor) -> bool:
    """Whether a fence is up, asked while another statement is writing outside a transaction: in a temporary or attached
    database, or in a table without a fence. If not, none rises until that one is over, for the write lock is held.

    What is executed beside it shares its transaction, which can neither be ended nor undone without it. So the looks
    come first: 1. over a connection of its own, for this one would keep its snapshot; whoever waits holds no lock then;
    2. take the write lock, and wait for it as the statement would; 3. look again. Raises `database is locked` if the
    fence rose in between.
    """
    authority = connection._dualdb.watch.authority(-1) if connection._dualdb.watch is not None else None
    if authority is None:
        return False
    if authority.remote or authority.under_way:
        return True
    own.execute(query("source/watch.sql", "lock"))
    if own.execute(query("source/watch.sql", "away")).fetchone()[0]:
        raise locked()
    return False


def _can_begin(own: sqlite3.Cursor) -> bool:
    """Open a transaction in which nothing is done yet; False while another statement of this connection is writing."""
    try:
        own.execute("SAVEPOINT _dualdb_schema")  # BEGIN would be let through, and its COMMIT refused
    except sqlite3.OperationalError:
        return False
    return True


def _stands(cursor: SourceCursor, own: sqlite3.Cursor, sql: str, parameters: Any) -> bool:
    """Execute it; False when a fence is up, and it has to be undone."""
    try:
        sqlite3.Cursor.execute(cursor, sql, parameters)
    except sqlite3.IntegrityError as exc:
        if is_fence(exc):  # DROP deletes rows of other tables where foreign keys say so
            return False
        raise
    return not own.execute(query("source/watch.sql", "away")).fetchone()[0]
