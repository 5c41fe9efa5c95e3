"""`dualdb verify` on a real SQLite file and a real PostgreSQL, in both directions."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.core.types import decode_row
from dualdb.errors import PhaseError
from dualdb.operations import verify_pairs
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import Wishes, verify
from dualdb.stores.pair import Pair
from dualdb.stores.relay import Relay, relay_until_aligned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dualdb.operations.verify_report import Report

SCHEMA = """
CREATE TABLE run (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, loss REAL, cost NUMERIC, at TEXT, note BLOB);
CREATE INDEX run_name ON run (name);
CREATE TABLE step (run INTEGER NOT NULL REFERENCES run (id), at INTEGER NOT NULL, value REAL, PRIMARY KEY (run, at))
    WITHOUT ROWID;
CREATE TABLE tag (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, run INTEGER REFERENCES run (id));
CREATE TABLE blob (key BLOB NOT NULL PRIMARY KEY, value);
CREATE TABLE line (text TEXT, number INT);
CREATE VIEW best AS SELECT name, max(loss) AS loss FROM run GROUP BY name;
"""


def fill(path: Path) -> None:
    """A few hundred rows of every kind of key."""
    source = random.Random(7)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        for one in range(1, 201):
            row = (f"name {one}", source.random() - 0.5, one / 4, f"2024-01-01 00:00:00.{one:06}", source.randbytes(4))
            connection.execute("INSERT INTO run (name, loss, cost, at, note) VALUES (?, ?, ?, ?, ?)", row)
            connection.execute("INSERT INTO step VALUES (?, ?, ?)", (one, one % 3, source.random()))
            connection.execute("INSERT INTO tag VALUES (?, ?)", (f"{source.choice('aAbB')}tag{one}", one))
            connection.execute("INSERT INTO blob VALUES (?, ?)", (source.randbytes(3) + bytes([one]), one))
            connection.execute("INSERT INTO line VALUES (?, ?)", (f"line {one % 50}", one))
        connection.commit()


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> str:
    """A pair in phase dual_write, aligned."""
    fill(database)
    initialise(str(database), target_dsn)
    advance(str(database), observer=unheard)
    return str(database)


@pytest.fixture
def moved(mirrored: str) -> str:
    """A pair in phase postgres."""
    advance(mirrored, observer=unheard)
    return mirrored


@pytest.fixture
def relaying(mirrored: str) -> Iterator[Relay]:
    """A relay in the background."""
    relay = Relay(mirrored)
    relay.start()
    yield relay
    relay.stop()


def verified(path: str, *, full: bool = True, wishes: Wishes | None = None) -> Report:
    """One verification, not too patient."""
    with Pair.open(path) as pair:
        return verify(pair, full=full, wishes=wishes or Wishes(patience_s=10.0))


def named(report: Report) -> set[tuple[str, str, object, tuple[str, ...]]]:
    """What a report says about each mismatch."""
    return {(one.kind.value, one.table, one.key, one.columns) for one in report.mismatches}


def corrupt_target(dsn: str, *statements: str) -> None:
    """Write on PostgreSQL as somebody does who has got past the fence."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET LOCAL dualdb.applying = 'on'")
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount > 0


def corrupt_source(path: str, *statements: str) -> None:
    """Write into SQLite as somebody does who has got past the fence."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE _dualdb_control SET applying = 1")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
        connection.execute("UPDATE _dualdb_control SET applying = 0")
        connection.execute("COMMIT")


def write_source(path: str, *statements: str) -> None:
    """The application, by plain sqlite3."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_mirrored(mirrored: str) -> None:
    """A mirrored pair agrees and everything was compared."""
    report = verified(mirrored)
    assert report.agrees
    assert {
        table.name: (table.compared, table.control_count, table.candidate_count) for table in report.tables
    } == dict.fromkeys(("run", "step", "tag", "blob", "line"), (200, 200, 200))
    assert (report.missing_objects, report.orphans, report.authority) == ((), (), "source")
    assert [(one.table, one.next_id, one.sound) for one in report.sequences] == [("run", 201, True)]


