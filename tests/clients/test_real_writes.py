"""All that the real application does, on its own databases in phase postgres, beside plain sqlite3."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dualdb.core.events import unheard
from dualdb.core.sqltext import first_keyword, quote_name
from dualdb.operations.transition import rollback
from tests.driver.twins import Twins
from tests.generators.application import statements, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.plugins.shared_data import SharedData

WRITES = ("INSERT", "UPDATE")


@pytest.fixture(params=["ml_experiments.db", "experiments.db"])
def database(request: pytest.FixtureRequest, shared_data: SharedData, tmp_path: Path) -> Path:
    """A copy of a real database, and beside it the one that stays what it is."""
    shared_data.copy(request.param, tmp_path / "plain.db")
    return shared_data.copy(request.param, tmp_path)


@pytest.fixture(params=["", None])
def twins(request: pytest.FixtureRequest, database: Path, target_dsn: str) -> Iterator[Twins]:
    """Connections with sqlite3's implicit transactions, and without."""
    both = Twins(database, target_dsn, "", isolation_level=request.param)
    for connection in (both.plain, both.ours):
        connection.row_factory = sqlite3.Row
    yield both
    both.close()


def test_every_statement_of_the_application_does_alike(twins: Twins, shared_data: SharedData) -> None:
    """Rows, description, rowcount, lastrowid and errors of each; every table afterwards, there and back in SQLite."""
    done = 0
    for statement in statements(shared_data):
        for parameters in values_of(statement):
            outcome = twins.both(executed(statement, parameters))
            done += outcome[0] == "value" and first_keyword(statement) in WRITES
        if twins.plain.in_transaction:
            twins.both(lambda connection: connection.commit())
    assert done >= 7
    check_tables(twins)


def test_every_write_of_the_application_does_alike_for_many_rows(twins: Twins, shared_data: SharedData) -> None:
    """What executemany counts, and what it leaves."""
    written = 0
    for statement in statements(shared_data):
        if first_keyword(statement) in WRITES:
            outcome = twins.both(executed_many(statement, values_of(statement) * 20))
            written += outcome[1][1] if outcome[0] == "value" else 0
            twins.both(lambda connection: connection.commit())
    assert written >= 100
    check_tables(twins)


def executed(statement: str, parameters: tuple[Any, ...]) -> Callable[[sqlite3.Connection], object]:
    """Executes it and tells all that an application can see."""
    ordered = "ORDER BY" in statement

    def see(connection: sqlite3.Connection) -> object:
        cursor = connection.execute(statement, parameters)
        before = (cursor.description, cursor.rowcount, cursor.lastrowid)
        rows = cursor.fetchall()
        keys = [row.keys() for row in rows[:1]]
        return before, keys, steady(rows, ordered=ordered), cursor.rowcount

    return see


def executed_many(statement: str, rows: list[tuple[Any, ...]]) -> Callable[[sqlite3.Connection], object]:
    """Executes it for these rows and tells what the cursor shows."""

    def see(connection: sqlite3.Connection) -> object:
        cursor = connection.executemany(statement, rows)
        return cursor.description, cursor.rowcount, cursor.lastrowid

    return see


def check_tables(twins: Twins) -> None:
    """Every table holds the same on both, and in the file once SQLite is the authority again."""
    names = [name for (name,) in map(tuple, twins.plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))]
    queries = [f"SELECT * FROM {quote_name(name)}" for name in names if name != "sqlite_sequence"]
    expected = {query: steady(twins.plain.execute(query), ordered=False) for query in queries}
    assert {query: steady(twins.ours.execute(query), ordered=False) for query in queries} == expected
    twins.ours.rollback()
    rollback(str(twins.database), observer=unheard)
    with closing(sqlite3.connect(twins.database)) as file:
        assert {query: steady(file.execute(query), ordered=False) for query in queries} == expected


def steady(rows: Iterable[Iterable[object]], *, ordered: bool) -> list[tuple[Any, ...]]:
    """The rows with each value's type; times of just now are all the same."""
    found = [tuple((type(value).__name__, "now" if is_now(value) else value) for value in row) for row in rows]
    return found if ordered else sorted(found, key=repr)


def is_now(value: object) -> bool:
    """Whether it is what CURRENT_TIMESTAMP gave while the test ran."""
    if not isinstance(value, str) or re.fullmatch(r"\d{4}(-\d\d){2} \d\d(:\d\d){2}", value) is None:
        return False
    return abs(datetime.fromisoformat(value).replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=10)
