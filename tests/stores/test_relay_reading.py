"""What a copy reads while the application goes on writing, and for how long."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.stores.mirrored import Mirrored

from dualdb.core import delivery, events
from dualdb.core.delivery import Action, Pace, copies_after
from dualdb.core.store import Changes, Copy
from dualdb.errors import BusyError, TargetLostError
from dualdb.stores import relay_batch, relay_reading
from dualdb.stores.relay_batch import Carrier
from dualdb.stores.relay_reading import Range, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from dualdb.core.store import Key
    from dualdb.stores.pair import Pair

pytestmark = pytest.mark.once

SCRIPT = """
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT, size INTEGER);
CREATE TABLE step (run TEXT NOT NULL COLLATE NOCASE, at REAL NOT NULL, value TEXT, PRIMARY KEY (run, at)) WITHOUT ROWID;
CREATE TABLE tag (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, uses INT);
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
INSERT INTO run SELECT i, 'run ' || i, i % 7 FROM n;
INSERT INTO step SELECT iif(id % 2, 'RUN ', 'run ') || (id % 50), id / 4.0, name FROM run;
INSERT INTO tag SELECT iif(id % 2, 'TAG ', 'tag ') || id, size FROM run;
"""
CHANGES = (
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
"""Before a cursor and beyond it, and from one side to the other."""
LARGE = ("printf('%.*c', 9000000, 'x')", "repeat('x', 9000000)")


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A pair whose copy takes several batches and has not begun."""
    return Mirrored(database, target_dsn, SCRIPT)


def keys_beyond(pair: Pair) -> list[str]:
    """The tables of which the follower holds rows beyond the cursor of their copy."""
    copies = pair.follower.watermark().copies
    with pair.follower.snapshot() as snapshot:
        return [
            table.name
            for table in snapshot.schema.tables.values()
            if not (copy := copies.get(table.id, Copy())).done and copy.begun and snapshot.range(table, copy.cursor, 1)
        ]


@pytest.mark.parametrize("room", [delivery.CHANGED_BYTES, 1_000], ids=["all changes fit", "few changes fit"])
@pytest.mark.parametrize("back", [False, True], ids=["to postgres", "back"])
def test_a_copy_takes_each_row_when_its_turn_comes(
    mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch, *, back: bool, room: int
) -> None:
    """Whatever changes on either side of the cursor while the copy is under way, in either direction, and however many
    batches the changes take.
    """
    monkeypatch.setattr(relay_reading, "CHANGED_BYTES", room)
    if back:
        mirrored.align()
        mirrored.to_postgres()
    change = mirrored.target if back else mirrored.source
    with mirrored.pair() as pair:
        if back:
            mirrored.target(*(f"INSERT INTO dualdb.journal (tbl, key) VALUES (0, ARRAY['{n}'])" for n in (1, 2, 3)))
        carrier = Carrier(pair.authority, pair.follower, mirrored.events.append)
        changes = iter(CHANGES)
        while (action := carrier.step()) is not Action.WAIT:
            assert carrier.error is None
            assert keys_beyond(pair) == []
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
        assert 0 < sum(map(len, rows)) <= 8
        assert (rows.done, rows.open) == (False, False)


@pytest.mark.parametrize("back", [False, True], ids=["to postgres", "back"])
def test_large_changed_rows_take_several_batches(mirrored: Mirrored, *, back: bool) -> None:
    """They are in memory at once; a batch takes as many as fit, one at least, and those after go on from there."""
    mirrored.align()
    if back:
        mirrored.to_postgres()
    change = mirrored.target if back else mirrored.source
    change("UPDATE run SET size = -id WHERE id < 600")
    change(*(f"UPDATE run SET name = {large} WHERE id IN (1, 2, 3)" for large in ("'a'", "'b'", LARGE[back])))
    change("DELETE FROM run WHERE id = 4", "UPDATE run SET size = 1 WHERE id BETWEEN 700 AND 1400")
    mirrored.events.clear()
    mirrored.align()
    assert mirrored.differences() == {}
    batches = mirrored.seen(events.BatchApplied)
    assert 3 <= len(batches) < 60
    assert [batch.aligned for batch in batches] == [False] * (len(batches) - 1) + [True]


