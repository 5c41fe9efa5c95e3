"""What a writer does when a fence has refused it: wait for the decision, then be where it can go on.

The refused statement is not run here: its cursor runs it, once, on whichever database the decision named. Nothing that
was executed before is ever executed again; only BEGIN and SAVEPOINT are, which do nothing by themselves.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from dualdb.driver.failure import locked, overtaken
from dualdb.errors import DualdbError

if TYPE_CHECKING:
    from dualdb.driver.connection import Connection

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


def find_outcome(path: str) -> str | None:
    """The phase in force, after one attempt to bring the move to its end; None while it is undecided or cannot be
    learned.
    """
    from dualdb.stores.control import resolve

    own = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        phase = resolve(path, own)
    except (DualdbError, sqlite3.Error):
        return None
    finally:
        own.close()
    return phase.value if phase is not None else None


def await_outcome(path: str, timeout_s: float) -> str | None:
    """The phase in force once the move is decided; None when it was not within the time-out."""
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        phase = find_outcome(path)
        if phase is not None:
            return phase
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return None
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def outlast(connection: Connection, *, inside: bool) -> None:
    """Wait out a fence of SQLite, whose refusal has rolled the transaction back; on return the connection is at the
    authority and in the same transaction as before the refused statement.

    Raises `database is locked`: when the decision did not come within the connection's time-out, and to a transaction
    that had read already, which is then open only to be rolled back.
    """
    replay = connection._replayable() if inside else ()
    if replay is None:
        connection._become_doomed()
        raise overtaken()
    path = connection._path
    if await_outcome(path, connection._timeout_s) is None:
        _reopen(connection, replay)
        raise locked()
    connection._seen = -1
    connection._notice()
    connection._replay(replay)


def _reopen(connection: Connection, replay: tuple[str, ...]) -> None:
    # A busy SQLite leaves the transaction open, also the one that sqlite3 begins by itself before a write.
    if not replay and connection.isolation_level is not None and _is_legacy(connection):
        replay = ("BEGIN",)
    cursor = sqlite3.Cursor(connection)
    for statement in replay:
        cursor.execute(statement)
    if replay:
        connection._opener, connection._nesting, connection._worked = replay[0], replay[1:], False


def _is_legacy(connection: sqlite3.Connection) -> bool:
    return getattr(connection, "autocommit", -1) == -1
