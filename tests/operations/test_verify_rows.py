"""Comparing the rows of two stores while writers write."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.operations.sqlite_pair import SqlitePair, connect

from dualdb.core import ranges
from dualdb.core.compare import DifferenceKind
from dualdb.core.types import encode_row
from dualdb.errors import BusyError, OvertakenError
from dualdb.operations import verify_pairs
from dualdb.operations.verify_pairs import Pairs
from dualdb.operations.verify_rows import RowVerification

if TYPE_CHECKING:
    from pathlib import Path

    from dualdb.operations.verify_report import Mismatch, Progress

DDL = """
CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL, name TEXT, any);
CREATE TABLE tag (name TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, value);
CREATE TABLE log (message TEXT);
"""


@pytest.fixture
def pair(tmp_path: Path) -> SqlitePair:
    """Two equal files with a few hundred rows."""
    pair = SqlitePair(tmp_path, DDL)
    with closing(connect(pair.source)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO metric VALUES (?, ?, ?, ?)", [(one, one / 7, f"name {one}", one) for one in range(300)]
        )
        connection.executemany(
            "INSERT INTO tag VALUES (?, ?)", [("aB" * (one % 2) + f"Key{one}", one) for one in range(100)]
        )
        connection.executemany("INSERT INTO log VALUES (?)", [(f"message {one}",) for one in range(100)])
        connection.execute("COMMIT")
    pair.relay()
    return pair


def verification(pair: SqlitePair, **options: object) -> RowVerification:
    """Rows of that pair, waiting briefly."""
    return RowVerification(Pairs(pair.authority, pair.follower, patience_s=0.3), **options)  # type: ignore[arg-type]


def walked(pair: SqlitePair, **options: object) -> RowVerification:
    """A whole verification of rows."""
    rows = verification(pair, **options)
    rows.compare()
    rows.settle()
    rows.count_quarantine()
    rows.count()
    return rows


def named(mismatches: list[Mismatch]) -> set[tuple[str, str, object, tuple[str, ...]]]:
    """What a report says about each."""
    return {(one.kind.value, one.table, one.key, one.columns) for one in mismatches}


def test_equal(pair: SqlitePair) -> None:
    """Equal files agree and every row is compared."""
    rows = walked(pair)
    assert not rows.mismatches
    assert {one.name: one.compared for one in rows.tables()} == {"metric": 300, "tag": 100, "log": 100}
    assert {(one.control_count, one.candidate_count) for one in rows.tables()} == {(300, 300), (100, 100)}


@pytest.mark.parametrize(
    ("corruption", "found"),
    [
        ("UPDATE metric SET value = -0.0, any = -0.0 WHERE id = 0", {("different", "metric", (0,), ("any",))}),
        ("UPDATE metric SET any = 7.0 WHERE id = 7", {("different", "metric", (7,), ("any",))}),
        ("UPDATE metric SET name = name || ' ' WHERE id = 299", {("different", "metric", (299,), ("name",))}),
        ("UPDATE metric SET value = value + 1e-14 WHERE id = 70", {("different", "metric", (70,), ("value",))}),
        ("DELETE FROM metric WHERE id = 0", {("missing", "metric", (0,), ())}),
        ("DELETE FROM metric WHERE id = 299", {("missing", "metric", (299,), ())}),
        ("DELETE FROM log", {("missing", "log", (one,), ()) for one in range(1, 101)}),
        ("INSERT INTO metric(id) VALUES (-5)", {("extra", "metric", (-5,), ())}),
        ("INSERT INTO metric(id) VALUES (10000)", {("extra", "metric", (10000,), ())}),
        (
            "UPDATE tag SET name = 'KEY10' WHERE name = 'key10'",
            {("missing", "tag", ("Key10",), ()), ("extra", "tag", ("KEY10",), ())},
        ),
        (
            "UPDATE log SET message = 'message ' || (11 - rowid) WHERE rowid IN (5, 7)",
            {("different", "log", (5,), ("message",)), ("different", "log", (7,), ("message",))},
        ),
    ],
)
def test_corruption(pair: SqlitePair, corruption: str, found: set[tuple[str, str, object, tuple[str, ...]]]) -> None:
    """Every corruption is found and named."""
    pair.on_follower(corruption)
    rows = walked(pair)
    assert named(rows.mismatches) == found
    assert rows.mismatched == len(found)


def test_in_flight(pair: SqlitePair) -> None:
    """A change in flight is no difference and is looked at when it has arrived."""
    pair.on_authority("UPDATE metric SET value = 1.5 WHERE id = 5")
    rows = verification(pair)
    rows.compare()
    rows.settle()
    assert [one.unsettled for one in rows.tables()] == [0, 1, 0]
    pair.relay()
    rows.settle()
    assert not rows.mismatches
    assert [one.unsettled for one in rows.tables()] == [0, 0, 0]


def test_wrong_behind_in_flight(pair: SqlitePair) -> None:
    """A wrong row hidden by a change in flight is found once it rests."""
    pair.on_authority("UPDATE metric SET value = 1.5 WHERE id = 5")
    rows = verification(pair)
    rows.compare()
    pair.relay()
    pair.on_follower("UPDATE metric SET name = 'wrong' WHERE id = 5")
    rows.settle()
    assert named(rows.mismatches) == {("different", "metric", (5,), ("name",))}


def test_moved_behind(pair: SqlitePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that moves behind the walk is still compared."""
    monkeypatch.setattr(verify_pairs, "PAIR_S", 0.0)
    moved: list[Progress] = []

    def move(progress: Progress) -> None:
        if progress.table == "metric" and progress.rows >= 64 and not moved:
            pair.on_authority("UPDATE metric SET id = -1 WHERE id = 290")
            pair.relay()
            pair.on_follower("UPDATE metric SET name = 'wrong' WHERE id = -1")
            moved.append(progress)

    rows = walked(pair, observer=move)
    assert moved
    assert named(rows.mismatches) == {("different", "metric", (-1,), ("name",))}


