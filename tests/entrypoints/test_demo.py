"""The demo as people run it: it succeeds, it can fail, and it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import pytest
from click.testing import CliRunner

from dualdb.entrypoints.cli import main
from dualdb.stores import server_binaries
from dualdb.stores.server import EmbeddedServer, ServerState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = ("--writers", "3", "--rows", "3000", "--rate", "15", "--linger", "0.5")
PATIENCE_S = 240


HEEDING = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    " runpy.run_module('dualdb', run_name='__main__')"
)
"""`python -m dualdb` that heeds Ctrl-C also where the tests run in the background of a shell, which has it ignored."""


class Run:
    """A demo in a process group of its own, its output read line by line."""

    def __init__(self, folder: Path, *words: str) -> None:
        program = [sys.executable, "-u", "-c", HEEDING, "demo", *SMALL, *words]
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            program,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"TMPDIR": str(folder)},
            start_new_session=True,
        )

    def until(self, pattern: str) -> str:
        """Read on to a line that matches."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError("".join(self.lines))

    def ends(self) -> int:
        """Read to the end; the exit status."""
        assert self._process.stdout is not None
        self.lines += self._process.stdout.readlines()
        return self._process.wait(PATIENCE_S)

    def processes(self) -> list[psutil.Process]:
        """It and its children."""
        process = psutil.Process(self._process.pid)
        return [process, *process.children(recursive=True)]

    def interrupt(self) -> None:
        """What a terminal does on Ctrl-C: the whole group is told."""
        os.killpg(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Away with whatever is left of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[Run]]:
    """Where a test puts its demo, to have it ended."""
    started: list[Run] = []
    yield started
    for run in started:
        run.kill()
    for database in [*tmp_path.glob("*/experiments.db"), *tmp_path.glob("*/*/experiments.db")]:
        EmbeddedServer.beside(database).remove()


def _start(runs: list[Run], folder: Path, *words: str) -> Run:
    run = Run(folder, *words)
    runs.append(run)
    return run


def test_it_goes_there_and_back_and_there_again(tmp_path: Path, runs: list[Run]) -> None:
    """Every step is shown, nothing is lost, and neither a file nor a process nor a server is left."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    run = _start(runs, folder)
    database = run.until("made with plain sqlite3").rpartition(": ")[0]
    status = run.ends()
    text = "".join(run.lines)

    assert status == 0, text
    steps = [
        "none",
        "init",
        "sqlite -> dual_write",
        "dual_write -> postgres",
        "postgres -> dual_write",
        "dual_write -> postgres",
    ]
    shown = [line.strip() for line in run.lines if re.match(r"  \S.* \d+\.\d s .*\d\.\d\d s", line)]
    assert [line.startswith(step) for step, line in zip(steps, shown, strict=True)] == [True] * 6
    assert text.count("0 lost, 0 doubled, 0 different") == 3
    assert "was turned away: dualdb:moved" in text
    assert "went on with dualdb; its first write took" in text
    assert list(folder.iterdir()) == []
    assert EmbeddedServer.beside(database).status().state is ServerState.ABSENT


@pytest.mark.once
def test_it_fails_when_a_row_is_lost_doubled_and_changed(tmp_path: Path, runs: list[Run]) -> None:
    """Three rows are tampered with on the way, where the relay carries it along and verification sees nothing wrong."""
    keep = tmp_path / "kept"
    run = _start(runs, tmp_path, "--keep", str(keep))
    run.until("sqlite -> dual_write .*no difference")
    with closing(sqlite3.connect(keep / "experiments.db", timeout=30)) as other, other:
        # Of an experiment that no writer works on.
        assert other.execute("DELETE FROM metrics WHERE token = 'first-24'").rowcount == 1
        other.execute("INSERT INTO metrics (experiment_id, name, step, token) VALUES (9, 'loss', 1, 'first-8')")
        assert other.execute("UPDATE metrics SET value = 2 WHERE token = 'first-40'").rowcount == 1

    assert run.ends() == 1
    text = "".join(run.lines)
    assert len(re.findall("against the lists.* 1 lost, 1 doubled, 1 different", text)) == 2, text
    assert re.search("SQLite against PostgreSQL .* 0 lost, 0 doubled, 0 different", text)
    assert "NOT SOUND" in text
    assert (keep / "writer-1.jsonl").exists()


@pytest.mark.once
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, runs: list[Run]) -> None:
    """Writers, server and files go; the exit status says that it was interrupted."""
    run = _start(runs, tmp_path)
    database = run.until("made with plain sqlite3").rpartition(": ")[0]
    run.until("init ")
    family = run.processes()
    assert len(family) > 3

    run.interrupt()

    assert run.ends() == 130
    assert "interrupted" in "".join(run.lines)
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert EmbeddedServer.beside(database).status().state is ServerState.ABSENT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
def test_a_folder_that_is_in_use_is_refused(tmp_path: Path, runs: list[Run]) -> None:
    """Nothing of the user's is touched."""
    (tmp_path / "mine").write_text("mine")
    run = _start(runs, tmp_path, "--keep", str(tmp_path))
    assert run.ends() == 1
    assert "not empty" in run.lines[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_the_extra_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, before it makes a file or starts a writer."""
    monkeypatch.setattr(server_binaries, "_PACKAGE", "embedded_postgres_that_is_not_installed")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = CliRunner().invoke(main, ["demo", *SMALL])
    assert done.exit_code == 1
    assert done.output == "dualdb: the embedded PostgreSQL server is not installed; pip install 'dualdb[embedded]'\n"
    assert list(tmp_path.iterdir()) == []
