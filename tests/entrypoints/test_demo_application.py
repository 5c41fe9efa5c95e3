"""The demo's application is one that the postgres phase can run as it is."""

from __future__ import annotations

import ast
import inspect
import sqlite3
from contextlib import closing

import pytest

from dualdb.core.translate import translate
from dualdb.core.translate.ddl import target_ddl
from dualdb.entrypoints.demo_application import SCHEMA, TABLES, Tracker
from dualdb.entrypoints.demo_oracle import KEYS
from dualdb.entrypoints.demo_tables import COLUMNS
from dualdb.stores.catalog import read_schema


def _statements() -> list[str]:
    calls = (node for node in ast.walk(ast.parse(inspect.getsource(Tracker))) if isinstance(node, ast.Call))
    return [
        ast.literal_eval(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"execute", "executemany"}
    ]


@pytest.mark.parametrize("statement", _statements())
def test_every_statement_is_covered(statement: str) -> None:
    """None of the application's statements is refused, and its parameters arrive."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(SCHEMA)
        plan = translate(statement, read_schema(conn), target_schema="public")
    assert statement.count("?") == 0 or plan.steps


def test_the_whole_schema_is_covered() -> None:
    """Tables, defaults, indexes and the view have their counterparts, so nothing blocks phase postgres."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(SCHEMA)
        assert not target_ddl(read_schema(conn), "public").refusals


@pytest.mark.parametrize("table", TABLES)
def test_the_final_check_reads_every_column(table: str) -> None:
    """No column, and no table, is left out of the count."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(SCHEMA)
        facts = conn.execute(f"PRAGMA table_info({table})").fetchall()
    assert tuple(name for _, name, *_ in facts) == COLUMNS[table]
    assert {name for _, name, *_, position in facts if position} == set(KEYS[table])
