"""A process forks after it has connected; both halves write while the authority changes under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.interleavings.scene import Scene


@pytest.mark.parametrize(("before", "after"), [("dual_write", "postgres"), ("postgres", "dual_write")])
def test_both_halves_of_a_fork_follow_the_authority(scene: Scene, before: str, after: str) -> None:
    scene.lead(before)
    scene.start_relay()
    forked = scene.spawn(
        "fork_after_connect",
        database=scene.database,
        ledger=str(scene.ledgers / "forked.jsonl"),
        writer="forked",
    )
    scene.coordinate(after).succeeds(timeout_s=60)
    forked.succeeds(timeout_s=60)
    written = [operation for ledger in scene.read_ledgers() for operation in ledger]
    assert {operation.writer for operation in written} == {"forked", "forked-child"}
    assert sum(operation.acknowledged for operation in written) == 40, scene.errors()
    scene.check(after)
