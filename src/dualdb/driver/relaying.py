"""The relay that every process with a mirrored file open lends a thread to; knows nothing of what it carries.

`DUALDB_RELAY=off` leaves it to others: other processes, or `dualdb relay`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from random import random
from threading import Lock, Thread
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
        # The command that began a mirror carries, so nobody needs to be quick; and all processes notice it in one
        # instant. If they imported in that one too, whoever writes would wait for it while he holds SQLite's lock.
        late_s = random() * _SPREAD_S if watch.saw_mirror_begin else 0.0  # noqa: S311 - no secret
        watch.companion("relay", lambda: _Lent(watch.path, late_s))


class _Lent:
    """The relay of one file, and what comes before it."""

    def __init__(self, path: str, late_s: float) -> None:
        self._path = path
        self._late_s = late_s
        self._lock = Lock()
        self._over = False
        self._relay: Relay | None = None
        with suppress(RuntimeError):  # the interpreter is shutting down and starts no thread: others relay
            fork_gate()  # it takes a hundredth of a second, and from here on forks wait for the thread
            # Importing the relay takes a fifth of a second; the application's statement does not wait for it.
            Thread(target=self._begin, name="dualdb-relay-start", daemon=True).start()

    def close(self) -> None:
        """End it soon."""
        with self._lock:
            self._over = True
            if self._relay is not None:
                self._relay.stop(0)

    def _begin(self) -> None:
        time.sleep(self._late_s)
        gate = fork_gate()
        with gate.at_work(_IMPORT_S):
            from dualdb.stores.relay import Relay
            from dualdb.telemetry import relay_metrics
        with self._lock, suppress(RuntimeError):  # as above
            if not self._over:
                self._relay = Relay(self._path, relay_metrics())
                self._relay.start()
        time.sleep(_SETTLED_S)
        # What phase postgres needs takes a second to import, several on a busy machine. At the switch writers would
        # wait for that behind the fence, all at once.
        with gate.at_work(_IMPORT_S):
            import dualdb.driver.target_connection  # noqa: F401
