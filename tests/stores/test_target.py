"""What PostgreSQL promises as a store: its fence, its capture, its positions, its sequences."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.stores.mirrored import Mirrored

from dualdb.core.store import TableBatch
from dualdb.core.translate.ddl import Ddl, TableDdl, ViewDdl
from dualdb.errors import BusyError, SchemaError
from dualdb.stores import target_journal
from dualdb.stores.target_read import Position

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dualdb.core.store import Key, Row

pytestmark = pytest.mark.once

TABLES = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, value REAL);
CREATE TABLE part (a TEXT NOT NULL, b REAL NOT NULL, raw BLOB NOT NULL, v INT, PRIMARY KEY (a, b, raw));
CREATE TABLE folded (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v INT);
CREATE TABLE heap (x INT);
CREATE TABLE many (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE);
"""


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A pair with empty tables, aligned, SQLite the authority."""
    pair = Mirrored(database, target_dsn, TABLES)
    pair.align()
    return pair


@pytest.fixture
def authority(mirrored: Mirrored) -> Mirrored:
    """The same with PostgreSQL as the authority."""
    mirrored.to_postgres()
    return mirrored


@pytest.mark.parametrize("what", ["create", "index"])
def test_a_table_that_is_beyond_a_limit_is_named(mirrored: Mirrored, what: str) -> None:
    """Whichever limit it is; everything else would wait for it."""
    made = {
        "create": f"CREATE TABLE item_2 ({', '.join(f'c{place} int' for place in range(1601))})",
        "index": f"CREATE INDEX ON item ({', '.join(['id'] * 33)})",
    }
    ddl = Ddl(tables={"item": TableDdl(create=made[what], indexes=())}, views={}, refusals=())
    with (
        mirrored.pair() as pair,
        pair.source.snapshot() as snapshot,
        psycopg.connect(mirrored.dsn) as connection,
        pytest.raises(SchemaError, match=r"PostgreSQL cannot make table item with its indexes .*; make its definition"),
    ):
        target_journal.make_table(connection, snapshot.schema.table("item"), ddl, "public", "item")


def test_a_view_that_is_beyond_a_limit_is_left_out(mirrored: Mirrored) -> None:
    """The tables can do without it."""
    view = ViewDdl(create=f"CREATE VIEW wide AS SELECT {', '.join(['1'] * 1700)}", reads=frozenset())
    with psycopg.connect(mirrored.dsn) as connection:
        ddl = Ddl(tables={}, views={"wide": view}, refusals=())
        assert target_journal.make_views(connection, ddl) == ["wide"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO item (name) VALUES ('x')",
        "UPDATE item SET name = 'x'",
        "DELETE FROM item",
        "TRUNCATE item",
        "WITH gone AS (DELETE FROM item RETURNING id) SELECT count(*) FROM gone",
        "MERGE INTO item USING (VALUES (1)) AS s(i) ON id = i WHEN NOT MATCHED THEN INSERT (name) VALUES ('x')",
    ],
)
def test_the_fence_refuses_every_write(mirrored: Mirrored, statement: str) -> None:
    """While PostgreSQL follows, nobody but the relay writes the application's tables, not even with no row."""
    with pytest.raises(psycopg.DatabaseError, match="dualdb:moved") as refusal:
        mirrored.target(statement)
    assert refusal.value.sqlstate == "DD001"


def test_the_fence_refuses_copy(mirrored: Mirrored) -> None:
    """COPY is a write like any other."""
    with (
        psycopg.connect(mirrored.dsn) as connection,
        pytest.raises(psycopg.DatabaseError, match="dualdb:moved"),
        connection.cursor().copy("COPY item (name) FROM STDIN") as copy,
    ):
        copy.write_row(("x",))


def test_the_fence_holds_for_a_replica_session_and_an_old_snapshot(authority: Mirrored) -> None:
    """Neither `session_replication_role` nor a SERIALIZABLE transaction from before the fence gets through it."""
    with psycopg.connect(authority.dsn) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        old.execute("SELECT count(*) FROM dualdb.control")
        authority.back()
        with pytest.raises(psycopg.DatabaseError, match="dualdb:moved"):
            old.execute("INSERT INTO item (name) VALUES ('late')")
    with pytest.raises(psycopg.DatabaseError, match="dualdb:moved"):
        authority.target("SET session_replication_role = replica", "DELETE FROM item")


def test_the_fence_waits_for_writers_and_then_ends_them(authority: Mirrored) -> None:
    """A write transaction that does not end in time is ended; what it wrote is not half there."""
    with psycopg.connect(authority.dsn) as slow, psycopg.connect(authority.dsn) as fencing:
        slow.execute("INSERT INTO item (name) VALUES ('in the way')")
        began = time.monotonic()
        with fencing.transaction():
            target_journal.enable_fence(fencing, 0.3)
        assert 0.2 < time.monotonic() - began < 3
        with pytest.raises(psycopg.OperationalError):
            slow.commit()
    assert authority.target("SELECT count(*) FROM item") == [(0,)]


