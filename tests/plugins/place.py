"""A folder for embedded servers of a test's own, which end with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest

from dualdb.stores.server import ROOTS_PLACE, EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's user can pass through; the servers below it end with the test."""
    folder = Path(mkdtemp(prefix="dualdb-place-"))
    folder.chmod(0o755)
    yield folder
    for passfile in [*folder.rglob("pgpass"), *ROOTS_PLACE.glob("*/pgpass")]:
        note = passfile.with_name("database")
        if folder in passfile.parents or (note.exists() and str(folder) in note.read_text(encoding="utf-8")):
            EmbeddedServer(folder=passfile.parent).remove()
    shutil.rmtree(folder)
