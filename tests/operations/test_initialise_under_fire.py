"""`dualdb init` on a file in rollback-journal mode that others are using."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING

from dualdb.operations.initialise import initialise

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_TIMEOUT_S = 5.0
"""sqlite3's own."""


def _read(database: Path, began: Event, stop: Event) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM runs").fetchall()
        began.set()
        stop.wait()


def test_it_waits_for_the_instant_in_which_nobody_has_the_file_locked(database: Path, target_dsn: str) -> None:
    """A reader holds on for longer than sqlite3's time-out: the file is in WAL mode afterwards all the same."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("CREATE TABLE runs (id INTEGER PRIMARY KEY); INSERT INTO runs VALUES (1)")
    began, stop = Event(), Event()
    reader = Thread(target=_read, args=(database, began, stop))
    reader.start()
    began.wait()
    end = Timer(_BUSY_TIMEOUT_S + 2, stop.set)
    end.start()
    try:
        initialise(str(database), target_dsn)
    finally:
        stop.set()
        reader.join()
        end.join()

    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
