"""Phases, the moves between them and who is the authority, as literal tables.

Pure: a control row in, a step out. `stores.control` obeys these tables, and the protocol's explorer in the tests
walks the very same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRow:
    """The control row of one side. `deadline` is in seconds since 1970 by the machine's clock and serves liveness only."""

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
    """Lift the fence of the outgoing side: move n can never be decided."""
    SETTLE = "settle"
    """Write the outcome in the outgoing side's row."""
    DONE = "done"
    """Nothing is under way."""


class Standing(Enum):
    """The incoming side's row as seen from the outgoing side's move n."""

    NONE = "none"
    """It has not heard of n."""
    OPEN = "open"
    TAKEN = "taken"
    DEAD = "dead"
    """n was aborted there, or a later move was opened, which needs n aborted first."""


NEXT_STEP: dict[tuple[MoveState, Standing], Step] = {
    # outgoing side, incoming side: what follows. A missing pair cannot happen and is an error.
    (MoveState.REST, Standing.NONE): Step.OPEN,
    (MoveState.REST, Standing.OPEN): Step.FENCE,
    (MoveState.REST, Standing.DEAD): Step.OPEN,
    (MoveState.MOVING, Standing.OPEN): Step.DECIDE,
    (MoveState.MOVING, Standing.DEAD): Step.UNFENCE,
    (MoveState.MOVING, Standing.TAKEN): Step.SETTLE,
    (MoveState.REST, Standing.TAKEN): Step.DONE,
}
