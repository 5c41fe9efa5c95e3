"""A process opens a file, closes it, and lives on: what it kept of the file ends, and begins anew when needed."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.driver.prepared import prepare
from tests.driver.programs import ask, program, until
from tests.stores.mirrored import Mirrored

import dualdb
from dualdb.driver import lookout
from dualdb.driver.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

METRIC = "CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL)"
PROGRAM = """
import json, os, sys, threading, time
import dualdb
from dualdb.driver import lookout

lookout.KEPT_S = 0.5
path, holds = sys.argv[1], sys.argv[2] == "holds"

def log(value):
    connection = dualdb.connect(path)
    with connection:
        connection.execute("INSERT INTO metric (value) VALUES (?)", (value,))
    return connection

def relays():
    return "dualdb-relay" in {thread.name for thread in threading.enumerate()}

def kept():
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return [relays(), sum(link.startswith(path) for link in links), sum(link.startswith("socket:") for link in links)]

def until(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)

connection = log(1.0)
until(relays)
time.sleep(1)  # it has taken the lock, or stands by
before = kept()
if holds:
    time.sleep(3)
    held = kept()
    connection.execute("SELECT 1").fetchone()
else:
    held = before
connection.close()  # the object lives on
until(lambda: kept() == [False, 0, 0])
print(json.dumps([before, held, kept()]), flush=True)
sys.stdin.readline()
log(2.0).close()
until(relays)
sys.stdin.readline()
"""


@pytest.mark.parametrize("holds", ["holds", "closes at once"])
@pytest.mark.parametrize("phase", ["dual_write", "postgres"])
def test_what_is_kept_ends_and_begins_again(database: Path, target_dsn: str, phase: str, holds: str) -> None:
    """The relay's thread, descriptors of the file and of its hint, connections to PostgreSQL; not while it is open."""
    pair = Mirrored(database, target_dsn, METRIC)
    pair.align()
    if phase == "postgres":
        pair.to_postgres()
    with program(PROGRAM, pair.path, holds) as process:
        assert process.stdout is not None
        before, held, after = json.loads(process.stdout.readline())
        assert all(before)
        assert held == before
        assert after == [False, 0, 0]
        until(lambda: _connections(target_dsn) == 0)
        ask(process)
        until(lambda: _arrived(pair, phase))


def _connections(dsn: str) -> Any:
    with psycopg.connect(dsn) as outside:
        found = outside.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    return found and found[0]


def _arrived(pair: Mirrored, phase: str) -> bool:
    """Whether the row that was written after the pause is with the follower: somebody relays again."""
    rows = "SELECT count(*) FROM metric WHERE value = 2.0"
    if phase == "dual_write":
        return pair.target(rows) == [(1,)]
    with closing(sqlite3.connect(pair.path)) as plain:
        return bool(plain.execute(rows).fetchone() == (1,))


