"""What this process keeps of the database files that it has open, and the end of that.

A connection for each logged row is a habit, so what is dear to make outlives it: the mapped hint, and its
*companions*, which are the relay's thread, idle connections to PostgreSQL, and the schema there. All of it ends a while
after the last connection to the file, and sooner where many files are opened one after the other.

A connection says by nothing but its hold on the file's watch that it has the file open; who else holds that does so
weakly or for a time. So one that the application just lets go of counts as closed, and none pays for being counted.

One thread per process does this. The same one looks after the hints: one that was deleted or replaced moves no more,
and somebody has to look at the path for that. Not the statement: a call of the system costs twenty times its
comparison. Nor the relay's thread: `DUALDB_RELAY=off` and phase sqlite have none.

Signal handlers and finalizers may open connections too, in the midst of any of this and in the same thread: so locks
are re-entrant, nothing is made nor imported under them, and what is gone through is a copy.
"""

from __future__ import annotations

import os
from _thread import RLock
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep
from weakref import WeakSet, WeakValueDictionary

from dualdb.stores.file_identity import identify
from dualdb.stores.forks import ForkGate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any, ClassVar, Protocol, TypeVar

    from dualdb.stores.file_identity import File

    class Watched(Protocol):
        """What a connection holds while it has a file open."""

        @property
        def file(self) -> File:
            """The file."""

        def look_after(self) -> bool:
            """Retire the hint if it was lost; whether it still is the file's."""

    class Companion(Protocol):
        """What is kept for all connections to a file."""

        def close(self) -> bool:
            """Nobody has the file open any more. Does not wait; False where that takes time, and it is called again."""

    W = TypeVar("W", bound=Watched)
    C = TypeVar("C", bound=Companion)

LOOK_EVERY_S = 0.25
"""How often hints are looked after."""
KEPT_S = 30.0
"""So long after the last connection to a file what is kept of it is kept; after one that was opened and closed at once,
twice as long.
"""
KEPT_AT_MOST = 8
"""Files that nobody has open and of which anything is kept; as many again while they are held."""
_FORK_WAITS_S = 1.0
"""So long a fork of the application waits for a look: the file system may hang."""


class _Kept:
    """The companions of one file."""

    __slots__ = ("companions", "used")

    def __init__(self, used: float) -> None:
        self.companions: dict[Hashable, Any] = {}
        self.used = used
        """When somebody had the file open last."""


class Lookout:
    """Of one process."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self._lock = RLock()
        self._found: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._watches: WeakSet[Watched] = WeakSet()
        """Those found, and those that this process was forked with."""
        self._held: dict[Watched, float] = {}
        """Until when each is held, though no connection may be left; the one asked for last at the end."""
        self._kept: dict[File, _Kept] = {}
        self._begun = False

    def start(self) -> Lookout:
        """Look after it all from now on."""
        if not self._begun:
            self._begun = True
            try:
                # A daemon: what it has not ended at the interpreter's end has its own ways to end.
                Thread(target=self._run, name="dualdb-lookout", daemon=True).start()
            except RuntimeError:  # the interpreter is ending, or there are too many threads: the next one tries again
                self._begun = False
        return self

    def watch(self, key: Hashable, make: Callable[[], W]) -> W:
        """The watch known by that key, made if there is none; looked after as long as somebody holds it."""
        made = self._found.get(key) or make()
        with self._lock:
            found: W = self._found.setdefault(key, made)
            self._watches.add(found)
            self._held.pop(found, None)
            self._held[found] = monotonic() + KEPT_S
            while len(self._held) > KEPT_AT_MOST:
                del self._held[next(iter(self._held))]
            return found

    def stay_behind(self) -> None:
        """In the child of a fork, where this is the parent's: hold no file, for nobody will let go of it."""
        self._held.clear()

    def companion(self, watch: Watched, key: Hashable, make: Callable[[], C]) -> C:
        """What is kept under that key for the file of a watch, made if there is none. It must not hold the watch."""
        with self._lock:
            self._watches.add(watch)
            now = monotonic()
            kept = self._kept.setdefault(watch.file, _Kept(now))
            kept.used = now
            found: C | None = kept.companions.get(key)
        if found is not None:
            return found
        made = make()
        with self._lock:
            found = self._kept.setdefault(watch.file, kept).companions.setdefault(key, made)
        if found is not made:
            made.close()
        return found

    def _run(self) -> None:
        while True:
            sleep(LOOK_EVERY_S)
            for look in self._look_after_hints, self._end_unused:
                # A fork waits, or its child would count a watch that is just looked after as held for ever.
                with suppress(Exception), _GATE.at_work(_FORK_WAITS_S):
                    look()  # if it fails, whatever it is, it may be better the next time

    def _look_after_hints(self) -> None:
        with self._lock:
            watches = tuple(self._watches)
        lost = [watch for watch in watches if not watch.look_after()]
        with self._lock:
            for watch in lost:
                self._held.pop(watch, None)

    def _end_unused(self) -> None:
        with self._lock:
            now = monotonic()
            self._held = {watch: until for watch, until in tuple(self._held.items()) if until > now}
            used = {watch.file for watch in tuple(self._watches)}
            for file, kept in tuple(self._kept.items()):
                kept.used = now if file in used else kept.used
            unused = sorted((kept.used, file) for file, kept in tuple(self._kept.items()) if file not in used)
            surplus = len(unused) - KEPT_AT_MOST
        gone = {file for _, file in unused if identify(file[0]) != file}
        for place, (since, file) in enumerate(unused):
            if place < surplus or file in gone or now - since > KEPT_S:
                self._end(file, since)

    def _end(self, file: File, since: float) -> None:
        with self._lock:
            kept = self._kept.get(file)
            if kept is None or kept.used != since:  # somebody has opened it again
                return
            # Whoever opens it from here on gets others.
            del self._kept[file]
        for key, companion in kept.companions.items():
            over = True
            with suppress(Exception):  # the others are to be ended too
                over = companion.close()
            if not over:
                with self._lock:
                    again = self._kept.setdefault(file, _Kept(since))
                    again.companions.setdefault(key, companion)


_GATE = ForkGate()


class _Own:
    """This process's lookout; the one mutable thing here that belongs to the process, as its threads do."""

    making = RLock()
    lookout: Lookout | None = None
    parents: ClassVar[list[Lookout]] = []
    """Of the processes that this one was forked from: nothing that is theirs may be ended here."""

    @classmethod
    def begin_anew(cls) -> None:
        """In the child of a fork: the parent's thread does not run here, and its locks may be held."""
        if cls.lookout is not None:
            cls.lookout.stay_behind()
            cls.parents.append(cls.lookout)
        cls.making, cls.lookout = RLock(), None


def lookout() -> Lookout:
    """This process's."""
    if _Own.lookout is None:
        made = Lookout()
        with _Own.making:
            if _Own.lookout is None:
                _Own.lookout = made
    return _Own.lookout.start()


os.register_at_fork(after_in_child=_Own.begin_anew)
