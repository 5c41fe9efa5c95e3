"""The relay that every process with a mirrored file open lends a thread to; knows nothing of what it carries.

`DUALDB_RELAY=off` leaves it to others: other processes, or `dualdb relay`.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from random import random
from threading import Thread

_SETTLED_S = 2.0
"""A process that lives longer than this gets ready for a switch."""
_SPREAD_S = 1.0
"""Within this time the processes of one application do the same."""


def keep_relaying(path: str) -> None:
    """Start this process's relay for one database file, if it has none yet."""
    if os.environ.get("DUALDB_RELAY", "") != "off":
        _start(path, os.getpid())


@lru_cache(maxsize=128)
def _start(path: str, _process: int) -> None:
    # Importing the relay takes a fifth of a second; the application's statement does not wait for it.
    Thread(target=_relay, args=(path,), name="dualdb-relay-start", daemon=True).start()


def _relay(path: str) -> None:
    # Many processes of one application notice the phase in the same instant: not all of them import in that one.
    time.sleep(_spread_s())
    from dualdb.stores.relay import Relay
    from dualdb.telemetry import relay_metrics

    Relay(path, relay_metrics()).start()
    time.sleep(_SETTLED_S + _spread_s())
    # What phase postgres needs takes a second to import, several on a busy machine. At the switch writers would wait
    # for that behind the fence, all at once.
    import dualdb.driver.target_connection  # noqa: F401


def _spread_s() -> float:
    return random() * _SPREAD_S  # noqa: S311 - no secret
