"""A writer is struck at a statement, in either phase that is mirrored; the others go on, and nothing of it is torn."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.interleavings.strike import KILL, STOP, counting, sample, sweep

if TYPE_CHECKING:
    from tests.interleavings.faults import Fault
    from tests.interleavings.scene import Scene

PHASES = ("dual_write", "postgres")
OPERATIONS = 9
"""One of each kind."""
each_phase = pytest.mark.parametrize("phase", PHASES)


def count(scene: Scene) -> int:
    """How many changes a writer sends for one operation of each kind."""
    writer = scene.start_writer(operations=OPERATIONS, pause_s=0, fault=counting())
    writer.succeeds(timeout_s=30)
    scene.writers.remove(writer)
    point = scene.points(writer)
    assert point is not None
    return point.number


def strike(scene: Scene, fault: Fault) -> bool:
    """One writer that is struck; whether it was. A stopped one is continued after the others have waited a moment."""
    writer = scene.start_writer(operations=OPERATIONS, pause_s=0, fault=fault)
    scene.writers.remove(writer)
    struck = writer.wait("stopped", "ended", timeout_s=30) == "stopped" or writer.code == -signal.SIGKILL
    print(f"{fault.text}: {scene.points(writer)}")
    if writer.state == "stopped":
        scene.spawner.pump(0.2)
        writer.send(signal.SIGCONT)
        writer.wait("ended", timeout_s=30)
    return struck


def strike_and_check(scene: Scene, phase: str, fault: Fault) -> bool:
    """The same, with what the others and the struck one have written held against both sides."""
    scene.start_writers()
    struck = strike(scene, fault)
    scene.writers_go_on()
    scene.check(phase)
    return struck


@each_phase
@pytest.mark.parametrize("how", [KILL, STOP], ids=["killed", "stopped"])
def test_a_writer_struck_at_any_statement_leaves_nothing_torn(scene: Scene, phase: str, how: signal.Signals) -> None:
    scene.lead(phase)
    scene.start_relay()
    total = count(scene)
    scene.start_writers()
    assert sum(strike(scene, fault) for fault in sample(how, total, 8, f"writer {how.name} in {phase}")) > 0
    scene.writers_go_on()
    scene.check(phase)


@pytest.mark.soak
@each_phase
@pytest.mark.parametrize("how", [KILL, STOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("sent", [False, True], ids=["after it was answered", "before it is sent"])
def test_a_writer_struck_at_every_statement_leaves_nothing_torn(
    scene: Scene, phase: str, how: signal.Signals, sent: bool
) -> None:
    scene.lead(phase)
    scene.start_relay()
    number = sweep(scene, how, before=sent, strike=lambda fault: strike_and_check(scene, phase, fault))
    print(f"writer {how.name} in {phase}: unstruck at n = {number}")
    assert number > OPERATIONS * 2
