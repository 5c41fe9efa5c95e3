"""How quickly rows are carried: the first copy, a backlog, and a steady thousand changes a second."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from statistics import median, quantiles
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.interleaving import Way
from benchmarks.pairs import make_file, prepare
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.transition import rollback
from dualdb.stores import mirror
from dualdb.stores.control import Control
from dualdb.stores.pair import Pair
from dualdb.stores.relay import Relay, relay_until_aligned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from benchmarks.conftest import Compare

_COPY = "COPY plain (id, experiment_id, name, value, step, recorded_at) FROM STDIN (FORMAT binary)"
_TYPES = ["int8", "int8", "text", "float8", "int8", "text"]
_CHANGES = 20_000
_STEADY_S = 4.0
_PER_SECOND = 1_000


def _copy_plainly(path: str, dsn: str, condition: str = "true") -> None:
    """Replace rows of the table `plain` by what SQLite has: DELETE and psycopg's binary COPY in one transaction."""
    with closing(sqlite3.connect(path)) as source, psycopg.connect(dsn) as target, target.cursor() as cursor:
        cursor.execute(f"DELETE FROM plain WHERE {condition}".encode())
        with cursor.copy(_COPY.encode()) as copy:
            copy.set_types(_TYPES)
            for row in source.execute(f"SELECT * FROM metric WHERE {condition}"):
                copy.write_row(row)


