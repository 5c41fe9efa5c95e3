"""What a copy reads while the application goes on writing, and for how long."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.stores.mirrored import Mirrored

from dualdb.core import delivery
from dualdb.core.delivery import Action
from dualdb.core.store import Copy
from dualdb.errors import BusyError
from dualdb.stores.relay_batch import Carrier
from dualdb.stores.relay_reading import Range

if TYPE_CHECKING:
    from pathlib import Path

    from dualdb.stores.pair import Pair

SCRIPT = """
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT, size INTEGER);
CREATE TABLE step (run TEXT NOT NULL COLLATE NOCASE, at REAL NOT NULL, value TEXT, PRIMARY KEY (run, at)) WITHOUT ROWID;
CREATE TABLE tag (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, uses INT);
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
INSERT INTO run SELECT i, 'run ' || i, i % 7 FROM n;
INSERT INTO step SELECT iif(id % 2, 'RUN ', 'run ') || (id % 50), id / 4.0, name FROM run;
INSERT INTO tag SELECT iif(id % 2, 'TAG ', 'tag ') || id, size FROM run;
"""
BEHIND = (
    "UPDATE run SET name = 'changed' WHERE id IN (3, 4900)",
    "DELETE FROM run WHERE id IN (5, 4950)",
    "UPDATE run SET id = 6000 WHERE id = 7",
    "UPDATE run SET id = -1 WHERE id = 4990",
    "UPDATE step SET value = 'changed' WHERE at IN (1.25, 1200.5)",
    "UPDATE step SET run = 'zzz' WHERE at = 2.25",
    "UPDATE step SET run = 'aaa' WHERE at = 1210.25",
    "UPDATE tag SET name = upper(name) WHERE uses = 3",
    "UPDATE tag SET name = 'zz ' || name WHERE uses = 4",
    "UPDATE tag SET name = 'aa ' || name WHERE uses = 5",
)
"""Changes before a cursor and behind it, and from one side to the other."""


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A pair whose copy takes several batches and has not begun."""
    return Mirrored(database, target_dsn, SCRIPT)


def keys_behind(pair: Pair) -> list[str]:
    """The tables of which the follower holds rows behind the cursor of their copy."""
    copies = pair.follower.watermark().copies
    with pair.follower.snapshot() as snapshot:
        return [
            table.name
            for table in snapshot.schema.tables.values()
            if not (copy := copies.get(table.id, Copy())).done and copy.begun and snapshot.range(table, copy.cursor, 1)
        ]


@pytest.mark.parametrize("back", [False, True], ids=["to postgres", "back"])
def test_a_copy_takes_each_row_when_its_turn_comes(mirrored: Mirrored, *, back: bool) -> None:
    """Whatever changes on either side of the cursor while the copy is under way, and in either direction."""
    if back:
        mirrored.align()
        mirrored.to_postgres()
    change = mirrored.target if back else mirrored.source
    with mirrored.pair() as pair:
        if back:
            mirrored.target(*(f"INSERT INTO dualdb.journal (tbl, key) VALUES (0, ARRAY['{n}'])" for n in (1, 2, 3)))
        carrier = Carrier(pair.authority, pair.follower, mirrored.events.append)
        changes = iter(BEHIND)
        while (action := carrier.step()) is not Action.WAIT:
            assert carrier.error is None
            assert keys_behind(pair) == []
            if action is Action.BATCH and (statement := next(changes, None)) is not None:
                change(statement)
        change(*changes)
        while carrier.step() is not Action.WAIT:
            assert carrier.error is None
    assert mirrored.differences() == {}


def test_a_range_is_read_page_by_page_and_once(mirrored: Mirrored) -> None:
    """It is not read before it is asked for, ends where it was told to, and is the same when it is asked for again."""
    ended = []
    with mirrored.pair() as pair, pair.source.snapshot() as snapshot:
        rows = Range(snapshot, snapshot.schema.table("run"), Copy(), 4_500, lambda: ended.append("read"))
        assert (rows.count, rows.open, ended) == (delivery.PAGE, True, [])
        parts = list(rows)
        assert [len(part) for part in parts] == [delivery.PAGE, delivery.PAGE, 4_500 - 2 * delivery.PAGE]
        assert (rows.last, rows.done, rows.open, ended) == ((4_500,), False, False, ["read"])
        assert list(rows) == parts
        rest = Range(snapshot, snapshot.schema.table("run"), Copy(cursor=rows.last), 10_000, ended.clear)
        assert (rest.count, rest.done, rest.last) == (500, True, (5_000,))


def test_large_rows_end_a_range(mirrored: Mirrored) -> None:
    """All of it is kept in memory until PostgreSQL has it."""
    mirrored.source("UPDATE run SET name = printf('%.*c', 500000, 'x') WHERE id < 40")
    with mirrored.pair() as pair, pair.source.snapshot() as snapshot:
        rows = Range(snapshot, snapshot.schema.table("run"), Copy(), 4_500, lambda: None)
        assert sum(len(str(row[1])) for part in rows for row in part) < 2 * delivery.MOST_BYTES
        assert (rows.done, rows.open) == (False, False)


def test_a_foreign_lock_is_not_waited_for_with_an_open_snapshot(mirrored: Mirrored) -> None:
    """Somebody locks the target's table: the file's log can still be emptied, and the copy goes on afterwards."""
    with mirrored.pair() as pair:
        carrier = Carrier(pair.authority, pair.follower, mirrored.events.append)
        with psycopg.connect(mirrored.dsn) as holder:
            holder.execute("LOCK TABLE run, step, tag IN EXCLUSIVE MODE")
            while carrier.step() is not Action.BACK_OFF:
                assert carrier.error is None
            assert isinstance(carrier.error, BusyError)
            assert "lock" in str(carrier.error)
            with closing(sqlite3.connect(mirrored.path)) as other:
                other.execute("PRAGMA busy_timeout = 0")
                assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        while carrier.step() is not Action.WAIT:
            assert carrier.error is None
    assert mirrored.differences() == {}