def test_the_fence_lets_a_quick_writer_finish(authority: Mirrored) -> None:
    """A transaction that commits within the time-out is in."""
    with psycopg.connect(authority.dsn) as quick, psycopg.connect(authority.dsn) as fencing:
        quick.execute("INSERT INTO item (name) VALUES ('in time')")
        threading.Timer(0.3, quick.commit).start()
        with fencing.transaction():
            target_journal.enable_fence(fencing, 5.0)
    assert authority.target("SELECT name FROM item") == [("in time",)]


def test_a_fence_that_cannot_be_had_gives_up(authority: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the holders cannot be ended the fence is not up, and says so."""
    monkeypatch.setattr(target_journal, "_end_holders", lambda _connection, _tables: None)
    with psycopg.connect(authority.dsn) as slow, psycopg.connect(authority.dsn) as fencing:
        slow.execute("INSERT INTO item (name) VALUES ('x')")
        with pytest.raises(BusyError, match="stop the long transaction"), fencing.transaction():
            target_journal.enable_fence(fencing, 0.05)
        slow.commit()
    authority.target("INSERT INTO item (name) VALUES ('still open')")


def test_every_change_is_journaled_with_exact_keys(authority: Mirrored) -> None:
    """Old and new keys of updates, all keys of a TRUNCATE, none of a rolled-back savepoint, whatever the settings."""
    third = 1 / 3
    with authority.pair() as pair:
        with pair.authority.snapshot() as snapshot:
            before = snapshot.position
        authority.target(
            "SET extra_float_digits = -15",
            "SET bytea_output = 'escape'",
            f"INSERT INTO part VALUES ('ü', {third!r}, '\\x0001ff', 1)",
            "UPDATE part SET a = 'b'",
            "INSERT INTO item (id, name) VALUES (7, 'x'), (8, 'y')",
            "SAVEPOINT s",
            "INSERT INTO item (id) VALUES (9)",
            "ROLLBACK TO s",
            "INSERT INTO item (id, name) VALUES (7, 'again') ON CONFLICT (id) DO UPDATE SET id = 70",
        )
        authority.target("TRUNCATE item")
        with pair.authority.snapshot() as snapshot:
            changes = snapshot.changes(before, 1000)
            tables = snapshot.schema.tables
            assert set(changes.keys[tables["part"].id]) == {
                ("ü", third, b"\x00\x01\xff"),
                ("b", third, b"\x00\x01\xff"),
            }
            assert set(changes.keys[tables["item"].id]) == {(7,), (8,), (70,)}
            assert changes.complete
            assert snapshot.changes(changes.position, 10).keys == {}


def test_an_open_transaction_is_never_skipped(authority: Mirrored) -> None:
    """A row journaled early and committed late, in the midst of a backlog read in parts, is found by the next look."""
    with authority.pair() as pair, psycopg.connect(authority.dsn) as late:
        with pair.authority.snapshot() as snapshot:
            position = snapshot.position
            table = snapshot.schema.table("item")
        late.execute("INSERT INTO item (id) VALUES (1000)")
        authority.target("INSERT INTO item (id) SELECT generate_series(1, 10)")
        found: set[Any] = set()
        for turn in range(20):
            with pair.authority.snapshot() as snapshot:
                changes = snapshot.changes(position, 3)
            found |= set(changes.keys.get(table.id, ()))
            position = changes.position
            if turn == 2:
                late.commit()
        assert found == {*((number,) for number in range(1, 11)), (1000,)}
        assert Position.parse(position).until is None
        assert changes.complete


def test_head_moved_tells_commits_and_only_those(authority: Mirrored) -> None:
    """Cheaply, whether the journal has something new."""
    with authority.pair() as pair:
        with pair.authority.snapshot():
            pass
        assert not pair.authority.head_moved()
        with psycopg.connect(authority.dsn) as writer:
            writer.execute("INSERT INTO item (name) VALUES ('x')")
            assert not pair.authority.head_moved()
            writer.commit()
        assert pair.authority.head_moved()


@pytest.mark.parametrize(("rows", "mark", "expected"), [((), 0, 1), ((), 41, 42), ((1,), 0, 2), ((5, 9), 3, 10)])
def test_sequences_continue_behind_every_id(
    mirrored: Mirrored, rows: tuple[int, ...], mark: int, expected: int
) -> None:
    """The next id is past every row and every mark; an empty table begins at 1."""
    if rows:
        mirrored.as_relay(*[f"INSERT INTO item (id) VALUES ({number})" for number in rows])
    with psycopg.connect(mirrored.dsn) as connection:
        target_journal.raise_sequences(connection, target_journal.automatic_ids(connection), {"ITEM": mark})
        connection.execute("SET LOCAL dualdb.applying = 'on'")
        found = connection.execute("INSERT INTO item (name) VALUES ('x') RETURNING id").fetchone()
        assert found == (expected,)
        assert target_journal.sequence_marks(connection)["item"] == expected


def test_keys_are_looked_up_by_index(mirrored: Mirrored) -> None:
    """Deleting and reading by key uses the index, also where case does not count and the key is an expression."""
    mirrored.as_relay(
        "INSERT INTO folded SELECT 'n' || i, i FROM generate_series(1, 20000) AS i",
        "INSERT INTO item SELECT i, 'n' FROM generate_series(1, 20000) AS i",
    )
    mirrored.target("ANALYZE folded, item")
    with mirrored.pair() as pair, pair.target.snapshot() as snapshot:
        folded, item = snapshot.schema.table("folded"), snapshot.schema.table("item")
        began = time.monotonic()
        for number in range(200):
            assert snapshot.rows(folded, [(f"N{number + 1}",)]) == [(number + 1, f"n{number + 1}", number + 1)]
            assert len(snapshot.rows(item, [(number + 1,), (0,)])) == 1
        assert time.monotonic() - began < 2.0


def test_a_key_is_deleted_by_its_very_bytes(mirrored: Mirrored) -> None:
    """Deleting 'a' leaves 'A' alone, which is another row of the past that is being applied."""
    mirrored.as_relay("INSERT INTO folded VALUES ('A', 1)")
    with mirrored.pair() as pair:
        held = pair.follower.watermark()
        with pair.target.snapshot() as snapshot:
            table = snapshot.schema.table("folded")
        applied = pair.follower.apply(held, [TableBatch(table=table, deletes=[("a",), ("b",)], rows=[])], lambda: held)
        assert applied.deleted == 0
        applied = pair.follower.apply(held, [TableBatch(table=table, deletes=[("A",)], rows=[])], lambda: held)
        assert applied.deleted == 1


def test_a_table_that_is_copied_anew_stays_whole_in_older_snapshots(mirrored: Mirrored) -> None:
    """Whoever compares on an older snapshot sees the rows that were there, and is not waited for."""
    mirrored.source("INSERT INTO item(id, name) VALUES (1, 'x'), (2, 'y')")
    mirrored.align()
    with psycopg.connect(mirrored.dsn) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert reader.execute("SELECT count(*) FROM item").fetchone() == (2,)
        mirrored.source("DROP TRIGGER _dualdb_insert_1", "DELETE FROM item WHERE id = 1")
        mirrored.align(10)
        assert mirrored.target("SELECT id FROM item") == [(2,)]
        assert reader.execute("SELECT count(*) FROM item").fetchone() == (2,)
    assert mirrored.differences() == {}


def test_a_walk_meets_every_row_once(mirrored: Mirrored) -> None:
    """Ranges follow the key's own order, the hidden rowid included."""
    mirrored.as_relay(
        "INSERT INTO folded VALUES ('a', 1), ('B', 2), ('c', 3), ('_', 4)",
        "INSERT INTO heap (x) SELECT i FROM generate_series(1, 7) AS i",
        "INSERT INTO part SELECT 'k', i / 3.0, '\\x00', i FROM generate_series(1, 5) AS i",
    )
    with mirrored.pair() as pair, pair.target.snapshot() as snapshot:
        for name, count in (("folded", 4), ("heap", 7), ("part", 5)):
            table = snapshot.schema.table(name)
            found: list[Any] = []
            after = None
            while rows := snapshot.range(table, after, 2):
                found += rows
                after = tuple(rows[-1][place] for place in table.key_positions)
            assert len(found) == len(set(found)) == count == snapshot.count(table)
            assert found == snapshot.range(table, None, 100, most_bytes=1 << 20)
        assert [row[1] for row in snapshot.range(snapshot.schema.table("folded"), None, 9)] == ["_", "a", "B", "c"]


def test_large_rows_come_a_few_at_a_time(mirrored: Mirrored) -> None:
    """As many as add up to so many bytes, by key and in ranges; which keys are left is told, and none is forgotten."""
    mirrored.as_relay(
        "INSERT INTO item (id, name) SELECT i, repeat('x', CASE WHEN i % 100 < 50 THEN 300000 ELSE 3 END)"
        " FROM generate_series(1, 130) AS i",
        "INSERT INTO folded SELECT 'n' || i, i FROM generate_series(1, 20) AS i",
    )
    with mirrored.pair() as pair, pair.target.snapshot() as snapshot:
        item, folded = snapshot.schema.table("item"), snapshot.schema.table("folded")
        rows = snapshot.range(item, None, 1_000)
        assert len(rows) == 130
        keys: Sequence[Key] = [*((number,) for number in range(130, -5, -1)), (2**70,)]
        found, portions = [], 0
        while keys:
            some, keys = snapshot.some_rows(item, keys, 1_000_000)
            assert sum(len(str(row[1])) for row in some) < 1_300_000
            found += some
            portions += 1
        assert sorted(found) == rows
        assert 20 <= portions <= 24
        walked: list[Row] = []
        while some := snapshot.range(item, walked[-1][:1] if walked else None, 1_000, most_bytes=1_000_000):
            assert sum(len(str(row[1])) for row in some) < 1_300_000
            walked += some
        assert walked == rows
        twice: list[Key] = [(f"{letter}{number}",) for number in range(1, 21) for letter in "nN"]
        found, left = snapshot.some_rows(folded, twice, 1_000)
        assert (len(found), left) == (20, [])
