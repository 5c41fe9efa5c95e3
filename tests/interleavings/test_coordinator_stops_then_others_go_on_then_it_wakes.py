"""A coordinator is stopped at a statement of a move; writers go on without it, and when it wakes it changes nothing.

The one exception is SQLite's own: whoever is stopped inside a write transaction of the file keeps everybody out until
it is continued or killed.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.interleavings import oracle
from tests.interleavings.faults import Fault
from tests.interleavings.strike import STOP, sample, sweep, write_lock_is_held
from tests.interleavings.test_coordinator_dies_then_the_command_is_run_again import MOVES, SINCE, count, each_move

if TYPE_CHECKING:
    from tests.interleavings.scene import Scene


def stop(scene: Scene, before: str, after: str, fault: Fault, *, second: bool) -> bool:
    """One run that is stopped, and continued when writers have gone on; whether it was."""
    scene.lead(before)
    scene.start_writers()
    coordinator = scene.coordinate(after, fault=fault)
    struck = coordinator.wait("stopped", "ended", timeout_s=90) == "stopped"
    print(f"{before} to {after}, {fault.text}: {scene.points(coordinator)}")
    if struck and not write_lock_is_held(scene.database):
        scene.writers_go_on()
        oracle.check_never_two(scene.standing())
        if second:
            _meet(scene, after)
    coordinator.send(signal.SIGCONT)
    coordinator.wait("ended", timeout_s=90)
    oracle.check_never_two(scene.standing())
    scene.writers_go_on()
    scene.lead(after, again=True)
    scene.check(after)
    return struck


def _meet(scene: Scene, after: str) -> None:
    """A second coordinator is told that there is one already, unless the first has let go of it."""
    other = scene.coordinate(after)
    other.wait("ended", timeout_s=60)
    if other.code:
        assert "another command leads" in other.said() or "BusyError" in other.said(), other.said()
    oracle.check_never_two(scene.standing())
    scene.writers_go_on()


@each_move
def test_a_coordinator_stopped_at_any_statement_holds_nobody_up(scene: Scene, before: str, after: str) -> None:
    total = count(scene, before, after)
    salt = f"coordinator stopped from {before} to {after}"
    for fault in sample(STOP, total, 1, salt, SINCE[before, after]):
        stop(scene, before, after, fault, second=True)


@pytest.mark.parametrize("locked", ["LOCK TABLE dualdb.writer", 'LOCK TABLE "public"', "ENABLE ALWAYS TRIGGER"])
def test_a_coordinator_stopped_with_the_locks_that_writers_wait_for_is_ended(scene: Scene, locked: str) -> None:
    """The server ends its transaction: nobody else could."""
    fault = Fault(how=STOP, before=False, number=1, reads=False, since=locked)
    assert stop(scene, "postgres", "dual_write", fault, second=False)


@pytest.mark.soak
@pytest.mark.parametrize("sent", [False, True], ids=["after it was answered", "before it is sent"])
@each_move
def test_a_coordinator_stopped_at_every_statement_holds_nobody_up(
    scene: Scene, before: str, after: str, sent: bool
) -> None:
    since = SINCE[before, after]
    number = sweep(
        scene, STOP, before=sent, strike=lambda fault: stop(scene, before, after, fault, second=False), since=since
    )
    print(f"coordinator stopped from {before} to {after}: not stopped at n = {number}")
    assert number > 10


@pytest.mark.soak
@pytest.mark.parametrize("sent", [False, True], ids=["after it was answered", "before it is sent"])
@pytest.mark.parametrize(("before", "after"), MOVES[1:3])
def test_a_coordinator_stopped_anywhere_before_the_move_is_open_holds_nobody_up(
    scene: Scene, before: str, after: str, sent: bool
) -> None:
    number = sweep(scene, STOP, before=sent, strike=lambda fault: stop(scene, before, after, fault, second=False))
    print(f"coordinator stopped from {before} to {after}, from its first change on: not stopped at n = {number}")
    assert number > 10
