"""What the relay promises, on a real SQLite file and a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.stores.mirrored import Mirrored

from dualdb.core import events
from dualdb.core.delivery import Action
from dualdb.core.store import CONFLICT, TableBatch, Watermark
from dualdb.entrypoints.console import describe
from dualdb.errors import BusyError, LineageError, OvertakenError
from dualdb.stores import target, target_change
from dualdb.stores.catalog import schema_from_rows
from dualdb.stores.relay import Relay, relay_until_aligned
from dualdb.stores.relay_batch import Carrier
from dualdb.stores.server import EmbeddedServer, StopMode
from dualdb.stores.target_catalog import read_numbering, read_objects, read_target_schema
from dualdb.stores.target_lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

TABLES = """
CREATE TABLE run (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, loss REAL, cost NUMERIC, note BLOB);
CREATE TABLE step (run INTEGER NOT NULL, at INTEGER NOT NULL, value REAL, PRIMARY KEY (run, at)) WITHOUT ROWID;
CREATE TABLE tag (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, uses INT);
CREATE TABLE line (text TEXT, number INT);
"""
ROWS = """
INSERT INTO run(name, loss, cost, note) VALUES ('a', 0.1, 3, x'00ff'), ('b', -1e300, 2.5, NULL), ('c', NULL, NULL, x'');
INSERT INTO step VALUES (1, 1, 0.5), (1, 2, 1.5), (2, 1, 2.5);
INSERT INTO tag VALUES ('Alpha', 1), ('beta', 2), ('C', 3);
INSERT INTO line VALUES ('x', 1), ('x', 1), (NULL, NULL);
"""


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A pair with a few rows of every kind of key, nothing of it copied yet."""
    return Mirrored(database, target_dsn, TABLES + ROWS)


@pytest.fixture
def reversed_pair(mirrored: Mirrored) -> Mirrored:
    """The same with PostgreSQL as the authority."""
    mirrored.align()
    mirrored.to_postgres()
    return mirrored


def test_a_copy_and_what_changes_later_arrive(mirrored: Mirrored) -> None:
    """After the copy, and after every later transaction, the follower equals the authority."""
    assert mirrored.align() == 12
    assert mirrored.differences() == {}
    mirrored.source(
        "UPDATE run SET loss = 0.25 WHERE name = 'a'",
        "DELETE FROM step WHERE at = 1",
        "UPDATE tag SET name = 'ALPHA' WHERE uses = 1",
        "INSERT INTO line VALUES ('y', 2)",
        "UPDATE line SET rowid = 77 WHERE rowid = 1",
    )
    mirrored.align()
    assert mirrored.differences() == {}


def test_the_way_back_carries_what_postgresql_changes(reversed_pair: Mirrored) -> None:
    """In phase postgres SQLite receives inserts, updates, deletes, changed keys and a TRUNCATE."""
    reversed_pair.target(
        "INSERT INTO run (name, loss, cost, note) VALUES ('pg', 1e-9, 7, '\\x01')",
        "UPDATE run SET id = -7 WHERE name = 'b'",
        "UPDATE tag SET name = 'ALPHA' WHERE uses = 1",
        "DELETE FROM step WHERE run = 2",
        "TRUNCATE line",
        "INSERT INTO line (text, number) VALUES ('later', 9)",
    )
    reversed_pair.align()
    assert reversed_pair.differences() == {}
    reversed_pair.back()
    reversed_pair.source("INSERT INTO run(name) VALUES ('again')")
    reversed_pair.align()
    assert reversed_pair.differences() == {}


@pytest.mark.parametrize("direction", ["forward", "back"])
def test_unique_values_change_places(mirrored: Mirrored, direction: str) -> None:
    """Rows that exchange their unique values in one transaction arrive, although any order of updates would collide."""
    mirrored.align()
    swap = (
        "UPDATE run SET name = '-' WHERE name = 'a'",
        "UPDATE run SET name = 'a' WHERE name = 'b'",
        "UPDATE run SET name = 'b' WHERE name = 'c'",
        "UPDATE run SET name = 'c' WHERE name = '-'",
    )
    if direction == "forward":
        mirrored.source(*swap)
    else:
        mirrored.to_postgres()
        mirrored.target(*swap)
    mirrored.align()
    assert mirrored.differences() == {}
    assert mirrored.quarantined() == []


