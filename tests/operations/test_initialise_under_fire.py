"""`dualdb init` on a file in rollback-journal mode that is read and written all the time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING

from dualdb.operations.initialise import initialise

if TYPE_CHECKING:
    from pathlib import Path

_HELD_S = 0.05
_BUSY_TIMEOUT_S = 5.0


def _read_again_and_again(database: Path, stop: Event) -> None:
    while not stop.is_set():
        with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT * FROM runs").fetchall()
            stop.wait(_HELD_S)
        time.sleep(_HELD_S / 10)


def test_it_waits_for_the_instant_in_which_nobody_has_the_file_locked(database: Path, target_dsn: str) -> None:
    """Overlapping readers for longer than any time-out, then a gap: the file is in WAL mode afterwards."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("CREATE TABLE runs (id INTEGER PRIMARY KEY); INSERT INTO runs VALUES (1)")
    stop = Event()
    readers = [Thread(target=_read_again_and_again, args=(database, stop)) for _ in range(8)]
    for reader in readers:
        reader.start()
    gap = Timer(_BUSY_TIMEOUT_S + 2, stop.set)
    gap.start()
    try:
        initialise(str(database), target_dsn)
    finally:
        stop.set()
        for thread in (*readers, gap):
            thread.join()

    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
