"""A file that is ready to be moved."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.twins import move

from dualdb.core.phase import Phase

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def moving(database: Path, target_dsn: str) -> Path:
    """A file in phase dual_write with one table."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    move(database, target_dsn, Phase.DUAL_WRITE)
    return database
