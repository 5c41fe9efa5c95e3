"""A process forks with connections open while PostgreSQL is the authority: parent and child never share a socket."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
from tests.stores.mirrored import Mirrored

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, sys
import dualdb

path = sys.argv[1]
patient, hasty = dualdb.connect(path, timeout=60), dualdb.connect(path, timeout=50)

def log(connection, who):
    with connection:
        connection.execute("INSERT INTO metric (who) VALUES (?)", (who,))
    assert connection.execute("SELECT who FROM metric WHERE who = ?", (who,)).fetchone() == (who,)

for connection in hasty, patient:
    log(connection, "before")
child = os.fork()
for _ in range(100):
    for connection in hasty, patient:
        log(connection, "parent" if child else "child")
for connection in hasty, patient:
    connection.close()
if child and os.wait()[1]:
    sys.exit("the child failed")
"""

CHILD_CLOSES = """
import os, sys, threading, time
import dualdb
from dualdb.driver import lookout

call, looks = os.stat, threading.Event()

def stat(*given, **named):
    if threading.current_thread().name == "dualdb-lookout":
        looks.set()
        time.sleep(0.01)  # a busy machine
    return call(*given, **named)

def sockets():
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
        except OSError:
            pass
    return found

connections = [dualdb.connect(sys.argv[1]) for _ in range(3)]
for connection in connections:
    connection.execute("BEGIN").execute("SELECT count(*) FROM metric").fetchone()
for connection in connections:
    connection.rollback()
os.stat = stat
looks.wait(10)
if os.fork():
    for connection in connections:
        connection.close()
    sys.exit(os.wait()[1])
os.stat = call
lookout.KEPT_S = 0.3
inherited = sockets()
for connection in connections:
    connection.execute("BEGIN").execute("SELECT count(*) FROM metric").fetchone()
for connection in connections:
    connection.rollback()
assert sockets() > inherited, (inherited, sockets())
for connection in connections:
    connection.close()
deadline = time.monotonic() + 10
while sockets() > inherited and time.monotonic() < deadline:
    time.sleep(0.05)
assert sockets() == inherited, (inherited, sockets())
"""


def test_each_borrows_connections_of_its_own(database: Path, target_dsn: str) -> None:
    """Those that lay idle at the fork are the parent's."""
    _run(PROGRAM, database, target_dsn)
    with psycopg.connect(target_dsn) as outside:
        found = outside.execute("SELECT who, count(*) FROM metric GROUP BY who ORDER BY who").fetchall()
    assert found == [("before", 2), ("child", 200), ("parent", 200)]


def test_a_child_closes_what_it_has_opened(database: Path, target_dsn: str) -> None:
    """Over connections that it inherited: a while after it has closed the last of them."""
    _run(CHILD_CLOSES, database, target_dsn)


CHILD_COMMITS = """
import os, sqlite3, sys
import dualdb

connection = dualdb.connect(sys.argv[1], timeout=2)
connection.execute("INSERT INTO metric (who) VALUES ('parent')")
if not os.fork():
    try:
        connection.commit()
    except sqlite3.OperationalError:
        os._exit(0)
    os._exit(1)
assert os.wait()[1] == 0
connection.commit()
assert connection.execute("SELECT who FROM metric").fetchall() == [("parent",)]
connection.close()
"""


def test_a_child_cannot_end_its_parents_transaction(database: Path, target_dsn: str) -> None:
    """It forked in the midst of one, as `os.fork()` within `with connection:` does."""
    _run(CHILD_COMMITS, database, target_dsn)


def _run(program: str, database: Path, target_dsn: str) -> None:
    pair = Mirrored(database, target_dsn, "CREATE TABLE metric (id INTEGER PRIMARY KEY, who TEXT)")
    pair.align()
    pair.to_postgres()
    command = [sys.executable, "-W", "always::ResourceWarning", "-W", "ignore::DeprecationWarning", "-c", program]
    run = subprocess.run([*command, pair.path], capture_output=True, check=False, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
