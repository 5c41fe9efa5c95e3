"""Switching the mirror on and off: between phases sqlite and dual_write, where SQLite stays the authority.

On: the target's tables are made, the SQLite file begins to capture, the target learns from which position it follows.
Each of the three is one transaction; `begin` does those that are still to be done. It does not carry any row.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.phase import AUTHORITY, Phase, Side
from dualdb.errors import LineageError, OvertakenError
from dualdb.stores import journal, target_journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.control import read_source, read_target, source_change
from dualdb.stores.lineage import older_source
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    import sqlite3

    from dualdb.core.schema import Schema
    from dualdb.stores.control import Control, SourceControl


def begin(control: Control) -> None:
    """Bring the pair from phase sqlite to dual_write, or finish what was begun of that."""
    facts = _facts(control)
    schema = read_schema(control.source)
    if facts.row.phase is Phase.SQLITE:
        _make_tables(control, schema)
        _capture(control, facts)
        facts = _facts(control)
    _follow(control, facts, schema)


def end(control: Control) -> None:
    """Bring the pair from phase dual_write back to sqlite; the target keeps its copy and follows no more."""
    stop_capturing(control.database, control.source)
    row = _facts(control).row
    with losses(), control.target.transaction():
        control.target.execute("DELETE FROM dualdb.watermark")
        control.target.execute(
            "UPDATE dualdb.control SET phase = %s, epoch = %s WHERE epoch < %s", (row.phase.value, row.epoch, row.epoch)
        )


def stop_capturing(database: str, source: sqlite3.Connection) -> None:
    """The SQLite side's part of `end`, which is all that is needed: it works while PostgreSQL is away."""
    with source_change(database, source):
        facts = read_source(source)
        if facts is None or facts.row.phase is not Phase.DUAL_WRITE:
            raise OvertakenError(_moved_on(database))
        journal.remove_capture(source)
        source.execute(
            "UPDATE _dualdb_control SET phase = ?, epoch = epoch + 1, fenced_head = NULL", (Phase.SQLITE.value,)
        )


def _make_tables(control: Control, schema: Schema) -> None:
    target = read_target(control.target)
    newer = target is not None and target.epoch > control.facts.row.epoch
    if newer and target is not None and AUTHORITY[target.phase] is Side.TARGET:
        raise LineageError(older_source(control.database, target))
    with losses(), control.target.transaction():
        if newer:  # the file was restored from a backup: perhaps nobody else has what is there
            target_journal.set_aside_target_tables(control.target)
        target_journal.drop_target_tables(control.target)
        target_journal.install_target_tables(control.target, schema, control.facts.target_schema)


def _capture(control: Control, facts: SourceControl) -> None:
    source = control.source
    target = read_target(control.target)
    target_epoch = target.epoch if target is not None else 0
    with source_change(control.database, source):
        found = read_source(source)
        if found is None or found.row != facts.row:
            raise OvertakenError(_moved_on(control.database))
        journal.install_capture(source, read_schema(source))
        source.execute(
            "UPDATE _dualdb_control SET phase = ?, epoch = max(epoch, ?) + 1, fenced_head = ?",
            (Phase.DUAL_WRITE.value, target_epoch, journal.journal_head(source)),
        )


def _follow(control: Control, facts: SourceControl, schema: Schema) -> None:
    row = facts.row
    with losses(), control.target.transaction():
        moved = control.target.execute(
            "UPDATE dualdb.control SET phase = %s, epoch = %s WHERE epoch < %s RETURNING epoch",
            (row.phase.value, row.epoch, row.epoch),
        ).fetchone()
        if moved is None:
            return
        control.target.execute("DELETE FROM dualdb.copy")
        control.target.execute("DELETE FROM dualdb.quarantine")
        control.target.execute(
            "INSERT INTO dualdb.watermark (id, epoch, position, aligned, schema_version) VALUES (1, %s, %s, false, %s)"
            " ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position, aligned = false,"
            " schema_version = excluded.schema_version",
            (row.epoch, row.fenced_head, schema.version),
        )


def _facts(control: Control) -> SourceControl:
    facts = read_source(control.source)
    if facts is None:
        raise OvertakenError(_moved_on(control.database))
    return facts


def _moved_on(database: str) -> str:
    return f"the control row of {database} changed meanwhile; look again with dualdb status {quote(database)}"
