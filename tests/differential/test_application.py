"""The application's own statements on its own databases: every one is translated and answers as SQLite does."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from dualdb.core.schema import TargetType
from dualdb.core.statement import Kind
from tests.differential.twins import Twins, copied
from tests.generators.application import statements, values_of

if TYPE_CHECKING:
    import psycopg

    from tests.plugins.shared_data import SharedData

FILES = ("ml_experiments.db", "experiments.db")


@pytest.fixture(params=FILES)
def twins(request: pytest.FixtureRequest, shared_data: SharedData, target: psycopg.Connection[Any]) -> Twins:
    """One of the real databases in both engines."""
    return Twins(copied(str(shared_data / request.param)), target, "app")


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
    accepted = [statement for statement in statements(shared_data) if _accepts(twins, statement)]
    for statement in accepted:
        if twins.plan(statement).kind not in {Kind.READ, Kind.WRITE}:
            continue
        for values in values_of(statement):
            twins.compare(statement, values)
    assert len(accepted) >= 8
    for column in ("metrics.timestamp", "datasets.created_at", "experiments.created_at", "experiments.updated_at",
                   "episodes.timestamp"):  # fmt: skip
        _blank(twins, *column.split("."))
    twins.compare_tables()


def test_every_statement_has_a_plan(shared_data: SharedData) -> None:
    """Each statement is accepted, and so translated, with at least one of the two databases."""
    pairs = [copied(str(shared_data / name)) for name in FILES]
    for statement in statements(shared_data):
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
                twins.compare(f"SELECT min({column.name}), max({column.name}), avg({column.name}) FROM {table.name}")
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
