"""The relay's pace where every round trip to the server takes 20 ms: many rows at once, and it catches up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.stores.distant import distant
from tests.stores.mirrored import Mirrored

from dualdb.core import events

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

ONE_WAY_S = 0.01
FILL = """
CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO metric SELECT i, 'metric ' || (i % 50), i / 7.0 FROM n;
"""


def test_batches_stay_large(database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a copy and of a backlog alike, though a batch takes longer than its rows may, whatever is in it."""
    with distant(target_dsn, ONE_WAY_S) as dsn:
        monkeypatch.setenv("DUALDB_TARGET", dsn)  # with its password, which is stored nowhere
        mirrored = Mirrored(database, dsn, FILL)
        mirrored.align()
        copied = [event.inserted for event in mirrored.seen(events.BatchApplied)]
        mirrored.events.clear()
        mirrored.source("UPDATE metric SET value = value + 1")
        mirrored.align()
        carried = [event.inserted for event in mirrored.seen(events.BatchApplied)]
    for batches in (copied, carried):
        assert sum(batches) == 60_000
        assert min(batches[:-1]) >= 250  # of the last one nobody knows how much is left for it
        assert len(batches) < 80
