"""Letting a follower begin anew: it forgets what it held, and keeps it elsewhere; the relay then copies every table.

Each side's part is one transaction on that side, which compares what it was told with what is there. Nothing that only
the follower holds is lost: of the SQLite file a whole copy is made before, PostgreSQL's tables move into a schema of
their own, rows and all. Does not carry any row.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.phase import Side
from dualdb.core.sqltext import fold, quote_name
from dualdb.core.store import NO_SCHEMA
from dualdb.errors import OvertakenError, SourceError
from dualdb.stores import journal, target_journal
from dualdb.stores.beside import finish, forget_unfinished, make_beside, scratch_of, what_to_do
from dualdb.stores.catalog import OUR_TABLES, read_schema
from dualdb.stores.control import lock_target, read_source, source_change
from dualdb.stores.lineage import set_quarantine_aside, target_begins_anew
from dualdb.stores.queries import query
from dualdb.stores.source_schema import aside_name
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    from dualdb.core.phase import ControlRow
    from dualdb.stores.control import Control

_ASK = "source/relay.sql"
_PURPOSE = "before-recopy"


def save_source(database: str) -> str:
    """Make a copy of the SQLite file beside it, by SQLite's backup API, and return its path.

    It is an ordinary file with the application's tables and triggers and without ours: opened through dualdb it must
    not take itself for the follower, and be written over. One coordinator does this at a time.
    """
    with suppress(OSError):  # whoever may not do that can still make a new one, or is told
        forget_unfinished(database, _PURPOSE)
    path = make_beside(database, _PURPOSE, ".db")
    try:
        with closing(sqlite3.connect(database)) as origin, closing(_new(path)) as copy:
            origin.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("PRAGMA synchronous = FULL")
            copy.execute("BEGIN")
            _make_ordinary(copy)
            copy.execute("COMMIT")
        finish(path)
    except BaseException as exc:
        for name in (scratch_of(path), path):
            with suppress(FileNotFoundError):
                os.unlink(name)
        if not isinstance(exc, (OSError, sqlite3.Error)):
            raise
        message = f"{database} cannot be copied to {path} ({exc}), and nothing was changed; {remedy(database, exc)}"
        raise SourceError(message) from exc
    return path


def _new(path: str) -> sqlite3.Connection:
    """An empty database where nobody takes it for the copy yet; only this user may read it."""
    scratch = scratch_of(path)
    os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return sqlite3.connect(scratch, isolation_level=None)


def remedy(database: str, error: OSError | sqlite3.Error) -> str:
    """What to do about an error that kept the file from being copied."""
    again = f"run dualdb recopy {quote(database)} again"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or isinstance(error, OSError):
        return f"{what_to_do(database, error)}, then {again}"
    return f"put right what SQLite names, then {again}"


def begin_source(control: Control, row: ControlRow, saved: str) -> None:
    """Make the SQLite file begin anew as the follower that it is: at the authority's present position, nothing copied.

    Its tables may go, for their rows are in the `saved` copy; one that was made or remade since, as plain sqlite3 can,
    does not count as carried and will be set aside. Raises OvertakenError when the control row is no longer that one.
    """
    with closing(sqlite3.connect(saved)) as copy:
        before = _definitions(copy)
    connection = control.source
    control.keep_ids(Side.TARGET)  # a server that was restored has forgotten ids of rows that it lost
    position = target_journal.durable_head(control.target)
    with source_change(control.database, connection):
        facts = read_source(connection)
        if facts is None or facts.row != row:
            raise OvertakenError(_moved_on(control.database))
        schema = read_schema(connection)
        unfenced, _ = journal.mend_fence(connection, schema)
        now = _definitions(connection)
        same = {name for name, sql in now.items() if before.get(name) == sql}
        connection.execute(query("source/authority.sql", "forget_copies"))
        connection.executemany(
            query(_ASK, "set_copy"),
            [
                (table.id, None, False, 0)
                for name, table in schema.tables.items()
                if name in same and table.id not in unfenced  # without its fence it was remade, or written to
            ],
        )
        # Whatever schema the file has, it is led to the authority's.
        connection.execute(query("source/authority.sql", "begin_anew"), (row.epoch, position, NO_SCHEMA))


def begin_target(control: Control, row: ControlRow) -> str:
    """Make PostgreSQL begin anew in the same way; the name of the schema that its tables have moved into.

    Raises OvertakenError when its control row is no longer that one.
    """
    control.keep_ids(Side.SOURCE)
    position = journal.journal_head(control.source)
    schema = read_schema(control.source)
    with losses(), control.target.transaction():
        if lock_target(control.target) != row:
            raise OvertakenError(_moved_on(control.database))
        return target_begins_anew(control.target, schema, control.facts.target_schema, row.epoch, position)


def _definitions(connection: sqlite3.Connection) -> dict[str, str]:
    """The text of each table."""
    return {fold(name): sql for name, sql in connection.execute(query(_ASK, "definitions"))}


def _make_ordinary(copy: sqlite3.Connection) -> None:
    """Take out what is ours and put back the application's triggers; what else nobody has is set aside in it."""
    for name, _, _ in copy.execute(query(_ASK, "triggers")).fetchall():
        if fold(name).startswith("_dualdb_"):
            copy.execute(f"DROP TRIGGER main.{quote_name(name)}")
    set_quarantine_aside(copy)
    journal.restore_triggers(copy)
    if copy.execute(query("source/standing.sql", "triggers")).fetchall():  # SQLite did not take all of them
        copy.execute(f"ALTER TABLE main._dualdb_trigger RENAME TO {quote_name(aside_name(copy, 'trigger'))}")
    for name in OUR_TABLES:
        copy.execute(f"DROP TABLE IF EXISTS main.{quote_name(name)}")


def _moved_on(database: str) -> str:
    return f"the control row of {database} changed meanwhile; look again with dualdb status {quote(database)}"
