"""The control rows of both sides and the steps of a change of authority, each one compare-and-set transaction.

`core.phase` decides what follows; this module only carries it out, with what `step_effects` knows to belong to the step
in the same transaction. It does not know how to align the two sides: that is the coordinator's work, between FENCE and
DECIDE.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from dualdb.core.phase import (
    AUTHORITY,
    BYSTANDER,
    CHOICE,
    FOLLOWS_NOBODY,
    ControlRow,
    Move,
    MoveState,
    Phase,
    Side,
    Step,
    both_follow,
    chosen,
    judge,
    led_by,
    restored,
    unchanged_since,
    written,
)
from dualdb.errors import BusyError, LayoutError, LineageError, NotPreparedError, OvertakenError, SchemaError
from dualdb.stores import journal, target_journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.hint import announced
from dualdb.stores.layout import find_unknown
from dualdb.stores.lineage import choose_one, older_source, older_target, source_begins_anew, target_begins_anew
from dualdb.stores.queries import query
from dualdb.stores.source_file import connect_source
from dualdb.stores.step_effects import SOURCE_EFFECTS, TARGET_EFFECTS, Circumstances, overtaken
from dualdb.stores.target_catalog import read_version
from dualdb.stores.target_connection import losses
from dualdb.stores.target_pairing import Pairing, connect_paired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dualdb.core.phase import Judgement
    from dualdb.stores.target_connection import Target

FENCE_LOCK_S = 2.0
"""How long PostgreSQL's fence waits for a table's writers before their backends are ended."""
_STANDSTILL_S = 2.0
"""How long a step may stand still in PostgreSQL before the server ends it; below sqlite3's default time-out of 5 s."""
_SOURCE = "source/authority.sql"
_TARGET = "target/authority.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceControl:
    """The source's control row and what it knows of the target."""

    row: ControlRow
    target: str
    """'embedded', or a DSN without its password."""
    target_schema: str
    target_identity: str

    @property
    def pairing(self) -> Pairing:
        """How to find the target, and to know it."""
        follows = self.row.phase is Phase.POSTGRES and self.row.move_state is not MoveState.MOVING
        return Pairing(self.target, self.row.source_id, self.target_identity, self.row.epoch if follows else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a coordinator adds to a step."""

    to: Phase | None = None
    """OPEN: the phase that the move leads to."""
    allowed_s: float = 0.0
    """OPEN, FENCE: how long the move may stay undecided from now."""
    aligned_at: str = ""
    """DECIDE: the watermark at which the coordinator found both sides equal."""


def read_source(connection: sqlite3.Connection) -> SourceControl | None:
    """The source's control row in the connection's snapshot; None when the file was never prepared.

    Raises LayoutError.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    try:
        layout = cursor.execute(query("source/watch.sql", "layout")).fetchone()
    except sqlite3.OperationalError as exc:
        if "no such table" in str(exc):
            return None
        if "no such column" in str(exc):
            message = "the table _dualdb_control has a name that dualdb keeps for itself; rename it"
            raise SchemaError(message) from exc
        raise
    if layout is None:
        return None
    _check_layout("the file", *layout)
    found = cursor.execute(query(_SOURCE, "control")).fetchone()
    return SourceControl(
        row=_control_row(found[:8]), target=found[8], target_schema=found[9], target_identity=found[10]
    )


def read_target(connection: Target) -> ControlRow | None:
    """The target's control row; None when the target was never prepared. Raises TargetLostError, LayoutError."""
    with losses():
        if connection.execute(query(_TARGET, "prepared").encode()).fetchone() != (True,):
            return None
        layout = connection.execute(query(_TARGET, "layout").encode()).fetchone()
        if layout is None:
            return None
        _check_layout("the target", *layout)
        found = connection.execute(query(_TARGET, "control").encode()).fetchone()
    return None if found is None else _control_row(found)


def lock_target(connection: Target) -> ControlRow | None:
    """The same of a target that was read before; nobody else changes it until the caller's transaction ends."""
    found = connection.execute(query(_TARGET, "lock_control").encode()).fetchone()
    return None if found is None else _control_row(found)


def _check_layout(what: str, layout: int) -> None:
    unknown = find_unknown(what, layout)
    if unknown:
        raise LayoutError(unknown)


def resolve(database: str, connection: sqlite3.Connection) -> Phase | None:
    """One attempt of a bystander to bring a move to its end: settles what was decided, lifts a fence that can lead
    nowhere, aborts after the deadline. `connection` is one to the source, outside a transaction.

    Returns the phase in force, or None while the move is undecided or its end cannot be learned (the side that decides
    does not answer): a fenced side then stays fenced. Raises TargetError when the target cannot be reached.
    """
    facts = read_source(connection)
    if facts is not None and facts.row.move_state is not MoveState.MOVING and AUTHORITY[facts.row.phase] is Side.SOURCE:
        return facts.row.phase
    return settle(database)


def settle(database: str) -> Phase | None:
    """The same, whatever the source's own row says: it may have been taken, and the other side not have heard of it."""
    with Control.open(database) as control:
        judgement = control.judge()
        wish = BYSTANDER[judgement.step]
        if wish is None:
            return control.row(judgement.outgoing).phase
        if judgement.step is Step.DECIDE and not control.overdue(judgement):
            return None
        try:
            control.perform(wish, judgement)
        except OvertakenError:
            return None
        judgement = control.judge()
        return control.row(judgement.outgoing).phase if judgement.authority else None


class Control:
    """Both control rows of one pair, over connections of its own."""

    def __init__(self, database: str, source: sqlite3.Connection, target: Target, facts: SourceControl) -> None:
        """Use `Control.open`."""
        self.database = database
        self.source = source
        self.target = target
        self.facts = facts
        self._rows: dict[Side, ControlRow] = {}
        self._prepared = False
        """Whether the target was seen to be: each judgement is made anew, and behind a fence writers wait for it."""

    @classmethod
    @contextmanager
    def open(cls, database: str, *, timeout_s: float = 10.0, any_state: bool = False) -> Iterator[Control]:
        """Open both sides; raises NotPreparedError, TargetError, LineageError when the target is not the file's, and,
        but for `any_state`, where each side follows the other.
        """
        with connect_source(database, timeout_s=timeout_s) as source:
            facts = read_source(source)
            if facts is None:
                message = f"{database} is not prepared; run: dualdb init {quote(database)} --target …"
                raise NotPreparedError(message)
            source.execute("PRAGMA synchronous = FULL")  # what is decided here must outlast a crash of the machine
            pairing = facts.pairing.in_any_state() if any_state else facts.pairing
            with closing(connect_paired(pairing, database, purpose="dualdb control")) as target:
                target.execute(query("target/relay.sql", "setting").encode(), ("synchronous_commit", "on"))
                yield cls(database, source, target, facts)

    def judge(self) -> Judgement:
        """Read both rows, the source's first, and say what they mean together.

        Raises LineageError when one of them was restored from a backup, but for a file that believes itself the
        authority and is not: before anybody else writes into it, it is made the follower that it is.
        """
        source, target = self.read()
        if both_follow(source, target) and target.move_state not in FOLLOWS_NOBODY:
            raise LineageError(_choose_one(self.database, source, target))
        older = restored(source, target)
        if older is Side.TARGET:
            raise LineageError(older_target(self.database, source))
        if older is Side.SOURCE:
            self._bring_up(target)
            source, target = self.read()
        self._rows = {Side.SOURCE: source, Side.TARGET: target}
        return judge(source, target)

    def choose(self, goes_on: Side) -> Judgement:
        """The step that decides which of two sides that follow each other goes on.

        Raises OvertakenError when they do not, or when that is decided already.
        """
        source, target = self.read()
        if not both_follow(source, target):
            raise OvertakenError(f"the sides of {self.database} do not follow each other; look again")
        self._rows = {Side.SOURCE: source, Side.TARGET: target}
        try:
            return chosen(source, target, goes_on)
        except KeyError as exc:
            raise OvertakenError(overtaken(self.database, CHOICE[goes_on].step, Side.TARGET)) from exc

    def _bring_up(self, target: ControlRow) -> None:
        """Demote the file if it is old indeed, and nobody knows better what to do with it."""
        source, _ = self.read()
        if restored(source, target) is not Side.SOURCE:
            return
        judgement = judge(source, target)
        if AUTHORITY[target.phase] is Side.SOURCE and judgement.step is Step.UNFENCE:
            # Behind the fence of a move that was decided, and taken back since, nobody could work with the file.
            self._rows = {Side.SOURCE: source, Side.TARGET: target}
            self.perform(judgement.step, judgement)
        if AUTHORITY[target.phase] is Side.TARGET and source.phase is not Phase.SQLITE:
            self.demote_source(source, target)
        elif AUTHORITY[target.phase] is Side.TARGET or source.phase is not Phase.SQLITE:
            raise LineageError(older_source(self.database, target))

    def demote_source(self, source: ControlRow, target: ControlRow) -> None:
        """Make the file the follower of its target, in place of whatever it took itself for; keeps all of its rows."""
        self.keep_ids(Side.TARGET)
        position = target_journal.durable_head(self.target)
        with source_change(self.database, self.source):
            facts = read_source(self.source)
            if facts is None or facts.row != source:
                raise OvertakenError(f"the control row of {self.database} changed meanwhile; look again")
            source_begins_anew(self.source, target.epoch, position)
            self.source.execute(query(_SOURCE, "step"), row_values(led_by(target, source)))

    def demote_target(self, source: ControlRow, target: ControlRow) -> str:
        """Make PostgreSQL the follower of the file in place of whatever it took itself for, to be copied anew; the name
        of the schema that what it holds has moved into.
        """
        self.keep_ids(Side.SOURCE)
        position, schema = journal.journal_head(self.source), read_schema(self.source)
        with losses(), self.target.transaction():
            if lock_target(self.target) != target:
                raise OvertakenError(f"the control row of {self.database}'s target changed meanwhile; look again")
            aside = target_begins_anew(self.target, schema, self.facts.target_schema, source.epoch, position)
            self.target.execute(query(_TARGET, "step").encode(), row_values(led_by(source, target)))
        return aside

    def keep_ids(self, authority: Side) -> None:
        """Let the authority give no id again that the other side has given, whose rows are about to be set aside."""
        if authority is Side.SOURCE:
            with losses():
                marks = target_journal.sequence_marks(self.target)
            with source_change(self.database, self.source):
                journal.raise_sequences(self.source, marks)
        else:
            marks = journal.sequence_marks(self.source, read_schema(self.source))
            with losses(), self.target.transaction():
                target_journal.lift_sequences(self.target, marks)

    def read(self) -> tuple[ControlRow, ControlRow]:
        """The source's row and the target's. Raises NotPreparedError."""
        while True:
            facts = read_source(self.source)
            target = self._read_target()
            if facts is None or target is None:
                name = quote(self.database)
                message = f"{self.database} is only half prepared; run dualdb init {name} again with the same target"
                raise NotPreparedError(message)
            # Of rows that were read one after the other it is true only if the first is still what it was.
            if not both_follow(facts.row, target) or read_source(self.source) == facts:
                return facts.row, target

    def _read_target(self) -> ControlRow | None:
        if not self._prepared:
            found = read_target(self.target)
            self._prepared = found is not None
            return found
        with losses():
            row = self.target.execute(query(_TARGET, "control").encode()).fetchone()
        return None if row is None else _control_row(row)

    def row(self, side: Side) -> ControlRow:
        """The row of that side as last judged."""
        return self._rows[side]

    def overdue(self, judgement: Judgement) -> bool:
        """Whether the move under way has had its time."""
        deadline = self.row(judgement.outgoing).deadline or self.row(judgement.outgoing.other).deadline
        return deadline is None or time.time() > deadline

    def perform(self, step: Step, judgement: Judgement, order: Order | None = None) -> None:
        """Carry out one step in one transaction, or raise OvertakenError when its row is no longer the one judged."""
        side = judgement.side_of(step)
        row, other = self.row(side), self.row(side.other)
        order = order or Order()
        to = order.to or judgement.leads_to or row.move_to or other.move_to or other.phase
        move = Move(number=judgement.move, to=to, deadline=time.time() + order.allowed_s)
        write = self._write_source if side is Side.SOURCE else self._write_target
        at = Circumstances(database=self.database, other=other, aligned_at=order.aligned_at)
        try:
            write(step, row, written(step, row, other, move), at)
        except KeyError as exc:
            raise OvertakenError(overtaken(self.database, step, side)) from exc

    def _write_source(self, step: Step, before: ControlRow, after: ControlRow, at: Circumstances) -> None:
        if step in (Step.DECIDE, Step.TAKE):
            at = replace(at, marks=target_journal.sequence_marks(self.target))
        elif step is Step.SETTLE:
            version = read_version(self.target)
            at = replace(at, carried=target_journal.numbers(self.target), schema_version=version)
        connection = self.source
        with source_change(self.database, connection):
            facts = read_source(connection)
            if facts is None or facts.row != before:
                raise OvertakenError(overtaken(self.database, step, Side.SOURCE))
            effect = SOURCE_EFFECTS.get(step)
            head = effect(connection, at) if effect else None
            connection.execute(query(_SOURCE, "step"), row_values(after, head))

    def _write_target(self, step: Step, before: ControlRow, after: ControlRow, at: Circumstances) -> None:
        if step in (Step.DECIDE, Step.TAKE):
            marks = journal.sequence_marks(self.source, read_schema(self.source))
            at = replace(at, marks=marks, ids=target_journal.automatic_ids(self.target))
        elif step is Step.SETTLE and _begins_anew(before, at.other):
            # The position first: what is made in between is then followed, not taken for copied.
            position = journal.journal_head(self.source)
            at = replace(at, position=position, schema=read_schema(self.source), target_schema=self.facts.target_schema)
        with losses(), self.target.transaction():
            target_journal.hold_briefly(self.target, _STANDSTILL_S)
            if step in (Step.FENCE, Step.YIELD):
                # Before the row lock: taking the tables may have to wait for writers, and the row must stay readable.
                target_journal.enable_fence(self.target, lock_timeout_s=FENCE_LOCK_S)
            if lock_target(self.target) != before:
                raise OvertakenError(overtaken(self.database, step, Side.TARGET))
            effect = TARGET_EFFECTS.get(step)
            head = effect(self.target, at) if effect else None
            self.target.execute(query(_TARGET, "step").encode(), row_values(after, head))


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
    try:
        with announced(database):
            yield
            connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _control_row(found: tuple[Any, ...]) -> ControlRow:
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


def row_values(row: ControlRow, head: str | None = None) -> tuple[Any, ...]:
    """What the query `step` of either side writes, with the journal's head where the row records one."""
    to = row.move_to.value if row.move_to else None
    return row.epoch, row.phase.value, row.move, row.move_state.value, to, row.deadline, head


def _begins_anew(target: ControlRow, source: ControlRow) -> bool:
    """Whether PostgreSQL, which was left, holds something else than the file did when that was taken."""
    if target.move_state is MoveState.YIELDED:
        return True
    return source.phase is Phase.DUAL_WRITE and not unchanged_since(target, source)


def _choose_one(database: str, source: ControlRow, target: ControlRow) -> str:
    return choose_one(database, (source.phase.value, source.epoch), (target.phase.value, target.epoch))
