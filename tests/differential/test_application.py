"""The application's own statements on its own databases: every one is translated and answers as SQLite does."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from dualdb.core.schema import TargetType
from dualdb.core.sqltext import split_statements
from dualdb.core.statement import Kind
from dualdb.core.translate import Refused
from tests.differential.twins import Twins, copied

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.plugins.shared_data import SharedData

FILES = ("ml_experiments.db", "experiments.db")
# What each statement of application.sql is run with; the first values fit a row of the real data.
VALUES: dict[str, list[tuple[Any, ...]]] = {
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


@pytest.fixture(params=FILES)
def twins(request: pytest.FixtureRequest, shared_data: SharedData, target: psycopg.Connection[Any]) -> Twins:
    """One of the real databases in both engines."""
    return Twins(copied(str(shared_data / request.param)), target, "app")


def _statements(shared_data: SharedData) -> Iterator[str]:
    script = (shared_data / "application.sql").read_text(encoding="utf-8")
    for statement in split_statements(script):
        yield re.sub(r"--[^\n]*\n", "", statement).strip()


def _values(statement: str) -> list[tuple[Any, ...]]:
    found = [values for start, values in VALUES.items() if statement.startswith(start)]
    return found[0] if found else [()]


def _accepts(twins: Twins, statement: str) -> bool:
    """Whether this database has the tables and columns of the statement."""
    try:
        twins.source.execute(f"EXPLAIN {statement}", [None] * statement.count("?"))
    except sqlite3.OperationalError:
        return False
    return True


def test_schema_is_translated_whole(twins: Twins) -> None:
    """Nothing of the real schemas is left out."""
    assert twins.refusals == ()


def test_every_statement_answers_alike(twins: Twins, shared_data: SharedData) -> None:
    """Each statement that the database accepts gives SQLite's rows, counts and ids, and leaves the same rows."""
    statements = [statement for statement in _statements(shared_data) if _accepts(twins, statement)]
    for statement in statements:
        if twins.plan(statement).kind not in {Kind.READ, Kind.WRITE}:
            continue
        for values in _values(statement):
            twins.compare(statement, values)
    assert len(statements) >= 8
    for column in ("metrics.timestamp", "datasets.created_at", "experiments.created_at", "experiments.updated_at",
                   "episodes.timestamp"):  # fmt: skip
        _blank(twins, *column.split("."))
    twins.compare_tables()


def test_every_statement_has_a_plan(shared_data: SharedData) -> None:
    """Each statement is accepted, and so translated, with at least one of the two databases."""
    pairs = [copied(str(shared_data / name)) for name in FILES]
    for statement in _statements(shared_data):
        accepted = []
        for source in pairs:
            try:
                source.execute(f"EXPLAIN {statement}", [None] * statement.count("?"))
            except sqlite3.OperationalError as exc:
                accepted.append(str(exc))
                continue
            accepted.append("")
        assert "" in accepted, (statement, accepted)


def test_plain_reads_answer_alike(twins: Twins) -> None:
    """Whole tables and views come out bit for bit, and aggregates over each number column."""
    for name in [*twins.schema.tables, *twins.schema.views]:
        twins.compare(f"SELECT * FROM {name}")
    for table in twins.schema.tables.values():
        for column in table.columns:
            if column.stored is TargetType.ANY:
                with pytest.raises(Refused, match="several classes"):
                    twins.plan(f"SELECT min({column.name}) FROM {table.name}")
            elif column.affinity.value in {"REAL", "INTEGER"}:
                twins.compare(f"SELECT count({column.name}), min({column.name}), avg({column.name}) FROM {table.name}")
                twins.compare(f"SELECT sum({column.name}), total({column.name}) FROM {table.name}")
                twins.compare(
                    f"SELECT {column.name}, round({column.name}, 2) FROM {table.name} ORDER BY rowid LIMIT 50"
                )


def _blank(twins: Twins, table: str, column: str) -> None:
    """Times of the two engines may differ by a second."""
    if table not in twins.schema.tables or column not in {one.name for one in twins.schema.table(table).columns}:
        return
    twins.source.execute(f"UPDATE {table} SET {column} = NULL")
    twins.target.execute(f"UPDATE app.{table} SET {column} = NULL")
