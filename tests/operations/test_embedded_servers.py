"""An embedded server is made by `init` alone, and only for a file that it then serves."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.entrypoints.cli import main
from dualdb.errors import BusyError, DualdbError, SourceError, TargetError
from dualdb.operations import initialise as operation
from dualdb.operations.initialise import initialise
from dualdb.operations.recopy import begin_anew
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback
from dualdb.stores.server import EmbeddedServer, ServerState

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app(database: Path) -> Iterator[str]:
    """An application's file; its server, if it gets one, is gone after the test."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT)")
    yield str(database)
    EmbeddedServer.beside(database).remove()


def state(app: str) -> ServerState:
    """Of the embedded server that the file may have."""
    return EmbeddedServer.beside(app).status().state


def fail_to_initialise(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has the file open in a way that keeps it out of WAL mode."""
    monkeypatch.setattr(operation, "_WAL_PATIENCE_S", 0.1)
    with closing(sqlite3.connect(app)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM runs").fetchall()
        with pytest.raises(SourceError, match="WAL mode"):
            initialise(app, "embedded")


def test_an_init_that_fails_leaves_no_server(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one succeeds."""
    fail_to_initialise(app, monkeypatch)
    assert state(app) is ServerState.ABSENT
    assert not EmbeddedServer.beside(app).folder.exists()
    initialise(app, "embedded")
    assert state(app) is ServerState.RUNNING


def test_an_init_that_fails_leaves_a_server_that_was_there(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not this command's to take away."""
    EmbeddedServer.beside(app).ensure_running()
    fail_to_initialise(app, monkeypatch)
    assert state(app) is ServerState.RUNNING


def test_two_inits_at_once_do_not_share_a_server_that_one_may_take_away(app: str) -> None:
    """The second is refused while the first is under way, and harms it in nothing; and no lock is left behind."""
    with ThreadPoolExecutor(1) as pool, closing(sqlite3.connect(app)) as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM runs").fetchall()
        first = pool.submit(initialise, app, "embedded")
        while state(app) is not ServerState.RUNNING:
            assert not first.done()
        with pytest.raises(BusyError, match=r"another dualdb init of .* is under way; wait for it"):
            initialise(app, "embedded")
        holder.rollback()
        assert first.result(30) is Phase.SQLITE
    assert state(app) is ServerState.RUNNING
    assert not Path(f"{app}-dualdb-init.lock").exists()


def test_a_second_init_takes_nothing_away(app: str, target_dsn: str) -> None:
    """The file has its server, or another target."""
    initialise(app, target_dsn)
    with pytest.raises(DualdbError, match="already prepared for another target"):
        initialise(app, "embedded")
    assert state(app) is ServerState.ABSENT


def test_the_variable_makes_no_server(app: str, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file was prepared for another one: commands and statements say what is missing."""
    initialise(app, target_dsn)
    monkeypatch.setenv("DUALDB_TARGET", "embedded")
    with pytest.raises(TargetError, match=r"has no embedded server: there are no data in .*; put that folder, or"):
        advance(app, Phase.DUAL_WRITE, observer=unheard)
    assert state(app) is ServerState.ABSENT


def test_a_server_whose_folder_is_gone_is_missed_and_not_made_anew(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one would be taken for another database; with its folder back all goes on."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    initialise(app, "embedded")
    advance(app, Phase.POSTGRES, observer=unheard)
    server = EmbeddedServer.beside(app)
    server.stop()
    away = server.folder.with_name(server.folder.name + ".away")
    server.folder.rename(away)
    with pytest.raises(TargetError, match="has no embedded server"):
        begin_anew(app)
    with pytest.raises(TargetError, match="has no embedded server"):
        rollback(app, observer=unheard)
    with (
        closing(dualdb.connect(app, timeout=1)) as connection,
        pytest.raises(sqlite3.OperationalError, match="has no embedded server"),
    ):
        connection.execute("INSERT INTO runs(name) VALUES ('x')")
    with pytest.raises(TargetError, match="has no embedded server"):
        initialise(app, "embedded")
    done = CliRunner().invoke(main, ["server", "start", app])
    assert (done.exit_code, "has no embedded server" in done.output) == (1, True)
    (blocker,) = read_status(app).blockers
    assert "has no embedded server" in blocker.reason
    assert str(server.folder) in blocker.reason
    assert state(app) is ServerState.ABSENT
    away.rename(server.folder)
    with closing(dualdb.connect(app, timeout=20)) as connection, connection:
        connection.execute("INSERT INTO runs(name) VALUES ('x')")
    assert rollback(app, observer=unheard).after is Phase.DUAL_WRITE
