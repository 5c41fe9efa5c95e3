"""Whether a database holds what the writers were told: lost, doubled and different rows, counted and named.

Judges with a copy of the beginning, the ledgers and the rows of plain SELECTs; uses nothing of what it judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dualdb.entrypoints.demo_application import STARTED
from dualdb.entrypoints.demo_history import find_histories

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dualdb.entrypoints.demo_history import History, Identity, Record
    from dualdb.entrypoints.demo_ledger import Entry

IDENTITIES: Mapping[str, tuple[str, ...]] = {
    "experiments": ("name",),
    "hyperparameters": ("experiment_id", "name"),
    "metrics": ("token",),
    "episodes": ("experiment_id", "episode_num"),
    "checkpoints": ("experiment_id", "step"),
}
"""The columns by which the application tells the rows of its tables apart; `totals` is shared and judged by itself."""
KEYS: Mapping[str, tuple[str, ...]] = {
    "experiments": ("id",),
    "hyperparameters": ("experiment_id", "name"),
    "metrics": ("id",),
    "episodes": ("id",),
    "checkpoints": ("id",),
    "totals": ("name",),
}
"""The columns of the primary keys, in whose order rows are read."""
_SHOWN = 5


class Tables(Protocol):
    """A database as the oracle sees it."""

    def rows(self, table: str) -> Iterator[Record]:
        """All rows of a table in the order of its primary key."""

    def find(self, table: str, values: Mapping[str, object]) -> Record | None:
        """A row with these values, None when there is none."""


@dataclass(slots=True)
class Verdict:
    """What was found."""

    rows: int = 0
    lost: int = 0
    doubled: int = 0
    """The same row twice, or a row that nobody wrote."""
    different: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """All of them together."""
        return self.lost + self.doubled + self.different

    def add_lost(self, what: str) -> None:
        """Count a row that should be there."""
        self.lost += 1
        self._show(f"lost: {what}")

    def add_doubled(self, what: str) -> None:
        """Count a row that should not be there."""
        self.doubled += 1
        self._show(f"doubled: {what}")

    def add_different(self, what: str) -> None:
        """Count a row with other values than it should have."""
        self.different += 1
        self._show(f"different: {what}")

    def add(self, other: Verdict) -> None:
        """Take over another one's findings."""
        self.rows += other.rows
        self.lost += other.lost
        self.doubled += other.doubled
        self.different += other.different
        for example in other.examples:
            self._show(example)

    def _show(self, example: str) -> None:
        if len(self.examples) < _SHOWN:
            self.examples.append(example)


def judge(beginning: Tables, ledgers: Sequence[Sequence[Entry]], actual: Tables) -> Verdict:
    """Compare a database with the beginning and all that its writers did."""

    def first(identity: Identity) -> Record | None:
        table, *values = identity
        return beginning.find(table, dict(zip(IDENTITIES[table], values, strict=True)))

    ids = {row["name"]: row["id"] for row in actual.rows("experiments")}
    histories = [list(find_histories(entries, first, ids)) for entries in ledgers]
    touched: dict[Identity, list[Record]] = {
        identity: [] for choices in histories for history in choices for identity in history.rows
    }
    verdict = Verdict()
    for table in IDENTITIES:
        _judge_untouched(table, beginning, actual, touched, verdict)
    for choices in histories:
        # A row that one choice touched and another did not must be, in the other, as it was in the beginning.
        for identity in {identity for history in choices for identity in history.rows}:
            for history in choices:
                history.change(identity)
        verdict.add(min((_judge_history(history, touched) for history in choices), key=lambda found: found.faults))
    _judge_total(beginning, ledgers, actual, verdict)
    return verdict


def compare(source: Tables, target: Tables) -> Verdict:
    """Compare the two databases with each other: every column of every row."""
    verdict = Verdict()
    for table in KEYS:
        for here, there in _merge(table, source.rows(table), target.rows(table)):
            if there is None:
                verdict.add_lost(f"{table} {here} is in SQLite only")
            elif here is None:
                verdict.add_doubled(f"{table} {there} is in PostgreSQL only")
            elif here != there:
                verdict.add_different(f"{table} is {here} in SQLite and {there} in PostgreSQL")
            verdict.rows += here is not None
    return verdict


def _judge_untouched(
    table: str, beginning: Tables, actual: Tables, touched: dict[Identity, list[Record]], verdict: Verdict
) -> None:
    """Compare the rows that no writer touched with the beginning; the others are put aside into `touched`."""
    expected = (row for row in beginning.rows(table) if _identity(table, row) not in touched)
    for before, now in _merge(table, expected, _put_aside(table, actual.rows(table), touched)):
        if now is None:
            verdict.add_lost(f"{table} {before}, there from the beginning")
        elif before is None:
            verdict.add_doubled(f"{table} {now}, which nobody wrote")
        elif before != now:
            verdict.add_different(f"{table} was {before} from the beginning and is {now}")
        verdict.rows += now is not None


def _put_aside(table: str, rows: Iterator[Record], touched: dict[Identity, list[Record]]) -> Iterator[Record]:
    for row in rows:
        found = touched.get(_identity(table, row))
        if found is None:
            yield row
        else:
            found.append(row)


def _judge_history(history: History, touched: Mapping[Identity, Sequence[Record]]) -> Verdict:
    verdict = Verdict()
    for identity, expected in history.rows.items():
        found = touched[identity]
        verdict.rows += len(found)
        if expected is None:
            for row in found:
                verdict.add_doubled(f"{identity[0]} {row}, which was deleted")
        elif not found:
            verdict.add_lost(f"{identity[0]} {expected}, acknowledged")
        else:
            for row in found[1:]:
                verdict.add_doubled(f"{identity[0]} {row}, beside {found[0]}")
            if expected != found[0]:
                verdict.add_different(f"{identity[0]} should be {expected} and is {found[0]}")
    return verdict


def _judge_total(beginning: Tables, ledgers: Sequence[Sequence[Entry]], actual: Tables, verdict: Verdict) -> None:
    """The row that all writers raise by one: no addition may be missing, none counted twice."""
    starts = [entry for entries in ledgers for entry in entries if entry.action == "start_experiment"]
    before = beginning.find("totals", {"name": STARTED})
    least = (before["value"] if before else 0) + sum(entry.acknowledged for entry in starts)
    most = least + sum(not entry.acknowledged and not entry.refused for entry in starts)
    rows = list(actual.rows("totals"))
    verdict.rows += len(rows)
    for row in rows[1:]:
        verdict.add_doubled(f"totals {row}")
    if not rows:
        verdict.add_lost(f"totals {STARTED!r}")
    elif not least <= rows[0]["value"] <= most:
        verdict.add_different(f"totals is {rows[0]} and should be {least} to {most}")


def _merge(
    table: str, left: Iterator[Record], right: Iterator[Record]
) -> Iterator[tuple[Record | None, Record | None]]:
    """Pairs of rows with the same primary key; None where one side has none. Both must be in its order."""
    here, there = next(left, None), next(right, None)
    while here is not None or there is not None:
        if there is None or (here is not None and _position(table, here) < _position(table, there)):
            yield here, None
            here = next(left, None)
        elif here is None or _position(table, there) < _position(table, here):
            yield None, there
            there = next(right, None)
        else:
            yield here, there
            here, there = next(left, None), next(right, None)


def _identity(table: str, row: Record) -> Identity:
    return (table, *(row[column] for column in IDENTITIES[table]))


def _position(table: str, row: Record) -> tuple[object, ...]:
    return tuple(row[column] for column in KEYS[table])
