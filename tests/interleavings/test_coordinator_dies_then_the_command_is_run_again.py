"""A coordinator is killed at a statement of a move, writers writing; the same command ends what it began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.interleavings import oracle
from tests.interleavings.strike import KILL, counting, sample, sweep

if TYPE_CHECKING:
    from tests.interleavings.faults import Fault
    from tests.interleavings.scene import Scene

MOVES = [("sqlite", "dual_write"), ("dual_write", "postgres"), ("postgres", "dual_write"), ("dual_write", "sqlite")]
OPENS = "move_state = "
"""In the first statement of a change of authority; what comes before it, carrying and verifying, takes many rounds."""
SINCE = {move: OPENS if "postgres" in move else "" for move in MOVES}
each_move = pytest.mark.parametrize(("before", "after"), MOVES, ids=[" to ".join(move) for move in MOVES])


def kill(scene: Scene, before: str, after: str, fault: Fault) -> bool:
    """One run from phase to phase that is killed; whether it was. What must be true is checked at the end of it."""
    scene.lead(before)
    scene.start_writers()
    coordinator = scene.coordinate(after, fault=fault)
    coordinator.wait("ended", timeout_s=90)
    point = scene.points(coordinator)
    struck = point is not None and point.statement is not None
    print(f"{before} to {after}, {fault.text}: {point}")
    scene.writers_go_on()
    oracle.check_never_two(scene.standing())
    scene.lead(after, again=True)
    scene.writers_go_on()
    scene.check(after)
    return struck


def count(scene: Scene, before: str, after: str) -> int:
    """How many changes a coordinator sends for a move that nothing disturbs, since the move is open."""
    scene.lead(before)
    scene.start_writers()
    coordinator = scene.coordinate(after, fault=counting(SINCE[before, after]))
    coordinator.succeeds(timeout_s=90)
    point = scene.points(coordinator)
    assert point is not None
    scene.check(after)
    return point.number


@each_move
def test_a_coordinator_killed_at_any_statement_loses_nothing(scene: Scene, before: str, after: str) -> None:
    total = count(scene, before, after)
    salt = f"coordinator killed from {before} to {after}"
    for fault in sample(KILL, total, 1, salt, SINCE[before, after]):
        kill(scene, before, after, fault)


@pytest.mark.soak
@pytest.mark.parametrize("sent", [False, True], ids=["after it was answered", "before it is sent"])
@each_move
def test_a_coordinator_killed_at_every_statement_loses_nothing(
    scene: Scene, before: str, after: str, sent: bool
) -> None:
    since = SINCE[before, after]
    number = sweep(scene, KILL, before=sent, strike=lambda fault: kill(scene, before, after, fault), since=since)
    print(f"coordinator killed from {before} to {after}: unkilled at n = {number}")
    assert number > 10


@pytest.mark.soak
@pytest.mark.parametrize("sent", [False, True], ids=["after it was answered", "before it is sent"])
@pytest.mark.parametrize(("before", "after"), MOVES[1:3])
def test_a_coordinator_killed_anywhere_before_the_move_is_open_loses_nothing(
    scene: Scene, before: str, after: str, sent: bool
) -> None:
    number = sweep(scene, KILL, before=sent, strike=lambda fault: kill(scene, before, after, fault))
    print(f"coordinator killed from {before} to {after}, from its first change on: unkilled at n = {number}")
    assert number > 10
