"""Whether a SQLite file and a PostgreSQL database belong together, and what is done with a file that is out of date.

The source's id ties a target to its file; the server's identity tells that target from a copy of it. A side that was
restored from a backup is found by its epoch, as `core.phase` says.
"""

from __future__ import annotations

import time
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from psycopg import errors

from dualdb.core.phase import AUTHORITY, Side
from dualdb.core.store import NO_SCHEMA
from dualdb.errors import LineageError, NotPreparedError
from dualdb.stores import journal, target_journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.queries import query
from dualdb.stores.target_connection import connect_target, losses
from dualdb.stores.target_schema import identity

if TYPE_CHECKING:
    import sqlite3

    from dualdb.core.phase import ControlRow
    from dualdb.stores.target_connection import Target


class Pairing(NamedTuple):
    """What a file knows of its target."""

    target: str
    """'embedded', or a DSN without its password."""
    source_id: str
    identity: str
    epoch: int
    """The highest that the target must have heard of; 0: it may lag behind."""


def connect_paired(pairing: Pairing, database: str, *, purpose: str) -> Target:
    """A connection to the very target that a file was prepared for.

    Raises TargetError, NotPreparedError, and LineageError when the address leads to another database, or to a state
    of this one that is older than the file knows it.
    """
    connection = connect_target(pairing.target, database, purpose=purpose)
    try:
        _prove(connection, pairing, database)
    except BaseException:
        connection.close()
        raise
    return connection


def _prove(connection: Target, pairing: Pairing, database: str) -> None:
    with losses():
        found_identity = identity(connection)
        try:
            found = connection.execute(query("target/lineage.sql", "row").encode()).fetchone()
        except errors.UndefinedTable:
            found = None
    if found_identity != pairing.identity:
        raise LineageError(
            f"the server's address leads to another database than the one that {database} was prepared for, perhaps a"
            " copy of it; correct DUALDB_TARGET, or the host and the database name in the address"
        )
    if found is None:
        raise NotPreparedError(f"{database} is only half prepared; run dualdb init again with the same target")
    source_id, epoch = found
    if source_id != pairing.source_id:
        raise LineageError(f"the target serves another SQLite file than {database}; see dualdb status {database}")
    if epoch < pairing.epoch:
        raise LineageError(older_target(database))


def older_target(database: str) -> str:
    """What to tell when the target was restored from a backup of before a change of authority."""
    return (
        f"PostgreSQL holds a state from before its last change of phase: it was restored from a backup, and {database}"
        " knows more; restore it to a later point in time, or fail over to a server that has it"
    )


def older_source(database: str, target: ControlRow) -> str:
    """What to tell when the file was restored from a backup of before its last change of phase."""
    found = f"{database} was restored from a backup, and PostgreSQL holds later rows"
    name = quote(database)
    if AUTHORITY[target.phase] is Side.TARGET:
        return (
            f"{found}; to go on with those run dualdb recopy {name}, which keeps the file's rows beside them, or to go"
            " on without them drop the target's database and make and name a new one with dualdb init"
        )
    return (
        f"{found}; run dualdb rollback {name} and dualdb advance {name}: the file's are copied anew, and PostgreSQL's"
        " are set aside there in a schema of their own"
    )


def demote(connection: sqlite3.Connection, target_row: ControlRow, position: str) -> None:
    """Make a file that was restored from a backup the follower that its control row does not know it is.

    Inside a write transaction. Nothing that the file holds was carried by anybody who is left, so every table of it
    will be set aside when it is led to the authority's schema.
    """
    schema = read_schema(connection)
    journal.install_fence(connection, schema)
    journal.remove_capture(connection)
    journal.set_aside_triggers(connection, schema)
    connection.execute("DELETE FROM _dualdb_copy")
    connection.execute("DELETE FROM _dualdb_quarantine")
    connection.execute(query("source/lineage.sql", "follow"), (target_row.epoch, position, NO_SCHEMA, time.time()))
    connection.execute(
        query("source/lineage.sql", "demote"),
        (target_row.epoch, target_row.phase.value, target_row.move),
    )
