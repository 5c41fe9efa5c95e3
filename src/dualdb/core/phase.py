"""Phases, the moves between them and who is the authority, as literal tables.

Pure: a control row in, a step out. `stores.control` obeys these tables, and the protocol's explorer in the tests
walks the very same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple


class Side(Enum):
    """One of the two databases of a pair, fixed for life."""

    SOURCE = "source"
    """The SQLite file."""
    TARGET = "target"
    """PostgreSQL."""

    @property
    def other(self) -> Side:
        """The other one."""
        return Side.TARGET if self is Side.SOURCE else Side.SOURCE


class Phase(Enum):
    """Where the application's move stands."""

    SQLITE = "sqlite"
    """Prepared, nothing mirrored."""
    DUAL_WRITE = "dual_write"
    """SQLite is the authority, PostgreSQL follows."""
    POSTGRES = "postgres"
    """PostgreSQL is the authority, SQLite follows."""


AUTHORITY = {Phase.SQLITE: Side.SOURCE, Phase.DUAL_WRITE: Side.SOURCE, Phase.POSTGRES: Side.TARGET}
FORWARD = {Phase.SQLITE: Phase.DUAL_WRITE, Phase.DUAL_WRITE: Phase.POSTGRES}
"""`advance` goes one step along these."""
BACK = {Phase.POSTGRES: Phase.DUAL_WRITE, Phase.DUAL_WRITE: Phase.SQLITE}
"""`rollback` goes one step along these."""


class MoveState(Enum):
    """What one side's control row says about move number n."""

    REST = "rest"
    """No move under way on this side."""
    MOVING = "moving"
    """This side, the outgoing authority, is fenced for move n."""
    OPEN = "open"
    """This side, the incoming authority, may still be taken by move n."""
    TAKEN = "taken"
    """Move n was decided here: this side is the authority."""
    ABORTED = "aborted"
    """Move n was given up here and can never be decided."""
    YIELDED = "yielded"
    """Of two sides that followed each other this one has given way, by move n: the other one is the authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRow:
    """The control row of one side.

    `deadline` is in seconds since 1970 by the machine's clock and serves liveness only. `fenced_head` is the journal's
    head at the fence of a side that is moving, and at the decision on the side that was taken.
    """

    source_id: str
    epoch: int
    phase: Phase
    move: int = 0
    move_state: MoveState = MoveState.REST
    move_to: Phase | None = None
    deadline: float | None = None
    fenced_head: str | None = None


class Step(Enum):
    """What a coordinator, or whoever meets the result of a dead one, does next in a change of authority."""

    OPEN = "open"
    """Write move n as open on the incoming side."""
    FENCE = "fence"
    """Fence the outgoing side and write `moving` there, in one transaction."""
    DECIDE = "decide"
    """Align, then compare-and-set n from open to taken on the incoming side. After the deadline: ABORT instead."""
    ABORT = "abort"
    """Compare-and-set n from open to aborted on the incoming side."""
    UNFENCE = "unfence"
    """Lift the fence of the outgoing side: its move can never be decided."""
    SETTLE = "settle"
    """Write the outcome in the outgoing side's row, which makes it the follower."""
    YIELD = "yield"
    """Where each side follows the other: write in PostgreSQL's row, which alone decides that, that the file goes on."""
    TAKE = "take"
    """Make the side that goes on the authority: PostgreSQL by its own row, the file once PostgreSQL has yielded."""


class Standing(Enum):
    """The incoming side's row as seen from the outgoing side."""

    NONE = "none"
    """Nothing is open there."""
    OPEN = "open"
    """The outgoing side's move, or the one it is about to be fenced for, is open."""
    TAKEN = "taken"
    """The outgoing side's move was decided."""
    UNHEARD = "unheard"
    """It knows nothing of the move that the outgoing side is fenced for: a fail-over or a backup has forgotten it."""
    DEAD = "dead"
    """The outgoing side's move was aborted; a later move that is open proves the same, for it needs that first."""


NEXT_STEP: dict[tuple[bool, Standing], Step] = {
    # (is the outgoing side fenced, how the incoming side stands): what follows. A missing pair cannot happen.
    (False, Standing.NONE): Step.OPEN,
    (False, Standing.OPEN): Step.FENCE,
    (True, Standing.OPEN): Step.DECIDE,
    (True, Standing.UNHEARD): Step.ABORT,
    (True, Standing.DEAD): Step.UNFENCE,
    (True, Standing.TAKEN): Step.SETTLE,
}
FOLLOWS_NOBODY: dict[MoveState, Step] = {
    # Where each side follows the other, by the state of PostgreSQL's row; by any other, somebody has to choose.
    MoveState.YIELDED: Step.TAKE,
}


class Choice(NamedTuple):
    """Which of two sides that follow each other goes on."""

    step: Step
    """What decides it; both write PostgreSQL's row."""
    to: Phase
    """The phase in which that side goes on."""


CHOICE: dict[Side, Choice] = {
    # By the side that goes on.
    Side.SOURCE: Choice(Step.YIELD, Phase.DUAL_WRITE),
    Side.TARGET: Choice(Step.TAKE, Phase.POSTGRES),
}