def _make_plain(dsn: str) -> None:
    """An empty table like the target's, its key included."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS plain")
        connection.execute("CREATE TABLE plain (LIKE metric INCLUDING DEFAULTS INCLUDING INDEXES)")


def _begin_mirror(path: str) -> None:
    """Phase dual_write with nothing copied yet."""
    with Pair.open(path) as pair:
        mirrored = pair.phase is Phase.DUAL_WRITE
    if mirrored:
        rollback(path, observer=unheard)
    with Control.open(path) as control:
        mirror.begin(control)


def test_backfill(tmp_path: Path, target_dsn: str, compare: Compare, row_count: int) -> None:
    """A whole table by the relay, resumable and followed from then on, against one COPY of the same rows."""
    path = make_file(tmp_path / "experiments.db", row_count)
    prepare(path, target_dsn, steps=0)
    _begin_mirror(path)
    compare(
        "backfill",
        control=Way(
            name="one binary COPY",
            run=lambda: _copy_plainly(path, target_dsn),
            before=lambda: _make_plain(target_dsn),
        ),
        candidate=Way(name="relay", run=lambda: relay_until_aligned(path), before=lambda: _begin_mirror(path)),
        work=row_count,
    )


def test_pgloader(
    tmp_path: Path, target_dsn: str, request: pytest.FixtureRequest, row_count: int, remark: Callable[[str], None]
) -> None:
    """The same against pgloader, where it is installed."""
    program = shutil.which("pgloader")
    if program is None:
        remark("pgloader is not installed: not compared")
        return
    compare: Compare = request.getfixturevalue("compare")
    path = make_file(tmp_path / "experiments.db", row_count)
    plain = make_file(tmp_path / "plain.db", row_count)
    prepare(path, target_dsn, steps=0)
    _begin_mirror(path)
    script = tmp_path / "load"
    script.write_text(
        f"LOAD DATABASE FROM sqlite://{plain} INTO {_url(target_dsn)}"
        " WITH include drop, create tables, create indexes ALTER SCHEMA 'public' RENAME TO 'loaded';\n"
    )
    with psycopg.connect(target_dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS loaded")
    compare(
        "backfill",
        control=Way(name="pgloader", run=lambda: subprocess.run([program, "-q", str(script)], check=True)),
        candidate=Way(name="relay", run=lambda: relay_until_aligned(path), before=lambda: _begin_mirror(path)),
        work=row_count,
    )


def test_backlog(tmp_path: Path, target_dsn: str, compare: Compare) -> None:
    """Changed rows by the relay, from the journal, against somebody who knows which ones to delete and copy."""
    path = make_file(tmp_path / "experiments.db", 5 * _CHANGES)
    prepare(path, target_dsn, steps=1)
    _make_plain(target_dsn)
    _copy_plainly(path, target_dsn)
    changed = "id % 5 = 0"

    def change() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"UPDATE metric SET value = value + 1.5 WHERE {changed}")
            connection.commit()

    compare(
        f"{_CHANGES:,} changed rows",
        control=Way(name="DELETE and COPY", run=lambda: _copy_plainly(path, target_dsn, changed)),
        candidate=Way(name="relay", run=lambda: relay_until_aligned(path), before=change),
        work=_CHANGES,
    )


def test_steady_changes(tmp_path: Path, target_dsn: str, remark: Callable[[str], None]) -> None:
    """A thousand single-row commits a second: how far behind them the follower is, and when it has them all; against
    raw psycopg, which would write each change there as well, and wait for it.
    """
    path = make_file(tmp_path / "experiments.db", 10_000)
    prepare(path, target_dsn, steps=1)
    _make_plain(target_dsn)
    _copy_plainly(path, target_dsn)
    by_hand_s: list[float] = []
    relay = Relay(path)
    relay.start()
    committed: list[tuple[int, float]] = []
    arrived: list[tuple[int, float]] = []
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(path, arrived, over))
    watcher.start()
    try:
        began = time.perf_counter()
        with (
            closing(sqlite3.connect(path, isolation_level=None)) as connection,
            psycopg.connect(target_dsn, autocommit=True) as by_hand,
        ):
            connection.execute("PRAGMA synchronous = NORMAL")
            for number in range(int(_STEADY_S * _PER_SECOND)):
                connection.execute("UPDATE metric SET value = ? WHERE id = ?", (number / 3, number % 10_000 + 1))
                if number % 50 == 0:
                    head = connection.execute("SELECT max(seq) FROM _dualdb_journal").fetchone()[0]
                    committed.append((head, time.perf_counter()))
                    by_hand.execute("UPDATE plain SET value = %s WHERE id = %s", (number / 3, number % 10_000 + 1))
                    by_hand_s.append(time.perf_counter() - committed[-1][1])
                ahead_s = began + number / _PER_SECOND - time.perf_counter()
                if ahead_s > 0.001:
                    time.sleep(ahead_s)
            took_s = time.perf_counter() - began
            last = connection.execute("SELECT max(seq) FROM _dualdb_journal").fetchone()[0]
        ended = time.perf_counter()
        while not arrived or arrived[-1][0] < last:
            time.sleep(0.002)
        aligned_s = time.perf_counter() - ended
    finally:
        over.set()
        watcher.join()
        relay.stop()
    lags = [next(at for seq, at in arrived if seq >= head) - at_commit for head, at_commit in committed]
    cuts = quantiles(lags, n=20)
    remark(
        f"{_PER_SECOND / 1000:g},000 commits/s asked, {_STEADY_S * _PER_SECOND / took_s:,.0f} done:"
        f" a commit has arrived after {cuts[9] * 1000:.0f} ms (median), {cuts[18] * 1000:.0f} ms (95 %);"
        f" aligned {aligned_s * 1000:.0f} ms after the last;"
        f" {cuts[9] / median(by_hand_s):.0f} times what one UPDATE by raw psycopg takes the writer"
        f" ({median(by_hand_s) * 1000:.2f} ms), who waits for none here"
    )


def _watch(path: str, arrived: list[tuple[int, float]], over: threading.Event) -> None:
    """Note when the follower holds which journal row."""
    with Pair.open(path) as pair:
        while not over.wait(0.003):
            held = pair.target.watermark()
            seq = int(held.position.partition(":")[0])
            if held.aligned and (not arrived or arrived[-1][0] < seq):
                arrived.append((seq, time.perf_counter()))


def _url(dsn: str) -> str:
    parts = conninfo_to_dict(dsn)
    return f"postgresql://{parts['user']}@unix:{parts['host']}:{parts['port']}/{parts['dbname']}"
