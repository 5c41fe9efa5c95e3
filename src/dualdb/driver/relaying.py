"""The relay that every process with a mirrored file open lends a thread to; knows nothing of what it carries.

`DUALDB_RELAY=off` leaves it to others: other processes, or `dualdb relay`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from random import random
from threading import RLock, Thread
from typing import TYPE_CHECKING

from dualdb.stores.forks import fork_gate

if TYPE_CHECKING:
    from dualdb.driver.watch import Watch
    from dualdb.stores.relay import Relay

_SPREAD_S = 4.0
"""Within this time all processes of one application have begun to relay."""
_SETTLED_S = 1.0
"""A process that lives so much longer gets ready for a switch."""
_IMPORT_S = 10.0
"""So long a fork waits for an import of ours."""


def keep_relaying(watch: Watch) -> None:
    """Start this process's relay for one database file, if it has none yet; it ends when nobody has the file open."""
    if os.environ.get("DUALDB_RELAY", "") != "off":
        watch.companion("relay", lambda: _RelayThread(watch.path)).begin(late=watch.saw_mirror_begin)


class _RelayThread:
    """The relay of one file, and what comes before it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = RLock()
        self._starting = False
        self._wanted = True
        self._relay: Relay | None = None

    def begin(self, *, late: bool) -> None:
        """Begin soon, if it has not yet, or again if it was to end."""
        with self._lock:
            self._wanted = True
            if self._starting:
                return
            if self._relay is not None:
                self._start(self._relay)
                return
            self._starting = True
        # The command that began a mirror carries, so nobody needs to be quick; and all processes notice it in one
        # instant. If they imported in that one too, whoever writes would wait for it while he holds SQLite's lock.
        late_s = random() * _SPREAD_S if late else 0.0  # noqa: S311 - no secret
        try:
            fork_gate()  # it takes a hundredth of a second, and from here on forks wait for the thread
            # Importing the relay takes a fifth of a second; the application's statement does not wait for it.
            Thread(target=self._run, args=(late_s,), name="dualdb-relay-start", daemon=True).start()
        except RuntimeError:  # the interpreter is ending, or there are too many threads: others relay
            self._starting = False

    def close(self) -> bool:
        """End when nothing is left to be carried; whether it has."""
        with self._lock:
            self._wanted = False
            if self._relay is not None:
                self._relay.end_at_rest()
            return not self._starting and (self._relay is None or not self._relay.running)

    def _run(self, late_s: float) -> None:
        time.sleep(late_s)
        gate = fork_gate()
        with gate.at_work(_IMPORT_S):
            from dualdb.stores.relay import Relay
            from dualdb.telemetry import relay_metrics

            relay = Relay(self._path, relay_metrics())
        with self._lock:
            self._relay, self._starting = relay, False
            self._start(relay)
            if not self._wanted:
                relay.end_at_rest()
        time.sleep(_SETTLED_S)
        # What phase postgres needs takes a second to import, several on a busy machine. At the switch writers would
        # wait for that behind the fence, all at once.
        with gate.at_work(_IMPORT_S):
            import dualdb.driver.target_connection  # noqa: F401

    @staticmethod
    def _start(relay: Relay) -> None:
        with suppress(RuntimeError):  # as above
            relay.start()
