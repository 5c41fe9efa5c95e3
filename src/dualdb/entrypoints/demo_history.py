"""What one writer's operations must have made of its rows, told from its ledger alone.

An operation that was never answered may have happened or not, but only as a whole, so a ledger has one history for
each choice. Knows neither a database nor a statement: it says again, in its own words, what the application's methods
promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

from dualdb.errors import DualdbError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.entrypoints.demo_ledger import Entry

Record: TypeAlias = "dict[str, Any]"
Identity: TypeAlias = "tuple[Any, ...]"
"""A table and the values by which the application itself tells its rows apart."""

_MOST_UNANSWERED = 8


@dataclass(frozen=True, slots=True)
class Within:
    """A default CURRENT_TIMESTAMP taken between two instants (seconds since 1970)."""

    earliest: float
    latest: float

    def __eq__(self, value: object) -> bool:
        """Whether a stored value can be that time; SQLite cuts the fraction off."""
        return isinstance(value, str) and _stamp(self.earliest - 1) <= value <= _stamp(self.latest + 1)

    __hash__ = None  # type: ignore[assignment]  # equal to many values


@dataclass(frozen=True, slots=True)
class SomeId:
    """An automatic id that the writer was never told."""

    def __eq__(self, value: object) -> bool:
        """Whether a stored value can be one."""
        return isinstance(value, int) and value > 0

    __hash__ = None  # type: ignore[assignment]  # equal to many values


@dataclass(slots=True, kw_only=True)
class History:
    """The rows that a writer touched, as they must be now; None for one that must be gone."""

    first: Callable[[Identity], Record | None]
    """The row as it was before any writer began."""
    experiment_ids: Mapping[str, int]
    """Ids of the experiments that are there, by name, for one whose id was never answered."""
    rows: dict[Identity, Record | None] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    """The writer's own experiments."""

    def apply(self, entry: Entry) -> None:
        """Let one operation happen."""
        _EFFECTS[entry.action](self, entry)

    def change(self, identity: Identity, **values: object) -> None:
        """Change columns of a row that is there; nothing happens to one that is not."""
        if identity not in self.rows:
            self.rows[identity] = self.first(identity)
        row = self.rows[identity]
        if row is not None:
            self.rows[identity] = {**row, **values}

    def of_experiment(self, table: str, experiment: int) -> Iterator[tuple[Identity, Record]]:
        """The touched rows of an experiment in one table."""
        for identity, row in list(self.rows.items()):
            if identity[0] == table and row is not None and row["experiment_id"] == experiment:
                yield identity, row


def find_histories(
    entries: Sequence[Entry], first: Callable[[Identity], Record | None], experiment_ids: Mapping[str, int]
) -> Iterator[History]:
    """Each history that fits the ledger; raises DualdbError when so much was left unanswered that any state would."""
    unanswered = [entry.number for entry in entries if not entry.acknowledged and not entry.refused]
    if len(unanswered) > _MOST_UNANSWERED:
        message = f"writer {entries[0].writer} was left without an answer {len(unanswered)} times; read its ledger"
        raise DualdbError(message)
    for choice in product((True, False), repeat=len(unanswered)):
        happened = dict(zip(unanswered, choice, strict=True))
        history = History(first=first, experiment_ids=experiment_ids)
        for entry in entries:
            if happened.get(entry.number, not entry.refused):
                history.apply(entry)
        yield history


def _start_experiment(history: History, entry: Entry) -> None:
    told = entry.arguments
    name = told["name"]
    experiment = entry.answer or history.experiment_ids.get(name)
    history.rows["experiments", name] = {
        "id": experiment or SomeId(),
        "name": name,
        "status": "running",
        "learning_rate": told["learning_rate"],
        "best_return": None,
        "early_stopped": 0,
        "started_at": _time_of(entry),
    }
    if experiment is None:
        return  # the row itself will be found missing
    history.names[experiment] = name
    for key, value in told["hyperparameters"].items():
        row = {"experiment_id": experiment, "name": key, "value": value}
        history.rows["hyperparameters", experiment, key] = row


def _log_metric(history: History, entry: Entry) -> None:
    told = entry.arguments
    history.rows["metrics", told["token"]] = {
        "id": entry.answer or SomeId(),
        "experiment_id": told["experiment"],
        "name": told["name"],
        "step": told["step"],
        "value": None if math.isnan(told["value"]) else told["value"],
        "token": told["token"],
        "logged_at": _time_of(entry),
    }


def _finish_episode(history: History, entry: Entry) -> None:
    told = entry.arguments
    history.rows["episodes", told["experiment"], told["episode"]] = {
        "id": entry.answer or SomeId(),
        "experiment_id": told["experiment"],
        "episode_num": told["episode"],
        "total_return": told["total_return"],
        "is_best": int(told["is_best"]),
        "logged_at": _time_of(entry),
    }


def _correct_metric(history: History, entry: Entry) -> None:
    history.change(("metrics", entry.arguments["token"]), value=entry.arguments["value"])


def _delete_metrics(history: History, entry: Entry) -> None:
    for token in entry.arguments["tokens"]:
        history.rows["metrics", token] = None


def _save_checkpoint(history: History, entry: Entry) -> None:
    told = entry.arguments
    experiment = told["experiment"]
    for identity, row in history.of_experiment("checkpoints", experiment):
        history.rows[identity] = None if row["step"] < told["keep_from"] else {**row, "is_best": 0}
    history.rows["checkpoints", experiment, told["step"]] = {
        "id": entry.answer or SomeId(),
        "experiment_id": experiment,
        "step": told["step"],
        "weights": bytes.fromhex(told["weights"]),
        "is_best": 1,
    }


def _finish_experiment(history: History, entry: Entry) -> None:
    told = entry.arguments
    history.change(
        ("experiments", history.names[told["experiment"]]),
        status=told["status"],
        best_return=told["best_return"],
        early_stopped=int(told["early_stopped"]),
    )


_EFFECTS: Mapping[str, Callable[[History, Entry], None]] = {
    "start_experiment": _start_experiment,
    "log_metric": _log_metric,
    "finish_episode": _finish_episode,
    "correct_metric": _correct_metric,
    "delete_metrics": _delete_metrics,
    "save_checkpoint": _save_checkpoint,
    "finish_experiment": _finish_experiment,
}


def _time_of(entry: Entry) -> Within:
    # An operation without an answer may still be carried out by the server after its writer was gone.
    return Within(entry.began_at, entry.answered_at or entry.began_at + 3600)


def _stamp(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%S")
