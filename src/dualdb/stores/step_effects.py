"""What belongs to each step of a change of authority beside its control row, in the step's own transaction.

Fence, capture, sequences, the application's triggers, the new follower's watermark. Which step is taken, and whether
the row still allows it, is known to `control` alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.phase import Phase, Side, Step
from dualdb.core.store import NO_SCHEMA
from dualdb.errors import OvertakenError
from dualdb.stores import journal, target_journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.lineage import target_begins_anew
from dualdb.stores.queries import query
from dualdb.stores.target_catalog import read_version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from dualdb.core.phase import ControlRow
    from dualdb.core.schema import Schema
    from dualdb.stores.target_connection import Target

_SOURCE = "source/authority.sql"
_TARGET = "target/authority.sql"
_RELAY = "source/relay.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a step's own transaction needs to know of the world outside it."""

    database: str
    other: ControlRow
    aligned_at: str = ""
    marks: Mapping[str, int] = field(default_factory=dict)
    """DECIDE: highest id ever used, by table, on the side that is left."""
    ids: Sequence[tuple[str, str]] = ()
    """DECIDE on the target: table and column of each automatic id. They are read before: the server ends a transaction
    that stands still, and writers wait for this one.
    """
    carried: frozenset[int] = frozenset()
    """SETTLE: the tables that ever were carried to the side that was taken."""
    schema_version: str = ""
    """SETTLE: of the side that was taken."""
    schema: Schema | None = None
    """SETTLE where the target begins anew: the file's, from which its tables are made."""
    target_schema: str = ""
    position: str = ""
    """The same: of the file, from which it follows."""


def overtaken(database: str, step: Step, side: Side) -> str:
    """What to tell when the row of that side no longer allows the step."""
    changed = f"the control row of the {side.value} changed before the step '{step.value}'"
    return f"{changed}; look again with dualdb status {quote(database)}"


def _fence_source(connection: sqlite3.Connection, _at: Circumstances) -> str | None:
    journal.install_fence(connection, read_schema(connection))
    return journal.journal_head(connection)


def _unfence_source(connection: sqlite3.Connection, _at: Circumstances) -> str | None:
    journal.remove_fence(connection)
    return None


def _take_source(connection: sqlite3.Connection, at: Circumstances) -> str | None:
    held = connection.execute(query(_SOURCE, "held")).fetchone()
    if held != (at.aligned_at, 1):
        raise OvertakenError(overtaken(at.database, Step.DECIDE, Side.SOURCE))
    return _go_on_source(connection, at)


def _go_on_source(connection: sqlite3.Connection, at: Circumstances) -> str | None:
    journal.remove_fence(connection)
    journal.restore_triggers(connection)
    journal.install_capture(connection, read_schema(connection))
    journal.raise_sequences(connection, at.marks)
    connection.execute(query(_SOURCE, "follow_nobody"))
    return journal.journal_head(connection)


def _settle_source(connection: sqlite3.Connection, at: Circumstances) -> str | None:
    schema = read_schema(connection)
    numbers = frozenset(table.id for table in schema.tables.values())
    # DDL passes a fence. What it made or remade since the two sides were found equal, nobody else holds.
    held = numbers & at.carried & journal.fenced(connection, schema)
    equal = held == numbers and schema.version == at.schema_version
    journal.remove_capture(connection)
    journal.set_aside_triggers(connection, schema)
    connection.execute(query(_SOURCE, "forget_copies"))
    connection.executemany(query(_RELAY, "set_copy"), [(number, None, True, 0) for number in held])
    version = schema.version if equal else NO_SCHEMA
    connection.execute(query(_RELAY, "set_watermark"), (at.other.epoch, at.other.fenced_head, equal, version))
    return None


def _unfence_target(connection: Target, _at: Circumstances) -> str | None:
    target_journal.disable_fence(connection)
    return None


def _take_target(connection: Target, at: Circumstances) -> str | None:
    held = connection.execute(query(_TARGET, "held").encode()).fetchone()
    if held != (at.aligned_at, True):
        raise OvertakenError(overtaken(at.database, Step.DECIDE, Side.TARGET))
    return _go_on_target(connection, at)


def _go_on_target(connection: Target, at: Circumstances) -> str | None:
    target_journal.raise_sequences(connection, at.ids, at.marks)
    target_journal.enable_capture(connection)
    target_journal.disable_fence(connection)
    connection.execute(query(_TARGET, "follow_nobody").encode())
    return target_journal.journal_head(connection)


def _yield_target(connection: Target, _at: Circumstances) -> str | None:
    target_journal.disable_capture(connection)
    return None


def _settle_target(connection: Target, at: Circumstances) -> str | None:
    if at.schema is not None:
        target_begins_anew(connection, at.schema, at.target_schema, at.other.epoch, at.position)
    else:
        target_journal.disable_capture(connection)
        connection.execute(query(_TARGET, "finish_copies").encode())
    if at.other.phase is Phase.SQLITE:  # the file has left the mirror since it was taken: there is nobody to follow
        connection.execute(query(_TARGET, "follow_nobody").encode())
        return None
    if at.schema is not None:
        return None
    # The tables here were made from the schema that is recorded here; the file may hold another one meanwhile.
    version = read_version(connection)
    target_journal.follow(connection, at.other.epoch, at.other.fenced_head or "", version, aligned=True)
    return None


SOURCE_EFFECTS: dict[Step, Callable[[sqlite3.Connection, Circumstances], str | None]] = {
    # Each returns the journal's head where the step records it.
    Step.FENCE: _fence_source,
    Step.UNFENCE: _unfence_source,
    Step.DECIDE: _take_source,
    Step.TAKE: _go_on_source,
    Step.SETTLE: _settle_source,
}
TARGET_EFFECTS: dict[Step, Callable[[Target, Circumstances], str | None]] = {
    # FENCE is not here: it goes up before the control row is locked. So does YIELD's.
    Step.UNFENCE: _unfence_target,
    Step.DECIDE: _take_target,
    Step.YIELD: _yield_target,
    Step.TAKE: _go_on_target,
    Step.SETTLE: _settle_target,
}
