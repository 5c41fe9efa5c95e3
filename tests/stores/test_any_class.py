"""Columns whose values are of several storage classes travel in both directions, each value in its own class."""

from __future__ import annotations

import math
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.stores.mirrored import Mirrored

from dualdb.core.phase import Phase
from dualdb.core.schema import TargetType
from dualdb.core.store import Undecodable
from dualdb.core.types import decode_row, to_target
from dualdb.errors import PhaseError
from dualdb.operations.readiness import find_blockers
from dualdb.operations.transition import advance
from dualdb.operations.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

VALUES: list[Any] = [
    *(None, 0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1),
    *(0.5, 1.0, -0.0, 0.0, 5e-324, math.inf, -math.inf, 1e300),
    *("", "a", "é\U0001f600", "nul\0inside", "1", "1.0", " 2 "),
    *(b"", b"\0", b"\x01", b"a", b"\xff" * 100),
]
SETUP = """
CREATE TABLE run (id INTEGER PRIMARY KEY, dim INTEGER, rate REAL, note TEXT, cost NUMERIC, anything, seen INTEGER);
INSERT INTO run VALUES (1, x'0300000000000000', 'unknown', x'00', 'free', 1, 1);
INSERT INTO run VALUES (2, 3, 0.25, 'text', 1.5, 'text', NULL);
CREATE TABLE plain (id INTEGER PRIMARY KEY, word TEXT);
"""
MIXED = ("dim", "rate", "note", "cost", "anything")


def fill(path: str, seed: int) -> None:
    """A hundred rows of every value, in every column, as SQLite makes them; a text that is not UTF-8 in each, too."""
    chance = random.Random(seed)
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [[chance.choice(VALUES) for _ in MIXED] for _ in range(100)]
        rows += [[value] * len(MIXED) for value in VALUES]
        names = ", ".join(MIXED)
        connection.executemany(f"INSERT INTO run({names}) VALUES (?, ?, ?, ?, ?)", rows)
        wrong = ", ".join("CAST(x'ff6100' AS TEXT)" for _ in MIXED)
        connection.execute(f"INSERT INTO run({names}) VALUES ({wrong})")


def check(pair: Mirrored) -> None:
    """Both sides are equal to the bit, verification finds the same, and nothing was kept apart."""
    pair.align()
    assert pair.differences() == {}
    assert pair.quarantined() == []
    with pair.pair() as opened:
        report = verify(opened, full=True)
    assert report.agrees, report.mismatches


@pytest.mark.parametrize("seed", range(3))
def test_mixed_columns_travel_there_and_back(seed: int, database: Path, target_dsn: str) -> None:
    """Copied, relayed, changed on PostgreSQL and relayed back: always the same values on both sides."""
    pair = Mirrored(database, target_dsn, SETUP)
    with pair.pair() as opened, opened.source.snapshot() as snapshot:
        stored = {column.name: column.stored for column in snapshot.schema.table("run").columns}
    assert [stored[name] for name in MIXED] == [TargetType.ANY] * 5
    assert stored["seen"] is TargetType.BIGINT
    fill(pair.path, seed)
    check(pair)
    fill(pair.path, seed + 100)
    pair.source("UPDATE run SET dim = note, note = dim WHERE id % 3 = 0", "DELETE FROM run WHERE id % 7 = 0")
    check(pair)
    pair.to_postgres()
    before = everything(pair.path)
    pair.target("UPDATE run SET seen = 5 WHERE id % 2 = 0", "DELETE FROM run WHERE id % 5 = 0")
    check(pair)
    pair.back()
    check(pair)
    assert everything(pair.path) == {key: row for key, row in before.items() if key % 5}


