"""A scene for each test, and the process that starts its actors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.interleavings.scene import Scene
from tests.interleavings.spawner import Spawner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def spawner() -> Iterator[Spawner]:
    """The process from which all actors are forked."""
    started = Spawner.start()
    yield started
    started.close()


@pytest.fixture
def scene(tmp_path: Path, target_dsn: str, spawner: Spawner) -> Iterator[Scene]:
    """A prepared pair in phase sqlite; its processes end with the test."""
    made = Scene(tmp_path, target_dsn, spawner)
    made.prepare()
    yield made
    made.close()