def test_corruption_of_postgresql(mirrored: str, target_dsn: str) -> None:
    """Every corruption of postgresql is found and named."""
    corrupt_target(
        target_dsn,
        "UPDATE run SET loss = loss * (1 + 2.3e-16) WHERE id = 1",
        "UPDATE run SET loss = '-0' WHERE id = 2",
        "UPDATE run SET name = name || ' ' WHERE id = 3",
        "UPDATE run SET at = '2024-01-01 00:00:00.000005' WHERE id = 4",
        "UPDATE run SET loss = other.loss FROM run AS other WHERE run.id IN (5, 6) AND other.id = 11 - run.id",
        "UPDATE run SET loss = 'NaN' WHERE id = 7",
        "UPDATE run SET note = note || '\\x00' WHERE id = 8",
        "DELETE FROM step WHERE run = 9",
        "INSERT INTO step VALUES (9, 99, 0.5)",
        "UPDATE tag SET name = upper(name) WHERE run = 10",
        "UPDATE line SET text = NULL WHERE number = 11",
        "UPDATE blob SET value = value + 1 WHERE value = 12",
    )
    report = verified(mirrored)
    with closing(sqlite3.connect(mirrored)) as connection:
        (tag,) = connection.execute("SELECT name FROM tag WHERE run = 10").fetchone()
        (key,) = connection.execute("SELECT key FROM blob WHERE value = 12").fetchone()
    expected: set[tuple[str, str, object, tuple[str, ...]]] = {
        ("different", "run", (one,), ("loss",)) for one in (1, 2, 5, 6, 7)
    }
    expected |= {
        ("different", "run", (3,), ("name",)),
        ("different", "run", (4,), ("at",)),
        ("different", "run", (8,), ("note",)),
        ("missing", "step", (9, 0), ()),
        ("extra", "step", (9, 99), ()),
        ("missing", "tag", (tag,), ()),
        ("extra", "tag", (tag.upper(),), ()),
        ("different", "line", (11,), ("text",)),
        ("different", "blob", (key,), ("value",)),
    }
    assert named(report) == expected
    assert not report.agrees
    assert len(expected) == report.mismatched


def test_corruption_of_sqlite(moved: str) -> None:
    """Every corruption of sqlite is found and named."""
    corrupt_source(
        moved,
        "UPDATE run SET loss = loss + 1e-16 WHERE id = 1",
        "UPDATE run SET name = name || ' ' WHERE id = 3",
        "UPDATE run SET cost = 'text' WHERE id = 4",
        "DELETE FROM step WHERE run = 9",
        "INSERT INTO step VALUES (9, 99, 0.5)",
        "UPDATE tag SET name = 'new' WHERE run = 10",
        "UPDATE blob SET value = value || '' WHERE value = 12",
        "INSERT INTO line VALUES ('foreign', 1)",
    )
    report = verified(moved)
    assert {(one.kind.value, one.table, one.columns) for one in report.mismatches} == {
        ("different", "run", ("loss",)),
        ("different", "run", ("name",)),
        ("different", "run", ("cost",)),
        ("missing", "step", ()),
        ("extra", "step", ()),
        ("missing", "tag", ()),
        ("extra", "tag", ()),
        ("different", "blob", ("value",)),
        ("extra", "line", ()),
    }
    assert (report.authority, report.mismatched) == ("target", 9)


@pytest.mark.parametrize("direction", ["forward", "back"])
def test_repair(mirrored: str, target_dsn: str, direction: str) -> None:
    """A repair brings the differing rows over again."""
    wrong = (
        "UPDATE run SET loss = 0.5 WHERE id = 1",
        "DELETE FROM step WHERE run = 9",
        "UPDATE blob SET value = 7 WHERE value = 12",
        "INSERT INTO step VALUES (9, 99, 0.5)",
        "DELETE FROM tag WHERE run = 13",
        "DELETE FROM line WHERE number = 3",
    )
    if direction == "forward":
        corrupt_target(target_dsn, *wrong)
    else:
        advance(mirrored, observer=unheard)
        corrupt_source(mirrored, *wrong)
    looked = verified(mirrored)
    assert (looked.mismatched, looked.repaired, looked.kept) == (6, 0, None)
    repair = verified(mirrored, wishes=Wishes(repair=True, patience_s=10.0))
    assert (repair.mismatched, repair.repaired) == (6, 6)
    assert {one.name: (one.missing, one.extra, one.different) for one in repair.tables if one.mismatches} == {
        "run": (0, 0, 1),
        "step": (1, 1, 0),
        "blob": (0, 0, 1),
        "tag": (1, 0, 0),
        "line": (1, 0, 0),
    }
    assert repair.kept
    with open(repair.kept, encoding="ascii") as file:
        kept = [json.loads(line) for line in file]
    assert os.stat(repair.kept).st_mode & 0o777 == 0o600
    assert {(one["side"], one["kind"], one["table"]) for one in kept} == {
        ("target" if direction == "forward" else "source", kind, table)
        for kind, table in (("different", "run"), ("extra", "step"), ("different", "blob"))
    }
    rows = {one["table"]: decode_row(json.dumps(one["row"]).encode()) for one in kept}
    assert dict(zip(*rows["step"], strict=True))["at"] == 99
    assert dict(zip(*rows["run"], strict=True))["loss"] == 0.5
    assert dict(zip(*rows["blob"], strict=True))["value"] == 7
    relay_until_aligned(mirrored)
    later = verified(mirrored, full=False)
    assert (later.full, later.compared, later.mismatched) == (False, 6, 0)
    assert verified(mirrored).agrees


