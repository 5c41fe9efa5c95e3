"""The application behind the real databases, as a program: it logs experiments the way their training jobs do.

usage: training_application.py DATABASE LEDGER NAME   (until the file LEDGER.stop appears)

It knows nothing of dualdb but the import. Each acknowledged row is written to the ledger after its commit returned.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import time

import dualdb as sqlite3


def connect(database: str) -> sqlite3.Connection:
    """A connection as the application opens one: for one logged row, with named columns."""
    connection = sqlite3.connect(database, timeout=30.0)
    connection.row_factory = sqlite3.Row
    return connection


class Logger:
    """One training job."""

    def __init__(self, database: str, ledger: str, name: str) -> None:
        self.database = database
        self.name = name
        self.ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with contextlib.closing(connect(database)) as connection:
            tables = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        self.generic = "metrics" in tables
        self.experiment = self.begin()

    def note(self, *words: object) -> None:
        """Remember something that was acknowledged."""
        os.write(self.ledger, (" ".join(map(str, words)) + "\n").encode())

    def begin(self) -> int:
        """Register this job; its id is `lastrowid`."""
        start = dt.datetime.now().isoformat()  # noqa: DTZ005 - as the application has it
        with contextlib.closing(connect(self.database)) as connection:
            cursor = connection.cursor()
            cursor.execute(
                "INSERT INTO experiments (name, description, start_time, status) VALUES (?, ?, ?, ?)",
                (self.name, "a training job", start, "running"),
            )
            connection.commit()
            self.note("experiments", cursor.lastrowid)
            return cursor.lastrowid or 0

    def step(self, number: int) -> None:
        """Log what one step of training gives."""
        if self.generic:
            self.metric(number)
        self.replace(number)
        self.look(number)

    def metric(self, number: int) -> None:
        """One metric, on a connection of its own."""
        with contextlib.closing(connect(self.database)) as connection:
            cursor = connection.execute(
                "INSERT INTO metrics (experiment_id, metric_name, value, step, episode, split)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (self.experiment, "loss", float("nan") if number == 3 else 1.0 / (number + 1), number, None, "train"),
            )
            connection.commit()
            self.note("metrics", cursor.lastrowid)

    def replace(self, number: int) -> None:
        """A row under a second unique key: the replaced one gets a new id."""
        with connect(self.database) as connection:
            if self.generic:
                connection.execute(
                    "INSERT OR REPLACE INTO datasets (name, version, split_type, num_samples, feature_columns)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (self.name, "1", "train" if number % 2 else "test", number, '["a", "b"]'),
                )
                connection.execute(
                    "UPDATE models SET is_best = 0 WHERE experiment_id = ? AND is_best = 1", (self.experiment,)
                )
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO episodes (experiment_id, episode_num, train_return, test_sharpe,"
                    " is_best_model) VALUES (?, ?, ?, ?, ?)",
                    (self.experiment, number % 5, number / 7, None, number % 2 == 0),
                )
                connection.execute(
                    "UPDATE experiments SET end_time = ?, status = 'completed', best_test_sharpe = ?, early_stopped = ?"
                    " WHERE id = ?",
                    ("2026-01-01T00:00:00", number / 3, number % 2 == 0, self.experiment),
                )
        connection.close()
        self.note("replaced", number)

    def look(self, number: int) -> None:
        """What the dashboard of the application asks."""
        with contextlib.closing(connect(self.database)) as connection:
            for row in connection.execute("SELECT * FROM experiment_summary ORDER BY id DESC").fetchmany(3):
                if dict(row)["name"] == self.name and dict(row)["id"] != self.experiment:
                    message = f"{self.name} sees another experiment under its name"
                    raise AssertionError(message)
            if self.generic:
                (count, *_), *_ = connection.execute(
                    "SELECT COUNT(*), MIN(value), MAX(value), AVG(value) FROM metrics WHERE experiment_id = ?",
                    (self.experiment,),
                ).fetchall()
                if count != number + 1:
                    message = f"{self.name} logged {number + 1} metrics and reads {count}"
                    raise AssertionError(message)


def main(database: str, ledger: str, name: str) -> None:
    """Log until told to stop."""
    logger = Logger(database, ledger, name)
    number = 0
    while not os.path.exists(ledger + ".stop"):
        logger.step(number)
        number += 1
        time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
