"""What the SQLite file promises as a store, without any PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core.phase import Phase
from dualdb.core.sqltext import split_statements
from dualdb.core.store import Copy, TableBatch, Undecodable, Watermark
from dualdb.errors import BusyError, NotPreparedError, OvertakenError, SourceError
from dualdb.stores import journal, source
from dualdb.stores.catalog import read_schema
from dualdb.stores.layout import LAYOUT
from dualdb.stores.pair import Pair
from dualdb.stores.queries import load
from dualdb.stores.source import SourceStore
from dualdb.stores.source_file import open_source
from dualdb.stores.source_read import _by_key, _by_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dualdb.core.schema import Table
    from dualdb.core.store import Key, Row

TABLES = """
CREATE TABLE alias (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE pair (a TEXT NOT NULL, b REAL NOT NULL, v INT, PRIMARY KEY (a, b));
CREATE TABLE bare (a TEXT NOT NULL, b INT NOT NULL, v INT, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE folded (name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, v INT);
CREATE TABLE inverse (a TEXT COLLATE NOCASE NOT NULL, PRIMARY KEY (a COLLATE BINARY));
CREATE TABLE heap (rowid TEXT, v INT);
CREATE TABLE dated (id INTEGER PRIMARY KEY, day DATE);
"""


@pytest.fixture
def captured(database: Path) -> Path:
    """A prepared file in phase dual_write."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(TABLES)
        for statement in split_statements(load("source/control.sql") + load("source/journal.sql")):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO _dualdb_control(id, layout, source_id, epoch, phase, target, target_schema, target_identity)"
            " VALUES (1, ?, 's', 2, 'dual_write', 'embedded', 'public', '')",
            (LAYOUT,),
        )
        journal.install_capture(connection, read_schema(connection))
    return database


@pytest.fixture
def store(captured: Path) -> Iterator[SourceStore]:
    """The store of that file."""
    store = SourceStore(str(captured), timeout_s=0.2)
    yield store
    store.close()


def journal_mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as plain:
        return str(plain.execute("PRAGMA journal_mode").fetchone()[0])


def test_a_file_that_left_wal_mode_is_put_back(captured: Path, store: SourceStore) -> None:
    """A plain program had switched it to another journal while nobody had it open; once it is back it stays."""
    with closing(sqlite3.connect(captured)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(captured, timeout=0)) as other:
        with store.snapshot():
            assert journal_mode(captured) == "wal"
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("PRAGMA journal_mode = DELETE")


def test_a_file_that_is_written_without_wal_is_put_back_later(
    captured: Path, store: SourceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes just then is not disturbed, and the relay goes on meanwhile."""
    monkeypatch.setattr(source, "_LOG_RETRY_S", 0)
    with closing(sqlite3.connect(captured, timeout=0, isolation_level=None)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
        plain.execute("BEGIN IMMEDIATE")
        with store.snapshot():
            assert journal_mode(captured) == "delete"
        plain.execute("INSERT INTO alias(v) VALUES ('kept')")
        plain.execute("COMMIT")
        assert store.head_moved()
        assert journal_mode(captured) == "wal"


def test_a_file_that_cannot_be_put_back_is_not_waited_for(captured: Path, store: SourceStore) -> None:
    """Who waits for WAL mode lets nobody else begin to read; and putting it back is no commit past the triggers."""
    with closing(sqlite3.connect(captured, timeout=0, isolation_level=None)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
        plain.execute("BEGIN")
        plain.execute("SELECT * FROM alias").fetchall()
        began = time.monotonic()
        with store.snapshot():
            pass
        for _ in range(20):
            store.head_moved()
        assert time.monotonic() - began < 2  # less than the store's own time-out, which is 5 s
        with closing(sqlite3.connect(captured, timeout=0)) as other:
            other.execute("SELECT * FROM alias").fetchall()
        plain.execute("COMMIT")
    store._asks_for_log_at = 0
    store.phase()
    with store.snapshot():
        assert journal_mode(captured) == "wal"
    assert store.uncaptured == 0


@pytest.fixture
def following(captured: Path) -> Watermark:
    """What the file holds once it has been made the follower, fence up."""
    with closing(sqlite3.connect(captured)) as connection, connection:
        schema = read_schema(connection)
        journal.remove_capture(connection)
        journal.install_fence(connection, schema)
        connection.execute("UPDATE _dualdb_control SET phase = ?", (Phase.POSTGRES.value,))
        connection.execute("INSERT INTO _dualdb_watermark VALUES (1, 2, 'p', 1, ?, 1, 0)", (schema.version,))
        connection.executemany(
            "INSERT INTO _dualdb_copy(tbl, done, rows) VALUES (?, 1, 0)", [(t.id,) for t in schema.tables.values()]
        )
    copies = {table.id: Copy(done=True) for table in schema.tables.values()}
    return Watermark(epoch=2, position="p", aligned=True, schema_version=schema.version, copies=copies)


def _run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def _table(store: SourceStore, name: str) -> Table:
    with store.snapshot() as snapshot:
        return snapshot.schema.table(name)


@pytest.mark.parametrize("name", ["alias", "pair", "bare", "folded", "inverse", "heap"])
def test_keys_and_ranges_are_found_by_index(name: str, captured: Path, store: SourceStore) -> None:
    """No look-up of keys and no range scans or sorts the table, whatever its key."""
    table = _table(store, name)
    marks = ("?",) * len(table.key.columns)
    with closing(sqlite3.connect(captured)) as connection:
        last = ", ".join(marks)
        keys = (_by_key(table, marks, 8, None), _by_key(table, marks, 8, last))
        for text in (*keys, _by_range(table, last), _by_range(table, None)):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?")).fetchall()
            steps = [step[3] for step in plan]
            assert not any("TEMP B-TREE" in step for step in steps), steps
            searched = [step for step in steps if step.startswith(("SEARCH", "SCAN")) and "CONSTANT" not in step]
            if text in keys:
                assert any("=?" in step for step in searched), steps
                assert any(step.startswith((f"SEARCH main.{name}", "SEARCH _dualdb_row")) for step in searched), steps
                assert not any(step.startswith(f"SCAN main.{name}") for step in steps), steps


def test_a_walk_meets_every_row_once_in_the_keys_own_order(captured: Path, store: SourceStore) -> None:
    """Ranges are walked in the key's collation: 'B' lies between 'a' and 'c' where case does not count."""
    _run(captured, "INSERT INTO folded(name) VALUES ('a'), ('B'), ('c'), ('D'), ('_')")
    _run(captured, "INSERT INTO inverse VALUES ('a'), ('A'), ('b'), ('B')")
    for name, expected in (("folded", ["_", "a", "B", "c", "D"]), ("inverse", ["A", "B", "a", "b"])):
        table = _table(store, name)
        with store.snapshot() as snapshot:
            found: list[object] = []
            after: Key | None = None
            (place,) = table.key_positions
            while rows := snapshot.range(table, after, 2):
                found += [row[place] for row in rows]
                after = (rows[-1][place],)
        assert found == expected


def test_a_row_named_by_two_equal_keys_comes_once(captured: Path, store: SourceStore) -> None:
    """'a' and 'A' are one key where case does not count."""
    _run(captured, "INSERT INTO folded VALUES ('Ab', 1), ('x', 2)")
    table = _table(store, "folded")
    with store.snapshot() as snapshot:
        assert snapshot.rows(table, [("ab",), ("AB",), ("Ab",), ("y",)]) == [(1, "Ab", 1)]


def test_many_keys_are_looked_up_in_parts(captured: Path, store: SourceStore) -> None:
    """Each existing row comes once, however many keys are asked for."""
    _run(captured, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
         " INSERT INTO bare SELECT 'k' || (i % 7), i, i FROM n")  # fmt: skip
    table = _table(store, "bare")
    keys = [(f"k{number % 7}", number) for number in range(1, 2000)]
    with store.snapshot() as snapshot:
        assert sorted(snapshot.rows(table, keys)) == sorted(snapshot.range(table, None, 5000))


def test_large_rows_come_a_few_at_a_time(captured: Path, store: SourceStore) -> None:
    """As many as add up to so many bytes, by key and in ranges; which keys are left is told, and none is forgotten."""
    _run(captured, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)"
         " INSERT INTO alias SELECT i, printf('%.*c', iif(i % 100 < 50 AND i > 600, 3000, 3), 'x') FROM n")  # fmt: skip
    _run(captured, "INSERT INTO folded SELECT 'n' || id, 1 FROM alias")
    _run(captured, "INSERT INTO folded VALUES (CAST(x'ff41' AS TEXT), 1), (CAST(x'ff42' AS TEXT), 1)")
    alias, folded = _table(store, "alias"), _table(store, "folded")
    with store.snapshot() as snapshot:
        rows = snapshot.range(alias, None, 5_000)
        for most_bytes in (1, 2_999, 10_000, 1 << 20):
            keys: Sequence[Key] = [(number,) for number in range(1, 1_400)]
            found: list[Row] = []
            while keys:
                some, keys = snapshot.some_rows(alias, keys, most_bytes)
                assert sum(len(str(row[1])) for row in some) < most_bytes + 3_000
                found += some
            assert found == rows
            walked: list[Row] = []
            while some := snapshot.range(alias, walked[-1][:1] if walked else None, 5_000, most_bytes):
                assert sum(len(str(row[1])) for row in some) < most_bytes + 3_000
                walked += some
            assert walked == rows
        twice: list[Key] = [(f"{letter}{number}",) for letter in "nN" for number in range(1, 1_301)]
        odd = [(Undecodable(b"\xffA"),), (Undecodable(b"\xffB"),)]
        some, keys = snapshot.some_rows(folded, [*twice, *odd], 1 << 20)
        assert (len(some), len(set(some)), keys) == (1_302, 1_302, [])


def test_text_that_is_not_utf8_comes_as_its_bytes(captured: Path, store: SourceStore) -> None:
    """In values and in keys; and rows with such a key are found again."""
    _run(captured, "INSERT INTO folded VALUES (CAST(x'ff41' AS TEXT), 1), ('plain', 2)")
    table = _table(store, "folded")
    odd = Undecodable(b"\xffA")
    with store.snapshot() as snapshot:
        changes = snapshot.changes("1:0", 100)
        assert set(changes.keys[table.id]) == {(odd,), ("plain",)}
        assert snapshot.rows(table, [(odd,)]) == [(1, odd, 1)]
        assert snapshot.range(table, ("plain",), 5) == [(1, odd, 1)]
        assert snapshot.range(table, (odd,), 5) == []


def test_changes_come_in_parts_that_add_up(captured: Path, store: SourceStore) -> None:
    """The journal is read in bounded parts; only the last one is complete."""
    _run(captured, "INSERT INTO alias SELECT value, 'x' FROM json_each('[1,2,3,4,5,6,7]')")
    table = _table(store, "alias")
    with store.snapshot() as snapshot:
        position = "1:0"
        found: list[Key] = []
        complete: list[bool] = []
        while not complete or not complete[-1]:
            changes = snapshot.changes(position, 3)
            found += list(changes.keys.get(table.id, ()))
            complete.append(changes.complete)
            position = changes.position
        assert set(found) == {(number,) for number in range(1, 8)}
        assert len(complete) > 2
        assert position == snapshot.position


def test_a_position_of_another_past_is_not_retained(captured: Path, store: SourceStore) -> None:
    """The token of a journal row tells a position from the same number in another past."""
    _run(captured, "INSERT INTO alias VALUES (1, 'x')")
    with store.snapshot() as snapshot:
        position = snapshot.position
        assert snapshot.retains(position)
    _run(captured, "UPDATE _dualdb_journal SET token = token + 1")
    with store.snapshot() as snapshot:
        assert not snapshot.retains(position)
        assert not snapshot.retains("99:1")


def test_pruning_keeps_the_row_that_proves_the_position(captured: Path, store: SourceStore) -> None:
    """Everything strictly below goes, a bounded number at a time; a busy writer goes first."""
    _run(captured, *[f"INSERT INTO alias VALUES ({number}, 'x')" for number in range(20)])
    with store.snapshot() as snapshot:
        position = snapshot.position
    with closing(sqlite3.connect(captured, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert store.prune(position) == 0
        writer.execute("COMMIT")
    assert store.prune(position) == 21
    assert store.prune(position) == 0
    with store.snapshot() as snapshot:
        assert snapshot.retains(position)
        assert snapshot.changes(position, 10).keys == {}


def test_head_moved_sees_other_connections(captured: Path, store: SourceStore) -> None:
    """A commit of anybody else shows, at the price of a PRAGMA."""
    with store.snapshot():
        pass
    assert not store.head_moved()
    _run(captured, "INSERT INTO alias VALUES (1, 'x')")
    assert store.head_moved()


def test_a_batch_is_applied_and_compared(captured: Path, store: SourceStore, following: Watermark) -> None:
    """The follower's fence lets the relay through and nobody else; a stale expectation changes nothing."""
    table = _table(store, "alias")
    after = Watermark(
        epoch=2, position="q", aligned=True, schema_version=following.schema_version, copies=following.copies
    )
    batch = TableBatch(table=table, deletes=[(1,)], rows=[(1, "one"), (2, "two")])
    assert store.watermark() == following
    assert store.apply(following, [batch], lambda: after).inserted == 2
    with pytest.raises(OvertakenError):
        store.apply(following, [TableBatch(table=table, deletes=[(1,), (2,)], rows=[])], lambda: after)
    assert store.watermark() == after
    with store.snapshot() as snapshot:
        assert snapshot.range(table, None, 10) == [(1, "one"), (2, "two")]
    with pytest.raises(sqlite3.DatabaseError, match="dualdb:moved"):
        _run(captured, "DELETE FROM alias")


@pytest.mark.parametrize(
    ("name", "row"),
    [("pair", (2, "a", float("nan"), 1)), ("dated", (1, "2026")), ("alias", (6, "again")), ("folded", (2, "G", 1))],
)
def test_a_value_that_sqlite_would_change_is_kept_apart(
    name: str, row: tuple[object, ...], store: SourceStore, following: Watermark
) -> None:
    """NaN, text that its column would make a number, a key that is there already: quarantined; the others arrive."""
    table = _table(store, name)
    good = {"pair": (1, "g", 1.5, 1), "dated": (2, "2026-11-22"), "alias": (6, "g"), "folded": (1, "g", 1)}[name]
    rows = [good, row]
    applied = store.apply(following, [TableBatch(table=table, deletes=[], rows=rows)], lambda: following)  # type: ignore[arg-type]
    assert len(applied.quarantined) == 1
    assert [kept.table for kept in store.quarantine()] == [name]
    with store.snapshot() as snapshot:
        assert good in snapshot.range(table, None, 10)


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, captured: Path) -> None:
    """One line with the cause and the remedy: missing, a folder, no database, not prepared, locked."""
    with pytest.raises(SourceError, match="there is no file"):
        Pair.open(str(tmp_path / "nowhere.db"))
    with pytest.raises(SourceError, match="is a folder"):
        Pair.open(str(tmp_path))
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(os.urandom(8192))
    with pytest.raises(SourceError, match="is not a SQLite database"):
        Pair.open(str(garbage))
    plain = tmp_path / "plain.db"
    _run(plain, "CREATE TABLE t (x)")
    with pytest.raises(NotPreparedError, match="dualdb init"):
        Pair.open(str(plain))
    store = SourceStore(str(captured), timeout_s=0.1)
    with closing(sqlite3.connect(captured, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match="locked"):
            store.mend_capture()
    store.close()


def test_sequences_never_fall_back(captured: Path) -> None:
    """An AUTOINCREMENT table continues behind the mark, even when it is empty."""
    _run(captured, "CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, v)")
    with closing(sqlite3.connect(captured)) as connection, connection:
        journal.raise_sequences(connection, {"auto": 41, "alias": 7})
        connection.execute("INSERT INTO auto(v) VALUES (1)")
        assert connection.execute("SELECT id FROM auto").fetchall() == [(42,)]
        journal.raise_sequences(connection, {"auto": 5})
        marks = journal.sequence_marks(connection, read_schema(connection))
    assert marks["auto"] == 42


def test_the_applications_triggers_are_set_aside_and_come_back(captured: Path) -> None:
    """Verbatim and in their order."""
    first = "CREATE TRIGGER zeta AFTER INSERT ON alias BEGIN UPDATE alias SET v = 'z' WHERE id = NEW.id; END"
    second = "CREATE TRIGGER alpha AFTER DELETE ON alias BEGIN DELETE FROM bare; END"
    _run(captured, first, second)
    own = (
        "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name NOT LIKE '\\_dualdb%' ESCAPE '\\' ORDER BY rowid"
    )
    with closing(sqlite3.connect(captured)) as connection, connection:
        journal.set_aside_triggers(connection, read_schema(connection))
        assert connection.execute(own).fetchall() == []
        journal.restore_triggers(connection)
        assert connection.execute(own).fetchall() == [(first,), (second,)]


def test_a_folder_that_may_not_be_searched_is_not_taken_for_a_missing_file(tmp_path: Path) -> None:
    """The file may well be there."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "app.db").touch()
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:  # whom no mode keeps out
        os.seteuid(65534)
    try:
        with pytest.raises(SourceError, match=r"cannot be reached .*; run dualdb as a user who may"):
            open_source(str(folder / "app.db"))
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