def test_incremental(mirrored: str, target_dsn: str) -> None:
    """An incremental verification begins where the last one ended."""
    first = verified(mirrored, full=False)
    assert (first.full, first.reason) == (True, "nothing was verified before")
    write_source(mirrored, "UPDATE run SET loss = 1.5 WHERE id IN (1, 2)", "DELETE FROM line WHERE number = 5")
    relay_until_aligned(mirrored)
    corrupt_target(target_dsn, "UPDATE run SET loss = 2.5 WHERE id IN (2, 3)")
    second = verified(mirrored, full=False)
    assert (second.full, second.since, second.compared) == (False, first.position, 3)
    assert named(second) == {("different", "run", (2,), ("loss",))}
    third = verified(mirrored, full=False)
    assert (third.full, third.reason) == (True, "the last verification found differences")
    assert named(third) == {("different", "run", (2,), ("loss",)), ("different", "run", (3,), ("loss",))}


def test_full_again(mirrored: str) -> None:
    """After a change of phase or schema everything is compared."""
    verified(mirrored)
    write_source(mirrored, "ALTER TABLE line ADD COLUMN level INTEGER")
    relay_until_aligned(mirrored)
    altered = verified(mirrored, full=False)
    assert (altered.full, altered.reason) == (True, "the schema has changed since the last verification")
    assert altered.agrees
    assert not verified(mirrored, full=False).full
    advance(mirrored, observer=unheard)
    assert verified(mirrored, full=False).reason == "nothing was verified before"
    rollback(mirrored, observer=unheard)
    assert verified(mirrored, full=False).reason == "the last verification was before a change of phase"


def test_note(mirrored: str, target_dsn: str) -> None:
    """The result is noted in the authoritys control row."""
    report = verified(mirrored)
    with closing(sqlite3.connect(mirrored)) as connection:
        note = json.loads(connection.execute("SELECT verified FROM _dualdb_control").fetchone()[0])
    assert (note["agrees"], note["position"], note["compared"]) == (True, report.position, 1000)
    assert json.loads(json.dumps(report.as_json()))["tables"][0]["name"] == "blob"
    advance(mirrored, observer=unheard)
    verified(mirrored)
    with psycopg.connect(target_dsn) as connection:
        row = connection.execute("SELECT verified FROM dualdb.control").fetchone()
    assert row is not None
    assert json.loads(row[0])["authority"] == "target"


def test_unrelayed(mirrored: str) -> None:
    """Changes that nobody relays are carried before they are judged."""
    write_source(mirrored, "UPDATE run SET loss = 1.5 WHERE id < 50", "INSERT INTO line VALUES ('late', 1)")
    report = verified(mirrored)
    assert report.agrees
    assert report.unsettled == 0


def test_quarantine(mirrored: str) -> None:
    """Rows that postgresql cannot hold are counted apart."""
    write_source(
        mirrored,
        "UPDATE run SET name = 'a' || char(0) WHERE id = 1",
        "INSERT INTO tag VALUES ('b' || char(0), 1)",
        "INSERT INTO blob VALUES (x'ff', 'text')",
    )
    relay_until_aligned(mirrored)
    report = verified(mirrored)
    assert report.agrees
    assert report.quarantined == 3
    assert {table.name: table.quarantined for table in report.tables if table.quarantined} == {
        "run": 1,
        "tag": 1,
        "blob": 1,
    }
    assert {(table.control_count, table.candidate_count) for table in report.tables} == {(200, 200), (201, 201)}