def test_what_postgresql_cannot_hold_is_kept_apart(mirrored: Mirrored) -> None:
    """Poison rows go to the quarantine with their reason; all others of the same batch arrive, and a mended row too."""
    mirrored.align()
    with closing(sqlite3.connect(mirrored.path)) as connection, connection:
        connection.execute("INSERT INTO run(id, name) VALUES (10, 'nul' || char(0) || 'x')")
        connection.execute("INSERT INTO run(id, name) VALUES (11, CAST(x'c328' AS TEXT))")
        connection.execute("INSERT INTO run(id, name) VALUES (12, CAST(x'eda080' AS TEXT))")
        connection.execute("INSERT INTO run(id, name, cost) VALUES (13, 'big', 9007199254740993)")
        connection.execute("INSERT INTO run(id, name) VALUES (14, ?)", (os.urandom(4500).hex(),))
        connection.execute("INSERT INTO line VALUES ('word', 'no number')")
        connection.execute("INSERT INTO step VALUES (3, 1, 'no float')")
        connection.execute("INSERT INTO run(id, name) VALUES (15, 'good')")
    mirrored.align()
    reasons = {(table, key): reason for table, key, reason in mirrored.quarantined()}
    assert {key for table, key in reasons if table == "run"} == {"10", "11", "12", "13", "14"}
    assert "NUL" in reasons["run", "10"]
    assert "UTF-8" in reasons["run", "11"]
    assert "UTF-8" in reasons["run", "12"]
    assert "exactly" in reasons["run", "13"]
    assert "maximum" in reasons["run", "14"]
    assert "text in a column of integers" in reasons["line", "4"]
    assert "text in a column of floats" in reasons["step", "3, 1"]
    assert mirrored.target("SELECT name FROM run WHERE id = 15") == [("good",)]
    mirrored.source("UPDATE run SET name = 'mended ' || id, cost = 1 WHERE id BETWEEN 10 AND 14")
    mirrored.source("UPDATE line SET number = 5 WHERE text = 'word'", "DELETE FROM step WHERE run = 3")
    mirrored.align()
    assert mirrored.quarantined() == []
    assert mirrored.differences() == {}


@pytest.mark.parametrize("back", [False, True], ids=["PostgreSQL's", "the file's"])
def test_a_quarantine_is_gone_through_page_by_page(
    mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch, *, back: bool
) -> None:
    """Each row once, whatever a page holds: at most so many rows, fewer where they are large, one at least."""
    monkeypatch.setattr(target, "PAGE", 3)
    monkeypatch.setattr(target, "PAGE_BYTES", 2_000)
    mirrored.align()
    if back:
        mirrored.to_postgres()
        mirrored.target(
            "INSERT INTO run(name, loss) SELECT repeat('x', i * i) || i, 'NaN' FROM generate_series(1, 60) i"
        )
        mirrored.target("INSERT INTO step SELECT i, i, 'NaN' FROM generate_series(101, 110) i")
    else:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)"
        mirrored.source(f"INSERT INTO run(name) {numbers} SELECT printf('%.*c', i * i, 'x') || i || char(0) FROM n")
        mirrored.source("INSERT INTO step SELECT id, id, 'no float' FROM run WHERE id > 50 LIMIT 10")
    mirrored.align()
    with mirrored.pair() as pair:
        counts = pair.follower.count_quarantine()
        found = [(row.table, row.key) for row in pair.follower.quarantine()]
        with pair.follower.snapshot() as snapshot:
            number = snapshot.schema.table("step").id
        steps = list(pair.follower.quarantine(number))
    assert counts == {"run": 60, "step": 10}
    assert len(set(found)) == len(found) == 70
    assert {row.table for row in steps} == {"step"}
    assert len(steps) == 10


