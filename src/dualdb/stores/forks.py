"""A fork waits while a thread of ours is in the midst of something: its child would never see the end of that.

The child has the forking thread alone. A module that another one was importing there stays locked for ever, and so does
a mutex of SQLite's that it held; whatever needs either in the child, the application's next statement, waits for it for
ever. An object that it held is never let go of. An application that forks (a worker of a server, a data loader) knows
of no thread of ours and cannot stop it.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from functools import lru_cache
from threading import Condition, Event, get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class ForkGate:
    """Passed by a thread that begins to work, and by a process that forks: never both at once, if they are patient."""

    def __init__(self) -> None:
        """Stand in the way of every fork from here on."""
        self._begin_anew()
        os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._begin_anew)

    @contextmanager
    def at_work(self, patience_s: float) -> Iterator[None]:
        """For a thread: a fork waits until this is over, but no longer than that, and none happens to it before."""
        self._enter(patience_s)
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Inside `at_work`: forks may happen. Outside it does nothing."""
        patience_s = self._leave()
        try:
            yield
        finally:
            if patience_s is not None:
                self._enter(patience_s)

    def _begin_anew(self) -> None:
        self._turn = Condition()
        self._at_work: dict[int, float] = {}
        """By thread, how long a fork waits for it."""
        self._forks = 0

    def _enter(self, patience_s: float) -> None:
        with self._turn:
            self._turn.wait_for(lambda: not self._forks)
            self._at_work[get_ident()] = patience_s

    def _leave(self) -> float | None:
        with self._turn:
            patience_s = self._at_work.pop(get_ident(), None)
            self._turn.notify_all()
        return patience_s

    def _close(self) -> None:
        with self._turn:
            self._forks += 1  # first of all: whatever interrupts the waiting, the gate is opened again
            began = time.monotonic()
            while (left_s := self._patience_s() - (time.monotonic() - began)) > 0:
                self._turn.wait(left_s)

    def _patience_s(self) -> float:
        """How long to wait for those who are at work now; whoever forks does not wait for himself."""
        return max((s for thread, s in self._at_work.items() if thread != get_ident()), default=0.0)

    def _open(self) -> None:
        with self._turn:
            self._forks = max(0, self._forks - 1)  # the fork that it was made in has not closed it
            self._turn.notify_all()


@lru_cache(maxsize=1)
def fork_gate() -> ForkGate:
    """This process's, for threads at any work."""
    # Both hold locks of their own across a fork, which a thread at work may need meanwhile: who registers last is
    # asked first. A thread at work must not be the one who imports them, between their registration and this one.
    import concurrent.futures.thread  # noqa: F401
    import logging  # noqa: F401

    return ForkGate()


class Pause(Event):
    """An event to wait for during which the process may fork."""

    def wait(self, timeout: float | None = None) -> bool:
        """As of any event."""
        with fork_gate().at_rest():
            return super().wait(timeout)
