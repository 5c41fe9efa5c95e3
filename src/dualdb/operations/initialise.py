"""`dualdb init`: prepares both sides of a pair and leaves the application where it was, in phase sqlite.

Everything is checked before anything is written, and PostgreSQL has accepted everything before the SQLite file is
touched: its transaction is open while the file's is committed, and is committed last. Killed between these two commits,
or not knowing what became of the last one, the file names a target that may not know of it; the same command, or one
with another target, then prepares it anew.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.capture import blockers
from dualdb.core.phase import MoveState, Phase
from dualdb.core.sqltext import split_statements
from dualdb.errors import (
    BusyError,
    DualdbError,
    LayoutError,
    OvertakenError,
    PhaseError,
    SchemaError,
    SourceError,
    TargetError,
)
from dualdb.operations.coordination import coordinating
from dualdb.stores import journal, mounts, target_schema
from dualdb.stores.beside import alone_at
from dualdb.stores.catalog import read_schema
from dualdb.stores.control import read_source, read_target, source_change
from dualdb.stores.hint import make_hint
from dualdb.stores.layout import LAYOUT, find_old_library
from dualdb.stores.queries import load, query
from dualdb.stores.server import EmbeddedServer, ServerState
from dualdb.stores.source_file import check_alone, check_sound, connect_source
from dualdb.stores.target_address import EMBEDDED, address_of, check_chosen, chosen
from dualdb.stores.target_connection import connect_stored, connect_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dualdb.core.phase import ControlRow
    from dualdb.core.schema import Schema
    from dualdb.stores.control import SourceControl
    from dualdb.stores.target_connection import Target

_ASK = "source/authority.sql"
_PATIENCE_S = 5.0
"""How long another program may have the file locked."""
_WAL_PATIENCE_S = 20.0
"""The switch to WAL mode needs an instant in which nobody else has the file locked."""
_WAL_RETRY_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What the file's control row says of the target, and the lineage that both sides share."""

    source_id: str
    target: str
    schema: str
    identity: str


def initialise(database: str, target: str, *, schema: str = "public") -> Phase:
    """Prepare a SQLite file and a PostgreSQL database for each other; the phase that the file is in.

    That is sqlite, but for a file whose target was emptied or replaced in a later one.

    Raises LayoutError, SourceError, SchemaError, TargetError, PhaseError, BusyError or OvertakenError with cause and
    remedy. Nothing is written then, unless the connection is lost at the very end: run it again, with this target or
    another one.
    """
    old = find_old_library()
    if old:
        raise LayoutError(old)
    database = os.path.realpath(database)
    address = address_of(target)
    check_chosen(target)
    target_schema.check_name(schema)
    with connect_source(database, timeout_s=_PATIENCE_S) as source, ExitStack() as held:
        check_alone(database)
        check_sound(database, timeout_s=_PATIENCE_S)
        if read_source(source) is not None:
            held.enter_context(coordinating(database))
        facts = read_source(source)  # again, now that nobody else changes it
        found = _readable_schema(source)
        anew = facts is None or _fresh(facts.row) or facts.target != EMBEDDED
        if chosen(target)[0] == EMBEDDED and anew:
            # The server that one of two has made and takes away again may be the other's by then.
            held.enter_context(alone_at(database, "init"))
            held.enter_context(_embedded_server(database, source))
        with closing(_connect(target, database, facts, address)) as connection:
            identity = target_schema.identity(connection)
            served = _served(connection)
            if served is not None and read_source(source) != facts:
                raise BusyError(_prepared_meanwhile(database))
            _check_free(database, facts, served, identity)
            target_schema.check_rights(connection, schema)
            target_schema.check_empty(connection, schema)
            claim = _Claim(source_id=secrets.token_hex(16), target=address, schema=schema, identity=identity)
            if facts is not None and not _fresh(facts.row):
                claim = _claim_of(facts)  # the same database, emptied; the file's own history goes on
            with target_schema.prepared(connection, source_id=claim.source_id, schema=claim.schema):
                _use_wal(source, database)
                if facts is None:
                    _prepare_source(database, source, found, claim)
                    make_hint(database)
                    held.enter_context(coordinating(database))
                    _check_still(database, source, claim)
                elif claim != _claim_of(facts):
                    _claim_anew(database, source, facts, claim)
    return Phase.SQLITE if facts is None else facts.row.phase


def _connect(target: str, database: str, facts: SourceControl | None, address: str) -> Target:
    """The target; where that fails for a file that has another one, that is what is wrong."""
    try:
        return connect_target(target, database, purpose="dualdb init")
    except TargetError:
        if facts is None or _fresh(facts.row) or facts.target == address:
            raise
        raise PhaseError(_has_another(database, facts)) from None


def _has_another(database: str, facts: SourceControl) -> str:
    return f"{database} is already prepared for another target, {facts.target}; name that one"


@contextmanager
def _embedded_server(database: str, source: sqlite3.Connection) -> Iterator[None]:
    """The embedded server, made if there is none; one that was made for nothing is taken away again."""
    server = EmbeddedServer.beside(database)
    made = server.status().state is ServerState.ABSENT
    try:
        server.ensure_running()
        yield
    except BaseException:
        if made and not _is_used(source):
            server.remove()
        raise


