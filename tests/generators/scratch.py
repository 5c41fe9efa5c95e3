"""In-memory databases that close themselves: since Python 3.13 forgetting one is a warning, and warnings are errors."""

from __future__ import annotations

import sqlite3
from typing import Any


class Scratch(sqlite3.Connection):
    """A connection that is closed when nothing refers to it any more, by whichever thread collects the garbage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - sqlite3's own
        super().__init__(*args, **kwargs | {"check_same_thread": False})

    def __del__(self) -> None:
        """Close."""
        self.close()


def scratch(*setup: str) -> Scratch:
    """An in-memory database in autocommit mode, after these scripts."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Scratch)
    for script in setup:
        connection.executescript(script)
    return connection
