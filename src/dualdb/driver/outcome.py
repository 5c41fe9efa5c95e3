"""How a move ends whose fence a writer has met, on either side: waited for, and asked for where nobody says it."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from dualdb.driver.failure import failure
from dualdb.errors import DualdbError, LineageError

if TYPE_CHECKING:
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