def test_poison_met_by_the_copy_is_kept_apart(database: Path, target_dsn: str) -> None:
    """Rows that do not fit are found among many in the copy, with their exact bytes."""
    script = TABLES + "".join(
        f"INSERT INTO run(id, name) VALUES ({number}, {'char(0)' if number % 97 == 0 else repr(str(number))});"
        for number in range(1, 1500)
        if number != 194
    )
    pair = Mirrored(database, target_dsn, script.replace("char(0)", "char(0, 65) || abs(random())"))
    pair.align()
    assert len(pair.quarantined()) == 1499 // 97 - 1
    assert {row.reason for row in pair.seen(events.RowQuarantined)} == {"name: text with a NUL character"}
    assert pair.target("SELECT count(*) FROM run") == [(1498 - (1499 // 97 - 1),)]


def test_what_sqlite_cannot_hold_is_kept_apart(reversed_pair: Mirrored) -> None:
    """In the other direction too: a NaN, which SQLite would turn into NULL."""
    reversed_pair.target("INSERT INTO run (name, loss) VALUES ('odd', 'NaN'), ('even', 2)")
    reversed_pair.align()
    assert [(table, key) for table, key, _ in reversed_pair.quarantined()] == [("run", "4")]
    assert set(reversed_pair.differences()) == {"run"}
    reversed_pair.target("UPDATE run SET loss = 1 WHERE name = 'odd'")
    reversed_pair.align()
    assert reversed_pair.quarantined() == []
    assert reversed_pair.differences() == {}


def test_a_row_that_only_another_kept_out_is_tried_again(mirrored: Mirrored) -> None:
    """In the midst of a backlog a unique value may still sit on a row that follows later: nothing is lost by that."""
    mirrored.align()
    with mirrored.pair() as pair:
        carrier = Carrier(pair.authority, pair.follower, mirrored.events.append)
        mirrored.source("UPDATE run SET name = 'free' WHERE name = 'b'", "UPDATE run SET name = 'b' WHERE name = 'a'")
        mirrored.source("UPDATE run SET name = 'last' WHERE name = 'free'")
        held = pair.follower.watermark()
        with pair.authority.snapshot() as snapshot:
            table = snapshot.schema.table("run")
            rows = snapshot.rows(table, [(1,)])
        # The half of the backlog that brings row 1 its new name, while row 2 still has it on the follower.
        between = replace(held, aligned=False)
        applied = pair.follower.apply(held, [TableBatch(table=table, deletes=[(1,)], rows=rows)], lambda: between)
        assert [row.reason.startswith(CONFLICT) for row in applied.quarantined] == [True]
        while carrier.step() is not Action.WAIT:
            assert carrier.error is None
    assert mirrored.quarantined() == []
    assert mirrored.differences() == {}


def test_a_new_a_remade_and_a_dropped_table_are_followed(mirrored: Mirrored) -> None:
    """DDL by a plain sqlite3 process: new table, table remade without our triggers, column added, table dropped."""
    mirrored.align()
    mirrored.source("CREATE TABLE fresh (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO fresh VALUES (1, 'one')")
    mirrored.source(
        "CREATE TABLE new_run (id INTEGER PRIMARY KEY, name TEXT, loss REAL, extra INT)",
        "INSERT INTO new_run SELECT id, name, loss, 7 FROM run",
        "DROP TABLE run",
        "ALTER TABLE new_run RENAME TO run",
        "UPDATE run SET name = 'unseen' WHERE id = 1",
    )
    mirrored.source("ALTER TABLE tag ADD COLUMN colour TEXT DEFAULT 'red'", "DROP TABLE line")
    mirrored.source("CREATE INDEX by_value ON step (value)", "CREATE VIEW many AS SELECT name FROM tag WHERE uses > 1")
    mirrored.align()
    assert mirrored.differences() == {}
    assert mirrored.seen(events.SchemaFollowed)
    mirrored.source("UPDATE run SET name = 'seen again' WHERE id = 2", "INSERT INTO fresh VALUES (2, 'two')")
    mirrored.align()
    assert mirrored.differences() == {}
    assert mirrored.target("SELECT name FROM many ORDER BY 1") == [("C",), ("beta",)]
    assert mirrored.target("SELECT to_regclass('line')") == [(None,)]


def test_ddl_on_postgresql_is_followed_by_the_file(reversed_pair: Mirrored) -> None:
    """A table, an index and a view that the application makes there appear here, rows and all; a dropped table goes."""
    with psycopg.connect(reversed_pair.dsn) as connection:
        before = read_target_schema(connection)
        rows = [row for row in read_objects(connection) if row[2] != "line"]
        rows.append(("table", "born", "born", "CREATE TABLE born (id INTEGER PRIMARY KEY, v TEXT)"))
        rows.append(("index", "born_v", "born", "CREATE UNIQUE INDEX born_v ON born(v)"))
        rows.append(("view", "seen", "seen", "CREATE VIEW seen AS SELECT v FROM born"))
        target_change.follow(connection, before, schema_from_rows(rows, read_numbering(connection)), "public")
        connection.execute("INSERT INTO born (v) VALUES ('one'), ('two')")
    reversed_pair.align()
    assert reversed_pair.differences() == {}
    with closing(sqlite3.connect(reversed_pair.path)) as connection:
        assert connection.execute("SELECT v FROM seen ORDER BY 1").fetchall() == [("one",), ("two",)]
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            connection.execute("SELECT * FROM line")
    with pytest.raises(sqlite3.DatabaseError, match="dualdb:moved"):
        reversed_pair.source("DELETE FROM born")
    reversed_pair.back()
    reversed_pair.source("INSERT INTO born(v) VALUES ('three')")
    reversed_pair.align()
    assert reversed_pair.differences() == {}


def test_a_server_that_crashes_in_the_midst_of_it(database: Path) -> None:
    """PostgreSQL goes away as in a crash while rows are copied and written; in the end all of them are there."""
    server = EmbeddedServer.beside(database)
    try:
        pair = Mirrored(database, "embedded", TABLES + ROWS)
        pair.source(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
            " INSERT INTO step SELECT 9, i, i / 3.0 FROM n"
        )
        relay = Relay(pair.path, pair.events.append)
        relay.start()
        for number in range(3):
            time.sleep(0.3)
            server.stop(StopMode.IMMEDIATE)
            pair.source(f"UPDATE step SET value = {number} WHERE run = 9 AND at % 3 = {number}")
        pair.align(60)
        relay.stop()
        assert pair.differences() == {}
        assert pair.seen(events.TargetLost)
    finally:
        server.remove()


def test_rows_that_vacuum_renumbered_are_found(mirrored: Mirrored) -> None:
    """A table that only its rowids key is copied again after VACUUM, which renumbers them without a trigger."""
    mirrored.align()
    mirrored.source("DELETE FROM line WHERE rowid = 1")
    with closing(sqlite3.connect(mirrored.path, isolation_level=None)) as connection:
        connection.execute("VACUUM")
    mirrored.source("INSERT INTO line VALUES ('after', 8)")
    mirrored.align()
    assert mirrored.differences() == {}


def test_triggers_taken_away_are_noticed(mirrored: Mirrored) -> None:
    """Whoever drops our triggers and writes causes a copy, not a silent difference."""
    mirrored.align()
    mirrored.source("DROP TRIGGER _dualdb_insert_1", "INSERT INTO run(name) VALUES ('unjournaled')")
    mirrored.align()
    assert mirrored.differences() == {}
    (told,) = mirrored.seen(events.CaptureMended)
    assert (told.missing, told.renumbered) == (("run",), ("line",))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW seen AS SELECT * FROM run",
        "ANALYZE",
        "CREATE INDEX run_loss ON run (loss)",
        "DROP TRIGGER own",
        "CREATE TABLE another (x INTEGER PRIMARY KEY)",
        "VACUUM",
    ],
)
def test_a_changed_catalog_is_no_missing_trigger(database: Path, target_dsn: str, statement: str) -> None:
    """What is told is what happened: rows that only their rowid names are copied anew, and why."""
    own = "CREATE TRIGGER own AFTER DELETE ON run BEGIN SELECT 1; END;"
    mirrored = Mirrored(database, target_dsn, TABLES + ROWS + own)
    mirrored.align()
    with closing(sqlite3.connect(mirrored.path, isolation_level=None)) as connection:
        connection.execute(statement)
    mirrored.align()
    (told,) = mirrored.seen(events.CaptureMended)
    assert (told.missing, told.renumbered) == ((), ("line",))
    said = describe(told)
    assert "trigger" not in said
    assert "copied anew, for VACUUM may have renumbered" in said
    assert said.endswith(": line")


def test_a_changed_catalog_that_leaves_all_as_it_was_is_not_told(database: Path, target_dsn: str) -> None:
    """Neither is a trigger missing nor a row named by its rowid alone."""
    mirrored = Mirrored(database, target_dsn, "CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT);")
    mirrored.align()
    mirrored.source("CREATE VIEW seen AS SELECT * FROM run")
    mirrored.align()
    assert not mirrored.seen(events.CaptureMended)
    assert mirrored.seen(events.SchemaFollowed)


def test_capture_taken_away_on_postgresql_is_noticed(reversed_pair: Mirrored) -> None:
    """The same on the other side."""
    reversed_pair.target(
        'ALTER TABLE run DISABLE TRIGGER "!dualdb_capture_i"', "INSERT INTO run (name) VALUES ('unjournaled')"
    )
    reversed_pair.align()
    assert reversed_pair.differences() == {}


def test_a_write_that_passed_the_sqlite_fence_is_repaired(reversed_pair: Mirrored) -> None:
    """A follower whose fence was taken away and which was written to is copied anew from the authority."""
    reversed_pair.source("DROP TRIGGER _dualdb_fence_u_1", "UPDATE run SET name = 'forged' WHERE name = 'a'")
    reversed_pair.target("INSERT INTO run (name) VALUES ('wakes the relay')")
    reversed_pair.align()
    assert reversed_pair.differences() == {}
    with pytest.raises(sqlite3.DatabaseError, match="dualdb:moved"):
        reversed_pair.source("UPDATE run SET name = 'x'")


def test_a_commit_that_no_trigger_saw_is_counted(mirrored: Mirrored) -> None:
    """The sentinel: incremental blob I/O fires no trigger, but it is a commit."""
    mirrored.align()
    relay = Relay(mirrored.path, mirrored.events.append)
    relay.start()
    try:
        _until(lambda: bool(mirrored.seen(events.BatchApplied)))
        mirrored.source("INSERT INTO run(name, note) VALUES ('blob', x'0000')")
        _until(lambda: mirrored.differences() == {})
        time.sleep(0.2)
        with closing(sqlite3.connect(mirrored.path, isolation_level=None)) as connection:
            number = connection.execute("SELECT id FROM run WHERE name = 'blob'").fetchone()[0]
            with connection.blobopen("run", "note", number) as blob:
                blob.write(b"\1\2")
        _until(lambda: bool(mirrored.seen(events.UncapturedCommit)))
    finally:
        relay.stop()


def test_a_backlog_larger_than_a_batch_ends_aligned(mirrored: Mirrored) -> None:
    """Many journal rows are carried in several batches; only the last one is aligned."""
    mirrored.align()
    mirrored.source(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        " INSERT INTO step SELECT 9, i, i / 3.0 FROM n",
        "UPDATE step SET value = value + 1 WHERE run = 9",
    )
    before = len(mirrored.events)
    mirrored.align()
    batches = [event.aligned for event in mirrored.events[before:] if isinstance(event, events.BatchApplied)]
    assert len(batches) > 1
    assert batches[-1]
    assert mirrored.differences() == {}


def test_a_backlog_on_postgresql_is_carried_in_parts(reversed_pair: Mirrored) -> None:
    """In the other direction a backlog has a cursor of its own, and rows that change meanwhile are right in the end."""
    reversed_pair.target("INSERT INTO step SELECT 9, i, i / 3.0 FROM generate_series(1, 6000) AS i")
    with reversed_pair.pair() as pair:
        carrier = Carrier(pair.authority, pair.follower, reversed_pair.events.append)
        carrier.step()
        carrier.step()
        assert not pair.follower.watermark().aligned
        reversed_pair.target(
            "UPDATE step SET value = -1 WHERE run = 9 AND at IN (3, 5999)", "DELETE FROM step WHERE at = 4"
        )
        while carrier.step() is not Action.WAIT:
            assert carrier.error is None
    assert reversed_pair.differences() == {}


def test_a_transaction_that_commits_late_is_not_missed(reversed_pair: Mirrored) -> None:
    """A journal row with a small number that becomes visible after larger ones is carried all the same."""
    with psycopg.connect(reversed_pair.dsn) as late:
        late.execute("INSERT INTO run (name) VALUES ('late')")
        reversed_pair.target("INSERT INTO run (name) VALUES ('early')")
        reversed_pair.align()
        assert reversed_pair.differences() == {}  # nobody can see the late one yet
        late.commit()
    reversed_pair.align()
    assert reversed_pair.differences() == {}


def test_a_relay_that_was_overtaken_writes_nothing(mirrored: Mirrored) -> None:
    """The compare-and-set: whoever expects another watermark than the stored one gets an error and no effect."""
    mirrored.align()
    with mirrored.pair() as pair:
        held = pair.follower.watermark()
        stale = Watermark(
            epoch=held.epoch, position="1:1", aligned=True, schema_version=held.schema_version, copies=held.copies
        )
        with pytest.raises(OvertakenError):
            pair.follower.apply(stale, [], lambda: held)
        assert pair.follower.watermark() == held


def test_a_restored_file_is_noticed(mirrored: Mirrored, tmp_path: Path) -> None:
    """A SQLite file that was replaced by an older copy of itself is not taken for the one that was followed."""
    mirrored.align()
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(mirrored.path)) as connection, closing(sqlite3.connect(backup)) as copy:
        connection.backup(copy)
    mirrored.source("INSERT INTO run(name) VALUES ('lost')")
    mirrored.align()
    with closing(sqlite3.connect(backup)) as copy, closing(sqlite3.connect(mirrored.path)) as connection:
        copy.backup(connection)
    mirrored.source("INSERT INTO run(name) VALUES ('other')", "INSERT INTO run(name) VALUES ('past')")
    with pytest.raises(LineageError, match="restored or replaced"):
        mirrored.align()
    assert mirrored.seen(events.LineageBroken)


