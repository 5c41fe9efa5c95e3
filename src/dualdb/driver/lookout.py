"""What this process keeps of the database files that it has open, and the end of that.

A connection for each logged row is a habit, so what is dear to make outlives it: the mapped hint, and its
*companions*, which are the relay's thread, idle connections to PostgreSQL, and the schema there. All of it ends a while
after the last connection to the file; a process may open thousands of files one after the other.

A connection says by nothing but its life that it has a file open: it holds the file's watch, and who else does holds it
weakly or for a time. Rejected: counting in `close` (an application may just let go of a connection), and in `__del__`
(every connection would pay for it).

One thread per process does this. The same one looks after the hints: one that was deleted or replaced moves no more,
and somebody has to look at the path for that. Not the statement: a call of the system costs twenty times its
comparison. Nor the relay's thread: `DUALDB_RELAY=off` and phase sqlite have none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from time import monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Protocol, TypeVar

    class Watched(Protocol):
        """What a connection holds while it has a file open."""

        @property
        def path(self) -> str:
            """The file."""

        def look_after(self) -> bool:
            """Retire the hint if it was lost; whether it still is the file's."""

    class Companion(Protocol):
        """What is kept for all connections to a file."""

        def close(self) -> None:
            """Nobody has the file open any more. Does not wait."""

    W = TypeVar("W", bound=Watched)
    C = TypeVar("C", bound=Companion)

LOOK_EVERY_S = 0.25
"""How often hints are looked after."""
KEPT_S = 30.0
"""So long after the last connection to a file what is kept of it is kept; after one that was opened and closed at once,
twice as long.
"""


class _Kept:
    """The companions of one file."""

    __slots__ = ("companions", "used")

    def __init__(self) -> None:
        self.companions: dict[Hashable, Companion] = {}
        self.used = monotonic()
        """When somebody had the file open last."""


class Lookout:
    """Of one process."""

    def __init__(self) -> None:
        """Begins at once."""
        from threading import Lock, Thread
        from weakref import WeakSet, WeakValueDictionary

        self._lock = Lock()
        self._found: WeakValueDictionary[Hashable, Watched] = WeakValueDictionary()
        self._watches: WeakSet[Watched] = WeakSet()
        """Those found, and those that this process was forked with."""
        self._held: dict[Watched, float] = {}
        """Until when each is held, though no connection may be left."""
        self._kept: dict[str, _Kept] = {}
        """By file."""
        # A daemon: what it has not ended at the interpreter's end has its own ways to end. While the interpreter ends
        # none can be started.
        with suppress(RuntimeError):
            Thread(target=self._run, name="dualdb-lookout", daemon=True).start()

    def watch(self, key: Hashable, make: Callable[[], W]) -> W:
        """The watch known by that key, made if there is none; looked after as long as somebody holds it."""
        with self._lock:
            found: W | None = self._found.get(key)  # type: ignore[assignment]
            if found is None:
                found = make()
                self._found[key] = found
                self._watches.add(found)
            self._held[found] = monotonic() + KEPT_S
            return found

    def companion(self, watch: Watched, key: Hashable, make: Callable[[], C]) -> C:
        """What is kept under that key for the file of a watch, made if there is none. It must not hold the watch."""
        with self._lock:
            self._watches.add(watch)
            kept = self._kept.get(watch.path)
            if kept is None:
                kept = self._kept[watch.path] = _Kept()
            kept.used = monotonic()
            found: C | None = kept.companions.get(key)  # type: ignore[assignment]
            if found is None:
                found = make()
                kept.companions[key] = found
            return found

    def _run(self) -> None:
        while True:
            sleep(LOOK_EVERY_S)
            self._look_after_hints()
            self._end_unused()

    def _look_after_hints(self) -> None:
        with self._lock:
            watches = tuple(self._watches)
        lost = [watch for watch in watches if not watch.look_after()]
        with self._lock:
            for watch in lost:
                self._held.pop(watch, None)

    def _end_unused(self) -> None:
        now = monotonic()
        with self._lock:
            self._held = {watch: until for watch, until in self._held.items() if until > now}
            used = {watch.path for watch in self._watches}
            for path in used & self._kept.keys():
                self._kept[path].used = now
            unused = [
                path
                for path, kept in self._kept.items()
                if path not in used and (now - kept.used > KEPT_S or not os.access(path, os.F_OK))
            ]
            over = [companion for path in unused for companion in self._kept.pop(path).companions.values()]
        for companion in over:
            with suppress(Exception):  # whatever it is, the other files are looked after
                companion.close()


@cache
def lookout(_process: int) -> Lookout:
    """That of the process with this number: after a fork the parent's thread does not run, and its lock may be held.

    The parent's is kept in the child, as nothing that is the parent's may be ended there.
    """
    return Lookout()
