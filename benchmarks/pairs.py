"""Pairs to measure on: a SQLite file with rows and an empty target, brought to the phase that is asked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from dualdb.core.events import unheard
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
CREATE TABLE metric (
    id INTEGER PRIMARY KEY AUTOINCREMENT, experiment_id INTEGER NOT NULL, name TEXT NOT NULL, value REAL,
    step INTEGER, recorded_at TEXT
);
"""
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO metric SELECT i, i % 100, 'metric ' || (i % 50), i / 7.0, i, datetime(1700000000 + i, 'unixepoch') FROM n
"""


def make_file(path: Path, rows: int) -> str:
    """A SQLite file in WAL mode with that many metrics."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        if rows:
            connection.execute(FILL, (rows,))
        connection.commit()
    return str(path)


def prepare(path: str, dsn: str, *, steps: int) -> None:
    """Prepare the pair and take so many steps: 0 leaves it in phase sqlite, 1 in dual_write."""
    initialise(path, dsn)
    for _ in range(steps):
        advance(path, observer=unheard)
