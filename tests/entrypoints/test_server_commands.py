"""`dualdb server`: what it prints and its exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner

from dualdb.entrypoints.server_commands import server
from dualdb.errors import TargetError
from dualdb.stores.server import EmbeddedServer, ServerState

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: object) -> tuple[int, str]:
    """The exit code of one command and what it printed."""
    done = CliRunner().invoke(server, [str(argument) for argument in arguments], catch_exceptions=False)
    return done.exit_code, done.output


def test_a_server_is_started_shown_and_stopped(place: Path) -> None:
    """Each command says what became of it; `status` fails when nothing runs; the password is never printed."""
    file = place / "runs.db"
    file.touch()
    assert run("stop", file) == (0, "was not running\n")
    code, text = run("status", file)
    assert (code, text.splitlines()[0]) == (3, "state    absent")

    with pytest.raises(TargetError, match=r"runs\.db has no embedded server; dualdb init .*runs\.db --target embedded"):
        run("start", file)
    embedded = EmbeddedServer.beside(file)
    assert embedded.status().state is ServerState.ABSENT
    embedded.ensure_running()
    embedded.stop()

    code, started = run("start", file, "--port", 0)
    assert code == 0
    assert embedded.conninfo.replace("'", "'\"'\"'") in started
    with psycopg.connect(embedded.conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

    code, text = run("status", file)
    status = embedded.status()
    assert code == 0
    assert text.splitlines()[:2] == ["state    running", f"folder   {embedded.folder}"]
    assert f"port     127.0.0.1:{status.port}" in text
    assert f"pid      {status.pid}" in text
    assert embedded.password not in started + text

    assert run("stop", file, "--mode", "immediate") == (0, "stopped\n")
    code, text = run("status", file)
    assert (code, text.splitlines()[0]) == (3, "state    stopped")