def test_the_journal_is_pruned_behind_the_follower(mirrored: Mirrored) -> None:
    """Journal rows that the follower holds go; the newest stays, and nothing is lost."""
    mirrored.align()
    mirrored.source(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
        " INSERT INTO step SELECT 5, i, 1.0 FROM n"
    )
    mirrored.align()
    with mirrored.pair() as pair:
        held = pair.follower.watermark()
        assert pair.authority.prune(held.position) >= 299
        with pair.authority.snapshot() as snapshot:
            assert snapshot.retains(held.position)
    mirrored.source("DELETE FROM step WHERE run = 5")
    mirrored.align()
    assert mirrored.differences() == {}


def test_the_journal_on_postgresql_is_pruned(reversed_pair: Mirrored) -> None:
    """The same on the other side."""
    reversed_pair.target("INSERT INTO step SELECT 5, i, 1 FROM generate_series(1, 300) AS i")
    reversed_pair.align()
    with reversed_pair.pair() as pair:
        held = pair.follower.watermark()
        assert pair.authority.prune(held.position) >= 299
        with pair.authority.snapshot() as snapshot:
            assert snapshot.retains(held.position)
    reversed_pair.target("DELETE FROM step WHERE run = 5")
    reversed_pair.align()
    assert reversed_pair.differences() == {}


