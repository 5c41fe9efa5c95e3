"""What verification found, as values; knows neither how it was found nor how it is shown.

A report names keys and columns. It holds values only when they were asked for: a report is mailed around, rows are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dualdb.core.events import Event
from dualdb.core.store import Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dualdb.core.compare import DifferenceKind
    from dualdb.core.store import Key, Row, Value
    from dualdb.stores.source_evidence import Orphans


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """How far a verification has come; given to the observer after every range."""

    table: str
    rows: int
    """Rows of this table compared so far, in whatever order they were met."""
    mismatches: int
    """Rows found different so far, in all tables."""


Observer: TypeAlias = "Callable[[Progress], object]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One row that differs between two states which should be equal: seen twice, on two aligned pairs."""

    kind: DifferenceKind
    table: str
    key: Key
    columns: tuple[str, ...] = ()
    """The columns that differ; () for a row that is missing or extra."""
    control: Row | None = None
    """The authority's row, None unless values were asked for."""
    candidate: Row | None = None
    """The follower's row, None unless values were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """One table."""

    name: str
    compared: int
    """Rows and keys compared; a key that changed meanwhile counts each time."""
    mismatches: int
    """The sum of the three below."""
    missing: int
    """Rows that the authority has and the follower has not: a repair inserts them."""
    extra: int
    """Rows that the follower has and the authority has not: a repair deletes them, and keeps them elsewhere."""
    different: int
    """Rows that both have, with other values: a repair overwrites the follower's, and keeps those elsewhere."""
    quarantined: int
    unsettled: int
    """Keys that changed so often that they were never at rest on an aligned pair; nothing is known against them."""
    control_count: int | None = None
    """Rows of the authority at one instant, rows in flight left out; None where they were not counted."""
    candidate_count: int | None = None
    """Rows of the follower at the same instant, with those that it holds in quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Whether the next automatic id of a table is one that was never used."""

    table: str
    next_id: int | None
    """What the authority will give out next; None when it has nothing to give ids out with."""
    used: int
    """The highest id ever used, as far as either side knows."""
    sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One verification."""

    full: bool
    """Whether every row was compared, or only those that changed since the last verified position."""
    authority: str
    """'source' or 'target'."""
    epoch: int
    position: str
    """Up to here in the authority's journal everything is verified."""
    since: str | None
    """Where an incremental verification began, None for a full one."""
    reason: str | None
    """Why a full verification was done although an incremental one was asked for."""
    began_at: float
    """Seconds since 1970."""
    duration_s: float
    schema_version: str
    """`Schema.version` of the schema that was compared."""
    pairs: int
    """How many aligned pairs of snapshots were used."""
    tables: tuple[TableReport, ...]
    mismatches: tuple[Mismatch, ...]
    """The first ones; `mismatched` counts them all."""
    mismatched: int
    repaired: int
    """Differing keys that were journaled again, so that the relay brings their rows over."""
    kept: str | None = None
    """The file with the follower's rows that the repair deletes or overwrites; None where there are none."""
    missing_objects: tuple[str, ...] = ()
    """Indexes and views of the schema that the target does not have."""
    sequences: tuple[Sequence, ...] = ()
    orphans: tuple[Orphans, ...] = ()
    """Rows whose foreign key points to no row. SQLite declares and does not enforce: listed, not held against."""

    @property
    def quarantined(self) -> int:
        """Rows that the follower cannot hold, in all tables."""
        return sum(table.quarantined for table in self.tables)

    @property
    def unsettled(self) -> int:
        """Keys about which nothing could be said, in all tables."""
        return sum(table.unsettled for table in self.tables)

    @property
    def compared(self) -> int:
        """Rows and keys compared, in all tables."""
        return sum(table.compared for table in self.tables)

    @property
    def miscounted(self) -> tuple[TableReport, ...]:
        """Tables of which one side has more rows than the other at one instant."""
        return tuple(table for table in self.tables if table.control_count != table.candidate_count)

    @property
    def rows_agree(self) -> bool:
        """Whether every row and every count was found equal. Quarantined rows are not counted here: they have a gate of
        their own.
        """
        return not (self.mismatched or self.unsettled or self.miscounted)

    @property
    def agrees(self) -> bool:
        """Whether both sides were found equal, and no id that was used will be given again. Missing objects and orphans
        are told and not held against.
        """
        return self.rows_agree and all(sequence.sound for sequence in self.sequences)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON's own types. Blobs and undecodable text stand as {"blob_hex": …}, {"text_hex": …}."""
        return {
            **self.summary(),
            "tables": [_table(table) for table in self.tables],
            "mismatches": [_mismatch(mismatch) for mismatch in self.mismatches],
            "kept": self.kept,
            "missing_objects": list(self.missing_objects),
            "sequences": [
                {"table": one.table, "next_id": one.next_id, "used": one.used, "sound": one.sound}
                for one in self.sequences
            ],
            "orphans": [_orphans(one) for one in self.orphans],
        }

    def summary(self) -> dict[str, Any]:
        """What is noted in the control row: the numbers, and no list."""
        return {
            "agrees": self.agrees,
            "full": self.full,
            "authority": self.authority,
            "epoch": self.epoch,
            "position": self.position,
            "schema_version": self.schema_version,
            "since": self.since,
            "reason": self.reason,
            "began_at": self.began_at,
            "duration_s": self.duration_s,
            "pairs": self.pairs,
            "compared": self.compared,
            "mismatched": self.mismatched,
            "repaired": self.repaired,
            "quarantined": self.quarantined,
            "unsettled": self.unsettled,
        }


def _table(table: TableReport) -> dict[str, Any]:
    return {
        "name": table.name,
        "compared": table.compared,
        "mismatches": table.mismatches,
        "missing": table.missing,
        "extra": table.extra,
        "different": table.different,
        "quarantined": table.quarantined,
        "unsettled": table.unsettled,
        "control_count": table.control_count,
        "candidate_count": table.candidate_count,
    }


def _mismatch(mismatch: Mismatch) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": mismatch.kind.value,
        "table": mismatch.table,
        "key": _values(mismatch.key),
        "columns": list(mismatch.columns),
    }
    if mismatch.control is not None:
        found["control"] = _values(mismatch.control)
    if mismatch.candidate is not None:
        found["candidate"] = _values(mismatch.candidate)
    return found


def _orphans(orphans: Orphans) -> dict[str, Any]:
    return {
        "table": orphans.table,
        "columns": list(orphans.columns),
        "parent": orphans.parent,
        "count": orphans.count,
        "keys": [_values(key) for key in orphans.keys],
        "problem": orphans.problem,
    }


def _values(values: tuple[Value, ...]) -> list[Any]:
    return [_plain(value) for value in values]


def _plain(value: Value) -> object:
    if isinstance(value, bytes):
        return {"blob_hex": value.hex()}
    if isinstance(value, Undecodable):
        return {"text_hex": value.raw.hex()}
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return {"real": str(value)}  # JSON has no infinities
    return value
