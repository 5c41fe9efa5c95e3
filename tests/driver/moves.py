"""The coordinator's part in tests whose connections are open while a file goes to PostgreSQL and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.phase import Phase
from dualdb.operations.transition import advance, rollback
from dualdb.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PATIENT = Settings(move_allowed_s=20.0)
"""The writers here are threads of the coordinator's own process, and take turns with it."""


def forward(database: Path) -> None:
    """To phase postgres."""
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None, settings=PATIENT)


def back(database: Path) -> None:
    """To dual_write, SQLite the authority."""
    rollback(str(database), observer=lambda _event: None, settings=PATIENT)
