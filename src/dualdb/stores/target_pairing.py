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

    def in_any_state(self) -> Pairing:
        """The same target, whether it is the authority or not; whoever connects so finds that out."""
        return self._replace(epoch=0)


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
            found = _ask_served(connection)
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
    if found.source_id != pairing.source_id:
        raise LineageError(
            f"the target serves another SQLite file than {database}; see dualdb status {quote(database)}"
        )
    _check_authority(connection, pairing, database, found)


def prove_again(connection: Target, pairing: Pairing, database: str) -> None:
    """Raise LineageError when a target that was proven before is not the authority that the file takes it for."""
    with losses():
        found = _ask_served(connection)
    if found is not None:
        _check_authority(connection, pairing, database, found)


class _Served(NamedTuple):
    """What the target says of itself."""

    source_id: str
    epoch: int
    phase: str
    move_state: str

    def leads(self, epoch: int) -> bool:
        """Whether it is the authority of that epoch, or of a later one."""
        return self.phase == "postgres" and self.epoch >= epoch


def _ask_served(connection: Target) -> _Served | None:
    found = connection.execute(query("target/authority.sql", "served").encode()).fetchone()
    return None if found is None else _Served(*found)


def _check_authority(connection: Target, pairing: Pairing, database: str, found: _Served | None) -> None:
    if pairing.epoch == 0 or found is None or found.leads(pairing.epoch):
        return
    # What the caller knows of the file may be of before a change of phase, and so may be what the target said before
    # the file was asked: of rows that were read one after the other it is true only if the first is still what it was.
    own = _ask_authority(database)
    while True:
        with losses():
            found = _ask_served(connection)
        if own[0] != "postgres" or found is None or found.leads(own[1]):
            return
        if found.move_state == "yielded":  # that is settled, and whoever comes by makes the file the authority
            return
        before, own = own, _ask_authority(database)
        if own == before:
            raise LineageError(choose_one(database, own, (found.phase, found.epoch)))


def _ask_authority(database: str) -> tuple[str, int]:
    """The phase and epoch of the file."""
    with connect_source(database) as source:
        found = source.execute(query("source/watch.sql", "authority")).fetchone()
    return found[0], found[-1]
