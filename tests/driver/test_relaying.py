"""What a process of a mirrored file does beside the application's work."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.programs import ask, program, until
from tests.stores.mirrored import Mirrored

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance
from dualdb.stores.relay import Relay
from dualdb.stores.target_lease import SILENT_S

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION = """
import json, sys, time
import dualdb
from dualdb.driver.handle import behaviour

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
print(json.dumps([behaviour(connection).__name__, sorted(loaded() - before)]), flush=True)
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

FORKS = """
import os, signal, sys, time
import dualdb

path, moment, end = sys.argv[1:]
connection = dualdb.connect(path)
connection.execute("SELECT count(*) FROM metric").fetchone()
if moment == "when told":
    sys.stdin.readline()
while moment != "when told" and moment not in sys.modules:
    time.sleep(0.001)
if os.fork():
    os._exit(0) if end == "at once" else sys.exit()
signal.alarm(25)
sys.stdin.readline()
own = dualdb.connect(path)
with own:
    own.execute("INSERT INTO metric (value) VALUES (7.5)")
import dualdb.driver.target_connection
print("written", flush=True)
sys.stdin.readline()
"""

FORKS_AGAIN_AND_AGAIN = """
import os, signal, sys
import dualdb

path = sys.argv[1]
connection = dualdb.connect(path)
connection.execute("SELECT count(*) FROM metric").fetchone()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    if not os.fork():
        signal.alarm(25)
        own = dualdb.connect(path, timeout=20)
        with own:
            own.execute("INSERT INTO metric (value) VALUES (7.5)")
        os._exit(0)
    assert os.wait()[1] == 0
print("forked", flush=True)
"""

ENDS = """
import sys
import dualdb

connection = dualdb.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM metric").fetchone()
print("ready", flush=True)
sys.stdin.readline()
"""
ARRIVED = "SELECT count(*) FROM metric WHERE value = 7.5"
HOLDER = "SELECT coalesce(holder, 'nobody') FROM dualdb.lease"


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A pair in phase dual_write, both sides equal; nobody relays."""
    pair = Mirrored(database, target_dsn, "CREATE TABLE metric (id INTEGER PRIMARY KEY, value REAL)")
    pair.align()
    return pair


def holds(mirrored: Mirrored, process: subprocess.Popen[str]) -> bool:
    """Whether that process holds the relay lock."""
    return f" {process.pid} " in mirrored.target(HOLDER)[0][0]


@pytest.mark.parametrize("end", ["as usual", "at once"])
def test_the_child_of_a_process_that_forked_and_ended_relays_by_itself(mirrored: Mirrored, end: str) -> None:
    """The parent's thread runs in the parent only: the child's first connection starts one of its own. A parent that
    ended without giving the lock back is a silent holder.
    """
    with program(FORKS, mirrored.path, "when told", end) as parent:
        until(lambda: holds(mirrored, parent), 20)
        ask(parent)
        assert parent.wait(20) == 0
        ask(parent)
        assert _line(parent) == "written\n"
        until(lambda: mirrored.target(ARRIVED) == [(1,)], 20 if end == "at once" else SILENT_S)


@pytest.mark.parametrize("module", ["dualdb.stores.relay", "dualdb.driver.target_connection"])
def test_a_fork_while_the_thread_imports_leaves_the_child_able_to(mirrored: Mirrored, module: str) -> None:
    """A module that is being imported stays locked in the child, where nobody goes on with that: so a fork waits."""
    with program(FORKS, mirrored.path, module, "as usual") as parent:
        assert parent.wait(20) == 0
        ask(parent)
        assert _line(parent) == "written\n"
        until(lambda: mirrored.target(ARRIVED) == [(1,)], 20)


def test_a_process_forks_while_its_relay_is_at_work(mirrored: Mirrored) -> None:
    """A mutex of SQLite's that the relay's thread holds in that instant would stay locked in the child."""
    with program(FORKS_AGAIN_AND_AGAIN, mirrored.path) as parent:
        assert _line(parent) == "ready\n"
        until(lambda: holds(mirrored, parent), 20)
        ask(parent)
        with closing(sqlite3.connect(mirrored.path, timeout=20)) as connection:
            while parent.poll() is None:
                with connection:
                    connection.execute("INSERT INTO metric (value) VALUES (0.5)")
                time.sleep(0.002)  # or nobody else gets the write lock
        output, errors = parent.communicate(timeout=20)
        assert output == "forked\n", errors
    with closing(sqlite3.connect(mirrored.path)) as connection:
        assert connection.execute("SELECT count(*) FROM metric WHERE value = 7.5").fetchone() == (40,)


FORKS_WHILE_METRICS_BEGIN = """
import os, signal, sys, time
import dualdb, dualdb.telemetry

sys.path.insert(0, sys.argv[2])
get_meter = dualdb.telemetry.get_meter

def get_meter_of_the_applications_sdk(*given):  # as opentelemetry does where OTEL_PYTHON_METER_PROVIDER names one
    import slow_sdk
    return get_meter(*given)

dualdb.telemetry.get_meter = get_meter_of_the_applications_sdk
connection = dualdb.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM metric").fetchone()
while "slow_sdk" not in sys.modules:
    time.sleep(0.001)
if not os.fork():
    signal.alarm(15)
    import slow_sdk
    os._exit(0)
print(os.wait()[1], flush=True)
sys.stdin.readline()
"""


def test_a_fork_while_the_applications_sdk_is_imported_leaves_the_child_able_to(
    mirrored: Mirrored, tmp_path: Path
) -> None:
    """Metrics are given to whatever OpenTelemetry finds, which it imports when the first of them is made."""
    (tmp_path / "slow_sdk.py").write_text("import time\ntime.sleep(1)\n", encoding="utf-8")
    with program(FORKS_WHILE_METRICS_BEGIN, mirrored.path, str(tmp_path)) as parent:
        assert _line(parent) == "0\n"


@pytest.mark.parametrize("moment", ["begins", "relays"])
def test_a_process_that_relays_ends_at_once_and_gives_the_lock_back(mirrored: Mirrored, moment: str) -> None:
    """Its thread neither holds up the interpreter nor lets the next relay wait for a silent holder."""
    with program(ENDS, mirrored.path) as process:
        assert _line(process) == "ready\n"
        if moment == "relays":
            until(lambda: holds(mirrored, process), 20)
        began = time.monotonic()
        ask(process)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 3
        assert mirrored.target(HOLDER) == [("nobody",)]
        assert process.stderr is not None
        assert process.stderr.read() == ""
    mirrored.source("INSERT INTO metric (value) VALUES (7.5)")
    relay = Relay(mirrored.path)
    relay.start()
    try:
        until(lambda: mirrored.target(ARRIVED) == [(1,)], SILENT_S / 2)
    finally:
        relay.stop()


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
