"""A private SQLite database in memory, which holds nothing of the application's and lives as long as who uses it."""

from __future__ import annotations

import sqlite3


class PrivateDatabase(sqlite3.Connection):
    """Closes itself with its last reference.

    Python 3.13 warns of a connection that nobody has closed, which the application could not have done here.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


def private_database() -> sqlite3.Connection:
    """An empty one, in autocommit mode, for any thread."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=PrivateDatabase)