WRITES: dict[tuple[Step, MoveState], MoveState] = {
    # What a step makes of the row that it compares-and-sets. A missing pair means: somebody moved on first.
    (Step.OPEN, MoveState.REST): MoveState.OPEN,
    (Step.OPEN, MoveState.ABORTED): MoveState.OPEN,
    (Step.FENCE, MoveState.REST): MoveState.MOVING,
    (Step.FENCE, MoveState.TAKEN): MoveState.MOVING,
    (Step.DECIDE, MoveState.OPEN): MoveState.TAKEN,
    (Step.ABORT, MoveState.OPEN): MoveState.ABORTED,
    (Step.ABORT, MoveState.REST): MoveState.ABORTED,
    (Step.ABORT, MoveState.ABORTED): MoveState.ABORTED,
    (Step.ABORT, MoveState.YIELDED): MoveState.ABORTED,  # it was restored from a backup of in between
    (Step.UNFENCE, MoveState.MOVING): MoveState.REST,
    (Step.SETTLE, MoveState.MOVING): MoveState.REST,
    (Step.SETTLE, MoveState.YIELDED): MoveState.REST,
    # A side that was restored may be in any state but this: one that has yielded can neither do so again nor be taken.
    (Step.YIELD, MoveState.REST): MoveState.YIELDED,
    (Step.YIELD, MoveState.MOVING): MoveState.YIELDED,
    (Step.YIELD, MoveState.OPEN): MoveState.YIELDED,
    (Step.YIELD, MoveState.TAKEN): MoveState.YIELDED,
    (Step.YIELD, MoveState.ABORTED): MoveState.YIELDED,
    (Step.TAKE, MoveState.REST): MoveState.TAKEN,
    (Step.TAKE, MoveState.MOVING): MoveState.TAKEN,
    (Step.TAKE, MoveState.OPEN): MoveState.TAKEN,
    (Step.TAKE, MoveState.TAKEN): MoveState.TAKEN,
    (Step.TAKE, MoveState.ABORTED): MoveState.TAKEN,
}

ROLE: dict[Step, bool] = {
    # Whether the step writes on the incoming side.
    Step.OPEN: True,
    Step.FENCE: False,
    Step.DECIDE: True,
    Step.ABORT: True,
    Step.UNFENCE: False,
    Step.SETTLE: False,
    Step.YIELD: False,
    Step.TAKE: True,
}

