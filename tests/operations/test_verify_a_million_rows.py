"""A million rows are compared in one run, by the command as it is run, in memory that does not grow with them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core.events import unheard
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance

if TYPE_CHECKING:
    from pathlib import Path

FILL = """
CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO metric SELECT i, 'metric ' || (i % 50), i / 7.0 FROM n;
"""
MEMORY_MB = 130
"""Of the whole process, its imports included."""


@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_memory_stays_flat(database: Path, target_dsn: str, rows: int) -> None:
    """The largest child of this process is the command."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(FILL.format(rows=rows))
    initialise(str(database), target_dsn)
    advance(str(database), observer=unheard)
    measured = (
        "import resource, subprocess, sys;"
        "found = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True).stdout;"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);"
        "print(found)"
    )
    command = [sys.executable, "-c", "from dualdb.entrypoints.cli import main; main()", "verify", "--full", "--json"]
    run = subprocess.run(
        [sys.executable, "-c", measured, *command, str(database)], capture_output=True, text=True, check=True
    )
    peak, _, report = run.stdout.partition("\n")
    assert int(peak) / 1024 < MEMORY_MB
    assert json.loads(report)["compared"] == rows
