"""The statements of the real application, and what each is run with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import split_statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.shared_data import SharedData

# The first values fit a row of the real data.
_VALUES: dict[str, list[tuple[Any, ...]]] = {
    "INSERT INTO experiments": [
        ("run", None, "2024-05-01T10:00:00", "running", 7, 3e-4),
        ("", "d", "2024-05", None, None, 1),
    ],
    "INSERT INTO hyperparameters": [(1, "gamma", "0.99"), (1, "seed", 42)],
    "INSERT OR REPLACE INTO episodes": [(1, 5, 1.5, 2, True), (1, 5, float("nan"), None, 0), (1, 9999, 0.1, 1, False)],
    "INSERT OR REPLACE INTO datasets": [
        ("d", "1", "train", 3, None),
        ("d", "1", "train", 4, "[]"),
        ("d", None, None, 4, ""),
    ],
    "INSERT OR REPLACE INTO experiment_datasets": [(1, 2, None), (1, 2, None), (1, 2, "train"), (1, 2, "train")],
    "INSERT INTO metrics": [(1, "loss", float("nan"), 1, 1, "train"), (1, "loss", 3, None, None, None)],
    "UPDATE experiments": [("2024-06-01", 1.25, True, 1), (None, None, None, 2)],
    "UPDATE models": [(1,), (3,), (None,)],
    "SELECT * FROM best_models": [(experiment,) for experiment in range(1, 11)],
    "SELECT value, step": [(1, "train_return", "train"), (3, "train_loss", None), ("3", "val_sharpe", "val")],
    "SELECT DISTINCT": [(1,), (3,), (-1,)],
    "SELECT id, ROUND": [(5,), (-1,), (0,)],
    "SELECT * FROM models": [(experiment, limit) for experiment in range(1, 11) for limit in (-1, 3)],
    "SELECT * FROM experiments": [("completed", "%a%", 10, 0), ("running", "%", -1, 1), ("failed", "[]", 2, -1)],
    "SELECT COUNT(*)": [(experiment,) for experiment in range(12)],
}


def statements(shared_data: SharedData) -> Iterator[str]:
    """Each statement without its comment, in the order of the script."""
    script = (shared_data / "application.sql").read_text(encoding="utf-8")
    for statement in split_statements(script):
        yield re.sub(r"--[^\n]*\n", "", statement).strip()


def values_of(statement: str) -> list[tuple[Any, ...]]:
    """Parameters to run a statement with, one after the other."""
    found = [values for start, values in _VALUES.items() if statement.startswith(start)]
    return found[0] if found else [()]
