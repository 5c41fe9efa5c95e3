"""The relay that every process with a mirrored file open lends a thread to; knows nothing of what it carries.

`DUALDB_RELAY=off` leaves it to others: other processes, or `dualdb relay`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import lru_cache
from random import random
from threading import RLock, Thread

from dualdb.driver.watch import find_watch

_SPREAD_S = 4.0
"""Within this time all processes of one application have begun to relay."""
_SETTLED_S = 1.0
"""A process that lives so much longer gets ready for a switch."""
_FORK_WAITS_S = 10.0


def keep_relaying(path: str) -> None:
    """Start this process's relay for one database file, if it has none yet."""
    if os.environ.get("DUALDB_RELAY", "") != "off":
        _start(path, os.getpid())


@lru_cache(maxsize=128)
def _start(path: str, _process: int) -> None:
    # Importing the relay takes a fifth of a second; the application's statement does not wait for it.
    with suppress(RuntimeError):  # the interpreter is shutting down and starts no thread: others relay
        Thread(target=_relay, args=(path,), name="dualdb-relay-start", daemon=True).start()


def _relay(path: str) -> None:
    watch = find_watch(path)
    if watch is not None and watch.saw_mirror_begin:
        # The command that began it carries, so nobody needs to be quick; and all processes notice it in one instant.
        # If they imported in that one too, whoever writes would wait for it while he holds SQLite's lock.
        time.sleep(random() * _SPREAD_S)  # noqa: S311 - no secret
    with _imports():
        from dualdb.stores.relay import Relay
        from dualdb.telemetry import relay_metrics

    with suppress(RuntimeError):  # as above
        Relay(path, relay_metrics()).start()
    time.sleep(_SETTLED_S)
    # What phase postgres needs takes a second to import, several on a busy machine. At the switch writers would wait
    # for that behind the fence, all at once.
    with _imports():
        import dualdb.driver.target_connection  # noqa: F401


class _Imports:
    """Held while a thread of ours imports, and by whoever forks.

    A module that is being imported is locked. In the child of a fork nobody would finish that, and whatever needs the
    module there, the relay or the application's own switch, would wait for it for ever. So a fork waits instead.
    """

    def __init__(self) -> None:
        # Both have locks that imports take, and hold them across a fork. Who registers last waits first.
        import concurrent.futures.thread  # noqa: F401
        import logging  # noqa: F401

        self._lock = RLock()  # an import may fork itself
        os.register_at_fork(before=self._hold, after_in_parent=self._let_go, after_in_child=self._let_go)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _hold(self) -> None:
        # Not for ever: the import may wait for something that the one who forks holds.
        self._lock.acquire(timeout=_FORK_WAITS_S)

    def _let_go(self) -> None:
        with suppress(RuntimeError):  # it is not this thread's: the wait was given up
            self._lock.release()


@lru_cache(maxsize=1)
def _imports() -> _Imports:
    return _Imports()
