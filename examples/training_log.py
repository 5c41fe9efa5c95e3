"""A training job that logs each step to one SQLite file, and does not notice that the file moves to PostgreSQL.

    python examples/training_log.py app.db

Let it run, and meanwhile, in another terminal:

    dualdb init app.db --target embedded
    dualdb advance app.db --to postgres
    dualdb rollback app.db

It prints a line per second; Ctrl-C ends it. The one line that differs from a program for sqlite3 is the import.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from random import random

import dualdb as sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, started TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS metrics (
    run INTEGER NOT NULL REFERENCES runs(id), step INTEGER NOT NULL, loss REAL NOT NULL, PRIMARY KEY (run, step)
);
"""


def begin(database: str) -> int:
    """Register this run; its id."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.executescript(SCHEMA)
        return connection.execute("INSERT INTO runs(name) VALUES (?)", ("example",)).lastrowid or 0


def log(database: str, run: int, step: int, loss: float) -> None:
    """A connection per logged row, as many jobs have it."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("INSERT INTO metrics(run, step, loss) VALUES (?, ?, ?)", (run, step, loss))


def show(database: str, run: int) -> None:
    """What a dashboard asks."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        steps, best = connection.execute("SELECT count(*), min(loss) FROM metrics WHERE run = ?", (run,)).fetchone()
    print(f"run {run}: {steps} steps, best loss {best:.4f}", flush=True)


def main(database: str) -> None:
    """Train until somebody presses Ctrl-C."""
    run, step, shown = begin(database), 0, time.monotonic()
    try:
        while True:
            step += 1
            log(database, run, step, 1 / step + random() / 100)  # noqa: S311 - no secret
            if time.monotonic() - shown > 1:
                show(database, run)
                shown = time.monotonic()
            time.sleep(0.02)
    except KeyboardInterrupt:
        show(database, run)


if __name__ == "__main__":
    main(sys.argv[1])
