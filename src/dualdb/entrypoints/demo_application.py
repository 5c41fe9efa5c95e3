"""The demo's application: an experiment tracker as people write it for `sqlite3`, and the database that it begins with.

It is a user's program and knows nothing of this package: the module that it talks to the database with, `sqlite3` or
one that behaves like it, is handed in. Each method of `Tracker` opens a connection of its own, as training jobs do,
and returns what the program learns from its statements.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = """
CREATE TABLE IF NOT EXISTS experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'running',
    learning_rate REAL,
    best_return REAL,
    early_stopped BOOLEAN DEFAULT 0,
    started_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS hyperparameters (
    experiment_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (experiment_id, name),
    FOREIGN KEY (experiment_id) REFERENCES experiments(id)
);
CREATE TABLE IF NOT EXISTS metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    step INTEGER NOT NULL,
    value REAL,
    token TEXT NOT NULL,
    logged_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (experiment_id) REFERENCES experiments(id)
);
CREATE TABLE IF NOT EXISTS episodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    episode_num INTEGER NOT NULL,
    total_return REAL,
    is_best BOOLEAN DEFAULT 0,
    logged_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (experiment_id) REFERENCES experiments(id),
    UNIQUE (experiment_id, episode_num)
);
CREATE TABLE IF NOT EXISTS checkpoints (
    id INTEGER PRIMARY KEY,
    experiment_id INTEGER NOT NULL,
    step INTEGER NOT NULL,
    weights BLOB NOT NULL,
    is_best BOOLEAN DEFAULT 0,
    FOREIGN KEY (experiment_id) REFERENCES experiments(id)
);
CREATE TABLE IF NOT EXISTS totals (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS metrics_by_experiment ON metrics (experiment_id, name, step);
CREATE INDEX IF NOT EXISTS metrics_by_token ON metrics (token);
CREATE INDEX IF NOT EXISTS checkpoints_by_experiment ON checkpoints (experiment_id, step);
CREATE VIEW IF NOT EXISTS experiment_summary AS
SELECT e.id, e.name, e.status, COUNT(p.id) AS num_episodes, MAX(p.total_return) AS best_episode
FROM experiments e LEFT JOIN episodes p ON e.id = p.experiment_id
GROUP BY e.id;
"""
TABLES = ("experiments", "hyperparameters", "metrics", "episodes", "checkpoints", "totals")
STARTED = "experiments started"
"""The one row that every job changes: read, add one, write."""
_METRICS_PER_EXPERIMENT = 2000


class Tracker:
    """What a training job calls."""

    __slots__ = ("_db", "_path")

    def __init__(self, db: Any, path: str) -> None:  # noqa: ANN401 - a module that looks like sqlite3
        """Speak to the file through that module."""
        self._db = db
        self._path = path

    def start_experiment(self, name: str, learning_rate: float, hyperparameters: dict[str, str]) -> int:
        """The new experiment's id; three tables change in one transaction."""
        with closing(self._db.connect(self._path)) as conn:
            conn.execute("BEGIN IMMEDIATE")
            with conn:
                (started,) = conn.execute("SELECT value FROM totals WHERE name = ?", (STARTED,)).fetchone()
                conn.execute("UPDATE totals SET value = ? WHERE name = ?", (started + 1, STARTED))
                cursor = conn.execute(
                    "INSERT INTO experiments (name, learning_rate) VALUES (?, ?)", (name, learning_rate)
                )
                experiment = int(cursor.lastrowid)
                conn.executemany(
                    "INSERT INTO hyperparameters (experiment_id, name, value) VALUES (?, ?, ?)",
                    [(experiment, key, value) for key, value in hyperparameters.items()],
                )
        return experiment

    def log_metric(self, experiment: int, name: str, step: int, value: float, token: str) -> int:
        """The new row's id; its time comes from the default."""
        with closing(self._db.connect(self._path)) as conn, conn:
            cursor = conn.execute(
                "INSERT INTO metrics (experiment_id, name, step, value, token) VALUES (?, ?, ?, ?, ?)",
                (experiment, name, step, value, token),
            )
            return int(cursor.lastrowid)

    def finish_episode(self, experiment: int, episode: int, total_return: float, *, is_best: bool) -> int:
        """The new row's id; a row of the same experiment and number is replaced."""
        with closing(self._db.connect(self._path)) as conn, conn:
            cursor = conn.execute(
                "INSERT OR REPLACE INTO episodes (experiment_id, episode_num, total_return, is_best) "
                "VALUES (?, ?, ?, ?)",
                (experiment, episode, total_return, is_best),
            )
            return int(cursor.lastrowid)

    def correct_metric(self, token: str, value: float) -> int:
        """How many rows changed."""
        with closing(self._db.connect(self._path)) as conn, conn:
            return int(conn.execute("UPDATE metrics SET value = ? WHERE token = ?", (value, token)).rowcount)

    def save_checkpoint(self, experiment: int, step: int, weights: bytes, keep_from: int) -> int:
        """The new row's id; it becomes the best one, and those before a step are deleted, in one transaction."""
        with closing(self._db.connect(self._path)) as conn, conn:
            conn.execute("UPDATE checkpoints SET is_best = 0 WHERE experiment_id = ? AND is_best = 1", (experiment,))
            cursor = conn.execute(
                "INSERT INTO checkpoints (experiment_id, step, weights, is_best) VALUES (?, ?, ?, 1)",
                (experiment, step, weights),
            )
            conn.execute("DELETE FROM checkpoints WHERE experiment_id = ? AND step < ?", (experiment, keep_from))
            return int(cursor.lastrowid)

    def delete_metrics(self, tokens: Sequence[str]) -> int:
        """How many rows went, each by a statement of its own in one transaction."""
        with closing(self._db.connect(self._path)) as conn, conn:
            return sum(int(conn.execute("DELETE FROM metrics WHERE token = ?", (token,)).rowcount) for token in tokens)

    def finish_experiment(self, experiment: int, status: str, best_return: float, *, early_stopped: bool) -> int:
        """How many rows changed."""
        with closing(self._db.connect(self._path)) as conn, conn:
            cursor = conn.execute(
                "UPDATE experiments SET status = ?, best_return = ?, early_stopped = ? WHERE id = ?",
                (status, best_return, early_stopped, experiment),
            )
            return int(cursor.rowcount)

    def summary(self, experiment: int) -> dict[str, Any]:
        """The experiment's row of the view, by column name."""
        with closing(self._db.connect(self._path)) as conn:
            conn.row_factory = self._db.Row
            row = conn.execute("SELECT * FROM experiment_summary WHERE id = ?", (experiment,)).fetchone()
            return dict(row)

    def last_metrics(self, experiment: int, limit: int) -> list[str]:
        """The tokens of the rows logged last."""
        with closing(self._db.connect(self._path)) as conn:
            rows = conn.execute(
                "SELECT token FROM metrics WHERE experiment_id = ? ORDER BY id DESC LIMIT ?", (experiment, limit)
            )
            return [str(token) for (token,) in rows.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The database as the jobs find it."""

    experiments: int
    """They have the ids 1 to this number, each with its metrics."""
    rows: int
    """Of all tables together."""


def build(path: str, rows: int, seed: int) -> Beginning:
    """Make the database with plain `sqlite3`: about that many rows, the same ones for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - made-up measurements
    experiments = max(16, rows // _METRICS_PER_EXPERIMENT)
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executescript(SCHEMA)
        conn.execute("BEGIN")
        conn.execute("INSERT INTO totals (name, value) VALUES (?, ?)", (STARTED, experiments))
        conn.executemany(
            "INSERT INTO experiments (id, name, learning_rate) VALUES (?, ?, ?)",
            ((number, f"baseline {number}", dice.choice((1e-2, 1e-3, 3e-4))) for number in range(1, experiments + 1)),
        )
        conn.executemany(
            "INSERT INTO hyperparameters (experiment_id, name, value) VALUES (?, ?, ?)",
            (
                (number, key, str(dice.random()))
                for number in range(1, experiments + 1)
                for key in ("gamma", "clip", "entropy")
            ),
        )
        conn.executemany(
            "INSERT INTO metrics (experiment_id, name, step, value, token) VALUES (?, ?, ?, ?, ?)",
            _first_metrics(experiments, rows, dice),
        )
        (counted,) = conn.execute(
            "SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
        ).fetchone()
    return Beginning(experiments=experiments, rows=counted)


def _first_metrics(experiments: int, rows: int, dice: random.Random) -> Iterator[tuple[int, str, int, float, str]]:
    for number in range(rows - 4 * experiments - 1):
        yield number % experiments + 1, dice.choice(("loss", "reward")), number, dice.gauss(0.0, 1.0), f"first-{number}"
