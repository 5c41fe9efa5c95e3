"""What a writer does when a fence has refused it: wait for the decision, then be where it can go on.

The refused statement is not run here: its cursor runs it, once, on whichever database the decision named. Nothing that
was executed before is ever executed again; only BEGIN and SAVEPOINT are, which do nothing by themselves.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from dualdb.driver.failure import failure, locked, overtaken
from dualdb.errors import DualdbError, LineageError

if TYPE_CHECKING:
    from dualdb.driver.connection import Connection
    from dualdb.driver.watch import Authority, Watch

_PAUSE_S = 0.01
_ASK_AFTER_S = 0.3
"""How long a coordinator is trusted to write the outcome itself before the other side is asked for it."""


def await_outcome(watch: Watch, timeout_s: float) -> bool:
    """Wait until the move whose fence was met is over; False when it was not within the time-out."""
    begin = time.monotonic()
    asked_at = begin
    before = watch.authority(-1)
    while True:
        now = time.monotonic()
        if _is_over(before, watch.authority(-1)):
            watch.doubt()
            return True
        # The fence may be another one than the row tells of; then, and when the coordinator is gone, both sides know.
        if now - asked_at >= _ASK_AFTER_S or before is None or not before.under_way:
            asked_at = now
            if _resolved(watch.path):
                watch.doubt()
                return True
        left_s = timeout_s - (time.monotonic() - begin)
        if left_s <= 0:
            return False
        time.sleep(min(_PAUSE_S, left_s))


def _is_over(before: Authority | None, now: Authority | None) -> bool:
    """Whether the row has left the move that it told of."""
    if before is None or now is None or not before.under_way:
        return False
    return now.phase != before.phase or not now.under_way


def _resolved(path: str) -> bool:
    """One attempt to bring the move to its end, as a bystander may; False while its end is open.

    Raises sqlite3's exception where no waiting will help.
    """
    from dualdb.stores.control import resolve

    own = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        return resolve(path, own) is not None
    except LineageError as exc:
        raise failure(sqlite3.OperationalError, str(exc)) from None
    except (DualdbError, sqlite3.Error):
        return False
    finally:
        own.close()


def outlast(connection: Connection, *, inside: bool, implicit: bool = True) -> None:
    """Wait out a fence of SQLite, whose refusal has rolled the transaction back; on return the connection is at the
    authority and in the same transaction as before the refused statement. `implicit`: sqlite3 would have begun one for
    this statement by itself.

    Raises `database is locked`: when the decision did not come within the connection's time-out, and to a transaction
    that had read already, which is then open only to be rolled back.
    """
    replay = connection._memory.replay if inside else ()
    if replay is None:
        connection._become_doomed()
        raise overtaken()
    watch = connection._watch
    if watch is not None and not await_outcome(watch, connection._timeout_s):
        _reopen(connection, replay, implicit=implicit)
        raise locked()
    connection._look_again()
    connection._notice()
    connection._replay(replay)


def _reopen(connection: Connection, replay: tuple[str, ...], *, implicit: bool) -> None:
    # A busy SQLite leaves the transaction open, also the one that sqlite3 begins by itself before a write.
    if implicit and not replay and connection.isolation_level is not None and _is_legacy(connection):
        replay = ("BEGIN",)
    cursor = sqlite3.Cursor(connection)
    for statement in replay:
        cursor.execute(statement)
    if replay:
        connection._memory.reopened(replay)


def _is_legacy(connection: sqlite3.Connection) -> bool:
    return getattr(connection, "autocommit", -1) == -1