def everything(path: str) -> dict[int, tuple[str, ...]]:
    """What SQLite itself tells of each row: classes and exact bytes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        listed = ", ".join(f"typeof({name}), {name}" for name in MIXED)
        return {row[0]: tuple(map(repr, row)) for row in connection.execute(f"SELECT id, {listed} FROM run")}


def test_every_value_written_on_postgresql_arrives(database: Path, target_dsn: str) -> None:
    """What an affinity would change does not arrive as another value: it is kept apart, exactly."""
    pair = Mirrored(database, target_dsn, SETUP)
    pair.to_postgres()
    values = [*VALUES, Undecodable(b"\xff\0a"), math.nan]
    with psycopg.connect(target_dsn) as connection:
        for number, value in enumerate(values, 10):
            written = to_target(value, TargetType.ANY)
            connection.execute("INSERT INTO run (id, anything, dim) VALUES (%s, %s, %s)", (number, written, written))
    pair.align()
    with pair.pair() as opened:
        apart = [(one.reason, dict(zip(*decode_row(one.image), strict=True))) for one in opened.follower.quarantine()]
    changed = {repr(row["dim"]) for reason, row in apart if "would be stored as another value" in reason}
    assert changed == {repr(value) for value in (1.0, -0.0, 0.0, "1", "1.0", " 2 ", math.nan)}
    with pair.pair() as opened, opened.source.snapshot() as snapshot:
        held = {row[0]: row[5] for row in snapshot.range(snapshot.schema.table("run"), None, 1000)}
    missing = {row["id"] for _, row in apart}
    for number, value in enumerate(values, 10):
        assert (number in missing) or (type(held[number]), repr(held[number])) == (type(value), repr(value))


def test_what_stands_in_the_way_of_phase_postgres_is_told(database: Path, target_dsn: str) -> None:
    """A CHECK that might fail on a value that PostgreSQL's text cannot hold blocks it, and the mirror works; a unique
    index, a CHECK and a view that compare the values do not.
    """
    script = """
    CREATE TABLE t(id INTEGER PRIMARY KEY, name UNIQUE, size INTEGER CHECK (size <> 7), CHECK (length(name) < 9));
    CREATE VIEW large AS SELECT * FROM t WHERE size > 5;
    INSERT INTO t VALUES (1, 1, x'00'), (2, '1', 6), (3, x'31', 'many'), (4, 1.5, NULL);
    """
    pair = Mirrored(database, target_dsn, script)
    check(pair)
    pair.source(
        "UPDATE t SET name = id / 4.0", "UPDATE t SET name = 1 WHERE id = 4", "INSERT INTO t VALUES (5, 'x', 1)"
    )
    check(pair)
    with pytest.raises(PhaseError, match=r"blocked: check of t .*it may fail on PostgreSQL for a value"):
        advance(pair.path, Phase.POSTGRES, observer=pair.events.append)
    with pair.pair() as opened, opened.source.snapshot() as snapshot:
        found = find_blockers(snapshot.schema, Phase.POSTGRES, "public")
    assert [blocker.partition(" cannot")[0] for blocker in found] == ["check of t"]


def test_columns_are_inspected_anew_when_mirroring_begins_anew(database: Path, target_dsn: str) -> None:
    """So what was of several classes can be converted, and what has become of several is held."""
    script = "CREATE TABLE t(a DECIMAL, b TEXT); INSERT INTO t VALUES (1, 'x'), ('y', 'z')"
    pair = Mirrored(database, target_dsn, script)
    check(pair)
    assert stored(pair) == {"a": TargetType.ANY, "b": TargetType.TEXT}
    pair.back()
    pair.source("UPDATE t SET a = 2 WHERE typeof(a) NOT IN ('integer', 'real', 'null')", "UPDATE t SET b = x'00'")
    advance(pair.path, Phase.DUAL_WRITE, observer=pair.events.append)
    check(pair)
    assert stored(pair) == {"a": TargetType.NUMBER, "b": TargetType.ANY}
    assert pair.target("SELECT a FROM t ORDER BY a") == [(1.0,), (2.0,)]


def stored(pair: Mirrored) -> dict[str, TargetType]:
    """What the columns of table t are stored as."""
    with pair.pair() as opened, opened.source.snapshot() as snapshot:
        return {column.name: column.stored for column in snapshot.schema.table("t").columns}
