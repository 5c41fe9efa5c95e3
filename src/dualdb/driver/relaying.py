"""The relay that every process with a mirrored file open lends a thread to; knows nothing of what it carries.

`DUALDB_RELAY=off` leaves it to others: other processes, or `dualdb relay`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import lru_cache
from random import random
from threading import Thread

from dualdb.driver.watch import find_watch
from dualdb.stores.forks import fork_gate

_SPREAD_S = 4.0
"""Within this time all processes of one application have begun to relay."""
_SETTLED_S = 1.0
"""A process that lives so much longer gets ready for a switch."""
_IMPORT_S = 10.0
"""So long a fork waits for an import of ours."""


def keep_relaying(path: str) -> None:
    """Start this process's relay for one database file, if it has none yet."""
    if os.environ.get("DUALDB_RELAY", "") != "off":
        _start(path, os.getpid())


@lru_cache(maxsize=128)
def _start(path: str, _process: int) -> None:
    with suppress(RuntimeError):  # the interpreter is shutting down and starts no thread: others relay
        fork_gate()  # it takes a hundredth of a second, and from here on forks wait for the thread
        # Importing the relay takes a fifth of a second; the application's statement does not wait for it.
        Thread(target=_relay, args=(path,), name="dualdb-relay-start", daemon=True).start()


def _relay(path: str) -> None:
    gate = fork_gate()
    watch = find_watch(path)
    if watch is not None and watch.saw_mirror_begin:
        # The command that began it carries, so nobody needs to be quick; and all processes notice it in one instant.
        # If they imported in that one too, whoever writes would wait for it while he holds SQLite's lock.
        time.sleep(random() * _SPREAD_S)  # noqa: S311 - no secret
    with gate.at_work(_IMPORT_S):
        from dualdb.stores.relay import Relay
        from dualdb.telemetry import relay_metrics

        relay = Relay(path, relay_metrics())
    with suppress(RuntimeError):  # as above
        relay.start()
    time.sleep(_SETTLED_S)
    # What phase postgres needs takes a second to import, several on a busy machine. At the switch writers would wait
    # for that behind the fence, all at once.
    with gate.at_work(_IMPORT_S):
        import dualdb.driver.target_connection  # noqa: F401