def test_remade(pair: SqlitePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is remade meanwhile is walked again."""
    monkeypatch.setattr(verify_pairs, "PAIR_S", 0.0)
    remade: list[str] = []

    def remake(progress: Progress) -> None:
        if progress.table == "tag" and not remade:
            for change in (pair.on_authority, pair.on_follower):
                change("ALTER TABLE log ADD COLUMN level INTEGER")
            with pair.authority.snapshot() as snapshot:
                version = snapshot.schema.version
            pair.on_follower("UPDATE log SET level = 3 WHERE rowid = 50")
            pair.on_follower("UPDATE _dualdb_watermark SET version = ?", version)
            remade.append(version)

    rows = walked(pair, observer=remake)
    assert remade
    assert named(rows.mismatches) == {("different", "log", (50,), ("level",))}


def test_incremental(pair: SqlitePair) -> None:
    """An incremental look compares what changed and nothing else."""
    rows = walked(pair)
    pair.on_authority("UPDATE metric SET value = 2.5 WHERE id IN (1, 2)")
    pair.relay()
    pair.on_follower("UPDATE metric SET value = 0.0 WHERE id IN (2, 3)")
    later = verification(pair)
    later.compare(since=rows.position)
    later.settle()
    assert named(later.mismatches) == {("different", "metric", (2,), ("value",))}
    assert {one.name: one.compared for one in later.tables()} == {"metric": 2, "tag": 0, "log": 0}
    assert later.position == "504"


def test_quarantine(pair: SqlitePair) -> None:
    """A quarantined row is counted apart."""
    pair.on_authority("INSERT INTO metric VALUES (1000, NULL, 'a' || char(0), NULL)")
    pair.relay()
    pair.on_follower("DELETE FROM metric WHERE id = 1000")
    image = encode_row(("id", "value", "name", "any"), (1000, None, "a\0", None))
    pair.on_follower("INSERT INTO _dualdb_quarantine VALUES ('metric', '1000', 'text with a NUL character', ?)", image)
    rows = walked(pair)
    assert not rows.mismatches
    assert {one.name: (one.quarantined, one.control_count, one.candidate_count) for one in rows.tables()} == {
        "metric": (1, 301, 301),
        "tag": (0, 100, 100),
        "log": (0, 100, 100),
    }


def test_repair(pair: SqlitePair) -> None:
    """Keys found different are journaled again when repair is asked for."""
    pair.on_follower("UPDATE metric SET value = 0.0 WHERE id BETWEEN 10 AND 19")
    pair.on_follower("INSERT INTO tag VALUES ('foreign', 1)")
    rows = walked(pair, repair=lambda table, found: pair.dirty({table.id: [one.key for one in found]}))
    assert (rows.mismatched, rows.repaired) == (11, 11)
    pair.relay()
    assert walked(pair).mismatched == 0


def test_most_listed(pair: SqlitePair) -> None:
    """No more mismatches are kept than were asked for and all are counted."""
    pair.on_follower("DELETE FROM metric")
    rows = walked(pair, most_listed=7)
    assert (len(rows.mismatches), rows.mismatched) == (7, 300)


def test_values(pair: SqlitePair) -> None:
    """Values are reported only on request."""
    pair.on_follower("UPDATE metric SET name = 'secret' WHERE id = 1")
    assert walked(pair).mismatches[0].candidate is None
    (mismatch,) = walked(pair, with_values=True).mismatches
    assert mismatch.kind is DifferenceKind.DIFFERENT
    assert mismatch.candidate == (1, 1 / 7, "secret", 1)
    assert mismatch.control == (1, 1 / 7, "name 1", 1)


def test_write_lock(pair: SqlitePair) -> None:
    """Writers are never kept from writing."""

    def write(_: Progress) -> None:
        for path in (pair.source, pair.target):
            with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")

    assert walked(pair, observer=write).mismatched == 0


def test_unaligned(pair: SqlitePair) -> None:
    """A follower that is catching up is waited for and not compared."""
    pair.on_follower("UPDATE _dualdb_watermark SET aligned = 0")
    with pytest.raises(BusyError, match="still catching up; run dualdb relay --until-aligned /"):
        walked(pair)


def test_schema_behind(pair: SqlitePair) -> None:
    """A follower without the authoritys schema is not compared."""
    pair.on_authority("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    with pytest.raises(BusyError, match="does not have the authority's schema yet"):
        walked(pair)


def test_pruned(pair: SqlitePair) -> None:
    """A journal pruned beyond the follower gives no pair."""
    pair.on_authority("UPDATE metric SET value = 2.5 WHERE id < 10")
    pair.authority.prune("505")
    with pytest.raises(BusyError, match="no longer reaches back"):
        walked(pair)


def test_epoch(pair: SqlitePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of authority ends the verification."""
    monkeypatch.setattr(verify_pairs, "PAIR_S", 0.0)

    def move(_: Progress) -> None:
        pair.on_authority("UPDATE _dualdb_watermark SET epoch = 2")
        pair.on_follower("UPDATE _dualdb_watermark SET epoch = 2")

    with pytest.raises(OvertakenError, match="epoch 1, now 2 and 2"):
        walked(pair, observer=move)


def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the table, once its ranges are as large as they get: here at once, on any machine."""
    monkeypatch.setattr(ranges, "QUICK_S", float("inf"))
    monkeypatch.setattr(ranges, "SLOW_S", float("inf"))

    def peak(rows: int) -> int:
        (folder := tmp_path / str(rows)).mkdir()
        pair = SqlitePair(folder, "CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL, name TEXT);")
        for path in (pair.source, pair.target):
            with closing(connect(path)) as connection:
                connection.execute(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                    " INSERT INTO metric SELECT i, i / 7.0, 'name ' || i FROM n",
                    (rows,),
                )
                connection.execute("DELETE FROM _dualdb_journal")
        gc.collect()
        tracemalloc.start()
        try:
            assert walked(pair).mismatched == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(240_000) < 2 * peak(60_000)
