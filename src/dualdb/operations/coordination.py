"""Who may lead a file from phase to phase: one process at a time. Knows no phase and no step.

This is politeness and no safety: every step is a compare-and-set of its own, and a second coordinator could do no more
than make the first one begin again.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, closing, contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.errors import BusyError, NotPreparedError, SourceError
from dualdb.stores.control import read_source
from dualdb.stores.hint import make_hint
from dualdb.stores.queries import query
from dualdb.stores.source_file import connect_source, faults, open_source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


@contextmanager
def coordinating(database: str) -> Iterator[None]:
    """Keep every other coordinator out; raises SourceError, NotPreparedError, BusyError.

    The kernel lifts the lock when this process ends, however that happens. It lies on the write-ahead log: a file of
    our own beside the database can be deleted, and its next one locked by somebody else while the first lock is held,
    but the log stays what it is as long as a connection is open, and one is held here. SQLite itself locks the database
    and its shared memory and never the log, so that closing a descriptor of it drops no lock of this process.
    """
    with connect_source(database) as source:
        if read_source(source) is None:
            message = f"{database} is not prepared; run: dualdb init {quote(database)} --target …"
            raise NotPreparedError(message)
    # Where the hint was lost: the control row is there, and nothing is in the hint that it does not say.
    make_hint(database)
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(database)))
        with faults(database):
            _keep_log(database, source)
        descriptor = os.open(database + "-wal", os.O_RDONLY)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            message = f"another command leads {database} to another phase; wait for it, or stop it and try again"
            raise BusyError(message) from exc
        yield


def _keep_log(database: str, source: sqlite3.Connection) -> None:
    """Have a log, and keep it: a plain program may have switched the file to another journal meanwhile."""
    (mode,) = source.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        message = f"{database} cannot be kept in WAL mode (it stays in {mode}); dualdb needs it: see dualdb init --help"
        raise SourceError(message)
    source.execute(query("source/watch.sql", "layout")).fetchone()  # opens the log