def _is_used(source: sqlite3.Connection) -> bool:
    """Whether the file names an embedded server, as far as can be known."""
    try:
        facts = read_source(source)
    except (sqlite3.Error, DualdbError):
        return True
    return facts is not None and facts.target == EMBEDDED


def _readable_schema(source: sqlite3.Connection) -> Schema:
    schema = read_schema(source)
    found = [problem for table in schema.tables.values() for problem in blockers(table, schema.triggers)]
    if found:
        raise SchemaError(found[0])
    return schema


def _check_free(database: str, facts: SourceControl | None, served: ControlRow | None, identity: str) -> None:
    """Raise when the target serves a file already, or the file has another target that it cannot be taken from."""
    if served is not None and (facts is None or served.source_id != facts.row.source_id):
        message = "the target already serves another SQLite file; give each file a database of its own"
        raise TargetError(message)
    if facts is None:
        return
    if facts.target_identity != identity and (
        served is not None or not _fresh(facts.row) or _is_served(database, facts)
    ):
        raise PhaseError(_has_another(database, facts))
    if served is not None:
        message = (
            f"{database} is already prepared and in phase {facts.row.phase.value}; see dualdb status {quote(database)}"
        )
        raise PhaseError(message)


def _fresh(row: ControlRow) -> bool:
    """Whether nothing was ever mirrored: the first step out of phase sqlite raises the epoch before any row goes."""
    return row.phase is Phase.SQLITE and row.epoch == 1 and row.move_state is MoveState.REST


def _is_served(database: str, facts: SourceControl) -> bool:
    """Whether the target that a fresh file names knows of the file.

    One that cannot be asked counts as one that does not: the file would be tied for good to a server that is no more.
    It is safe, for as far as the file knows no row was ever carried there. Should the file be an old copy, and the
    target hold more than it: the application works on the copy already, and nothing is written over there by this. With
    its new target the file gets another lineage, so the old one then serves no file and is refused as anybody's target.
    """
    try:
        with closing(connect_stored(facts.target, database, purpose="dualdb init")) as old:
            served = _served(old)
    except TargetError:
        return False
    return served is not None and served.source_id == facts.row.source_id


def _served(connection: Target) -> ControlRow | None:
    with target_schema.ours():
        return read_target(connection)


def _use_wal(source: sqlite3.Connection, database: str) -> None:
    unfit = mounts.without_shared_memory(database)
    if unfit:
        message = f"{database} lies on {unfit}, where SQLite's WAL mode is not safe; move it to a local file system"
        raise SourceError(message)
    deadline_s = time.monotonic() + _WAL_PATIENCE_S
    while True:
        try:
            mode = source.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                message = f"{database} cannot be written ({exc}); run dualdb as a user who may write it and its folder"
                raise SourceError(message) from exc
            if time.monotonic() > deadline_s:
                message = (
                    f"{database} cannot be switched to WAL mode while others use it ({exc}); try again when they pause"
                )
                raise SourceError(message) from exc
        time.sleep(_WAL_RETRY_S)
    if mode != "wal":
        message = (
            f"{database} stays in journal mode {mode}: its file system cannot do WAL; move it to a local file system"
        )
        raise SourceError(message)


def _prepare_source(database: str, source: sqlite3.Connection, schema: Schema, claim: _Claim) -> None:
    try:
        source.execute("BEGIN IMMEDIATE")
        if read_source(source) is not None:
            raise BusyError(_prepared_meanwhile(database))
        for statement in split_statements(load("source/control.sql") + load("source/journal.sql")):
            source.execute(statement)
        first = (LAYOUT, claim.source_id, Phase.SQLITE.value, claim.target, claim.schema, claim.identity)
        source.execute(query(_ASK, "claim"), first)
        journal.write_numbering(source, schema)
        source.execute(query("source/relay.sql", "mark"))  # the newest row always stays: it marks the lineage
        source.commit()
    except (sqlite3.Error, DualdbError):
        source.rollback()
        raise


def _check_still(database: str, source: sqlite3.Connection, claim: _Claim) -> None:
    """Raise OvertakenError when another init found the file named a target that knew nothing of it, and took it."""
    facts = read_source(source)
    if facts is None or _claim_of(facts) != claim:
        raise OvertakenError(_overtaken(database))


def _claim_anew(database: str, source: sqlite3.Connection, judged: SourceControl, claim: _Claim) -> None:
    """Compare-and-set the target of a prepared file, its lineage with it."""
    with source_change(database, source):
        if read_source(source) != judged:
            raise OvertakenError(_overtaken(database))
        source.execute(query(_ASK, "claim_anew"), (claim.source_id, claim.target, claim.schema, claim.identity))


def _claim_of(facts: SourceControl) -> _Claim:
    return _Claim(
        source_id=facts.row.source_id,
        target=facts.target,
        schema=facts.target_schema,
        identity=facts.target_identity,
    )


def _prepared_meanwhile(database: str) -> str:
    return f"another init has prepared {database} meanwhile; see dualdb status {quote(database)}"


def _overtaken(database: str) -> str:
    return f"{database} was prepared for another target meanwhile; see dualdb status {quote(database)}"
