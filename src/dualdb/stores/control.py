"""The control rows of both sides and the steps of a change of authority, each one compare-and-set transaction.

`core.phase` decides what follows; this module only carries it out, with what belongs to the step (fence, capture,
sequences, the new follower's watermark) in the same transaction. It does not know how to align the two sides: that is
the coordinator's work, between FENCE and DECIDE.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dualdb.core.phase import BYSTANDER, ControlRow, MoveState, Phase, Side, Step, judge, written
from dualdb.errors import BusyError, NotPreparedError, OvertakenError
from dualdb.stores import journal, target_journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.hint import Hint, hint_path, make_hint
from dualdb.stores.target_connection import connect_target, losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dualdb.core.phase import Judgement

_ROW = "source_id, epoch, phase, move, move_state, move_to, deadline, fenced_head"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceControl:
    """The source's control row and what it knows of the target."""

    row: ControlRow
    target: str
    """'embedded', or a DSN without its password."""
    target_schema: str
    target_identity: str


def read_source(connection: sqlite3.Connection) -> SourceControl | None:
    """The source's control row in the connection's snapshot; None when the file was never prepared."""
    cursor = connection.cursor()
    cursor.row_factory = None
    try:
        cursor.execute(f"SELECT {_ROW}, target, target_schema, target_identity FROM _dualdb_control")
    except sqlite3.OperationalError as exc:
        if "no such table" in str(exc):
            return None
        raise
    found = cursor.fetchone()
    if found is None:
        return None
    return SourceControl(
        row=_control_row(found[:8]), target=found[8], target_schema=found[9], target_identity=found[10]
    )


def read_target(connection: Any) -> ControlRow | None:
    """The target's control row; None when the target was never prepared. Raises TargetLostError."""
    with losses():
        if connection.execute("SELECT to_regclass('dualdb.control')").fetchone()[0] is None:
            return None
        found = connection.execute(f"SELECT {_ROW} FROM dualdb.control").fetchone()
    return None if found is None else _control_row(found)


def resolve(database: str, connection: sqlite3.Connection) -> Phase | None:
    """One attempt of a bystander to bring a move to its end: settles what was decided, lifts a fence that can lead
    nowhere, aborts after the deadline.

    Returns the phase in force, or None while the move is undecided or its end cannot be learned (the side that decides
    does not answer): a fenced side then stays fenced. Raises TargetError when the target cannot be reached.
    """
    with Control.open(database) as control:
        judgement = control.judge()
        wish = BYSTANDER[judgement.step]
        if wish is Step.ABORT and not control.overdue(judgement):
            return None
        if wish is None:
            return control.row(judgement.outgoing).phase
        try:
            control.perform(wish, judgement)
        except OvertakenError:
            return None
        judgement = control.judge()
        if judgement.authority is None:
            return None
        return control.row(judgement.outgoing).phase


