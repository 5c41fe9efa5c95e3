"""What is told and done when a side was restored from a backup of before its last change of phase."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.phase import AUTHORITY, Phase, Side
from dualdb.core.sqltext import quote_name
from dualdb.core.store import NO_SCHEMA
from dualdb.stores import journal, target_journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.queries import query
from dualdb.stores.source_schema import aside_name

if TYPE_CHECKING:
    import sqlite3

    from dualdb.core.phase import ControlRow
    from dualdb.core.schema import Schema
    from dualdb.stores.target_connection import Target

_ASK = "source/authority.sql"
_RELAY = "source/relay.sql"
_SET_ASIDE = "set aside with the tables that the file held when a backup was restored"
"""Why a trigger does not come back."""


def older_source(database: str, target: ControlRow) -> str:
    """What to tell when the file was restored from a backup of before its last change of phase."""
    found = f"{database} was restored from a backup, and PostgreSQL holds later rows"
    name = quote(database)
    if AUTHORITY[target.phase] is Side.TARGET:
        return (
            f"{found}; to go on with those run dualdb recopy {name}, which keeps the file's rows beside them, or to go"
            f" on without them save and empty that database and run dualdb init {name} again with it"
        )
    return (
        f"{found}; run dualdb rollback {name} --to sqlite and dualdb advance {name} --to dual_write: the file's are"
        " copied anew, and PostgreSQL's are set aside there in a schema of their own"
    )


def older_target(database: str, source: ControlRow) -> str:
    """What to tell when PostgreSQL was restored from a backup of before its last change of phase, under such a file."""
    name = quote(database)
    again = f"run dualdb recopy {name}"
    if source.phase is Phase.SQLITE:
        again = f"run dualdb advance {name} --to dual_write"
    return (
        f"PostgreSQL was restored from a backup, and {database} has the say and holds later rows; {again}, which copies"
        " it anew and keeps what PostgreSQL holds in a schema of its own"
    )


def choose_one(database: str, source: tuple[str, int], target: tuple[str, int]) -> str:
    """What to tell when each side follows the other, in the one's and the other's phase and epoch."""
    name = quote(database)
    return (
        f"neither {database} (phase {source[0]}, epoch {source[1]}) nor PostgreSQL (phase {target[0]}, epoch"
        f" {target[1]}) has the say, for one of them was restored from a backup, and each follows the other; choose"
        " which one goes on, what the other holds is kept:"
        f" run dualdb recopy {name} --from sqlite, or dualdb recopy {name} --from postgres"
    )


def source_begins_anew(connection: sqlite3.Connection, epoch: int, position: str) -> None:
    """Let a file that was restored from a backup follow from that position of PostgreSQL, with nothing copied.

    Inside a write transaction. Nothing that the file holds was carried by anybody who is left, so every table of it
    will be set aside when it is led to the authority's schema; and so is every trigger, for good: the application may
    have dropped it since, as a switch demands.
    """
    schema = read_schema(connection)
    journal.install_fence(connection, schema)
    journal.remove_capture(connection)
    journal.set_aside_triggers(connection, schema)
    connection.execute(query(_ASK, "give_up_triggers"), (_SET_ASIDE,))
    connection.execute(query(_ASK, "forget_copies"))
    set_quarantine_aside(connection)
    connection.execute(query(_ASK, "forget_quarantine"))
    connection.execute(query(_ASK, "begin_anew"), (epoch, position, NO_SCHEMA))


def set_quarantine_aside(connection: sqlite3.Connection) -> None:
    """Keep what the file has in quarantine, if anything, in a table of its own: nobody else may have these rows."""
    if connection.execute(query(_RELAY, "any_quarantined")).fetchone()[0]:
        name = f"main.{quote_name(aside_name(connection, 'quarantine'))}"
        connection.execute(query(_ASK, "set_quarantine_aside").format(name=name))


def target_begins_anew(connection: Target, schema: Schema, target_schema: str, epoch: int, position: str) -> str:
    """Let PostgreSQL follow from that position of the file, with empty tables; the schema that holds what it held.

    Inside a transaction. Perhaps nobody else has those rows.
    """
    aside = target_journal.set_aside_target_tables(connection)
    target_journal.install_target_tables(connection, schema, target_schema)
    target_journal.follow_from(connection, epoch, position, schema)
    return aside
