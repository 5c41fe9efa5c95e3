"""The connection to PostgreSQL is cut around a COMMIT, so that its sender cannot know what came of it."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.interleavings import oracle
from tests.interleavings.proxy import AFTER_COMMIT, AFTER_COMPLETE, BEFORE_ANSWER, BEFORE_COMMIT, CUTS
from tests.interleavings.strike import chosen_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.interleavings.scene import Scene

each_move = pytest.mark.parametrize(("before", "after"), [("dual_write", "postgres"), ("postgres", "dual_write")])
each_cut = pytest.mark.parametrize("cut", CUTS)


@pytest.mark.parametrize("cut", [BEFORE_COMMIT, AFTER_COMMIT, BEFORE_ANSWER])
def test_a_writers_unknown_commit_is_never_told_as_refused(scene: Scene, cut: str) -> None:
    scene.lead("postgres")
    for number in range(1, 8):
        proxy, dsn = scene.start_proxy(cut, number, "")
        writer = scene.start_writer(dsn=dsn, operations=9, pause_s=0)
        writer.succeeds(timeout_s=60)
        scene.writers.clear()
        assert "cut" in proxy.said(), f"commit {number} never came through the proxy"
        proxy.kill()
    for ledger in scene.read_ledgers():
        assert sum(operation.error is not None for operation in ledger) <= 1, ledger
    scene.check("postgres")


@pytest.mark.parametrize(
    ("phase", "cut"), [*(("dual_write", cut) for cut in CUTS), ("postgres", AFTER_COMPLETE)]
)  # towards the file the relay commits nothing in PostgreSQL
def test_a_relays_unknown_commit_is_looked_up_and_never_applied_twice(scene: Scene, phase: str, cut: str) -> None:
    scene.lead(phase)
    scene.start_writers()
    for number in (1, 2, 3, 5):
        proxy, dsn = scene.start_proxy(cut, number, "")
        relay = scene.start_relay(dsn=dsn)
        scene.until(lambda proxy=proxy: "cut" in proxy.said(), f"{cut} {number}")
        scene.writers_go_on()
        relay.end()
        proxy.kill()
    assert not scene.errors()
    scene.check(phase)


def cut_coordinator(scene: Scene, before: str, after: str, cut: str, numbers: Iterable[int]) -> int:
    """Cut the connection over which a coordinator takes its steps, at each of these events; gives the first number
    that never came, or the last one.
    """
    for number in numbers:
        scene.lead(before)
        scene.start_writers()
        proxy, dsn = scene.start_proxy(cut, number, "dualdb control")
        coordinator = scene.coordinate(after, dsn=dsn)
        coordinator.wait("ended", timeout_s=90)
        print(f"{cut} {number}: {proxy.said()} -> {coordinator.code} {coordinator.said()[-300:]}")
        scene.writers_go_on()
        oracle.check_never_two(scene.standing())
        proxy.kill()
        scene.lead(after, again=True)
        scene.check(after)
        if "cut" not in proxy.said():
            break
    return number


@pytest.mark.parametrize("cut", [BEFORE_COMMIT, BEFORE_ANSWER])
@each_move
def test_a_coordinator_that_cannot_know_its_decision_is_run_again(
    scene: Scene, before: str, after: str, cut: str
) -> None:
    rng = random.Random(f"{chosen_seed()} {before} {cut}")
    # It commits twice in PostgreSQL.
    cut_coordinator(scene, before, after, cut, [rng.randint(1, 2)])


@pytest.mark.soak
@each_cut
@each_move
def test_a_coordinator_cut_off_anywhere_is_run_again(scene: Scene, before: str, after: str, cut: str) -> None:
    number = cut_coordinator(scene, before, after, cut, count(1))
    print(f"coordinator cut off from {before} to {after}, {cut}: uncut at n = {number}")
    assert number > 2