class Control:
    """Both control rows of one pair, over connections of its own."""

    def __init__(self, database: str, source: sqlite3.Connection, target: Any, facts: SourceControl) -> None:
        """Use `Control.open`."""
        self.database = database
        self.source = source
        self.target = target
        self.facts = facts
        self._rows: dict[Side, ControlRow] = {}

    @classmethod
    @contextmanager
    def open(cls, database: str, *, timeout_s: float = 10.0) -> Iterator[Control]:
        """Open both sides; raises NotPreparedError, TargetError."""
        source = sqlite3.connect(database, timeout=timeout_s, isolation_level=None)
        try:
            facts = read_source(source)
            if facts is None:
                message = f"{database} is not prepared; run: dualdb init {database} --target …"
                raise NotPreparedError(message)
            target = connect_target(facts.target, database, purpose="dualdb control")
            try:
                yield cls(database, source, target, facts)
            finally:
                target.close()
        finally:
            source.close()

    def judge(self) -> Judgement:
        """Read both rows, the source's first, and say what they mean together."""
        facts = read_source(self.source)
        target = read_target(self.target)
        if facts is None or target is None:
            message = f"{self.database} is only half prepared; run dualdb init again with the same target"
            raise NotPreparedError(message)
        self._rows = {Side.SOURCE: facts.row, Side.TARGET: target}
        return judge(facts.row, target)

    def row(self, side: Side) -> ControlRow:
        """The row of that side as last judged."""
        return self._rows[side]

    def overdue(self, judgement: Judgement) -> bool:
        """Whether the move under way has had its time."""
        deadline = self.row(judgement.outgoing).deadline or self.row(judgement.outgoing.other).deadline
        return deadline is None or time.time() > deadline

    def perform(
        self, step: Step, judgement: Judgement, *, to: Phase | None = None, allowed_s: float = 0.0, aligned_at: str = ""
    ) -> None:
        """Carry out one step in one transaction, or raise OvertakenError when its row is no longer the one judged.

        `to` is the phase that an OPEN leads to, `allowed_s` how long the move may stay undecided from now (OPEN, FENCE),
        `aligned_at` the watermark at which the coordinator found both sides equal (DECIDE).
        """
        side = judgement.side_of(step)
        other = self.row(side.other)
        aim = to or self.row(side).move_to or other.move_to or other.phase
        deadline = time.time() + allowed_s
        write = self._write_source if side is Side.SOURCE else self._write_target

        def change(row: ControlRow) -> ControlRow:
            if row != self.row(side):
                raise OvertakenError(_overtaken(step, side))
            try:
                return written(step, row, other, move=judgement.move, to=aim, deadline=deadline)
            except KeyError as exc:
                raise OvertakenError(_overtaken(step, side)) from exc

        write(step, change, other, aligned_at)

    # --- one transaction on each side -------------------------------------------------------------------------------

    def _write_source(
        self, step: Step, change: Callable[[ControlRow], ControlRow], other: ControlRow, aligned_at: str
    ) -> None:
        effects = _SOURCE_EFFECTS.get(step)
        marks = target_journal.sequence_marks(self.target) if step is Step.DECIDE else {}
        connection = self.source
        with source_change(self.database, connection):
            facts = read_source(connection)
            if facts is None:
                raise OvertakenError(_overtaken(step, Side.SOURCE))
            row = change(facts.row)
            if effects is not None:
                row = effects(connection, row, other, aligned_at, marks)
            connection.execute(
                "UPDATE _dualdb_control SET epoch=?, phase=?, move=?, move_state=?, move_to=?, deadline=?, fenced_head=?",
                _values(row),
            )

    def _write_target(
        self, step: Step, change: Callable[[ControlRow], ControlRow], other: ControlRow, aligned_at: str
    ) -> None:
        effects = _TARGET_EFFECTS.get(step)
        schema = read_schema(self.source)
        marks = journal.sequence_marks(self.source, schema) if step is Step.DECIDE else {}
        with losses(), self.target.transaction():
            if step is Step.FENCE:
                # Before the row lock: taking the tables may have to wait for writers, and the row must stay readable.
                target_journal.enable_fence(self.target, lock_timeout_s=2.0)
            found = self.target.execute(f"SELECT {_ROW} FROM dualdb.control FOR UPDATE").fetchone()
            row = change(_control_row(found))
            if effects is not None:
                row = effects(self.target, row, other, aligned_at, marks, schema.version)
            self.target.execute(
                "UPDATE dualdb.control SET epoch=%s, phase=%s, move=%s, move_state=%s, move_to=%s, deadline=%s,"
                " fenced_head=%s",
                _values(row),
            )


# --- what belongs to each step, in its transaction ------------------------------------------------------------------


def _with_head(row: ControlRow, head: str | None) -> ControlRow:
    return ControlRow(
        source_id=row.source_id,
        epoch=row.epoch,
        phase=row.phase,
        move=row.move,
        move_state=row.move_state,
        move_to=row.move_to,
        deadline=row.deadline,
        fenced_head=head,
    )


def _fence_source(
    connection: sqlite3.Connection, row: ControlRow, _other: ControlRow, _at: str, _marks: Mapping[str, int]
) -> ControlRow:
    journal.install_fence(connection, read_schema(connection))
    return _with_head(row, journal.journal_head(connection))


def _unfence_source(
    connection: sqlite3.Connection, row: ControlRow, _other: ControlRow, _at: str, _marks: Mapping[str, int]
) -> ControlRow:
    journal.remove_fence(connection)
    return row


def _take_source(
    connection: sqlite3.Connection, row: ControlRow, _other: ControlRow, aligned_at: str, marks: Mapping[str, int]
) -> ControlRow:
    held = connection.execute("SELECT position, aligned FROM _dualdb_watermark").fetchone()
    if held is None or tuple(held) != (aligned_at, 1):
        raise OvertakenError(_overtaken(Step.DECIDE, Side.SOURCE))
    journal.remove_fence(connection)
    journal.restore_triggers(connection)
    journal.install_capture(connection, read_schema(connection))
    journal.raise_sequences(connection, marks)
    connection.execute("DELETE FROM _dualdb_watermark")  # a relay of the other direction finds nothing to go on from
    return _with_head(row, journal.journal_head(connection))


