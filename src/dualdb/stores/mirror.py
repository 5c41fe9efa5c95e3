"""Switching the mirror on and off: between phases sqlite and dual_write, where SQLite stays the authority.

On: the columns' values are inspected, the target's tables are made, the SQLite file begins to capture, the target
learns from which position it follows. Each of the four is one transaction; `begin` does those that are still to be
done. It does not carry any row.
"""

from __future__ import annotations

from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.phase import AUTHORITY, Phase, Side, led_by, restored
from dualdb.errors import LineageError, OvertakenError
from dualdb.stores import journal, target_journal
from dualdb.stores.catalog import read_schema, read_schema_anew
from dualdb.stores.control import read_source, read_target, row_values, source_change
from dualdb.stores.lineage import older_source, older_target
from dualdb.stores.queries import query
from dualdb.stores.target_catalog import read_target_schema
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    import sqlite3

    from dualdb.core.phase import ControlRow
    from dualdb.core.schema import Schema
    from dualdb.stores.control import Control, SourceControl
    from dualdb.stores.target_connection import Target

_SOURCE = "source/authority.sql"
_TARGET = "target/authority.sql"


def begin(control: Control) -> None:
    """Bring the pair from phase sqlite to dual_write, or finish what was begun of that."""
    facts = _facts(control)
    if facts.row.phase is Phase.SQLITE:
        _inspect(control, facts)
        _make_tables(control, read_schema(control.source))
        _capture(control, facts)
        facts = _facts(control)
    _follow(control, facts)


def end(control: Control) -> None:
    """Bring the pair from phase dual_write back to sqlite; the target keeps its copy and follows no more."""
    stop_capturing(control.database, control.source)
    row = _facts(control).row
    target = read_target(control.target)
    if target is not None and restored(row, target) is Side.TARGET:
        return  # it hears of nothing before what it holds is set aside, when the next mirror begins
    with losses(), control.target.transaction():
        control.target.execute(query(_TARGET, "follow_nobody").encode())
        _tell(control.target, row)


def stop_capturing(database: str, source: sqlite3.Connection) -> None:
    """The SQLite side's part of `end`, which is all that is needed: it works while PostgreSQL is away."""
    with source_change(database, source):
        facts = read_source(source)
        if facts is None or facts.row.phase is not Phase.DUAL_WRITE:
            raise OvertakenError(_moved_on(database))
        journal.remove_capture(source)
        source.execute(query(_SOURCE, "leave_mirror"), (Phase.SQLITE.value,))


def _inspect(control: Control, facts: SourceControl) -> None:
    """Let each column be stored as its present values ask for: they may have been converted since the last mirror."""
    schema = read_schema_anew(control.source)  # reads every row, while nobody waits
    with source_change(control.database, control.source):
        found = read_source(control.source)
        if found is None or found.row != facts.row:
            raise OvertakenError(_moved_on(control.database))
        journal.write_numbering(control.source, schema)


def _make_tables(control: Control, schema: Schema) -> None:
    target = read_target(control.target)
    if target is None:
        raise OvertakenError(_moved_on(control.database))
    row = control.facts.row
    older = restored(row, target) is Side.TARGET
    if AUTHORITY[target.phase] is Side.TARGET and not older:
        raise LineageError(older_source(control.database, target))
    # One of the two was restored from a backup: perhaps nobody else has what is there.
    keeps = older or target.epoch > row.epoch
    if keeps:
        control.keep_ids(Side.SOURCE)
    with losses(), control.target.transaction():
        if keeps:
            target_journal.set_aside_target_tables(control.target)
        # It hears of the file's last step, which that may have taken alone, before the next one.
        heard = replace(led_by(row, target), epoch=max(row.epoch, target.epoch))
        control.target.execute(query(_TARGET, "step").encode(), row_values(heard))
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
        source.execute(query(_SOURCE, "mirror"), (Phase.DUAL_WRITE.value, target_epoch, journal.journal_head(source)))


def _follow(control: Control, facts: SourceControl) -> None:
    row = facts.row
    target = read_target(control.target)
    if target is not None and restored(row, target) is Side.TARGET:
        raise LineageError(older_target(control.database, row))
    with losses(), control.target.transaction():
        if not _tell(control.target, row):
            return
        # The schema that the tables there were made from: when this is resumed the file may have another one.
        schema = read_target_schema(control.target)
        # Without a position of its own the file was mirrored before, by a target that is no more.
        position = row.fenced_head or journal.journal_head(control.source)
        target_journal.follow_from(control.target, row.epoch, position, schema)


def _tell(target: Target, row: ControlRow) -> bool:
    """Let the target hear of the file's epoch; False when it had."""
    values = {"phase": row.phase.value, "epoch": row.epoch}
    return target.execute(query(_TARGET, "hear").encode(), values).fetchone() is not None


def _facts(control: Control) -> SourceControl:
    facts = read_source(control.source)
    if facts is None:
        raise OvertakenError(_moved_on(control.database))
    return facts


def _moved_on(database: str) -> str:
    return f"the control row of {database} changed meanwhile; look again with dualdb status {quote(database)}"
