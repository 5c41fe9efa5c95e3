"""What belongs to one connection and lies in no file: its counters, and what it was told about SQLite alone.

The counters go along to PostgreSQL and back: an id that an application uses right after a move is the one of its row.
A connection that has more than that stays where it is, and is told so: PostgreSQL would answer as if it were not there.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from dualdb.driver.c_part import connection_of, in_transaction, set_text_factory, text_factory, total_changes
from dualdb.driver.failure import or_back, refused, stuck, unasked_authorizer
from dualdb.stores.queries import query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dualdb.driver.handle import ConnectionHandle
    from dualdb.driver.remote import Remote

_ASK = "source/session.sql"
_ATTACHED_FROM = 2
_NOBODYS = ("sqlite_", "_dualdb_")
_MOST = 100_000
"""A larger `changes()` goes along as this many: nobody is to wait for it."""
_LEAST_ID = -(2**63)
_PLAIN = {"count_changes": 0, "full_column_names": 0, "ignore_check_constraints": 0, "short_column_names": 1}
"""PRAGMAs that change what statements do or give, as they are unless somebody has set them."""


def find_obstacle(connection: ConnectionHandle, way_back: str) -> sqlite3.Error | None:
    """What the application is told where the connection has what would be missing on PostgreSQL; None when nothing is
    in its way there.
    """
    state = connection._dualdb
    if state.authorizer:
        return unasked_authorizer(way_back)
    if state.aloof is not None:
        return stuck("cursor", state.aloof)
    found = _found(connection)
    if not found:
        return None
    return refused(
        f"this connection has {found}, and PostgreSQL has answered since the file was moved",
        or_back("open a new connection", way_back),
    )


def _found(connection: ConnectionHandle) -> str:
    """What it has, in words; '' when there is nothing."""
    own = sqlite3.Cursor(connection)
    own.row_factory = None
    factory = text_factory(connection)
    set_text_factory(connection, str)  # for a moment: it may be anything
    try:
        databases = own.execute(query(_ASK, "databases")).fetchall()
    finally:
        set_text_factory(connection, factory)
    attached = [name for number, name, _ in databases if number >= _ATTACHED_FROM]
    if attached:
        return f"attached databases ({', '.join(attached)})"
    if len(databases) > 1:
        names = [name.decode("utf-8", "replace") for (name,) in own.execute(query(_ASK, "temporary"))]
        temporary = [name for name in names if not name.startswith(_NOBODYS)]
        if temporary:
            return f"temporary tables, views or triggers ({', '.join(temporary)})"
    for name, usual in _PLAIN.items():
        if own.execute(f"PRAGMA {name}").fetchone() not in {(usual,), None}:
            return f"PRAGMA {name} set"
    return ""


def take_counters(connection: ConnectionHandle, remote: Remote) -> None:
    """PostgreSQL goes on where SQLite was."""
    own = sqlite3.Cursor(connection)
    own.row_factory = None
    remote.last_rowid, remote.changes = own.execute(query(_ASK, "counters")).fetchone()
    remote.total_changes = total_changes(connection) + connection._dualdb.written_elsewhere


def give_counters(connection: ConnectionHandle, remote: Remote) -> None:
    """SQLite goes on where PostgreSQL was; in the file nothing is read or locked.

    Only a write sets what last_insert_rowid() and changes() give, so as many rows as the last one wrote are written,
    and rolled back: that takes the rows away, and leaves the counters (c3ref/last_insert_rowid.html, changes.html).
    """
    own = sqlite3.Cursor(connection)
    own.row_factory = None
    if own.execute(query(_ASK, "counters")).fetchone() != (remote.last_rowid, remote.changes):
        was_open = in_transaction(connection)  # the one of autocommit=False, in which nothing was done
        if was_open:
            own.execute("ROLLBACK")
        query_only = remote.access.query_only
        if query_only:
            own.execute("PRAGMA query_only = OFF")
        try:
            _write(own, remote.last_rowid, remote.changes)
        finally:
            if query_only:
                own.execute("PRAGMA query_only = ON")
            if was_open:
                own.execute("BEGIN")
    connection._dualdb.written_elsewhere = remote.total_changes - total_changes(connection)


def _write(own: sqlite3.Cursor, last: int, changes: int) -> None:
    """A handler of the application's may end it: then the id goes along alone, or nothing, but the connection does."""
    for count in (min(changes, _MOST), 1):
        with suppress(sqlite3.OperationalError):
            _write_rows(own, last, count)
            return


def _write_rows(own: sqlite3.Cursor, last: int, count: int) -> None:
    own.execute(query(_ASK, "scratch"))
    own.execute("BEGIN")
    try:
        others = max(count, 1) - 1
        step = 1 if last - others >= _LEAST_ID else -1
        own.execute(query(_ASK, "write"), {"first": last - step * others, "step": step, "last": last})
        if not count:
            own.execute(query(_ASK, "change_nothing"))
    finally:
        if in_transaction(connection_of(own)):
            own.execute("ROLLBACK")
