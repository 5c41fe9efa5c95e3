"""A process opens a file, closes it, and lives on: what it kept of the file ends, and begins anew when needed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.stores.mirrored import Mirrored

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import gc, json, os, sys, threading, time
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
connection.close()
del connection
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
    pair = Mirrored(database, target_dsn, "CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL)")
    pair.align()
    if phase == "postgres":
        pair.to_postgres()
    command = [sys.executable, "-c", PROGRAM, pair.path, holds]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before, held, after = json.loads(process.stdout.readline())
        assert all(before)
        assert held == before
        assert after == [False, 0, 0]
        assert _connections(target_dsn) == 0
        process.stdin.write("\n")
        process.stdin.flush()
        while not _arrived(pair, phase):
            assert process.poll() is None
        process.communicate("\n", timeout=20)


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
