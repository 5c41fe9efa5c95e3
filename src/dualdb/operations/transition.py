"""`dualdb advance` and `dualdb rollback`: the way from phase to phase, each step of it resumable.

Nothing is remembered but the control rows: whoever runs the same command after a crash judges them anew and does what
follows. A change of authority goes

1. align, verify everything, then only what changed since, until little is left (the application writes all the while);
2. OPEN the move on the incoming side, FENCE the outgoing one: from here writers wait;
3. carry and verify the residue; DECIDE on the incoming side: writers go on there;
4. SETTLE the outgoing side, which follows from now on.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.events import TriggerNotRestored
from dualdb.core.phase import AUTHORITY, BACK, FORWARD, MoveState, Phase, Side, Step
from dualdb.errors import (
    BusyError,
    DualdbError,
    LineageError,
    MismatchError,
    NotPreparedError,
    OvertakenError,
    PhaseError,
    TargetError,
)
from dualdb.operations import alignment, readiness
from dualdb.operations.coordination import coordinating
from dualdb.operations.verify import Wishes, verify
from dualdb.settings import Settings
from dualdb.stores import mirror
from dualdb.stores.control import Control, Order, read_source
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_pair_until_aligned
from dualdb.stores.source_file import connect_source
from dualdb.stores.standing import SourceStanding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.events import Report as Observer
    from dualdb.core.phase import Judgement
    from dualdb.operations.verify_report import Report
    from dualdb.stores.standing import KeptTrigger


_FULL_VERIFICATIONS = 3
"""How often everything is compared anew because of commits that the journal does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step from phase to phase, done."""

    before: Phase
    after: Phase
    duration_s: float
    rows_moved: int
    """Rows that the relay carried during the step."""
    fenced_s: float
    """How long no side accepted writes; 0 where the authority stays."""
    verified: Report | None
    """What comparing every row before the fence found; None where the authority stays."""
    residue: Report | None = None
    """What comparing the rows carried behind the fence found."""
    given_up: Phase | None = None
    """Where a move led that was under way, the other way, and was given up: the phase is what it was."""
    settled: bool = True
    """Whether the side that was left has heard of the decision; else it hears as soon as it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What every function below needs: the file, who is told what happens, the numbers to work with."""

    database: str
    observer: Observer
    settings: Settings


def advance(
    database: str, to: Phase | None = None, *, observer: Observer, settings: Settings | None = None
) -> list[StepReport]:
    """Take the next step forward, or all steps up to `to`; returns one report per step taken.

    A step that an earlier run began and did not end is finished first, and counts. Raises PhaseError when `to` does
    not lie ahead or something blocks the step, BusyError when another coordinator is at work, MismatchError when
    verification found a difference.
    """
    task = _Task(database=os.path.realpath(database), observer=observer, settings=settings or Settings())
    with coordinating(task.database):
        steps = _finish(task)
        while not (steps if to is None or _is_unsettled(steps) else _phase(task) is to):
            phase = _phase(task)
            if phase not in FORWARD or (to is not None and to not in _along(FORWARD, phase)):
                raise PhaseError(_no_way(task.database, phase, to))
            steps.append(_take(task, phase, FORWARD[phase]))
        return steps


def rollback(database: str, *, observer: Observer, settings: Settings | None = None) -> StepReport:
    """Take one step back: from postgres to dual_write, from dual_write to sqlite. Raises as `advance` does.

    A move that an earlier run left under way is ended, and is the step. Who knows only that an earlier run failed does
    not know whether it was: `rollback_to` goes no further than it is told.
    """
    task = _Task(database=os.path.realpath(database), observer=observer, settings=settings or Settings())
    with coordinating(task.database):
        begun = _unfinished_move(task, BACK)
        if begun is not None:
            return begun
        phase = _phase(task)
        if phase not in BACK:
            message = (
                f"{database} is in phase {phase.value}, and nothing lies behind it; see dualdb status {quote(database)}"
            )
            raise PhaseError(message)
        return _take(task, phase, BACK[phase])


def rollback_to(database: str, to: Phase, *, observer: Observer, settings: Settings | None = None) -> list[StepReport]:
    """Take all steps back to that phase, none where it is in force; returns one report per step taken.

    A step that an earlier run began and did not end is finished first, and counts. Raises as `advance` does.
    """
    task = _Task(database=os.path.realpath(database), observer=observer, settings=settings or Settings())
    with coordinating(task.database):
        begun = _unfinished_move(task, BACK)
        steps = [] if begun is None else [begun]
        while (phase := _phase(task)) is not to:
            if to not in _along(BACK, phase):
                message = f"{task.database} is in phase {phase.value}, and {to.value} does not lie behind it"
                raise PhaseError(f"{message}; go there with {_command(task.database, to, FORWARD)}")
            steps.append(_take(task, phase, BACK[phase]))
        return steps


# --- finishing what was begun ---------------------------------------------------------------------------------------


def _finish(task: _Task) -> list[StepReport]:
    """End whatever an earlier run left under way; the steps that this completed."""
    steps = []
    begun = _unfinished_move(task, FORWARD)
    if begun is not None:
        steps.append(begun)
    if _phase(task) is Phase.DUAL_WRITE and not alignment.was_aligned(task.database):
        steps.append(_take(task, Phase.SQLITE, Phase.DUAL_WRITE))
    return steps


def _unfinished_move(task: _Task, way: Mapping[Phase, Phase]) -> StepReport | None:
    """End a change of authority that is under way: its report if it was decided, or if it led the other way and was
    given up; None when it is to be taken anew, or when there is none.
    """
    at_home = _is_at_home(task)
    began = time.monotonic()
    try:
        with Control.open(task.database) as control:
            judgement = control.judge()
            if judgement.step is Step.OPEN:
                return None
            leaving, coming = control.row(judgement.outgoing), control.row(judgement.outgoing.other)
            before = Phase.POSTGRES if leaving.move_state is MoveState.YIELDED else leaving.phase
            after = _conclude(control)
            if AUTHORITY[before] is not AUTHORITY[after] is Side.SOURCE:
                _tell_triggers(task, control)  # who decided may have died before telling; of earlier ones it is unknown
    except (TargetError, LineageError, NotPreparedError) as exc:
        # The file's own row says that it is the authority: what is wrong with the target is not in the way here.
        if at_home or (isinstance(exc, LineageError) and _is_at_home(task)):  # it may just have been freed of its fence
            return None
        raise
    led_to = leaving.move_to or coming.move_to
    if after is before and led_to is way.get(before):
        return None
    return replace(_report(before, after, began=began), given_up=led_to if after is before else None)


def _is_at_home(task: _Task) -> bool:
    return AUTHORITY[_phase(task)] is Side.SOURCE and _move_state(task.database) is not MoveState.MOVING


def _conclude(control: Control) -> Phase:
    """Settle what was decided and give up what was not; returns the phase in force."""
    while True:
        judgement = control.judge()
        if judgement.step is Step.OPEN:
            return control.row(judgement.outgoing).phase
        undecided = judgement.step in (Step.FENCE, Step.DECIDE)
        _perform(control, Step.ABORT if undecided else judgement.step, judgement)


def _perform(control: Control, step: Step, judgement: Judgement, order: Order | None = None) -> bool:
    """Whether the step was taken here; False when somebody else moved on first, and the rows must be judged anew."""
    try:
        control.perform(step, judgement, order)
    except OvertakenError:
        return False
    return True


# --- one step -------------------------------------------------------------------------------------------------------


def _take(task: _Task, before: Phase, after: Phase) -> StepReport:
    if AUTHORITY[before] is not AUTHORITY[after]:
        return _change_authority(task, before, after)
    return _begin_mirror(task) if after is Phase.DUAL_WRITE else _end_mirror(task)


def _begin_mirror(task: _Task) -> StepReport:
    began = time.monotonic()
    with Control.open(task.database) as control:
        readiness.check(control, Phase.DUAL_WRITE)
        mirror.begin(control)
    with Pair.open(task.database) as pair:
        moved = relay_pair_until_aligned(pair, task.observer, task.settings.align_s)
    return _report(Phase.SQLITE, Phase.DUAL_WRITE, began=began, rows_moved=moved)


def _end_mirror(task: _Task) -> StepReport:
    began = time.monotonic()
    try:
        with Control.open(task.database) as control:
            mirror.end(control)
    except (TargetError, LineageError, NotPreparedError):
        if _phase(task) is Phase.DUAL_WRITE:  # else only the target has not heard of it, and learns at the next advance
            with connect_source(task.database) as source:
                mirror.stop_capturing(task.database, source)
    return _report(Phase.DUAL_WRITE, Phase.SQLITE, began=began)


def _change_authority(task: _Task, before: Phase, after: Phase) -> StepReport:
    began = time.monotonic()
    with Pair.open(task.database) as pair, Control.open(task.database) as control:
        readiness.check(control, after)
        lost = SourceStanding(control.source).triggers()
        moved, verified = _approach(task, pair)
        fenced = time.monotonic()
        switch = _Switch(task, pair, control, after)
        settled = _switched(switch, before)
        fenced_s = time.monotonic() - fenced
        if AUTHORITY[after] is Side.SOURCE:
            _tell_triggers(task, control, lost)
    report = _report(before, after, began=began, rows_moved=moved + switch.moved)
    return replace(report, fenced_s=fenced_s, verified=verified, residue=switch.residue, settled=settled)


def _tell_triggers(task: _Task, control: Control, before: Sequence[KeptTrigger] = ()) -> None:
    """Tell which triggers did not come back, but for those of which it was known before."""
    for trigger in (Counter(SourceStanding(control.source).triggers()) - Counter(before)).elements():
        task.observer(TriggerNotRestored(name=trigger.name, reason=trigger.reason))


def _approach(task: _Task, pair: Pair) -> tuple[int, Report]:
    """Align and verify everything, then what changed since until that is little enough to be done behind a fence; how
    many rows were carried, and what the verification of everything found.
    """
    moved = 0
    for _ in range(_FULL_VERIFICATIONS):
        moved += relay_pair_until_aligned(pair, task.observer, task.settings.align_s)
        uncaptured = pair.source.uncaptured
        everything = report = _verified(task, pair, full=True)
        while report.full or report.compared > task.settings.residue_keys:
            moved += relay_pair_until_aligned(pair, task.observer, task.settings.align_s)
            report = _verified(task, pair, full=False)
        if pair.source.uncaptured == uncaptured:
            return moved, everything
        # What was committed and not captured may have changed a row that was compared before.
    raise PhaseError(_past_the_triggers(task.database))


def _past_the_triggers(database: str) -> str:
    return (
        f"something was committed to {database} past its triggers: by a program that uses incremental blob I/O or"
        " disables triggers, or harmlessly by a TRUNCATE or RESTART checkpoint (a replicator's), by PRAGMA user_version"
        " or by DROP of a _dualdb_aside_ table; nothing was switched: find and stop it, then try again"
    )


def _verified(task: _Task, pair: Pair, *, full: bool) -> Report:
    # Ids that would be given twice do not stand in the way: the decision raises every sequence past those ever used.
    report = verify(pair, full=full, observer=task.observer)
    if not report.rows_agree:
        raise MismatchError(_mismatch(task.database, report))
    if report.quarantined:
        message = (
            f"{_rows(report.quarantined)} in quarantine, for the other side cannot hold what is there;"
            f" see dualdb status {quote(task.database)} and change or delete them"
        )
        raise PhaseError(message)
    return report


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"


def _mismatch(database: str, report: Report) -> str:
    remedy = (
        f"see dualdb verify {quote(database)}, and bring them over again with dualdb verify --repair {quote(database)}"
    )
    if report.mismatched:
        rows = "1 row differs" if report.mismatched == 1 else f"{report.mismatched} rows differ"
        return f"verification found that {rows} between the two sides; {remedy}"
    if report.miscounted:
        names = ", ".join(table.name for table in report.miscounted)
        return f"verification counted different numbers of rows in {names}; {remedy}"
    return (
        f"{report.unsettled} keys changed too often to be compared, and nothing is known of them;"
        " try again at a quieter time"
    )


def _switched(switch: _Switch, before: Phase) -> bool:
    """OPEN, FENCE, carry and verify the residue, DECIDE, SETTLE; gives up, un-fenced, when time runs out.

    Returns whether the side that was left has heard of the decision.
    """
    again = _command(switch.task.database, switch.after, FORWARD if switch.after is FORWARD.get(before) else BACK)
    try:
        switch.run()
    except BaseException as exc:
        exc.add_note(f"{again} goes on from here")
        # Whatever went wrong, writers wait behind the fence: what is undecided is given up before it is told.
        try:
            phase = _conclude(switch.control)
        except TargetError as lost:
            if switch.decided and isinstance(exc, DualdbError):
                return False
            if not isinstance(exc, Exception):
                raise exc from None
            message = f"{lost}; when PostgreSQL is back run {again}, which takes this step and none beyond it"
            raise type(lost)(message) from exc
        if phase is not switch.after or not isinstance(exc, DualdbError):
            raise
    return True


class _Switch:
    """One change of authority, by one coordinator; judged anew before each step, since others may take steps too."""

    def __init__(self, task: _Task, pair: Pair, control: Control, after: Phase) -> None:
        self.task = task
        self._pair = pair
        self.control = control
        self.after = after
        self._mine: int | None = None
        self.moved = 0
        """Rows carried behind the fence."""
        self.residue: Report | None = None
        """What verifying them found."""
        self.decided = False
        """By this coordinator, for certain."""
        self._uncaptured = pair.source.uncaptured

    def run(self) -> None:
        """Take steps until the phase is there."""
        while True:
            judgement = self.control.judge()
            if judgement.step is Step.OPEN and self.control.row(judgement.outgoing).phase is self.after:
                return
            self._advance(judgement)

    def _advance(self, judgement: Judgement) -> None:
        step, allowed_s = judgement.step, self.task.settings.move_allowed_s
        if step is Step.OPEN:
            if self._mine is not None:
                raise BusyError(_gave_up(self.task.database, self.after, allowed_s))
            self._mine = judgement.move
            self._perform(step, judgement, Order(to=self.after, allowed_s=allowed_s))
        elif step is Step.FENCE and judgement.move == self._mine:
            self._perform(step, judgement, Order(allowed_s=allowed_s))
        elif step is Step.FENCE or (step is Step.DECIDE and self.control.overdue(judgement)):
            self._perform(Step.ABORT, judgement)
        elif step is Step.DECIDE:
            self._decide(judgement)
        else:
            self._perform(step, judgement)

    def _decide(self, judgement: Judgement) -> None:
        self.moved += relay_pair_until_aligned(self._pair, self.task.observer, self.task.settings.move_allowed_s)
        self.residue = _verified_residue(self.task, self._pair, self.control)
        mark = self._pair.covering_mark()
        if self._pair.source.uncaptured != self._uncaptured:
            raise PhaseError(_past_the_triggers(self.task.database))
        # What was done here may have taken long: then others may have moved on, or it is given up.
        if mark is not None and self.control.judge() == judgement and not self.control.overdue(judgement):
            self.decided = self._perform(Step.DECIDE, judgement, Order(aligned_at=mark))

    def _perform(self, step: Step, judgement: Judgement, order: Order | None = None) -> bool:
        return _perform(self.control, step, judgement, order)


def _verified_residue(task: _Task, pair: Pair, control: Control) -> Report:
    wishes = Wishes(control=control)
    report = verify(pair, full=False, observer=task.observer, counts=False, wishes=wishes)
    if not report.rows_agree:
        message = (
            f"the rows carried behind the fence differ; nothing was switched: see dualdb verify {quote(task.database)}"
        )
        raise MismatchError(message)
    if report.quarantined:
        message = (
            f"{report.quarantined} of the rows written last cannot be held by the other side, and nothing was switched;"
            f" see dualdb status {quote(task.database)} and change or delete them"
        )
        raise PhaseError(message)
    return report


def _report(before: Phase, after: Phase, *, began: float, rows_moved: int = 0) -> StepReport:
    return StepReport(
        before=before,
        after=after,
        duration_s=time.monotonic() - began,
        rows_moved=rows_moved,
        fenced_s=0.0,
        verified=None,
    )


# --- where the file stands ------------------------------------------------------------------------------------------


def _phase(task: _Task) -> Phase:
    with connect_source(task.database) as source:
        facts = read_source(source)
    if facts is None:
        message = f"{task.database} is not prepared; run: dualdb init {quote(task.database)} --target …"
        raise NotPreparedError(message)
    return facts.row.phase


def _move_state(database: str) -> MoveState:
    with connect_source(database) as source:
        facts = read_source(source)
    return MoveState.REST if facts is None else facts.row.move_state


def _is_unsettled(steps: Sequence[StepReport]) -> bool:
    return bool(steps) and not steps[-1].settled


def _along(way: Mapping[Phase, Phase], phase: Phase) -> list[Phase]:
    found = []
    while phase in way:
        phase = way[phase]
        found.append(phase)
    return found


def _command(database: str, to: Phase, way: Mapping[Phase, Phase]) -> str:
    """The command that goes there and, run however often, no further."""
    return f"dualdb {'advance' if way is FORWARD else 'rollback'} {quote(database)} --to {to.value}"


def _no_way(database: str, phase: Phase, to: Phase | None) -> str:
    if to is None:
        return f"{database} is in phase {phase.value}, the last one; go back with dualdb rollback {quote(database)}"
    way = (
        f"go back with {_command(database, to, BACK)}"
        if to in BACK.values()
        else f"see dualdb status {quote(database)}"
    )
    return f"{database} is in phase {phase.value}, and {to.value} does not lie ahead of it; {way}"


def _gave_up(database: str, to: Phase, allowed_s: float) -> str:
    again = _command(database, to, FORWARD if to is Phase.POSTGRES else BACK)
    return (
        f"the switch of {database} was not done within {allowed_s:g} s and was given up, nothing has changed;"
        f" at a quieter time run {again}"
    )