def test_orphans(mirrored: str) -> None:
    """Orphans are listed and not held against the pair."""
    write_source(mirrored, "UPDATE tag SET run = 4000 WHERE run = 5", "INSERT INTO step VALUES (5000, 1, 1.0)")
    relay_until_aligned(mirrored)
    report = verified(mirrored)
    assert report.agrees
    with closing(sqlite3.connect(mirrored)) as connection:
        tag = connection.execute("SELECT name FROM tag WHERE run = 4000").fetchone()
    assert {(one.table, one.columns, one.parent, one.count, one.keys) for one in report.orphans} == {
        ("tag", ("run",), "run", 1, (tag,)),
        ("step", ("run",), "run", 1, ()),
    }


def test_missing_objects(mirrored: str, target_dsn: str) -> None:
    """An index and a view that somebody dropped are missed."""
    with psycopg.connect(target_dsn, autocommit=True) as connection:
        connection.execute("DROP INDEX IF EXISTS run_name")
        connection.execute("DROP VIEW IF EXISTS best")
    report = verified(mirrored)
    assert set(report.missing_objects) == {"run_name", "best"}


def test_sequences(moved: str, target_dsn: str) -> None:
    """A sequence that would give an id, or a rowid, again is found."""
    found = {(one.table, one.next_id, one.sound) for one in verified(moved).sequences}
    assert found == {(table, 201, True) for table in ("run", "line", "tag", "blob")}
    with psycopg.connect(target_dsn, autocommit=True) as connection:
        connection.execute("SELECT setval('sqlite_sequence_run', 100)")
    report = verified(moved)
    assert [(one.table, one.next_id, one.used) for one in report.sequences if not one.sound] == [("run", 101, 200)]
    assert not report.agrees


def test_phase_sqlite(database: Path, target_dsn: str) -> None:
    """Nothing follows in phase sqlite."""
    fill(database)
    initialise(str(database), target_dsn)
    with Pair.open(str(database)) as pair, pytest.raises(PhaseError, match="is in phase sqlite and nothing follows it"):
        verify(pair)


def test_while_writers_write(mirrored: str, target_dsn: str, relaying: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """While writers write no false alarm and no missed corruption."""
    monkeypatch.setattr(verify_pairs, "PAIR_S", 0.05)
    over = threading.Event()
    writer = threading.Thread(target=_write_for_a_while, args=(mirrored, over))
    writer.start()
    try:
        for _ in range(6):
            report = verified(mirrored)
            assert (named(report), report.unsettled, report.miscounted) == (set(), 0, ())
        corrupt_target(target_dsn, "UPDATE run SET name = 'wrong' WHERE id = 3")
        found = verified(mirrored)
    finally:
        over.set()
        writer.join()
    assert relaying.path == mirrored
    assert named(found) == {("different", "run", (3,), ("name",))}


def test_while_writers_write_on_postgresql(moved: str, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While writers write on postgresql there is no false alarm."""
    monkeypatch.setattr(verify_pairs, "PAIR_S", 0.05)
    over = threading.Event()

    def write() -> None:
        source = random.Random(5)
        with psycopg.connect(target_dsn, autocommit=True) as connection:
            while not over.is_set():
                number = source.randrange(20, 200)
                with connection.transaction():
                    connection.execute("UPDATE run SET loss = %s WHERE id = %s", (source.random(), number))
                    connection.execute("UPDATE tag SET name = name || '.' WHERE run = %s", (number,))
                    connection.execute("INSERT INTO line (text) VALUES ('later')")
                time.sleep(0.002)

    writers = [threading.Thread(target=write) for _ in range(2)]
    relay = Relay(moved)
    relay.start()
    for writer in writers:
        writer.start()
    try:
        for _ in range(4):
            report = verified(moved)
            assert (named(report), report.unsettled, report.miscounted) == (set(), 0, ())
    finally:
        over.set()
        for writer in writers:
            writer.join()
        relay.stop()
    with Pair.open(moved) as pair:
        assert pair.phase is Phase.POSTGRES


def _write_for_a_while(path: str, over: threading.Event) -> None:
    source = random.Random(3)
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        while not over.is_set():
            number = source.randrange(20, 200)
            connection.execute("UPDATE run SET loss = ? WHERE id = ?", (source.random(), number))
            connection.execute("UPDATE tag SET name = name || '.' WHERE run = ?", (number,))
            connection.execute("DELETE FROM line WHERE rowid = ?", (source.randrange(1, 3000),))
            connection.execute("INSERT INTO line VALUES ('later', ?)", (number,))
            connection.execute("UPDATE step SET at = at + 3 WHERE run = ?", (number,))
            connection.commit()
            time.sleep(0.002)
