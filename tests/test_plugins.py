"""What the plugins promise to tests: a server that they share, a database each, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dualdb.stores.server import EmbeddedServer
from tests.plugins.shared_data import SharedData

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

pytestmark = pytest.mark.once

_REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_has_a_database_of_its_own(target: Connection[Any], attempt: int) -> None:
    """A table of one test is not there in the next."""
    target.execute("CREATE TABLE note (attempt int)")
    target.execute("INSERT INTO note VALUES (%s)", [attempt])
    assert target.execute("SELECT attempt FROM note").fetchall() == [(attempt,)]


def test_a_missing_shared_file_is_named(tmp_path: Path) -> None:
    """The failure says which file is missing and how to say where it is."""
    with pytest.raises(pytest.fail.Exception, match=r"nothing\.db is missing; set DUALDB_SHARED_DATA"):
        SharedData(tmp_path) / "nothing.db"


def test_a_shared_file_is_copied(shared_data: SharedData, tmp_path: Path) -> None:
    """The copy has the same bytes and may be written to."""
    copied = shared_data.copy("experiments.db", tmp_path)
    assert copied.read_bytes() == (shared_data / "experiments.db").read_bytes()
    assert os.access(copied, os.W_OK)


_INNER = '''
"""A run that is killed while it uses the server."""
import os, time
from pathlib import Path

def test_hang(target_dsn, pytestconfig):
    from tests.plugins.run import run_folder
    Path(os.environ["INNER_NOTE"]).write_text(str(run_folder(pytestconfig)))
    time.sleep(600)
'''


def test_a_run_that_is_killed_leaves_no_server(tmp_path: Path) -> None:
    """After kill -9 of pytest its server ends and its data are deleted."""
    note = tmp_path / "note"
    (tmp_path / "test_inner.py").write_text(_INNER)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "DUALDB_TEST_DSN"))}
    program = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q"]
    program += [f"--rootdir={tmp_path}", "-c", os.devnull, str(tmp_path / "test_inner.py")]
    inner = subprocess.Popen(
        program,
        cwd=_REPOSITORY,
        env=environment | {"INNER_NOTE": str(note)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(lambda: note.exists() and note.read_text() != "")
        run = Path(note.read_text())
        server = EmbeddedServer.beside(run / "tests.db")
        pid = server.status().pid
        assert pid is not None
    finally:
        inner.send_signal(signal.SIGKILL)
        inner.wait()
    _wait_for(lambda: not server.folder.exists() and not run.exists() and not Path(f"/proc/{pid}").exists())


def test_the_last_line_counts_the_timescale_tests(tmp_path: Path) -> None:
    """Tests that need TimescaleDB are left out, not skipped, and counted where everybody looks."""
    (tmp_path / "test_inner.py").write_text(
        "import pytest\n@pytest.mark.timescale\ndef test_a(): pass\ndef test_b(): pass\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "DUALDB_TEST"))}
    program = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-n1"]
    program += [f"--rootdir={tmp_path}", "-c", os.devnull, "-W", "ignore", str(tmp_path / "test_inner.py")]
    done = subprocess.run(program, cwd=_REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "timescale: 0 of 1 tests ran, on a server without TimescaleDB"


def test_a_server_that_was_named_is_used(target_dsn: str, target_template: str, tmp_path: Path) -> None:
    """DUALDB_TEST_DSN sends the tests to any server, and takes away what they made there."""
    (tmp_path / "test_inner.py").write_text(
        "import psycopg\ndef test_a(target):\n    print('used', target.info.host, target.info.dbname)\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    program = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-s"]
    program += [f"--rootdir={tmp_path}", "-c", os.devnull, str(tmp_path / "test_inner.py")]
    done = subprocess.run(
        program,
        cwd=_REPOSITORY,
        env=environment | {"DUALDB_TEST_DSN": target_dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(target_dsn) as connection:
        assert f"used {connection.info.host} dualdb_test_" in done.stdout
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'dualdb_template_%'").fetchall()
    assert rows == [(target_template,)]


def test_a_server_that_was_named_with_its_password_is_used(target_dsn: str, tmp_path: Path) -> None:
    """No later connection of dualdb's is given the password, which it stores nowhere."""
    (tmp_path / "test_inner.py").write_text(
        "import sqlite3, pytest\n"
        "from dualdb.operations.initialise import initialise\n"
        "from dualdb.operations.status import read_status\n"
        "def test_a(database, target_dsn):\n"
        "    sqlite3.connect(database).close()\n"
        "    initialise(str(database), target_dsn)\n"
        "    print('reached', read_status(str(database)).target.reachable)\n"
    )
    with psycopg.connect(target_dsn) as connection:
        parts = conninfo_to_dict(target_dsn) | {"password": connection.info.password or r"un:used\\"}
    parts.pop("passfile", None)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PG"))}
    program = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-s", "-W", "ignore"]
    program += [f"--rootdir={tmp_path}", "-c", os.devnull, str(tmp_path / "test_inner.py")]
    done = subprocess.run(
        program,
        cwd=_REPOSITORY,
        env=environment | {"DUALDB_TEST_DSN": make_conninfo("", **parts)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reached True" in done.stdout


def _wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
