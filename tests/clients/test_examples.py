"""The examples run as their first lines say, while the file moves."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback

EXAMPLES = Path(__file__).parents[2] / "examples"
HEEDING = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    " sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Heeds Ctrl-C also where the tests run in the background of a shell, which has it ignored."""


def test_training_log(tmp_path: Path, target_dsn: str) -> None:
    """It says at the end how many steps it has logged, and they are all there, on both sides."""
    database = str(tmp_path / "app.db")
    command = [sys.executable, "-c", HEEDING, str(EXAMPLES / "training_log.py"), database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("run 1: ")
        initialise(database, target_dsn)
        advance(database, Phase.POSTGRES, observer=unheard)
        assert process.stdout.readline().startswith("run 1: ")
        rollback(database, observer=unheard)
        advance(database, Phase.POSTGRES, observer=unheard)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    steps = int(re.findall(r"run 1: (\d+) steps", output)[-1])
    with psycopg.connect(target_dsn) as server:
        assert server.execute("SELECT count(*), max(step) FROM metrics").fetchone() == (steps, steps)
    rollback(database, observer=unheard)
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute("SELECT count(*), max(step) FROM metrics").fetchone() == (steps, steps)
