"""Values of several classes in one column, as an application in phase postgres sees them: as sqlite3 shows them."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.shared_data import SharedData

BEGIN = "INSERT INTO experiments (name, description, start_time, status, {}learning_rate) VALUES (?, ?, ?, ?, {}?)"
END = "UPDATE experiments SET end_time = ?, status = 'completed', best_test_sharpe = ?, early_stopped = ? WHERE id = ?"
ALL = "SELECT * FROM experiments ORDER BY id"
VALUES: list[Any] = [
    *(None, 0, 3, -1, 2**63 - 1, -(2**63), True, 0.5, 3.0, -0.0, math.inf, math.nan, 1e300),
    *("", "3", "3.5", " 4 ", "four", "nul\0inside", "é", b"", b"\x03\0\0\0\0\0\0\0", bytearray(b"\xff")),
]


@pytest.fixture
def real(database: Path, target_dsn: str, shared_data: SharedData) -> Iterator[Twins]:
    """The real database whose column `action_dim INTEGER` holds a blob, twice."""
    with closing(sqlite3.connect(f"file:{shared_data / 'experiments.db'}?mode=ro", uri=True)) as connection:
        script = "\n".join(line for line in connection.iterdump() if "sqlite_sequence" not in line)
    with closing(Twins(database, target_dsn, script)) as twins:
        yield twins


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """One table whose columns hold several classes, of each affinity."""
    script = """
    CREATE TABLE t(id INTEGER PRIMARY KEY, i INTEGER DEFAULT 'x', r REAL, s TEXT DEFAULT 5, n NUMERIC, b DEFAULT 1.0);
    INSERT INTO t VALUES (1, x'00', 'x', x'01', 'y', 1), (2, 1, 1, 1, 1, 'z');
    INSERT INTO t(i) VALUES (CAST(x'ff61' AS TEXT));
    """
    with closing(Twins(database, target_dsn, script)) as twins:
        yield twins


def test_the_application_goes_on_with_its_blob(real: Twins) -> None:
    """What it logs and asks, with the column and without it, and while other columns change."""
    real.execute(ALL)
    for values in (("one", "d", "2026-01-01", "running", 0.1), ("two", None, "2026-01-01", "running", None)):
        real.execute(BEGIN.format("", ""), values)
    for value in VALUES:
        real.execute(BEGIN.format("action_dim, ", "?, "), ("new", "d", "2026-01-01", "running", value, 0.5))
    real.execute("INSERT INTO experiments (name, start_time, action_dim) VALUES ('literal', '2026-01-01', x'0102')")
    real.execute("INSERT INTO experiments (name, start_time, action_dim) VALUES ('literal', '2026-01-01', '12')")
    real.execute(END, ("2026-01-01", 0.25, True, 1))
    real.execute("UPDATE experiments SET notes = 'blob' WHERE action_dim IS NOT NULL AND id < 3")
    real.execute("UPDATE experiments SET action_dim = ? WHERE id = ?", (7, 1))
    real.execute("UPDATE experiments SET action_dim = action_dim, state_dim = 5")
    real.execute("DELETE FROM experiments WHERE action_dim IS NULL AND name = 'two'")
    real.execute(ALL.replace("*", "id, name, action_dim, notes, status, end_time"))
    real.execute("SELECT count(*), count(action_dim) FROM experiments")
    real.execute("SELECT e.action_dim, p.episode_num FROM episodes p JOIN experiments e ON e.id = p.experiment_id")


def test_every_value_in_every_column(twins: Twins) -> None:
    """The affinity is applied as SQLite applies it, and the class comes back."""
    for value in VALUES:
        twins.execute("INSERT INTO t(i, r, s, n, b) VALUES (?, ?, ?, ?, ?)", (value,) * 5)
    twins.execute("INSERT INTO t(n) VALUES (1)")
    twins.execute("UPDATE t SET i = 1.0, r = 1, s = 1, n = '1.0', b = '1' WHERE id = 3")
    twins.execute("SELECT * FROM t ORDER BY id")


def test_texts_go_through_the_text_factory(twins: Twins) -> None:
    """Also one that is not UTF-8; plain str raises what sqlite3 raises."""
    query = "SELECT i FROM t ORDER BY id"
    outcome, *error = twins.both(lambda connection: connection.execute(query).fetchall())
    assert (outcome, error[0]) == ("error", "OperationalError")
    for factory in (bytes, bytearray, lambda raw: raw.decode("latin-1")):
        twins.plain.text_factory = twins.ours.text_factory = factory
        twins.execute(query)


def test_converters_get_the_exact_bytes(database: Path, target_dsn: str) -> None:
    """PARSE_DECLTYPES hands each value's bytes to the converter, whatever its class."""
    sqlite3.register_converter("mixed", lambda raw: (raw, len(raw)))
    script = "CREATE TABLE t(id INTEGER PRIMARY KEY, m MIXED); INSERT INTO t(m) VALUES (1), ('a'), (x'00'), (1.5)"
    with closing(Twins(database, target_dsn, script, detect_types=sqlite3.PARSE_DECLTYPES)) as twins:
        twins.execute("SELECT m FROM t ORDER BY id")


def test_the_value_is_compared_and_computed_with(twins: Twins) -> None:
    """As SQLite does with each, whatever its class."""
    for column in "irsnb":
        twins.execute(f"SELECT id FROM t WHERE {column} = 1 ORDER BY id")
        twins.execute(f"SELECT id FROM t WHERE {column} > ? ORDER BY id", ("a",))
        twins.execute(f"SELECT typeof({column}), {column} IS 1, {column} IN (1, 'x', 'z') FROM t ORDER BY id")
        twins.execute(f"SELECT id FROM t ORDER BY {column}, id")
