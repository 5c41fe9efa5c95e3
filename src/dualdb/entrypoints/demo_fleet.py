"""The demo's writer processes together: started, watched, asked for their longest pause, stopped.

Knows nothing of phases; a step is to it a span of time.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from dualdb.entrypoints.demo_ledger import Reading
from dualdb.entrypoints.demo_writer import Assignment, run
from dualdb.errors import DualdbError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    from dualdb.entrypoints.demo_ledger import Entry, Remark

_PATIENCE_S = 60.0
_LOOK_S = 0.02


class Fleet:
    """The processes and their ledgers."""

    def __init__(self, folder: Path, database: Path, *, writers: int, seed: int, rate: float) -> None:
        """Prepare; the last writer is the one that begins with plain `sqlite3`."""
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._processes: list[SpawnProcess] = []
        self._ledgers: list[Reading] = []
        for number in range(1, writers + 1):
            ledger = folder / f"writer-{number}.jsonl"
            assignment = Assignment(
                number=number,
                database=str(database),
                ledger=str(ledger),
                module="sqlite3" if number == writers else "dualdb",
                seed=seed,
                rate=rate,
                old_experiment=number,
                parent=os.getpid(),
            )
            process = context.Process(target=run, args=(assignment, self._stop), name=f"writer-{number}", daemon=True)
            self._processes.append(process)
            self._ledgers.append(Reading(ledger, number))

    def start(self) -> None:
        """Start all; returns when each has had its first answer. Raises DualdbError when one does not get so far."""
        for process in self._processes:
            process.start()
        self.wait_for_answers(time.time())

    def stop(self) -> None:
        """Let each finish what it is doing, and end; those that do not are killed. Safe to call twice."""
        self._stop.set()
        deadline_s = time.monotonic() + _PATIENCE_S
        started = [process for process in self._processes if process.pid is not None]
        for process in started:
            process.join(max(0.0, deadline_s - time.monotonic()))
        for process in started:
            if process.is_alive():
                process.kill()
                process.join()

    def check(self) -> None:
        """Raise DualdbError when a writer has ended that was not told to, or ended badly."""
        for process in self._processes:
            if process.exitcode or (process.exitcode == 0 and not self._stop.is_set()):
                said = self._last_error(int(process.name.rpartition("-")[2]))
                message = (
                    f"{process.name} ended with status {process.exitcode} ({said}); its ledger tells how far it came"
                )
                raise DualdbError(message)

    def wait_for_answers(self, since: float) -> None:
        """Wait until each writer got an answer to something that it began after an instant (seconds since 1970)."""
        deadline_s = time.monotonic() + _PATIENCE_S
        for ledger in self._ledgers:
            while not _answered_after(ledger.entries(), since):
                self.check()
                if time.monotonic() > deadline_s:
                    message = f"writer-{ledger.writer} has had no answer for {_PATIENCE_S:g} s; see its ledger"
                    raise DualdbError(message)
                time.sleep(_LOOK_S)

    def longest_pause_s(self, since: float, until: float) -> float:
        """The longest that any writer waited for one answer, of all that it asked for between two instants.

        Not counted is the first answer to a program that was turned away and started anew: see `restarts`.
        """
        self.wait_for_answers(until)
        anew = {id(entry) for entry in self.restarts()}
        return max((entry.took_s for entry in self._during(since, until) if id(entry) not in anew), default=0.0)

    def restarts(self) -> list[Entry]:
        """The first operation of each program that was turned away by a fence and changed."""
        return [
            entry
            for entries in self.ledgers()
            for before, entry in pairwise(entries)
            if before.refused and entry.acknowledged
        ]

    def answered(self) -> int:
        """How many operations were acknowledged so far."""
        return sum(entry.acknowledged for entries in self.ledgers() for entry in entries)

    def ledgers(self) -> list[list[Entry]]:
        """Each writer's operations."""
        return [ledger.entries() for ledger in self._ledgers]

    def remarks(self, kind: str) -> list[Remark]:
        """What the writers noted beside them."""
        return [remark for ledger in self._ledgers for remark in ledger.remarks() if remark.kind == kind]

    def _during(self, since: float, until: float) -> Iterator[Entry]:
        for ledger in self._ledgers:
            for entry in reversed(ledger.entries()):
                if entry.answered_at is not None and entry.answered_at < since:
                    break
                if entry.answered_at is not None and entry.began_at < until:
                    yield entry

    def _last_error(self, number: int) -> str:
        entries = self._ledgers[number - 1].entries()
        return next((entry.error for entry in reversed(entries) if entry.error), "no error in its ledger")


def _answered_after(entries: list[Entry], since: float) -> bool:
    for entry in reversed(entries):
        if entry.acknowledged and entry.began_at >= since:
            return True
        if entry.began_at < since:
            return False
    return False
