"""Connecting to the very target that a file was prepared for, and to no other.

The source's id ties a target to its file, the server's identity tells that target from a copy of it, and the epoch
tells its present state from one that was restored.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from psycopg import errors

from dualdb.errors import LineageError, NotPreparedError
from dualdb.stores.lineage import choose_one
from dualdb.stores.queries import query
from dualdb.stores.source_file import connect_source
from dualdb.stores.target_connection import connect_target, losses
from dualdb.stores.target_schema import identity

if TYPE_CHECKING:
    from dualdb.stores.target_connection import Target


class Pairing(NamedTuple):
    """What a file knows of its target."""

    target: str
    """'embedded', or a DSN without its password."""
    source_id: str
    identity: str
    epoch: int
    """Of the file that takes the target for the authority; 0: it does not, and the target may lag behind."""


def connect_paired(pairing: Pairing, database: str, *, purpose: str) -> Target:
    """A connection to the very target that a file was prepared for.

    Raises TargetError, NotPreparedError, and LineageError when the address leads to another database, or to a state
    of this one in which it is not the authority that the file takes it for.
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
            found = connection.execute(query("target/authority.sql", "served").encode()).fetchone()
        except errors.UndefinedTable:
            found = None
    if found_identity != pairing.identity:
        raise LineageError(
            f"the server's address leads to another database than the one that {database} was prepared for, perhaps a"
            " copy of it; correct DUALDB_TARGET, or the host and the database name in the address"
        )
    if found is None:
        again = f"run dualdb init {quote(database)} again with the same target"
        raise NotPreparedError(f"{database} is only half prepared; {again}")
    source_id, *standing = found
    if source_id != pairing.source_id:
        raise LineageError(
            f"the target serves another SQLite file than {database}; see dualdb status {quote(database)}"
        )
    _check_authority(pairing, database, *standing)


def prove_again(connection: Target, pairing: Pairing, database: str) -> None:
    """Raise LineageError when a target that was proven before is not the authority that the file takes it for."""
    with losses():
        found = connection.execute(query("target/authority.sql", "served").encode()).fetchone()
    if found is not None:
        _check_authority(pairing, database, *found[1:])


def _check_authority(pairing: Pairing, database: str, epoch: int, phase: str, move_state: str) -> None:
    if pairing.epoch == 0 or (phase == "postgres" and epoch >= pairing.epoch):
        return
    # The file is asked after the target was: what the caller knows of it may be of before a change of phase.
    with connect_source(database) as source:
        found = source.execute(query("source/watch.sql", "authority")).fetchone()
    own_phase, own_epoch = found[0], found[-1]
    if own_phase != "postgres" or (phase == "postgres" and epoch >= own_epoch):
        return
    if move_state != "yielded":  # else that is settled already, and whoever comes by makes the file the authority
        raise LineageError(choose_one(database, (own_phase, own_epoch), (phase, epoch)))


def older_target(database: str) -> str:
    """What to tell when the target was restored from a backup of before a change of authority."""
    return (
        f"PostgreSQL holds a state from before its last change of phase: it was restored from a backup, and {database}"
        " knows more; restore it to a later point in time, or fail over to a server that has it"
    )