def _settle_source(
    connection: sqlite3.Connection, row: ControlRow, other: ControlRow, _at: str, _marks: Mapping[str, int]
) -> ControlRow:
    schema = read_schema(connection)
    journal.remove_capture(connection)
    journal.set_aside_triggers(connection, schema)
    connection.execute("DELETE FROM _dualdb_copy")
    connection.executemany(
        "INSERT INTO _dualdb_copy(tbl, cursor, done, rows) VALUES (?, NULL, 1, 0)",
        [(table.id,) for table in schema.tables.values()],
    )
    connection.execute(
        "INSERT OR REPLACE INTO _dualdb_watermark(id, epoch, position, aligned, schema_version, applied_at)"
        " VALUES (1, ?, ?, 1, ?, ?)",
        (other.epoch, other.fenced_head, schema.version, time.time()),
    )
    return row


def _fence_target(
    _connection: Any, row: ControlRow, _other: ControlRow, _at: str, _marks: Mapping[str, int], _version: str
) -> ControlRow:
    return row  # the fence itself was put up before the control row was locked


def _unfence_target(
    connection: Any, row: ControlRow, _other: ControlRow, _at: str, _marks: Mapping[str, int], _version: str
) -> ControlRow:
    target_journal.disable_fence(connection)
    return row


def _take_target(
    connection: Any, row: ControlRow, _other: ControlRow, aligned_at: str, marks: Mapping[str, int], _version: str
) -> ControlRow:
    held = connection.execute("SELECT position, aligned FROM dualdb.watermark FOR UPDATE").fetchone()
    if held != (aligned_at, True):
        raise OvertakenError(_overtaken(Step.DECIDE, Side.TARGET))
    target_journal.raise_sequences(connection, marks)
    target_journal.enable_capture(connection)
    target_journal.disable_fence(connection)
    connection.execute("DELETE FROM dualdb.watermark")  # a relay of the other direction finds nothing to go on from
    return _with_head(row, target_journal.journal_head(connection))


def _settle_target(
    connection: Any, row: ControlRow, other: ControlRow, _at: str, _marks: Mapping[str, int], version: str
) -> ControlRow:
    target_journal.disable_capture(connection)
    connection.execute("UPDATE dualdb.copy SET done = true, cursor = NULL")
    connection.execute(
        "INSERT INTO dualdb.watermark (id, epoch, position, aligned, schema_version) VALUES (1, %s, %s, true, %s)"
        " ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position, aligned = true,"
        " schema_version = excluded.schema_version, applied_at = clock_timestamp()",
        (other.epoch, other.fenced_head, version),
    )
    return row


_SOURCE_EFFECTS = {
    Step.FENCE: _fence_source,
    Step.UNFENCE: _unfence_source,
    Step.DECIDE: _take_source,
    Step.SETTLE: _settle_source,
}
_TARGET_EFFECTS = {
    Step.FENCE: _fence_target,
    Step.UNFENCE: _unfence_target,
    Step.DECIDE: _take_target,
    Step.SETTLE: _settle_target,
}


# --- transactions, rows, words --------------------------------------------------------------------------------------


@contextmanager
def source_change(database: str, connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction on the source that changes its control row, the hint kept odd until it is over.

    Raises BusyError when the write lock is not to be had within the connection's own time-out.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as exc:
        message = f"the write lock of {database} was not to be had ({exc}); try again, or stop the writer that keeps it"
        raise BusyError(message) from exc
    make_hint(database)
    hint = Hint(hint_path(database), writable=True)
    token = hint.begin_change()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        hint.end_change(token)
        hint.close()


def _control_row(found: Any) -> ControlRow:
    source_id, epoch, phase, move, state, to, deadline, head = found
    return ControlRow(
        source_id=source_id,
        epoch=epoch,
        phase=Phase(phase),
        move=move,
        move_state=MoveState(state),
        move_to=Phase(to) if to else None,
        deadline=deadline,
        fenced_head=head,
    )


def _values(row: ControlRow) -> tuple[Any, ...]:
    to = row.move_to.value if row.move_to else None
    return row.epoch, row.phase.value, row.move, row.move_state.value, to, row.deadline, row.fenced_head


def _overtaken(step: Step, side: Side) -> str:
    return f"the control row of the {side.value} changed before the step '{step.value}'; look again with dualdb status"
