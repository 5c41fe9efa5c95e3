"""The relay that every process with a mirrored file open lends a thread to; knows nothing of what it carries.

`DUALDB_RELAY=off` leaves it to others: other processes, or `dualdb relay`.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from threading import Thread

_SETTLED_S = 2.0
"""A process that lives longer than this gets ready for a switch."""


def keep_relaying(path: str) -> None:
    """Start this process's relay for one database file, if it has none yet."""
    if os.environ.get("DUALDB_RELAY", "") != "off":
        _start(path, os.getpid())


@lru_cache(maxsize=128)
def _start(path: str, _process: int) -> None:
    # Importing the relay takes a fifth of a second; the application's statement does not wait for it.
    Thread(target=_relay, args=(path,), name="dualdb-relay-start", daemon=True).start()


def _relay(path: str) -> None:
    from dualdb.stores.relay import Relay
    from dualdb.telemetry import relay_metrics

    Relay(path, relay_metrics()).start()
    time.sleep(_SETTLED_S)
    # What phase postgres needs takes a second to import, several on a busy machine. At the switch writers would wait
    # for that behind the fence, all at once.
    import dualdb.driver.target_classes  # noqa: F401