def test_the_background_relay_follows_the_phase(mirrored: Mirrored) -> None:
    """One thread carries forward, goes the other way after the change of authority, and ends when asked."""
    relay = Relay(mirrored.path, mirrored.events.append)
    relay.start()
    try:
        _until(lambda: mirrored.differences() == {})
        mirrored.to_postgres()
        mirrored.target("INSERT INTO run (name) VALUES ('from there')")
        _until(lambda: mirrored.differences() == {})
        mirrored.back()
        mirrored.source("INSERT INTO run(name) VALUES ('from here')")
        _until(lambda: mirrored.differences() == {})
    finally:
        relay.stop()
    assert mirrored.target("SELECT holder FROM dualdb.lease") == [(None,)]


def test_a_relay_that_is_to_end_and_is_wanted_again_is_one(mirrored: Mirrored) -> None:
    """Whatever its thread has decided meanwhile."""
    mirrored.align()
    relay = Relay(mirrored.path)
    before = threading.active_count()
    for number in range(60):
        relay.start()
        time.sleep(number / 1000)
        relay.end_at_rest()
        time.sleep((number % 7) / 100)
    relay.start()
    try:
        mirrored.source("INSERT INTO run(name) VALUES ('later')")
        _until(lambda: mirrored.target("SELECT count(*) FROM run WHERE name = 'later'") == [(1,)])
        _until(lambda: threading.active_count() == before + 1)
    finally:
        relay.stop()


