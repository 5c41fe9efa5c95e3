"""Random schedules: moves in both directions with whatever can happen to whoever takes part."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest
from tests.interleavings import oracle
from tests.interleavings.faults import Fault
from tests.interleavings.proxy import CUTS
from tests.interleavings.strike import chosen_seed, write_lock_is_held

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interleavings.scene import Scene
    from tests.interleavings.spawner import Actor

MISHAPS = 4
SCHEDULES = 100


def play(scene: Scene, seed: int) -> None:
    """One schedule: some mishaps while a file is led to one phase after the other."""
    rng = random.Random(seed)
    print(f"schedule {seed}")
    scene.lead(rng.choice(("dual_write", "postgres")))
    scene.start_relay()
    scene.start_writers()
    for _ in range(MISHAPS):
        aim = rng.choice(("dual_write", "postgres", "postgres", "dual_write", "sqlite"))
        mishap = rng.choice(tuple(MISHAP))
        print(f"  to {aim}: {mishap}")
        struck = MISHAP[mishap](scene, aim, rng)
        if struck.state == "stopped" and not write_lock_is_held(scene.database):
            scene.writers_go_on()
            oracle.check_never_two(scene.standing())
        struck.send(signal.SIGCONT)
        struck.wait("ended", timeout_s=90)
        scene.lead(aim, again=True)
        scene.writers_go_on()
        oracle.check_never_two(scene.standing())
    scene.check(aim)


def _fault(rng: random.Random, most: int) -> Fault:
    how = rng.choice((signal.SIGKILL, signal.SIGSTOP))
    return Fault(how=how, before=rng.random() < 0.5, number=rng.randint(1, most))


def _coordinator_struck(scene: Scene, aim: str, rng: random.Random) -> Actor:
    actor = scene.coordinate(aim, fault=_fault(rng, 200))
    actor.wait("stopped", "ended", timeout_s=90)
    return actor


def _coordinator_cut(scene: Scene, aim: str, rng: random.Random) -> Actor:
    _, dsn = scene.start_proxy(rng.choice(CUTS), rng.randint(1, 6), "")
    actor = scene.coordinate(aim, dsn=dsn)
    actor.wait("ended", timeout_s=90)
    return actor


def _relay_struck(scene: Scene, aim: str, rng: random.Random) -> Actor:
    actor = scene.start_relay(fault=_fault(rng, 60))
    scene.coordinate(aim).wait("ended", timeout_s=90)
    scene.spawner.pump(0.5)
    if actor.state != "ended":
        actor.send(signal.SIGTERM)  # a stopped process takes it when it goes on
    return actor


def _writer_struck(scene: Scene, aim: str, rng: random.Random) -> Actor:
    actor = scene.start_writer(fault=_fault(rng, 60), operations=30, keeps=rng.random() < 0.5)
    scene.writers.remove(actor)
    scene.coordinate(aim).wait("ended", timeout_s=90)
    actor.wait("stopped", "ended", timeout_s=90)
    return actor


def _writer_cut(scene: Scene, aim: str, rng: random.Random) -> Actor:
    _, dsn = scene.start_proxy(rng.choice(CUTS), rng.randint(1, 12), "")
    actor = scene.start_writer(dsn=dsn, operations=30)
    scene.writers.remove(actor)
    scene.coordinate(aim).wait("ended", timeout_s=90)
    return actor


MISHAP: dict[str, Callable[[Scene, str, random.Random], Actor]] = {
    "a coordinator is struck": _coordinator_struck,
    "a coordinator is cut off": _coordinator_cut,
    "a relay is struck": _relay_struck,
    "a writer is struck": _writer_struck,
    "a writer is cut off": _writer_cut,
}


@pytest.mark.parametrize("number", range(1))
def test_a_random_schedule_ends_well(scene: Scene, number: int) -> None:
    play(scene, chosen_seed() * 1000 + number)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(SCHEDULES))
def test_every_random_schedule_ends_well(scene: Scene, number: int) -> None:
    play(scene, chosen_seed() * 1000 + 100 + number)
