"""The relay: whoever holds its lock carries changes from the authority to the follower, whichever they are just now.

It runs in a thread of any process that has the pair open, and in the foreground for commands. `core.delivery` decides,
`relay_batch` does; here are only the lock, the waiting and the two ways to run. Never names a database.
"""

from __future__ import annotations

import atexit
import os
import time
from contextlib import suppress
from functools import partial
from shlex import quote
from threading import RLock, Thread, current_thread
from typing import TYPE_CHECKING

from dualdb.core import events
from dualdb.core.delivery import LONGEST_REST_S, Action, retry_after_s
from dualdb.core.phase import Phase
from dualdb.errors import (
    BusyError,
    DualdbError,
    LayoutError,
    LineageError,
    NotPreparedError,
    PhaseError,
    SchemaError,
    SourceError,
    TargetError,
)
from dualdb.stores.control import settle
from dualdb.stores.file_identity import identify
from dualdb.stores.forks import Pause, fork_gate
from dualdb.stores.pair import Pair
from dualdb.stores.relay_batch import Carrier
from dualdb.stores.target_lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from dualdb.core.events import Report

POLL_S = 0.02
"""How long the relay sleeps between two looks for a commit."""
_BYSTANDER_S = 0.5
"""How often a relay that does not hold the lock looks at it."""
_IMPATIENT_S = 0.05
"""The same, in the foreground."""
_LOOKS = 10
"""After how many looks in a row the relay does what a bystander of a move may do."""
_EXIT_S = 1.0
_SOURCE_TIMEOUT_S = 2.0
_FORK_WAITS_S = 1.0
"""So long a fork of the application waits for the relay's present step: it may hang with the server."""
_ENDLESS = float("inf")
_PATIENCE = 5
"""How often in a row something unforeseen may fail before a command that waits for it gives up."""

_LASTING = (LayoutError, LineageError, NotPreparedError, SchemaError, SourceError)
"""It stays until somebody does something about it: a relay that is to end need not wait for that."""


class _ReplacedError(SourceError):
    """The path leads to another file than the one that is relayed, or to none."""


class Relay:
    """The relay of one process for one database file."""

    def __init__(self, path: str, report: Report = events.unheard) -> None:
        """Nothing is opened before it runs."""
        self.path = path
        self._report = report
        self._stop = Pause()
        self._last = False
        """Whether to end as soon as nothing is left to be carried."""
        self._ending = RLock()
        self._thread: Thread | None = None
        """The one that relays; one that is not, any more, ends."""
        self._process = os.getpid()

    def start(self) -> None:
        """Relay in a background thread of this process, unless it does already; after a fork that is another one."""
        if self._process != os.getpid():
            # The parent's thread does not run here. Its connections are the parent's and are left alone.
            self._process, self._stop, self._thread, self._ending = os.getpid(), Pause(), None, RLock()
        with self._ending:
            self._last = False
            if self.running:
                return
            self._stop.clear()
            # A daemon never keeps the interpreter alive; at exit it gets a moment to give the lock back.
            self._thread = Thread(target=self._run_in_background, name="dualdb-relay", daemon=True)
            atexit.unregister(self.stop)
            atexit.register(self.stop, _EXIT_S)
            self._thread.start()

    @property
    def running(self) -> bool:
        """Whether there is a thread that relays, and has not decided to end."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ask the thread to end and wait for it that long."""
        self._stop.set()
        atexit.unregister(self.stop)
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(timeout_s)

    def end_at_rest(self) -> None:
        """Let the thread end when nothing is left to be carried or somebody else has the lock; does not wait for it.
        `start` takes that back.
        """
        self._last = True

    def run_forever(self) -> None:
        """Relay in the foreground until `stop` is called; a relay in the background of another process stands back."""
        while not self._stop.is_set():
            with (
                suppress(_ReplacedError),
                Pair.open(self.path, purpose="dualdb relay", timeout_s=_SOURCE_TIMEOUT_S) as pair,
            ):
                _Shift(pair, self._report, self._stop, foreground=True).run_until(lambda: False)

    def run_until_aligned(self, within_s: float | None = None) -> int:
        """Relay in the foreground until the follower equals the authority as it was when this began, or later.

        Returns how many rows were carried. Raises BusyError when time runs out, LineageError, and whatever else keeps
        the relay from its work for good.
        """
        with Pair.open(self.path, purpose="dualdb relay", timeout_s=_SOURCE_TIMEOUT_S) as pair:
            return relay_pair_until_aligned(pair, self._report, within_s)

    def _run_in_background(self) -> None:
        try:
            with fork_gate().at_work(_FORK_WAITS_S):
                self._run_at_work()
        finally:
            with self._ending:
                if self._thread in (None, current_thread()):  # no other one has begun
                    atexit.unregister(self.stop)

    def _run_at_work(self) -> None:
        failures = 0
        while not self._stop.is_set():
            shift: _Shift | None = None
            try:
                with Pair.open(self.path, purpose="dualdb relay", timeout_s=_SOURCE_TIMEOUT_S) as pair:
                    shift = _Shift(pair, self._report, self._stop, foreground=False)
                    shift.run_until(partial(self._is_over, shift))
                    return
            except Exception as exc:  # noqa: BLE001 - a border: the application never sees the relay's troubles
                if isinstance(exc, _LASTING) and self._ends():
                    return
                got_somewhere = shift is not None and (shift.aligned or shift.carried > 0)
                failures = 1 if got_somewhere else failures + 1
                retry_s = retry_after_s(failures)
                self._report(events.RelayStumbled(reason=str(exc), retry_s=retry_s))
                self._stop.wait(retry_s)

    def _is_over(self, shift: _Shift) -> bool:
        return shift.at_rest and self._ends()

    def _ends(self) -> bool:
        """Whether this thread ends where it may; once it does, `start` begins another one."""
        with self._ending:
            if self._last and self._thread is current_thread():
                self._thread = None
            return self._thread is not current_thread()


