"""One writer process of the demo: a training job that logs all the time and keeps its ledger.

Runs in a process of its own. Knows nothing of phases: one writer starts with plain `sqlite3`, meets the fence's
error, says so and goes on with `dualdb`; the others have the one changed import from the beginning.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualdb.entrypoints.demo_application import Tracker
from dualdb.entrypoints.demo_ledger import Ledger, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Event

FENCED = "dualdb:moved"
"""How the message of a fence begins."""
_LOCKED_PATIENCE_S = 30.0
_RETRY_S = 0.05
_EPISODES_BEFORE_NEXT = 25
_CHECKPOINTS_KEPT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a writer is told at its start."""

    number: int
    """From 1."""
    database: str
    ledger: str
    module: str
    """`sqlite3` or `dualdb`."""
    seed: int
    rate: float
    """Operations per second that it tries to reach."""
    old_experiment: int
    """The one experiment of the beginning that nobody else touches."""
    parent: int
    """The process without which it ends."""


@dataclass(slots=True, kw_only=True)
class Job:
    """What the job knows of its current experiment."""

    experiment: int
    step: int = 0
    episodes: set[int] = field(default_factory=set)
    best: float | None = None
    checkpoint: int = 0
    checkpoints: list[int] = field(default_factory=list)


class Writer:
    """Chooses what to do next, does it, and notes it."""

    def __init__(self, assignment: Assignment, ledger: Ledger) -> None:
        """Begin with the module that the assignment names."""
        self._assignment = assignment
        self._ledger = ledger
        self._dice = random.Random(assignment.seed * 1000 + assignment.number)  # noqa: S311 - made-up measurements
        self._tracker = _tracker(assignment.module, assignment.database)
        self._job = Job(experiment=assignment.old_experiment)
        self._experiments = 0
        self._tokens = 0
        self._actions: tuple[tuple[int, Callable[[], None]], ...] = (
            (58, self._log_metric),
            (14, self._finish_episode),
            (8, self._correct_metric),
            (6, self._save_checkpoint),
            (5, self._delete_metrics),
            (6, self._read_summary),
            (3, self._finish_experiment),
        )

    def work(self, stopped: Callable[[], bool]) -> None:
        """Work at the assigned rate until told to stop; a pause is not made up for afterwards."""
        interval_s = 1.0 / self._assignment.rate
        weights = [weight for weight, _ in self._actions]
        actions = [action for _, action in self._actions]
        self._start_experiment()
        due_s = time.monotonic()
        while not stopped():
            self._dice.choices(actions, weights)[0]()
            if len(self._job.episodes) >= _EPISODES_BEFORE_NEXT:
                self._start_experiment()
            due_s = max(due_s + interval_s, time.monotonic() - interval_s)
            time.sleep(max(0.0, due_s - time.monotonic()))

    def _start_experiment(self) -> None:
        self._experiments += 1
        name = f"writer {self._assignment.number}, run {self._experiments}"
        parameters = {"optimizer": "adam", "batch": str(2 ** self._dice.randrange(5, 10)), "note": "it's \u03b3 = 0.99"}
        experiment = self._do("start_experiment", name=name, learning_rate=3e-4, hyperparameters=parameters)
        self._job = Job(experiment=experiment)

    def _log_metric(self) -> None:
        self._job.step += 1
        # A diverged loss is logged as what it is; SQLite stores NULL for it.
        value = float("nan") if self._dice.random() < 0.01 else self._dice.gauss(0.0, 1.0)  # noqa: PLR2004 - one in a hundred
        # Now and then the job goes on with the experiment that was there before it.
        experiment = self._assignment.old_experiment if self._job.step % 10 == 0 else self._job.experiment
        self._do(
            "log_metric",
            experiment=experiment,
            name=self._dice.choice(("loss", "reward", "entropy")),
            step=self._job.step,
            value=value,
            token=self._token(),
        )

    def _finish_episode(self) -> None:
        job = self._job
        again = bool(job.episodes) and self._dice.random() < 0.25  # noqa: PLR2004 - one in four replaces a row
        episode = self._dice.choice(sorted(job.episodes)) if again else len(job.episodes) + 1
        total = self._dice.gauss(10.0, 4.0)
        best = job.best is None or total > job.best
        self._do("finish_episode", experiment=job.experiment, episode=episode, total_return=total, is_best=best)
        job.episodes.add(episode)
        job.best = max(total, job.best) if job.best is not None else total

    def _correct_metric(self) -> None:
        tokens = self._call("last_metrics", experiment=self._job.experiment, limit=20)
        if tokens:
            changed = self._do("correct_metric", token=self._dice.choice(tokens), value=self._dice.random())
            self._expect("rows corrected", changed, 1)

    def _save_checkpoint(self) -> None:
        job = self._job
        job.checkpoint += 1
        job.checkpoints = [*job.checkpoints, job.checkpoint][-_CHECKPOINTS_KEPT:]
        self._do(
            "save_checkpoint",
            experiment=job.experiment,
            step=job.checkpoint,
            weights=self._dice.randbytes(self._dice.randrange(0, 600)),
            keep_from=job.checkpoints[0],
        )

    def _delete_metrics(self) -> None:
        old = self._dice.random() < 0.5  # noqa: PLR2004 - half of them rows that were there before any writer
        experiment = self._assignment.old_experiment if old else self._job.experiment
        tokens = self._call("last_metrics", experiment=experiment, limit=3)
        if tokens:
            self._expect("rows deleted", self._do("delete_metrics", tokens=tokens), len(tokens))

    def _read_summary(self) -> None:
        found = self._call("summary", experiment=self._job.experiment)
        self._expect("episodes in the view", found["num_episodes"], len(self._job.episodes))

    def _finish_experiment(self) -> None:
        changed = self._do(
            "finish_experiment",
            experiment=self._job.experiment,
            status=self._dice.choice(("running", "completed", "failed")),
            best_return=self._dice.random(),
            early_stopped=self._dice.random() < 0.5,  # noqa: PLR2004 - a coin
        )
        self._expect("experiments finished", changed, 1)

    def _do(self, action: str, **arguments: Any) -> Any:  # noqa: ANN401 - the action's own
        """Call the application and keep the ledger; a program that meets the fence is changed, and does it again."""
        try:
            return self._ledger.carry_out(action, arguments, lambda: self._call(action, **arguments))
        except RefusedError as exc:
            self._ledger.remark("fenced", str(exc))
            self._tracker = _tracker("dualdb", self._assignment.database)
            self._call("last_metrics", experiment=self._job.experiment, limit=1)  # a program that has just started
            return self._do(action, **arguments)

    def _call(self, action: str, **arguments: Any) -> Any:  # noqa: ANN401 - the action's own
        """Call the application; a locked database is tried again, as these programs do."""
        deadline_s = time.monotonic() + _LOCKED_PATIENCE_S
        while True:
            try:
                return getattr(self._tracker, action)(**arguments)
            except sqlite3.Error as exc:
                if str(exc).startswith(FENCED) and self._assignment.module == sqlite3.__name__:
                    raise RefusedError(str(exc)) from exc
                if "locked" in str(exc) and time.monotonic() < deadline_s:
                    self._ledger.remark("locked", f"{action}: {exc}")
                    time.sleep(_RETRY_S)
                else:
                    raise

    def _expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self._ledger.remark("wrong", f"{what}: {found!r}, should be {expected!r}")

    def _token(self) -> str:
        self._tokens += 1
        return f"writer-{self._assignment.number}-{self._tokens}"


def run(assignment: Assignment, stop: Event) -> None:
    """The process's whole life: ends when it is told to, or when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    ledger = Ledger(Path(assignment.ledger))

    def stopped() -> bool:
        return stop.is_set() or os.getppid() != assignment.parent

    try:
        Writer(assignment, ledger).work(stopped)
    finally:
        ledger.close()


def _tracker(module: str, path: str) -> Tracker:
    return Tracker(importlib.import_module(module), path)
