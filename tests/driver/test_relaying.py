"""What a process of a mirrored file does beside the application's work."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION = """
import json, sys, time
import dualdb

HEAVY = ("dualdb", "psycopg", "sqlglot")
connection = dualdb.connect(sys.argv[1])

def log():
    with connection:
        connection.execute("INSERT INTO metric (value) VALUES (?)", (0.5,))

def loaded():
    return {name for name in list(sys.modules) if name.partition(".")[0] in HEAVY}

log()
deadline = time.monotonic() + 20
while "dualdb.driver.target_connection" not in sys.modules and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(2)
before = loaded()
print("ready", flush=True)
sys.stdin.readline()
log()
print(json.dumps([type(connection).__mro__[1].__name__, sorted(loaded() - before)]), flush=True)
"""


NOTICES = """
import sys, time
import dualdb

connection = dualdb.connect(sys.argv[1])
for _ in range(3):
    connection.execute("SELECT count(*) FROM metric").fetchone()
    print(sys.argv[2], flush=True)
    sys.stdin.readline()
began = time.monotonic()
while "dualdb.stores.relay" not in sys.modules:
    time.sleep(0.01)
print(time.monotonic() - began, flush=True)
"""


def test_not_all_processes_import_when_the_mirror_begins(database: Path, target_dsn: str) -> None:
    """They notice it in the same instant, and would hold up each other's writes."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL)")
    path = str(database)
    initialise(path, target_dsn)
    command = [sys.executable, "-c", NOTICES, path]
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        running = [
            stack.enter_context(subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, text=True))
            for name in "abcd"
        ]
        for process in running:
            stack.callback(process.kill)
        _go_on(running)
        advance(path, observer=unheard)
        for _ in range(2):
            _go_on(running)
        took_s = sorted(float(_line(process)) for process in running)
    assert took_s[-1] - took_s[0] > 0.3


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _go_on(running: list[subprocess.Popen[str]]) -> None:
    """Wait until each of them has asked the database, then let all go on."""
    for process in running:
        assert _line(process).strip() in "abcd"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def test_a_process_is_ready_for_the_switch_before_it_comes(database: Path, target_dsn: str) -> None:
    """What phase postgres needs takes a second to import; nobody waits for that behind the fence."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL)")
    path = str(database)
    initialise(path, target_dsn)
    advance(path, observer=unheard)
    with subprocess.Popen(
        [sys.executable, "-c", APPLICATION, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        advance(path, Phase.POSTGRES, observer=unheard)
        process.stdin.write("\n")
        process.stdin.flush()
        base, imported = json.loads(process.stdout.readline())
    assert base == "TargetConnection"
    assert imported == []