@pytest.mark.parametrize("back", [False, True], ids=["to postgres", "back"])
def test_of_large_changed_rows_few_are_read_in_vain(
    mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch, *, back: bool
) -> None:
    """A batch that was too large tells how many of such rows the next ones may take."""
    mirrored.align()
    if back:
        mirrored.to_postgres()
    large = "decode(repeat('6162', 500000), 'hex')::text" if back else "printf('%.*c', 1000000, 'x')"
    (mirrored.target if back else mirrored.source)(f"UPDATE run SET name = {large} WHERE id <= 80")
    in_vain: list[int] = []
    read = Reading.read

    def counting(
        self: Reading, changes: Changes, again: Mapping[int, Sequence[Key]], limit: int, read_out: Callable[[], None]
    ) -> int | None:
        fewer = read(self, changes, again, limit, read_out)
        in_vain.extend([] if fewer is None else [fewer])
        return fewer

    monkeypatch.setattr(Reading, "read", counting)
    mirrored.events.clear()
    mirrored.align()
    assert len(mirrored.seen(events.BatchApplied)) >= 8
    assert len(in_vain) <= 5  # on the way down to what fits
    assert mirrored.differences() == {}


@pytest.mark.parametrize("back", [False, True], ids=["to postgres", "back"])
def test_the_pace_counts_journal_rows(mirrored: Mirrored, *, back: bool) -> None:
    """A few rows that changed ever again are few keys: the next batch takes on more of the journal nevertheless."""
    mirrored.align()
    if back:
        mirrored.to_postgres()
    mirrored.events.clear()
    change = mirrored.target if back else mirrored.source
    change(*(f"UPDATE run SET size = {number} WHERE id <= 100" for number in range(200)))
    mirrored.align()
    assert mirrored.differences() == {}
    assert len(mirrored.seen(events.BatchApplied)) < 15


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


def test_a_server_that_hangs_does_not_hold_the_snapshot(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it does not answer, its connection is given up after a while, and the copy goes on later."""
    monkeypatch.setattr(relay_batch, "SNAPSHOT_S", 1.0)
    with mirrored.pair() as pair:
        carrier = Carrier(pair.authority, pair.follower, mirrored.events.append)
        carrier._pace = Pace(copy_rows=4_000)
        while carrier.carried == 0:
            carrier.step()
        mirrored.target(
            "CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_sleep(60); RETURN OLD; END'",
            "CREATE TRIGGER wait BEFORE DELETE ON run FOR EACH ROW EXECUTE FUNCTION public.wait()",
        )
        mirrored.source("UPDATE run SET name = 'changed' WHERE id = 1")
        assert carrier.step() is Action.BACK_OFF
        assert isinstance(carrier.error, TargetLostError)
        with closing(sqlite3.connect(mirrored.path)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        mirrored.target(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
        )
        mirrored.target("DROP FUNCTION public.wait() CASCADE")
        while carrier.step() is not Action.WAIT:
            pass
    assert mirrored.differences() == {}


def test_a_table_is_cleared_without_an_open_snapshot(mirrored: Mirrored) -> None:
    """That may take long; so a table's first range is one page, which is in memory by then."""
    with mirrored.pair() as pair, pair.source.snapshot() as snapshot:
        ended: list[str] = []
        reading = Reading(snapshot, snapshot.schema, copies_after(snapshot.schema, {}, ()))
        nothing = Changes(keys={}, position="", complete=True)
        reading.read(nothing, {}, 10_000, read_out=lambda: ended.append("read"))
        assert (reading.open, reading.copied, ended) == (False, delivery.PAGE, ["read"])


def test_a_change_of_the_schema_waits_in_line(mirrored: Mirrored) -> None:
    """Behind readers that overlap there may be no free moment for somebody who comes and goes."""
    mirrored.align()
    mirrored.source("ALTER TABLE run ADD COLUMN more TEXT")
    with mirrored.pair() as pair, psycopg.connect(mirrored.dsn) as reader, ThreadPoolExecutor(1) as pool:
        carrier = Carrier(pair.authority, pair.follower, mirrored.events.append)
        reader.execute("SELECT count(*) FROM run")
        waiting = pool.submit(lambda: [carrier.step() for _ in range(6)])
        with pytest.raises(TimeoutError):
            waiting.result(3)
        reader.rollback()
        assert Action.BACK_OFF not in waiting.result(20)
    assert len(mirrored.target("SELECT more FROM run LIMIT 3")) == 3


def test_a_foreign_lock_is_told(mirrored: Mirrored) -> None:
    """Whoever looks after the relay learns why the mirror stands still."""
    mirrored.align()
    mirrored.source("UPDATE run SET name = 'changed' WHERE id = 1")
    with psycopg.connect(mirrored.dsn) as holder:
        holder.execute("LOCK TABLE run IN EXCLUSIVE MODE")
        with pytest.raises(BusyError, match="lock"):
            mirrored.align(within_s=6)
    assert any("lock" in event.reason for event in mirrored.seen(events.RelayStumbled))
    mirrored.align()
    assert mirrored.differences() == {}
