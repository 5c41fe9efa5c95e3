"""`import dualdb` costs little more than `import sqlite3`; phase sqlite reaches neither translator nor PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.driver.prepared import prepare

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HEAVY = ("sqlglot", "psycopg", "psycopg_pool", "dataclasses", "inspect", "asyncio", "opentelemetry", "click", "rich")
BUDGET_S = 0.060
USE = """
import sys, json, dualdb
connection = dualdb.connect(sys.argv[1])
connection.execute("CREATE TABLE IF NOT EXISTS t(a)")
with connection:
    connection.execute("INSERT INTO t VALUES (?)", (1,))
    connection.executemany("INSERT INTO t VALUES (?)", [(2,), (3,)])
connection.executescript("INSERT INTO t VALUES (4); SELECT 1;")
assert connection.execute("SELECT count(*) FROM t").fetchone() == (4,)
connection.close()
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(database: Path) -> set[str]:
    """What is loaded after connecting, writing and reading."""
    run = subprocess.run([sys.executable, "-c", USE, str(database)], check=True, capture_output=True, timeout=60)
    return set(json.loads(run.stdout))


def test_a_file_that_was_never_prepared_loads_nothing_heavy(database: Path) -> None:
    """Neither the translator nor PostgreSQL nor what is slow to import."""
    assert modules_after(database).intersection(HEAVY) == set()


def test_a_prepared_file_in_phase_sqlite_loads_nothing_heavy(database: Path) -> None:
    """The same, with a control row to read."""
    prepare(database)
    assert modules_after(database).intersection(HEAVY) == set()


def best_import_s(module: str) -> float:
    """The fastest of some imports in fresh processes, the interpreter's own start left out."""
    clock = f"import time; begin = time.perf_counter(); import {module}; print(time.perf_counter() - begin)"
    runs = [
        subprocess.run([sys.executable, "-c", clock], check=True, capture_output=True, text=True, timeout=60)
        for _ in range(7)
    ]
    return min(float(run.stdout) for run in runs)


def test_the_import_stays_within_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    """60 ms above sqlite3's own."""
    plain_s, ours_s = best_import_s("sqlite3"), best_import_s("dualdb")
    with capsys.disabled():
        print(f" import dualdb: {ours_s * 1e3:.1f} ms, {ours_s / plain_s:.1f} times sqlite3's", end="")
    assert ours_s - plain_s < BUDGET_S