def test_a_stopped_holder_is_taken_over(mirrored: Mirrored) -> None:
    """A process that was stopped in the midst of its work does not stop the relay; awake again it harms nothing."""
    process = _holder(mirrored.path)
    try:
        _until(lambda: mirrored.target("SELECT holder FROM dualdb.lease")[0][0] is not None)
        os.kill(process.pid, signal.SIGSTOP)
        mirrored.source("INSERT INTO run(name) VALUES ('while it slept')")
        began = time.monotonic()
        mirrored.align()
        assert 2 < time.monotonic() - began < 12
        assert mirrored.seen(events.RelayTookOver)
        assert mirrored.differences() == {}
        os.kill(process.pid, signal.SIGCONT)
        mirrored.source("INSERT INTO run(name) VALUES ('awake')")
        _until(lambda: mirrored.differences() == {})
    finally:
        process.kill()
        process.wait()


def test_a_killed_holder_is_replaced_at_once(mirrored: Mirrored) -> None:
    """The lock of a process that is gone is free."""
    process = _holder(mirrored.path)
    _until(lambda: mirrored.target("SELECT holder FROM dualdb.lease")[0][0] is not None)
    process.kill()
    process.wait()
    mirrored.source("INSERT INTO run(name) VALUES ('next')")
    began = time.monotonic()
    mirrored.align()
    assert time.monotonic() - began < 3
    assert mirrored.differences() == {}