def test_the_last_rows_are_carried_before_the_relay_ends(
    database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL is busy when a program writes, closes the file and lives on: nobody else has it open."""
    monkeypatch.setattr(lookout, "KEPT_S", 0.2)
    pair = Mirrored(database, target_dsn, METRIC)
    pair.align()
    before = _relays()
    with closing(_open_until_it_relays(pair, before)) as connection, psycopg.connect(target_dsn) as busy:
        busy.execute("LOCK TABLE metric IN ACCESS EXCLUSIVE MODE")
        with connection:
            connection.execute("INSERT INTO metric (value) VALUES (2.0)")
        connection.close()
        time.sleep(3)
    until(lambda: _arrived(pair, "dual_write"))
    until(lambda: not _relays() - before)


@pytest.mark.parametrize("held", [False, True], ids=["nobody has it open", "somebody has it open"])
def test_a_file_made_again_under_its_path_is_mirrored(
    database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch, *, held: bool
) -> None:
    """By a process that has had the old one open, and that relays for it still."""
    pair = Mirrored(database, target_dsn, METRIC)
    pair.align()
    before = _relays()
    old = _open_until_it_relays(pair, before)
    if not held:
        old.close()
    for part in database.parent.glob(f"{database.name}*"):
        part.unlink()
    with psycopg.connect(target_dsn, autocommit=True) as server:
        name = f"{server.info.dbname}_again"
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            monkeypatch.setattr(lookout, "KEPT_S", 0.2)
            again = Mirrored(database, make_conninfo(target_dsn, dbname=name), METRIC)
            again.align()
            with closing(dualdb.connect(again.path)) as connection:
                with connection:
                    connection.execute("INSERT INTO metric (value) VALUES (2.0)")
                until(lambda: _arrived(again, "dual_write"))
            old.close()
            until(lambda: not _relays() - before)
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_a_file_whose_backup_is_put_in_its_place_is_mirrored(database: Path, target_dsn: str) -> None:
    """Its hint stays, and so does the process, which has a relay and the relay lock for the file that is gone."""
    pair = Mirrored(database, target_dsn, METRIC)
    pair.align()
    before = _relays()
    _open_until_it_relays(pair, before).close()
    backup = database.with_name("backup.db")
    with closing(sqlite3.connect(database)) as plain, closing(sqlite3.connect(backup)) as copy:
        plain.backup(copy)
        copy.execute("PRAGMA journal_mode = WAL")
    backup.replace(database)
    for side in ("-wal", "-shm"):
        database.with_name(database.name + side).unlink(missing_ok=True)
    with closing(dualdb.connect(pair.path)) as connection, connection:
        connection.execute("INSERT INTO metric (value) VALUES (2.0)")
    until(lambda: _arrived(pair, "dual_write"))


@pytest.mark.parametrize("over", ["PostgreSQL comes back", "the file is removed"])
def test_one_relay_of_a_closed_file_outlasts_an_outage(
    database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    """It was at rest when PostgreSQL went away; rows are written meanwhile, each over a connection of its own."""
    monkeypatch.setattr(lookout, "KEPT_S", 0.2)
    pair = Mirrored(database, target_dsn, METRIC)
    pair.align()
    before = _relays()
    _open_until_it_relays(pair, before).close()
    with psycopg.connect(make_conninfo(target_dsn, dbname="postgres"), autocommit=True) as server:
        name = conninfo_to_dict(target_dsn)["dbname"]
        server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false'.encode())
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        for _ in range(4):
            with closing(dualdb.connect(pair.path)) as connection, connection:
                connection.execute("INSERT INTO metric (value) VALUES (2.0)")
            time.sleep(1)
            assert len(_relays() - before) == 1
        server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {over == "PostgreSQL comes back"}'.encode())
        if over == "the file is removed":
            for part in database.parent.glob(f"{database.name}*"):
                part.unlink()
    until(lambda: not _relays() - before)
    if over == "PostgreSQL comes back":
        assert pair.target("SELECT count(*) FROM metric") == [(4,)]


class Kept:
    """Anything that is kept for a file."""

    over = False

    def close(self) -> bool:
        """See `Companion`."""
        self.over = True
        return True


def test_of_many_files_little_is_kept(tmp_path: Path) -> None:
    """One is opened after the other, faster than time would end what is kept of them."""
    kept = []
    for number in range(3 * lookout.KEPT_AT_MOST):
        path = tmp_path / f"{number}.db"
        prepare(path)
        with closing(dualdb.connect(path)) as connection:
            connection.execute("SELECT 1").fetchone()
            watch = connection._dualdb.watch  # type: ignore[attr-defined]
            kept.append(watch.companion("kept", Kept))
            del watch
    assert len(_mapped(tmp_path)) <= lookout.KEPT_AT_MOST
    until(lambda: sum(one.over for one in kept) >= lookout.KEPT_AT_MOST)
    assert not any(one.over for one in kept[-lookout.KEPT_AT_MOST :])


class Reopened(Kept):
    """While it is closed somebody opens the file again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.found: Kept | None = None

    def close(self) -> bool:
        """See `Companion`."""
        self.found = Watch(self._path, None).companion("kept", Kept)
        return super().close()


def test_whoever_opens_a_file_while_what_is_kept_ends_gets_another(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not what has just been closed."""
    prepare(database)
    monkeypatch.setattr(lookout, "KEPT_S", 0.0)
    path = str(database)
    kept = Watch(path, None).companion("kept", lambda: Reopened(path))
    until(lambda: kept.over)
    assert isinstance(kept.found, Kept)
    assert kept.found is not kept


AT_ONCE = """
import sys, threading
import dualdb

together = threading.Barrier(16)

def read():
    together.wait()
    connection = dualdb.connect(sys.argv[1])
    connection.execute("SELECT 1").fetchone()
    connection.close()

threads = [threading.Thread(target=read) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print([thread.name for thread in threading.enumerate()])
"""


def test_threads_that_connect_first_at_once_share_a_lookout(database: Path) -> None:
    """One thread looks after all."""
    prepare(database)
    for _ in range(5):
        with program(AT_ONCE, str(database)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "['MainThread', 'dualdb-lookout']\n"


INTERRUPTED = """
import gc, signal, sys, time
import dualdb

path = sys.argv[1]

def read(*_):
    connection = dualdb.connect(path)
    connection.execute("SELECT 1").fetchone()
    connection.close()

class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        read()

gc.set_threshold(20)
signal.signal(signal.SIGALRM, read)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
end = time.monotonic() + 4
while time.monotonic() < end:
    Cycle()
    read()
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print("ended", flush=True)
"""


def test_signal_handlers_and_finalizers_may_open_connections(database: Path) -> None:
    """In the midst of another's opening."""
    prepare(database)
    with program(INTERRUPTED, str(database)) as process:
        try:
            assert process.communicate(timeout=30) == ("ended\n", "")
        finally:
            process.kill()


def _open_until_it_relays(pair: Mirrored, before: set[threading.Thread]) -> sqlite3.Connection:
    """A connection; this process's relay is there and has the lock."""
    connection = dualdb.connect(pair.path)
    connection.execute("SELECT count(*) FROM metric").fetchone()
    until(lambda: bool(_relays() - before))
    until(lambda: pair.target("SELECT holder IS NOT NULL FROM dualdb.lease") == [(True,)])
    return connection


def _relays() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "dualdb-relay"}


def _mapped(folder: Path) -> list[str]:
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return [line for line in maps if str(folder) in line and line.rstrip().endswith("-dualdb")]
