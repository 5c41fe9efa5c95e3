"""PostgreSQL ends, properly or at once, while all write; nothing fails where SQLite is the authority."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.interleavings.scene import Scene

from dualdb.stores.server import EmbeddedServer, StopMode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.interleavings.spawner import Spawner

DOWN_S = 2.0
ENDINGS = ("fast", "immediate", "killed")
each_ending = pytest.mark.parametrize("ending", ENDINGS)


@pytest.fixture
def server(place: Path) -> EmbeddedServer:
    """A server of the test's own, which keeps what it has acknowledged however it ends."""
    made = EmbeddedServer(folder=place / "server")
    made.ensure_running()
    return made


@pytest.fixture
def own_scene(tmp_path: Path, server: EmbeddedServer, spawner: Spawner) -> Iterator[Scene]:
    """A prepared pair on that server, whose DSN starts no server."""
    made = Scene(tmp_path, server.conninfo, spawner)
    made.prepare()
    yield made
    made.close()


def take_down(server: EmbeddedServer, ending: str) -> None:
    if ending == "killed":
        pid = server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return
    server.stop(StopMode.FAST if ending == "fast" else StopMode.IMMEDIATE)


@each_ending
def test_no_write_fails_in_dual_write_while_postgres_is_down(
    own_scene: Scene, server: EmbeddedServer, ending: str
) -> None:
    own_scene.lead("dual_write")
    own_scene.start_relay()
    own_scene.start_writers()
    own_scene.start_writer(raw=True)
    own_scene.writers_go_on()
    take_down(server, ending)
    own_scene.start_writer()  # who comes meanwhile finds everything as ever
    own_scene.writers_go_on()
    time.sleep(DOWN_S)
    own_scene.writers_go_on()
    server.ensure_running()
    own_scene.writers_go_on()
    assert own_scene.errors() == []
    own_scene.check("dual_write")


@each_ending
def test_writers_go_on_when_postgres_the_authority_is_back(
    own_scene: Scene, server: EmbeddedServer, ending: str
) -> None:
    own_scene.lead("postgres")
    own_scene.start_relay()
    own_scene.start_writers()
    own_scene.writers_go_on()
    take_down(server, ending)
    time.sleep(DOWN_S)
    server.ensure_running()
    own_scene.writers_go_on()
    own_scene.check("postgres")


def test_rollback_to_sqlite_works_while_postgres_is_down(own_scene: Scene, server: EmbeddedServer) -> None:
    own_scene.lead("dual_write")
    own_scene.start_writers()
    own_scene.writers_go_on()
    server.stop(StopMode.FAST)
    own_scene.coordinate("sqlite").succeeds(timeout_s=60)
    own_scene.writers_go_on()
    server.ensure_running()
    assert own_scene.errors() == []
    own_scene.check("sqlite")
    own_scene.lead("dual_write")
    own_scene.check("dual_write")
