"""What the relay and verification see of a database: the two roles that either database can play.

`stores.source` and `stores.target` each implement both roles; the relay never learns which one it talks to.
Values are SQLite's: int, float, str, bytes, None. Positions are opaque text; only the store that made one reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from dualdb.core.schema import Schema, Table

Value: TypeAlias = "int | float | str | bytes | Undecodable | None"
Key: TypeAlias = "tuple[Value, ...]"
"""The values of `table.key.columns`, in that order."""
Row: TypeAlias = "tuple[Value, ...]"
"""The values of `table.carried`, in that order."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Text that is not valid UTF-8, by its exact bytes; SQLite can hold it, PostgreSQL cannot."""

    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Some of what changed since a position: distinct keys by table id."""

    keys: Mapping[int, Sequence[Key]]
    position: str
    """After these keys are applied the follower has everything up to here."""
    complete: bool
    """True when `position` is the snapshot's own: the follower is then equal to this snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """How far the copy of one table has come."""

    cursor: Key | None = None
    """The last key copied, None before the first."""
    done: bool = False
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """What the follower holds, stored on the follower in the transaction that made it true."""

    epoch: int
    position: str
    """Everything up to here was applied, at this or a later state: progress."""
    aligned: bool
    """True when the follower equals the authority as of `position`, exactly."""
    schema_version: str = ""
    """`Schema.version` of the authority's schema that the follower's tables were made from."""
    copies: Mapping[int, Copy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBatch:
    """What one batch does to one table: delete these keys, then insert these rows (their current state)."""

    table: Table
    deletes: Sequence[Key]
    rows: Sequence[Row]
    fresh: Sequence[Row] = ()
    """Rows of the copied range; their keys are deleted first too, since a changed key beyond the cursor may have been
    applied before its range was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row that the follower cannot hold, kept with its exact bytes; blocks the next phase."""

    table: str
    key: str
    """The key as SQL literals, readable and exact."""
    reason: str
    image: bytes
    """The row, encoded by `core.types.encode_row`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The outcome of one batch."""

    deleted: int
    inserted: int
    quarantined: Sequence[Quarantined] = ()


class Snapshot(Protocol):
    """One read snapshot of a database; all its answers belong to the same instant."""

    @property
    def position(self) -> str:
        """The journal's head in this snapshot (of the authority); the watermark's position (of the follower)."""

    @property
    def epoch(self) -> int:
        """The control row's epoch in this snapshot."""

    @property
    def schema(self) -> Schema:
        """The application's schema in this snapshot, parsed again only when it changed."""

    def retains(self, position: str) -> bool:
        """Whether the journal still holds everything after that position."""

    def changes(self, after: str, limit: int) -> Changes:
        """The distinct keys journaled after that position, from about `limit` journal rows at most."""

    def rows(self, table: Table, keys: Sequence[Key]) -> list[Row]:
        """The current rows of these keys, each row once, in no particular order; a key without a row is left out."""

    def range(self, table: Table, after: Key | None, limit: int) -> list[Row]:
        """The next `limit` rows in the key's own order, beginning behind `after`."""

    def count(self, table: Table) -> int:
        """How many rows the table has."""


class Store(Protocol):
    """One database, in whichever role the phase gives it."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """A read snapshot; raises `TargetLostError`, `SourceError`."""

    def prune(self, through: str) -> int:
        """As authority: forget journal rows up to a position that the follower has made durable; how many went."""

    def head_moved(self) -> bool:
        """As authority: cheaply, whether anything may have been committed since this was last asked."""

    def watermark(self) -> Watermark:
        """As follower: what it holds."""

    def apply(self, expected: Watermark, result: Watermark, tables: Sequence[TableBatch]) -> Applied:
        """As follower: one transaction that compares the stored watermark and the epoch with `expected`, deletes,
        inserts, stores `result`. Rows that cannot be held are quarantined. Raises OvertakenError when the compare
        fails; nothing is written then.
        """

    def follow_schema(self, expected: Watermark, result: Watermark, schema: Schema) -> Watermark:
        """As follower: bring the tables to that schema in one transaction with the watermark; tables that are new or
        were remade come back with an empty `Copy`, cleared.
        """

    def quarantine(self) -> Iterator[Quarantined]:
        """As follower: the rows that it could not hold."""
