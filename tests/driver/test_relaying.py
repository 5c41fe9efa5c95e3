"""What a process of a mirrored file does beside the application's work."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
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
