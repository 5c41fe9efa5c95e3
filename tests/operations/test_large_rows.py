"""Rows of a megabyte are carried and compared a few at a time, either way: memory does not grow with them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.stores.mirrored import Mirrored

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

ROWS, LARGE = 150, 1_000_000
MOST_MB = 100
"""Above what the process has before; twice as much would be less than all rows once on both sides."""
SCRIPT = f"""
CREATE TABLE note (id INTEGER PRIMARY KEY, kind TEXT NOT NULL UNIQUE, content BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO note SELECT i, 'kind ' || i, NULL FROM n;
"""
MEASURE = """
import re, sys
from dualdb.operations.transition import advance
from dualdb.operations.verify import verify
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned

def peak_kb():
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s*(\\d+)", file.read()).group(1))

def compare(full):
    with Pair.open(path) as pair:
        report = verify(pair, full=full)
        assert report.compared >= ROWS, report.compared

path, task, ROWS = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Pair.open(path) as pair, pair.source.snapshot() as one, pair.target.snapshot() as other:
    assert one.schema.tables.keys() == other.schema.tables.keys()
before = peak_kb()
tasks = {
    "relay": lambda: relay_until_aligned(path),
    "verify --full": lambda: compare(full=True),
    "verify": lambda: compare(full=False),
    "advance": lambda: advance(path, Phase.POSTGRES, observer=unheard),
}
tasks[task]()
print((peak_kb() - before) // 1024)
"""


def grown_mb(mirrored: Mirrored, task: str) -> int:
    """By how much a process grows that does this."""
    command = [sys.executable, "-c", MEASURE, mirrored.path, task, str(ROWS)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_memory_does_not_grow_with_large_rows(database: Path, target_dsn: str) -> None:
    """Neither the relay's, nor that of whoever verifies all rows or those that changed, nor that of a move."""
    mirrored = Mirrored(database, target_dsn, SCRIPT)
    mirrored.align()
    large = f"UPDATE note SET content = zeroblob({LARGE} + id)"
    grown = {}
    mirrored.source(large)
    grown["relay"] = grown_mb(mirrored, "relay")
    grown["verify --full"] = grown_mb(mirrored, "verify --full")
    mirrored.source(f"UPDATE note SET content = zeroblob({LARGE} + 1)")
    mirrored.align()
    grown["verify"] = grown_mb(mirrored, "verify")
    mirrored.source(large)
    mirrored.align()
    grown["advance"] = grown_mb(mirrored, "advance")
    mirrored.target(f"UPDATE note SET content = decode(repeat('6162', {LARGE} / 2), 'hex')")
    grown["relay back"] = grown_mb(mirrored, "relay")
    mirrored.target(f"UPDATE note SET content = decode(repeat('6263', {LARGE} / 2), 'hex')")
    mirrored.align()
    grown["verify back"] = grown_mb(mirrored, "verify")
    grown["verify --full back"] = grown_mb(mirrored, "verify --full")
    assert {task: mb for task, mb in grown.items() if mb > MOST_MB} == {}
    assert mirrored.differences() == {}


@pytest.mark.soak
def test_memory_does_not_grow_with_large_rows_in_quarantine(database: Path, target_dsn: str) -> None:
    """They are kept with all their bytes, and read a few at a time by whoever counts them or looks for one."""
    mirrored = Mirrored(database, target_dsn, SCRIPT)
    mirrored.align()
    mirrored.source(f"UPDATE note SET kind = kind || char(0), content = zeroblob({LARGE} + id)")
    grown = {"relay": grown_mb(mirrored, "relay")}
    assert len(mirrored.quarantined()) == ROWS
    grown["verify --full"] = grown_mb(mirrored, "verify --full")
    mirrored.source(f"UPDATE note SET content = zeroblob({LARGE} + 1)")
    grown["relay again"] = grown_mb(mirrored, "relay")
    grown["verify"] = grown_mb(mirrored, "verify")
    assert {task: mb for task, mb in grown.items() if mb > MOST_MB} == {}
