"""In-memory databases that close themselves: since Python 3.13 forgetting one is a warning, and warnings are errors."""

from __future__ import annotations

import sqlite3


class Scratch(sqlite3.Connection):
    """A connection that is closed when nothing refers to it any more."""

    def __del__(self) -> None:
        """Close."""
        self.close()


def scratch(*setup: str) -> Scratch:
    """An in-memory database in autocommit mode, after these scripts."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Scratch)
    for script in setup:
        connection.executescript(script)
    return connection
