"""An interpreter on its way out starts no thread any more (Python 3.12): the application's last writes succeed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from pathlib import Path

OUTLIVES = """
import sys, threading
import dualdb

def work():
    connection = dualdb.connect(sys.argv[1])
    while True:
        # One more where the file is, one more where it is going.
        with connection:
            connection.execute("INSERT INTO metric (value) VALUES (?)", (7.5,))
        print("logged", flush=True)
        if not sys.stdin.readline():
            return

threading.Thread(target=work).start()
"""
"""Its main thread has ended before anything is written."""

AT_EXIT = """
import atexit, sys
import dualdb

connection = dualdb.connect(sys.argv[1])

@atexit.register
def farewell():
    with connection:
        connection.execute("INSERT INTO metric (value) VALUES (?)", (7.5,))
    print("logged", flush=True)
"""


@pytest.fixture
def prepared(database: Path, target_dsn: str) -> str:
    """A small file, prepared."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL)")
    initialise(str(database), target_dsn)
    return str(database)


def test_a_thread_that_outlives_the_main_one_writes_in_every_phase(prepared: str, target_dsn: str) -> None:
    """Its connection has been open from before the mirror on."""
    command = [sys.executable, "-c", OUTLIVES, prepared]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for move in (None, Phase.DUAL_WRITE, Phase.POSTGRES, "back"):
            if isinstance(move, Phase):
                advance(prepared, move, observer=unheard)
            elif move:
                rollback(prepared, observer=unheard)
            if move:
                process.stdin.write("\n")
                process.stdin.flush()
            line = process.stdout.readline()
            assert line == "logged\n", process.communicate()
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    relay_until_aligned(prepared, unheard, 30)
    with psycopg.connect(target_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM metric WHERE value = 7.5").fetchone() == (4,)


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.POSTGRES])
def test_what_is_registered_with_atexit_writes(prepared: str, phase: Phase) -> None:
    """The first statement of the process is its last one."""
    advance(prepared, phase, observer=unheard)
    command = [sys.executable, "-c", AT_EXIT, prepared]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "logged\n", "")
