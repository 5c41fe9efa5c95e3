"""A fresh path for a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a test may make its SQLite file; there is none yet."""
    return tmp_path / "experiments.db"
