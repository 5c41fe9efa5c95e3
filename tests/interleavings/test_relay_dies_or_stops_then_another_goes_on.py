"""A relay is struck at a statement, in either direction, copying or catching up; the next one goes on from there."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from tests.interleavings import oracle
from tests.interleavings.strike import KILL, STOP, counting, sample, sweep, write_lock_is_held

from dualdb.stores import mirror
from dualdb.stores.control import Control

if TYPE_CHECKING:
    from tests.interleavings.faults import Fault
    from tests.interleavings.scene import Scene
    from tests.interleavings.spawner import Actor

WORK = ("copying", "catching up", "catching up in the file")
each_work = pytest.mark.parametrize("work", WORK)


def give_work(scene: Scene, work: str) -> None:
    """Bring the pair to where a relay has this to do, nobody relaying."""
    if work == "copying":
        scene.lead("sqlite")
        scene.start_writer(operations=9, pause_s=0).succeeds(timeout_s=30)
        scene.writers.clear()
        with (
            mock.patch.dict(os.environ, {"DUALDB_TARGET": scene.dsn}),
            Control.open(scene.database) as control,
        ):
            mirror.begin(control)
    else:
        scene.lead("dual_write" if work == "catching up" else "postgres")
    scene.start_writer(operations=18, pause_s=0).succeeds(timeout_s=30)
    scene.writers.clear()


def relay_once(scene: Scene, fault: Fault | None = None) -> Actor:
    """A relay that ends when both sides are equal."""
    return scene.spawn("relay", fault=fault, database=scene.database, until_aligned=True)


def count(scene: Scene, work: str) -> int:
    """How many changes a relay sends for that work."""
    give_work(scene, work)
    relay = relay_once(scene, counting())
    relay.succeeds(timeout_s=60)
    point = scene.points(relay)
    assert point is not None
    scene.check()
    return point.number


def strike(scene: Scene, work: str, fault: Fault) -> bool:
    """One relay that is struck at its work; whether it was. Another one does the rest while writers write."""
    give_work(scene, work)
    scene.start_writers()
    relay = relay_once(scene, fault)
    struck = relay.wait("stopped", "ended", timeout_s=60) == "stopped" or relay.code == -signal.SIGKILL
    print(f"{work}, {fault.text}: {scene.points(relay)}")
    if relay.state == "stopped" and not write_lock_is_held(scene.database):
        scene.writers_go_on()
        relay_once(scene).succeeds(timeout_s=60)  # it takes the work over
    relay.send(signal.SIGCONT)
    scene.writers_go_on()
    relay.wait("ended", timeout_s=60)
    oracle.check_never_two(scene.standing())
    scene.check()
    return struck


@each_work
@pytest.mark.parametrize("how", [KILL, STOP], ids=["killed", "stopped"])
def test_a_relay_struck_at_any_statement_is_replaced(scene: Scene, work: str, how: signal.Signals) -> None:
    total = count(scene, work)
    for fault in sample(how, total, 1, f"relay {how.name} {work}"):
        strike(scene, work, fault)


@pytest.mark.soak
@each_work
@pytest.mark.parametrize("how", [KILL, STOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("sent", [False, True], ids=["after it was answered", "before it is sent"])
def test_a_relay_struck_at_every_statement_is_replaced(
    scene: Scene, work: str, how: signal.Signals, sent: bool
) -> None:
    number = sweep(scene, how, before=sent, strike=lambda fault: strike(scene, work, fault))
    print(f"relay {how.name} {work}: unstruck at n = {number}")
    assert number > 5