def relay_until_aligned(path: str, report: Report = events.unheard, within_s: float | None = None) -> int:
    """Carry until both sides of a database file are equal; how many rows that took. Raises as `Relay` does."""
    return Relay(path, report).run_until_aligned(within_s)


def relay_pair_until_aligned(pair: Pair, report: Report, within_s: float | None = None) -> int:
    """The same over the caller's pair."""
    shift = _Shift(pair, report, Pause(), foreground=True, patience=_PATIENCE)
    deadline = None if within_s is None else time.monotonic() + within_s

    def over() -> bool:
        if shift.aligned:
            return True
        if pair.phase is Phase.SQLITE:
            raise PhaseError(
                f"{pair.path} is in phase sqlite, where nothing is mirrored; run: dualdb advance {quote(pair.path)}"
            )
        if deadline is not None and time.monotonic() > deadline:
            reason = f" ({shift.trouble})" if shift.trouble else ""
            raise BusyError(
                f"the two sides were not equal within {within_s:g} s{reason}; see dualdb status {quote(pair.path)}"
            )
        return False

    shift.run_until(over)
    return shift.carried


class _Shift:
    """One run of the relay over one pair."""

    def __init__(
        self, pair: Pair, report: Report, stop: Pause, *, foreground: bool, patience: float = _ENDLESS
    ) -> None:
        self.carried = 0
        self.aligned = False
        """Whether the follower equalled, at some moment of this run, everything committed before the run began."""
        self.at_rest = False
        """Whether nothing is left to be carried just now, or somebody else carries."""
        self.trouble: Exception | None = None
        self._pair = pair
        self._report = report
        self._stop = stop
        self._foreground = foreground
        self._patience = patience
        self._looks = 0
        """How often in a row somebody else had moved on."""
        self._failures = 0
        """In a row."""
        self._file = identify(pair.path)
        self._lease = Lease(pair.target.connection, foreground=foreground)

    def run_until(self, over: Callable[[], bool]) -> None:
        """Take the lock and carry, or wait for it, until it is over or `stop` is set."""
        try:
            while not (self._stop.is_set() or over()):
                self._check_file()
                if self._pair.phase is Phase.SQLITE:
                    self._idle()
                    continue
                self.at_rest = False
                try:
                    if self._lease.take():
                        self._carry(over)
                    else:
                        self._stand_by()
                    self._failures = 0
                except (LineageError, SchemaError, _ReplacedError):  # it stays until somebody does something about it
                    raise
                except DualdbError as exc:
                    self._failures += 1
                    self._stumble(exc, self._failures)
        finally:
            self._give_back()

    def _carry(self, over: Callable[[], bool]) -> None:
        """Carry in one direction while the lock is ours and the phase stays."""
        phase = self._pair.phase
        self._pair.target.mend_functions()
        carrier = Carrier(self._pair.authority, self._pair.follower, self._report)
        while self._lease.keep() and not self._stop.wait(0):  # between two steps a fork gets its turn
            self._check_file()
            before = carrier.carried
            action = carrier.step()
            self.carried += carrier.carried - before
            self.trouble = carrier.error
            if action is Action.WAIT or carrier.carried > before:
                self._failures = 0  # this may go on for days, and end with a failure: that is the first one then
            self.at_rest = action is Action.WAIT
            if action is Action.WAIT:
                self.aligned, self._looks = True, 0
            if over():
                return
            if action is Action.WAIT:
                carrier.prune()
                self._wait_for_commit(carrier, over)
            elif action is Action.BACK_OFF:
                self._back_off(carrier)
            elif action is Action.LOOK:
                self._look()
                return
            elif action is Action.STOP:
                self._halt(carrier.error)
                return
            if self._pair.phase is not phase:
                return

    def _check_file(self) -> None:
        """Whoever holds a file open that is no longer at its path would carry nothing, and keep others from it."""
        if identify(self._pair.path) != self._file:
            raise _ReplacedError(f"{self._pair.path} was removed or replaced while it was relayed; begin again")

    def _look(self) -> None:
        """Somebody else moved on. If that goes on, nobody does: a move was decided and its end never written, or the
        file was restored from a backup.
        """
        self._stop.wait(POLL_S)
        self._looks += 1
        if self._looks % _LOOKS == 0:
            try:
                settle(self._pair.path)
            except LineageError as exc:
                self._halt(exc)

    def _wait_for_commit(self, carrier: Carrier, over: Callable[[], bool]) -> None:
        while not self._stop.wait(POLL_S):
            self._check_file()
            if carrier.authority.head_moved() or not self._lease.keep() or over():
                return
            carrier.prune()

    def _back_off(self, carrier: Carrier) -> None:
        retry_s = retry_after_s(carrier.failures)
        error = carrier.error
        if error is not None and (carrier.failures > 1 or not isinstance(error, BusyError)):
            if isinstance(error, SchemaError) and self._patience < _ENDLESS:  # no waiting changes it
                raise error
            self._tell(error, retry_s)
            if carrier.failures >= self._patience and not isinstance(error, DualdbError):
                raise error
        self._stop.wait(retry_s)

    def _halt(self, error: Exception | None) -> None:
        self.at_rest = True
        self._report(events.LineageBroken(reason=str(error)))
        if self._foreground and error is not None:
            raise error
        self._stop.wait(LONGEST_REST_S)

    def _stand_by(self) -> None:
        """Another relay holds the lock: wait, and end it if it is a stopped process."""
        holder = self._lease.end_silent_holder()
        if holder is not None:
            self._report(events.RelayTookOver(holder=holder))
            return
        self.at_rest = True
        if self._foreground and self._pair.covering_mark() is not None:  # what the other one carried is all there is
            self.aligned = True
            return
        self._stop.wait(_IMPATIENT_S if self._foreground else _BYSTANDER_S)

    def _idle(self) -> None:
        self.at_rest = True
        if self._foreground:
            self._lease.release()
        self._stop.wait(_BYSTANDER_S)

    def _stumble(self, exc: DualdbError, failures: int) -> None:
        self.trouble, self.at_rest = exc, False
        retry_s = retry_after_s(failures)
        self._tell(exc, retry_s)
        self._stop.wait(retry_s)

    def _tell(self, exc: Exception, retry_s: float) -> None:
        if isinstance(exc, TargetError):
            self._report(events.TargetLost(reason=str(exc), retry_s=retry_s))
        else:
            self._report(events.RelayStumbled(reason=str(exc), retry_s=retry_s))

    def _give_back(self) -> None:
        try:
            self._lease.release()
        except DualdbError as exc:
            self.trouble = exc