BYSTANDER: dict[Step, Step | None] = {
    # What a writer that meets a fence may do by itself; DECIDE becomes ABORT once the deadline has passed.
    Step.OPEN: None,
    Step.FENCE: None,
    Step.DECIDE: Step.ABORT,
    Step.ABORT: Step.ABORT,
    Step.UNFENCE: Step.UNFENCE,
    Step.SETTLE: Step.SETTLE,
    Step.YIELD: None,
    Step.TAKE: Step.TAKE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Both control rows read together: which way a move goes, and what follows."""

    outgoing: Side
    """The side that is, or was until the move is settled, the authority; or has given way to the other one."""
    step: Step
    move: int
    """Number of the move under way; of the next one when none is."""

    @property
    def authority(self) -> Side | None:
        """Who accepts writes now; None while a fenced move is undecided or its end not yet written."""
        return self.outgoing if self.step in (Step.OPEN, Step.FENCE) else None

    @property
    def leads_to(self) -> Phase | None:
        """The phase that a choice leads to; None for a move, whose row says it."""
        return CHOICE[self.outgoing.other].to if self.step in _CHOOSING else None

    def side_of(self, step: Step) -> Side:
        """The side whose row that step of this move writes."""
        return self.outgoing.other if ROLE[step] else self.outgoing


def judge(source: ControlRow, target: ControlRow) -> Judgement:
    """What both rows say together. The rows may be read one after the other, the source's first.

    Raises KeyError for a pair of rows that the protocol cannot produce.
    """
    if both_follow(source, target):
        move = max(source.move + 1, target.move)
        return Judgement(outgoing=Side.TARGET, step=FOLLOWS_NOBODY[target.move_state], move=move)
    outgoing = _outgoing(source, target)
    leaving, coming = (source, target) if outgoing is Side.SOURCE else (target, source)
    fenced = leaving.move_state in _LEFT
    standing = _standing(leaving, coming, fenced=fenced)
    step = NEXT_STEP[fenced, standing]
    move = max(source.move, target.move) + 1 if step is Step.OPEN else coming.move
    return Judgement(outgoing=outgoing, step=step, move=leaving.move if fenced else move)


def both_follow(source: ControlRow, target: ControlRow) -> bool:
    """Whether each side takes the other one for the authority: one of them was restored from a backup.

    No move leads there: the file says `postgres` only after PostgreSQL does, and ceases to before PostgreSQL ceases to,
    each time in a later epoch. It holds for rows that were read one after the other if the source's was still the same
    after the target's was read.
    """
    return source.phase is Phase.POSTGRES and (target.phase is not Phase.POSTGRES or target.epoch < source.epoch)


def chosen(source: ControlRow, target: ControlRow, goes_on: Side) -> Judgement:
    """The step that decides which of two sides that follow each other goes on. Raises KeyError when that is decided."""
    if not both_follow(source, target) or target.move_state in FOLLOWS_NOBODY:
        raise KeyError(goes_on)
    return Judgement(outgoing=goes_on.other, step=CHOICE[goes_on].step, move=max(source.move, target.move) + 1)


def restored(source: ControlRow, target: ControlRow) -> Side | None:
    """The side that is older than what the other one has heard of it: it was restored from a backup, or replaced.

    Of two rows that were not read at once it proves that of the one read last: the other one may only have moved on.
    """
    settling = source.move == target.move and MoveState.MOVING in (source.move_state, target.move_state)
    if settling or target.move_state is MoveState.YIELDED:
        return None
    # Who was taken by a move had the other one fenced for it. Epochs may tie: the file goes back to sqlite alone.
    if target.move_state is MoveState.TAKEN and source.move < target.move:
        return Side.SOURCE
    if source.move_state is MoveState.TAKEN and target.move < source.move:
        return Side.TARGET
    if source.epoch == target.epoch:
        return None if AUTHORITY[source.phase] is AUTHORITY[target.phase] else Side.SOURCE
    if target.epoch > source.epoch:
        return Side.SOURCE
    # One step between these two phases the source takes first, and alone while the target is away; before it takes
    # another one the target hears of it.
    alone = {source.phase, target.phase} == {Phase.SQLITE, Phase.DUAL_WRITE} and source.epoch == target.epoch + 1
    return None if alone else Side.TARGET


def led_by(authority: ControlRow, row: ControlRow) -> ControlRow:
    """The row of a side that was restored, and becomes the follower of an authority with that row."""
    # A move that was begun there and not decided can be decided by nobody: this side has forgotten it.
    state = MoveState.ABORTED if authority.move_state is MoveState.MOVING else MoveState.REST
    heard = replace(row, epoch=authority.epoch, phase=authority.phase, move=authority.move)
    return replace(heard, move_state=state, move_to=None, deadline=None, fenced_head=None)


def unchanged_since(left: ControlRow, taken: ControlRow) -> bool:
    """Whether the side that a move has taken is still in the epoch that the decision began, so that what its row says
    of that instant holds; by the row of the side that was left, and has yet to hear of it.

    The file may have left the mirror since, have been written to with nobody capturing it, and have begun another one.
    """
    return taken.epoch == left.epoch + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of authority: its number, where it leads, and until when it may be decided."""

    number: int
    to: Phase
    deadline: float


def written(step: Step, row: ControlRow, other: ControlRow, move: Move) -> ControlRow:
    """The row that a step of that move leaves in place of `row`; `other` is the other side's.

    Raises KeyError when the row no longer allows the step: somebody moved on first.
    """
    state = WRITES[step, row.move_state]
    begins = step in (Step.OPEN, Step.FENCE)
    unheard = step is Step.ABORT and row.move_state is not MoveState.OPEN
    if not (move.number > row.move if begins or unheard or step in _CHOOSING else move.number == row.move):
        raise KeyError(move.number)
    after = replace(row, move=move.number, move_state=state, move_to=None, deadline=None, fenced_head=None)
    if begins:
        return replace(after, move_to=move.to, deadline=move.deadline)
    if step is Step.YIELD:  # it may have been the authority once; by its own row it is none from here on
        return replace(after, phase=move.to, move_to=move.to)
    if step in (Step.DECIDE, Step.TAKE):
        return replace(after, phase=move.to, epoch=max(row.epoch, other.epoch) + 1)
    if step is Step.SETTLE:
        return replace(after, phase=other.phase, epoch=other.epoch)
    return after


_LEFT = (MoveState.MOVING, MoveState.YIELDED)
"""States of a side that is fenced, and has yet to hear what became of it. Only PostgreSQL yields."""
_CHOOSING = (Step.YIELD, Step.TAKE)
_OF_THIS_MOVE = {MoveState.TAKEN: Standing.TAKEN, MoveState.ABORTED: Standing.DEAD}


def _outgoing(source: ControlRow, target: ControlRow) -> Side:
    if source.move_state is MoveState.MOVING:
        return Side.SOURCE
    if target.move_state in _LEFT:
        return Side.TARGET
    newer = source if source.epoch >= target.epoch else target
    return AUTHORITY[newer.phase]


def _standing(leaving: ControlRow, coming: ControlRow, *, fenced: bool) -> Standing:
    if not fenced:
        return Standing.OPEN if coming.move_state is MoveState.OPEN else Standing.NONE
    if leaving.move_state is MoveState.YIELDED:  # and the file is the authority by its own row, or it would be taken
        return Standing.TAKEN
    if coming.move > leaving.move:
        return Standing.DEAD
    if coming.move < leaving.move:  # whatever it says is of an earlier move; it may just have been read before this one
        return Standing.UNHEARD
    return _OF_THIS_MOVE.get(coming.move_state, Standing.OPEN)
