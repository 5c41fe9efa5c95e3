"""`dualdb init`: prepares both sides of a pair and leaves the application where it was, in phase sqlite.

Everything is checked before anything is written. Then each side is prepared in one transaction, the SQLite file first:
killed between the two, the same command finishes what it began.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from dualdb.core.capture import blockers
from dualdb.core.phase import Phase
from dualdb.core.sqltext import split_statements
from dualdb.errors import DualdbError, PhaseError, SchemaError, SourceError, TargetError
from dualdb.stores import mounts, target_schema
from dualdb.stores.catalog import read_schema
from dualdb.stores.control import read_source, read_target
from dualdb.stores.hint import make_hint
from dualdb.stores.queries import load
from dualdb.stores.target_address import address_of
from dualdb.stores.target_connection import connect_target

if TYPE_CHECKING:
    from dualdb.core.schema import Schema
    from dualdb.stores.control import SourceControl

LAYOUT = 1
"""Version of our own tables on both sides."""
_WAL_PATIENCE_S = 20.0
"""The switch to WAL mode needs an instant in which nobody else has the file locked."""
_WAL_RETRY_S = 0.01


def initialise(database: str, target: str, *, schema: str = "public") -> None:
    """Prepare a SQLite file and a PostgreSQL database for each other.

    Raises SourceError, SchemaError, TargetError or PhaseError with cause and remedy; nothing is written then.
    """
    database = os.path.realpath(database)
    address = address_of(target)
    with closing(open_source(database)) as source:
        facts = read_source(source)
        found = _readable_schema(source)
        with closing(connect_target(target, database, purpose="dualdb init")) as connection:
            identity = target_schema.identity(connection)
            present = read_target(connection)
            _check_not_prepared(database, facts, None if present is None else present.source_id, identity)
            if present is None:
                target_schema.check_empty(connection, schema)
            _use_wal(source, database)
            source_id = facts.row.source_id if facts else secrets.token_hex(16)
            if facts is None:
                _prepare_source(source, found, (source_id, address, schema, identity))
            make_hint(database)
            if present is None:
                target_schema.prepare(connection, layout=LAYOUT, source_id=source_id, schema=schema)


def open_source(database: str) -> sqlite3.Connection:
    """A connection to an existing, sound SQLite file; raises SourceError with cause and remedy for any other."""
    if not os.path.exists(database):
        message = f"there is no file {database}; give the path of the application's SQLite file"
        raise SourceError(message)
    if os.path.isdir(database):
        message = f"{database} is a folder; give the path of the application's SQLite file"
        raise SourceError(message)
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        # One page chain at a time: enough to find a torn file, and bounded to its first complaint.
        problems = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as exc:
        connection.close()
        raise SourceError(_unusable(database, exc)) from exc
    if problems != "ok":
        connection.close()
        message = (
            f"{database} is damaged ({problems}); restore a backup, or recover it with the .recover command of sqlite3"
        )
        raise SourceError(message)
    return connection


def _unusable(database: str, exc: sqlite3.Error) -> str:
    reason = str(exc)
    if "not a database" in reason:
        return f"{database} is not a SQLite database; give the path of the application's SQLite file"
    if "locked" in reason:
        return f"{database} is locked by another program; stop its open transaction and try again"
    if "malformed" in reason:
        return f"{database} is damaged ({reason}); restore a backup, or recover it with the .recover command of sqlite3"
    return f"{database} cannot be read ({reason}); check the file and its permissions"


def _readable_schema(source: sqlite3.Connection) -> Schema:
    schema = read_schema(source)
    found = [problem for table in schema.tables.values() for problem in blockers(table, schema.triggers)]
    if found:
        raise SchemaError(found[0])
    return schema


def _check_not_prepared(database: str, facts: SourceControl | None, held_by: str | None, identity: str) -> None:
    if facts is None and held_by is None:
        return
    if facts is None:
        message = "the target already serves another SQLite file; give each file a database of its own"
        raise TargetError(message)
    if facts.target_identity != identity:
        message = f"{database} is already prepared for another target, {facts.target}; name that one"
        raise PhaseError(message)
    if held_by is None:
        return
    if held_by != facts.row.source_id:
        message = "the target already serves another SQLite file; give each file a database of its own"
        raise TargetError(message)
    message = f"{database} is already prepared and in phase {facts.row.phase.value}; see dualdb status {database}"
    raise PhaseError(message)


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


def _prepare_source(source: sqlite3.Connection, schema: Schema, facts: tuple[str, str, str, str]) -> None:
    source_id, address, target_name, identity = facts
    try:
        source.execute("BEGIN IMMEDIATE")
        for statement in split_statements(load("source/control.sql") + load("source/journal.sql")):
            source.execute(statement)
        source.execute(
            "INSERT INTO _dualdb_control(id, layout, source_id, epoch, phase, target, target_schema, target_identity)"
            " VALUES (1, ?, ?, 1, ?, ?, ?, ?)",
            (LAYOUT, source_id, Phase.SQLITE.value, address, target_name, identity),
        )
        source.executemany(
            "INSERT INTO _dualdb_table(id, name, stored) VALUES (?, ?, ?)",
            [
                (table.id, table.name, json.dumps({column.name: column.stored.value for column in table.columns}))
                for table in schema.tables.values()
            ],
        )
        source.execute(
            "INSERT INTO _dualdb_journal(tbl) VALUES (0)"
        )  # the newest row always stays: it marks the lineage
        source.commit()
    except sqlite3.OperationalError as exc:
        source.rollback()
        raise SourceError(_unusable("the SQLite file", exc)) from exc
    except (sqlite3.Error, DualdbError):
        source.rollback()
        raise
