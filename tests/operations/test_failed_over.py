"""PostgreSQL fails over to a standby that lacks its last commits, or is restored to an earlier time: found and told."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from tests.stores.mirrored import leave_at

import dualdb
from dualdb.core.compare import DifferenceKind
from dualdb.core.events import unheard
from dualdb.core.phase import Phase, Step
from dualdb.entrypoints.cli import main
from dualdb.errors import LineageError
from dualdb.operations.initialise import initialise
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned
from dualdb.stores.server import EmbeddedServer
from dualdb.stores.server_account import find_account
from dualdb.stores.server_binaries import find_binaries

PROMOTED, RESTORED = "standby.signal", "recovery.signal"
"""What makes a standby of a base backup, and what makes a recovery of it that ends where its log does."""


@pytest.fixture
def server(place: Path) -> EmbeddedServer:
    """A server of the test's own."""
    server = EmbeddedServer.beside(place / "app.db", durable=False)
    server.ensure_running()
    return server


@pytest.fixture
def mirrored(place: Path, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file in phase dual_write with that server; no relay but the commands' own."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    database = place / "app.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            "CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);"
            "INSERT INTO runs(name) VALUES ('a')"
        )
    initialise(str(database), server.conninfo)
    advance(str(database), observer=unheard)
    return str(database)


def back_up(server: EmbeddedServer) -> Path:
    """A physical copy of the running server as it is now."""
    into = server.folder / "standby"
    program = [find_binaries().program("pg_basebackup"), f"--dbname={server.conninfo}", f"--pgdata={into}"]
    subprocess.run([*program, "--checkpoint=fast", "--wal-method=stream"], check=True, capture_output=True, timeout=60)
    account = find_account()
    if account:
        for path in [into, *into.rglob("*")]:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return into


def fail_over(server: EmbeddedServer, backup: Path, how: str = PROMOTED) -> None:
    """Let that copy serve in place of the server, at the same address, from a new timeline on."""
    server.stop()
    shutil.rmtree(server.folder / "data")
    backup.rename(server.folder / "data")
    signal = server.folder / "data" / how
    signal.touch(mode=0o600)
    shutil.chown(signal, (server.folder / "data").stat().st_uid)
    with (server.folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write("restore_command = 'false'\n")
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(server.ensure_running)
        if how == PROMOTED:
            promote(server)
        started.result(60)


def promote(server: EmbeddedServer) -> None:
    """What a cluster manager does to the standby; before that it tells no timeline of its own."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(server.conninfo, autocommit=True) as connection:
                assert connection.execute("SELECT pg_is_in_recovery(), dualdb.timeline()").fetchone() == (True, None)
                assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
                return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def log(database: str, name: str) -> None:
    """A row of the application's."""
    with closing(dualdb.connect(database)) as connection, connection:
        connection.execute("INSERT INTO runs(name) VALUES (?)", (name,))


def names(database: str) -> list[str]:
    """What the file holds, as a plain sqlite3 program sees it."""
    with closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM runs ORDER BY id")]


@pytest.mark.parametrize("how", [PROMOTED, RESTORED])
def test_a_commit_that_only_the_file_still_has_is_kept(mirrored: str, server: EmbeddedServer, how: str) -> None:
    """The standby has the row that proves the follower's position, and not all that had been committed before it."""
    advance(mirrored, observer=unheard)
    with psycopg.connect(server.conninfo) as slow:
        slow.execute("INSERT INTO runs(name) VALUES ('lost by the server')")
        with psycopg.connect(server.conninfo) as quick:
            quick.execute("INSERT INTO runs(name) VALUES ('kept')")
        backup = back_up(server)
        slow.commit()
    relay_until_aligned(mirrored, unheard, 30)
    assert names(mirrored) == ["a", "lost by the server", "kept"]
    fail_over(server, backup, how)

    with Pair.open(mirrored) as pair:
        assert pair.covering_mark() is None  # by which a coordinator decides
    log(mirrored, "since")  # PostgreSQL is the authority, and goes on
    told = (
        r"was promoted, or restored to an earlier time \(timeline 1, now 2\): commits .* may be missing.*dualdb recopy"
    )
    with pytest.raises(LineageError, match=told):
        relay_until_aligned(mirrored, unheard, 30)
    with pytest.raises(LineageError, match=told):
        rollback(mirrored, observer=unheard)
    (blocker,) = read_status(mirrored).blockers
    assert "timeline 1, now 2" in blocker.reason
    assert blocker.remedy == f"copy the follower anew with dualdb recopy {mirrored}"
    with Pair.open(mirrored) as pair:
        found = verify(pair, full=True)
    assert ((2,), DifferenceKind.EXTRA) in [(one.key, one.kind) for one in found.mismatches]

    done = CliRunner().invoke(main, ["recopy", mirrored])
    assert done.exit_code == 0, done.output
    assert names(mirrored) == ["a", "kept", "since"]
    (saved,) = Path(mirrored).parent.glob("app.db-dualdb-before-recopy-*.db")
    assert names(str(saved)) == ["a", "lost by the server", "kept"]
    assert rollback(mirrored, observer=unheard).after is Phase.DUAL_WRITE


def test_a_way_back_that_was_under_way_is_given_up(mirrored: str, server: EmbeddedServer) -> None:
    """The standby has the fence; the next coordinator lifts it, PostgreSQL goes on, and nothing is decided."""
    advance(mirrored, observer=unheard)
    leave_at(mirrored, Step.FENCE, Phase.DUAL_WRITE)
    fail_over(server, back_up(server))
    with pytest.raises(LineageError, match="timeline 1, now 2"):
        rollback(mirrored, observer=unheard)
    log(mirrored, "goes on")
    assert names(mirrored) == ["a"]
    assert CliRunner().invoke(main, ["recopy", mirrored]).exit_code == 0
    assert rollback(mirrored, observer=unheard).after is Phase.DUAL_WRITE
    assert names(mirrored) == ["a", "goes on"]


def test_a_follower_that_went_back_catches_up(mirrored: str, server: EmbeddedServer) -> None:
    """In phase dual_write its watermark went back with its rows, and the file's journal reaches back to it."""
    backup = back_up(server)
    for name in ("b", "c"):
        log(mirrored, name)
    relay_until_aligned(mirrored, unheard, 30)
    fail_over(server, backup)
    log(mirrored, "d")
    relay_until_aligned(mirrored, unheard, 30)
    with Pair.open(mirrored) as pair:
        assert verify(pair, full=True).agrees
    assert read_status(mirrored).blockers == ()
    assert [step.after for step in advance(mirrored, observer=unheard)] == [Phase.POSTGRES]
    assert rollback(mirrored, observer=unheard).after is Phase.DUAL_WRITE
    assert names(mirrored) == ["a", "b", "c", "d"]