def test_a_lost_connection_is_opened_again(mirrored: Mirrored) -> None:
    """Whoever ends the relay's backends delays it, nothing more."""
    relay = Relay(mirrored.path, mirrored.events.append)
    relay.start()
    try:
        _until(lambda: mirrored.differences() == {})
        for number in range(5):
            mirrored.source(f"INSERT INTO run(name) VALUES ('round {number}')")
            mirrored.target(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'dualdb relay' AND datname = current_database()"
            )
            mirrored.source(f"INSERT INTO run(name) VALUES ('again {number}')")
            time.sleep(0.05)
        _until(lambda: mirrored.differences() == {})
        assert mirrored.seen(events.TargetLost)
    finally:
        relay.stop()


def test_a_relay_in_the_foreground_goes_first(mirrored: Mirrored) -> None:
    """A background relay gives the lock up to a command that wants to align."""
    relay = Relay(mirrored.path)
    relay.start()
    try:
        _until(lambda: "background" in (mirrored.target("SELECT holder FROM dualdb.lease")[0][0] or ""))
        with mirrored.pair() as pair:
            lease = Lease(pair.target.connection, foreground=True)
            _until(lease.take)
            assert lease.keep()
            lease.release()
    finally:
        relay.stop()


def test_time_runs_out_with_a_reason(mirrored: Mirrored) -> None:
    """Waiting for a follower that cannot be written ends at the deadline and says why."""
    mirrored.as_relay("DELETE FROM dualdb.watermark")
    with pytest.raises(BusyError, match="follows nobody"):
        relay_until_aligned(mirrored.path, within_s=0.5)


def test_the_relay_goes_on_in_a_forked_child(mirrored: Mirrored) -> None:
    """After a fork the child's relay has connections of its own, and the parent's go on undisturbed."""
    code = (
        "import os, sys, time, sqlite3\n"
        "from dualdb.stores.relay import Relay\n"
        "relay = Relay(sys.argv[1]); relay.start(); time.sleep(0.7)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    relay.start(); time.sleep(1.5); relay.stop(); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute(\"INSERT INTO run(name) VALUES ('parent')\"); connection.commit(); connection.close()\n"
        "time.sleep(1.0); relay.stop()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, mirrored.path],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert mirrored.differences() == {}


def test_the_background_relay_never_keeps_a_program_alive(mirrored: Mirrored) -> None:
    """A program that ends without a word to the relay ends within about a second, and gives the lock back."""
    code = (
        "import sys, time\nfrom dualdb.stores.relay import Relay\n"
        "Relay(sys.argv[1]).start(); time.sleep(1.0); print(time.time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, mirrored.path], check=True, timeout=30, capture_output=True, text=True
    )
    assert time.time() - float(done.stdout) < 2.0
    assert done.stderr == ""
    assert mirrored.target("SELECT holder FROM dualdb.lease") == [(None,)]


def _holder(path: str) -> subprocess.Popen[bytes]:
    code = "import sys\nfrom dualdb.stores.relay import Relay\nRelay(sys.argv[1]).run_forever()"
    return subprocess.Popen([sys.executable, "-c", code, path])


def _until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
