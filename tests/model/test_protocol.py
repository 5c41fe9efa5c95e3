"""A change of authority keeps its promises in every interleaving, and a broken protocol would be found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dualdb.core import delivery
from dualdb.core import phase as protocol
from dualdb.core.delivery import Action, Outcome, State
from dualdb.core.phase import ControlRow, MoveState, Phase, Side, Standing, Step

from .explorer import Limits, Violation, explore

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(Limits(coordinators=1, moves=3, commits=3), id="one coordinator, there and back and there"),
        pytest.param(Limits(coordinators=2, moves=2, commits=2), id="two coordinators, there and back"),
        pytest.param(Limits(coordinators=2, moves=4, commits=0, relays=0), id="two coordinators, four moves"),
        pytest.param(Limits(coordinators=1, moves=3, commits=2, losses=1), id="one coordinator and a fail-over"),
        pytest.param(
            Limits(coordinators=2, moves=3, commits=0, relays=0, losses=1), id="two coordinators and a fail-over"
        ),
        pytest.param(Limits(coordinators=1, relays=2, moves=2, commits=2), id="two relays, one of them late"),
        pytest.param(Limits(coordinators=1, moves=2, commits=3, cuts=2), id="a relay that is cut off while it commits"),
        pytest.param(
            Limits(coordinators=2, relays=2, moves=2, commits=2, cuts=1), id="two of both", marks=pytest.mark.soak
        ),
        pytest.param(
            Limits(coordinators=2, moves=3, commits=3), id="two coordinators, three moves", marks=pytest.mark.soak
        ),
    ],
)
def test_never_two_authorities_never_stuck_nothing_lost(
    limits: Limits, record_property: Callable[[str, object], None]
) -> None:
    """Whatever stops or dies wherever: one authority, no acknowledged commit lost, and bystanders can always end it."""
    found = explore(limits)
    record_property("states", found.states)
    assert found.states > 1_000
    assert {(1, Side.TARGET), (2, Side.SOURCE)} <= found.reached, "the moves are really made, there and back"


def test_a_row_that_was_read_before_a_move_says_nothing_of_it() -> None:
    """Who read the file's row while the move before was aborted, and PostgreSQL's when this one had fenced it, must not
    lift that fence: this one may have been decided in between.
    """
    before = ControlRow(source_id="s", epoch=2, phase=Phase.POSTGRES, move=2, move_state=MoveState.ABORTED)
    fenced = replace(before, move=3, move_state=MoveState.MOVING)
    assert protocol.judge(before, fenced).step is Step.ABORT


@pytest.mark.parametrize("fault", ["decides unaligned", "writes blindly"])
def test_the_explorer_finds_a_coordinator_that_cheats(fault: str) -> None:
    """A coordinator that skips the alignment, or writes without comparing, breaks an invariant."""
    with pytest.raises(Violation):
        explore(Limits(faults=frozenset({fault})))


def test_the_explorer_finds_a_relay_that_cheats() -> None:
    """A late relay that does not compare the watermark turns the follower back."""
    with pytest.raises(Violation):
        explore(Limits(coordinators=1, relays=2, moves=0, faults=frozenset({"applies blindly"})))


@pytest.mark.parametrize("state", [State.PROGRESSING, State.ALIGNED])
def test_the_explorer_finds_a_wrong_entry_in_the_relays_table(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    """A relay that was overtaken and does not read the watermark again is overtaken for ever."""
    monkeypatch.setitem(delivery.RELAY, (state, Outcome.OVERTAKEN), (state, Action.BATCH))
    with pytest.raises(Violation, match="a relay alone does not bring the follower"):
        explore(Limits(coordinators=1, relays=2, moves=0, commits=3))


@pytest.mark.parametrize(
    ("key", "step"),
    [
        ((True, Standing.DEAD), Step.SETTLE),
        ((False, Standing.OPEN), Step.DECIDE),
        ((True, Standing.UNHEARD), Step.UNFENCE),
        ((True, Standing.TAKEN), Step.UNFENCE),
    ],
)
def test_the_explorer_finds_a_wrong_step(
    monkeypatch: pytest.MonkeyPatch, key: tuple[bool, Standing], step: Step
) -> None:
    """The table that the product obeys is the one explored: change an entry and a promise breaks."""
    monkeypatch.setitem(protocol.NEXT_STEP, key, step)
    with pytest.raises((Violation, KeyError)):
        explore(Limits(moves=2, losses=1))


@pytest.mark.parametrize(
    ("key", "state"),
    [
        ((Step.OPEN, MoveState.ABORTED), MoveState.ABORTED),
        ((Step.FENCE, MoveState.TAKEN), MoveState.TAKEN),
        ((Step.DECIDE, MoveState.OPEN), MoveState.REST),
        ((Step.ABORT, MoveState.OPEN), MoveState.REST),
        ((Step.UNFENCE, MoveState.MOVING), MoveState.MOVING),
        ((Step.SETTLE, MoveState.MOVING), MoveState.MOVING),
        ((Step.SETTLE, MoveState.MOVING), MoveState.TAKEN),
    ],
)
def test_the_explorer_finds_a_wrong_state(
    monkeypatch: pytest.MonkeyPatch, key: tuple[Step, MoveState], state: MoveState
) -> None:
    """What a step leaves behind decides whether another one can follow."""
    monkeypatch.setitem(protocol.WRITES, key, state)
    with pytest.raises((Violation, KeyError)):
        explore(Limits(coordinators=1, moves=3, commits=1, losses=1))


@pytest.mark.parametrize("step", [Step.DECIDE, Step.ABORT, Step.UNFENCE, Step.SETTLE])
def test_the_explorer_finds_a_bystander_who_does_nothing(monkeypatch: pytest.MonkeyPatch, step: Step) -> None:
    """Who waits behind a fence, and whoever else comes by, can end what a dead coordinator has left."""
    monkeypatch.setitem(protocol.BYSTANDER, step, None)
    with pytest.raises(Violation, match="stuck although both databases answer"):
        explore(Limits(coordinators=1, moves=2, commits=1, losses=1))
