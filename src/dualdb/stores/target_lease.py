"""The relay lock: one row in PostgreSQL, in both directions, held by the backend that a relay applies or reads with.

It keeps relays from doing each other's work; that nothing goes wrong without it is the compare-and-set's doing. A
holder that is silent while its backend waits for it is a stopped process, which would keep its locks for ever: its
backend is ended, if it is still the same one.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from dualdb.stores.queries import query
from dualdb.stores.target_connection import losses
from dualdb.stores.target_read import ASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from dualdb.stores.target_connection import Target

SILENT_S = 5.0
"""Twice the longest rest of a relay that holds the lock."""
BEAT_S = 0.5


class Lease:
    """One relay's hold on the lock."""

    def __init__(self, connection: Callable[[], Target], *, foreground: bool) -> None:
        """`connection` gives the relay's connection in autocommit mode, another one after a loss."""
        self._connection = connection
        self._foreground = foreground
        kind = "foreground" if foreground else "background"
        self.holder = f"{kind} {socket.gethostname()} {os.getpid()} {id(self):x}"
        self._beaten_at = float("-inf")
        self._held = False

    @property
    def held(self) -> bool:
        """Whether the lock was ours when we last looked."""
        return self._held

    def take(self) -> bool:
        """Take the lock if that is possible now, or keep it."""
        # Taken anew it could be refused to its own holder, who then would neither beat nor give it back.
        if self.keep():
            return True
        with losses():
            values = {"holder": self.holder, "foreground": self._foreground}
            self._held = self._connection().execute(query(ASK, "take_lease").encode(), values).fetchone() is not None
            self._beaten_at = time.monotonic()
            if not self._held and self._foreground:
                self._connection().execute(query(ASK, "want_lease").encode())
        return self._held

    def keep(self) -> bool:
        """Beat when it is time to; False when the lock is lost, or given up to a relay in the foreground."""
        if not self._held or time.monotonic() - self._beaten_at < BEAT_S:
            return self._held
        with losses():
            found = self._connection().execute(query(ASK, "beat_lease").encode(), (self.holder,)).fetchone()
        self._beaten_at = time.monotonic()
        self._held = found is not None
        if found is not None and found[0] and not self._foreground:
            self.release()
        return self._held

    def end_silent_holder(self) -> str | None:
        """End the backend of a holder that is stopped; who that was."""
        with losses():
            found = self._connection().execute(query(ASK, "silent_lease").encode(), (SILENT_S,)).fetchone()
            if found is None:
                return None
            pid, holder, started = found
            self._connection().execute(query(ASK, "end_backend").encode(), (pid, started))
        return str(holder)

    def release(self) -> None:
        """Give the lock back."""
        if self._held:
            self._held = False
            with losses():
                self._connection().execute(query(ASK, "release_lease").encode(), (self.holder,))
