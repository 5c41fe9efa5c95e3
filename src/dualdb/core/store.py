"""What the relay and verification see of a database: the two roles that either database can play.

`stores.source` and `stores.target` each implement both roles; the relay never learns which one it talks to.
Values are SQLite's: int, float, str, bytes, None. Positions are opaque text; only the store that made one reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from dualdb.core.schema import Schema, Table

Value: TypeAlias = "int | float | str | bytes | Undecodable | None"
Key: TypeAlias = "tuple[Value, ...]"
"""The values of `table.key.columns`, in that order."""
Row: TypeAlias = "tuple[Value, ...]"
"""The values of `table.carried`, in that order."""


NO_SCHEMA = ""
"""`schema_version` of a follower whose tables are not known to be those of any schema: it must be led to one."""
KEPT_ROWS = 100_000
"""Journal rows that the relay keeps of what the follower holds already: verification walks on many pairs, begins where
it last ended, and asks what changed in between."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Text that is not valid UTF-8, by its exact bytes; SQLite can hold it, PostgreSQL cannot."""

    raw: bytes

    def __len__(self) -> int:
        """What it weighs among texts and blobs."""
        return len(self.raw)


LARGE_CLASSES = frozenset({str, bytes, Undecodable})
"""Of values that can be large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Some of what changed since a position: distinct keys by table id."""

    keys: Mapping[int, Sequence[Key]]
    position: str
    """After these keys are applied the follower has everything up to here."""
    complete: bool
    """True when `position` is the snapshot's own: the follower is then equal to this snapshot."""
    restarts: frozenset[int] = frozenset()
    """Tables that had a gap in their capture, or whose rowids were renumbered: to be copied from their beginning."""
    journaled: int = 0
    """How many journal rows these are from: more than keys where a key changed several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """How far the copy of one table has come. A copy that has not begun clears the follower's table first; one that has
    has nothing beyond its cursor there.
    """

    cursor: Key | None = None
    """The last key copied, None before the first."""
    done: bool = False
    rows: int = 0

    @property
    def begun(self) -> bool:
        """Whether the table's old rows are gone and its first range was copied."""
        return self.done or self.cursor is not None


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
    """What one batch does to one table: clear it if so told, delete these keys, then insert these rows."""

    table: Table
    deletes: Sequence[Key]
    """Includes the keys of `rows`."""
    rows: Sequence[Row]
    """The current rows of changed keys, none of them beyond the copy's cursor."""
    fresh: Iterable[Sequence[Row]] = ()
    """Rows of the copied range, in parts, read from the authority while they are written; the same when asked again."""
    clear: bool = False
    """Delete every row first: the table's copy begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """Why tables are copied anew after the authority's catalog moved; their names."""

    missing: frozenset[str] = frozenset()
    """Their triggers were missing, or not the ones that they need. A table that is new is not among them."""
    renumbered: frozenset[str] = frozenset()
    """Only the rowid names their rows, and VACUUM may have given them others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row that the follower cannot hold, kept with its exact bytes; blocks the next phase."""

    table: str
    key: str
    """The key's values as SQL literals, readable and exact."""
    reason: str
    """Begins with `CONFLICT` when another row of the follower stood in the way: such a row is tried again."""
    image: bytes
    """The row, encoded by `core.types.encode_row`."""


CONFLICT = "conflict:"


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

    @property
    def proven(self) -> bool:
        """Whether capture (of the authority) or the fence (of the follower) was proven against this very catalog."""

    def retains(self, position: str) -> bool:
        """Whether the journal still holds everything after that position, and the position is of its own past."""

    def find_branch(self, position: str) -> str | None:
        """What to tell when the database went back behind that position and on from there another way, although it may
        know the row that proves it: from there on its journal says nothing to a follower at that position.
        """

    def changes(self, after: str, limit: int) -> Changes:
        """The distinct keys journaled after that position, from about `limit` journal rows at most."""

    def rows(self, table: Table, keys: Sequence[Key], through: Key | None = None) -> list[Row]:
        """The current rows of these keys, each row once, in no particular order; a key without a row is left out, and
        so is a row beyond the key `through` in the key's own order.
        """

    def some_rows(
        self, table: Table, keys: Sequence[Key], most_bytes: int | None, through: Key | None = None
    ) -> tuple[list[Row], Sequence[Key]]:
        """The `rows` of some of these keys, and the keys that are left: none, unless texts and blobs add up to
        `most_bytes`. Those of one key come whatever their size is.
        """

    def range(self, table: Table, after: Key | None, limit: int, most_bytes: int | None = None) -> list[Row]:
        """The next `limit` rows in the key's own order, beginning beyond `after`; fewer where texts and blobs add up to
        `most_bytes`.
        """

    def count(self, table: Table) -> int:
        """How many rows the table has."""


class Store(Protocol):
    """One database, in whichever role the phase gives it. Whatever else is asked of it, a snapshot may be open."""

    path: str
    """The SQLite file of the pair, by which commands name both."""
    uncaptured: int
    """As authority: how often something was committed that the journal does not show."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """A read snapshot; raises `TargetLostError`, `SourceError`."""

    def prune(self, through: str, keep: int = 0) -> int:
        """As authority: forget journal rows up to a position that the follower has made durable, but for the last
        `keep` of them; how many went.
        """

    def head_moved(self) -> bool:
        """As authority: cheaply, whether anything may have been committed since the last snapshot was taken."""

    def make_durable(self) -> None:
        """As authority: let no crash take back what the last snapshot showed, as far as that can be asked for."""

    def mend_capture(self) -> Mended:
        """As authority: put capture back where it is missing or stale and journal the tables whose changes may have
        gone unseen as `Changes.restarts`.
        """

    def watermark(self) -> Watermark:
        """As follower: what it holds."""

    def apply(self, expected: Watermark, tables: Sequence[TableBatch], result: Callable[[], Watermark]) -> Applied:
        """As follower: one transaction that compares the stored watermark and the epoch with `expected`, deletes,
        inserts, stores `result`, which is asked for when all ranges were gone through. Rows that cannot be held are
        quarantined. Raises OvertakenError when the compare fails, BusyError when somebody's lock is in the way; nothing
        is written then.
        """

    def follow_schema(self, expected: Watermark, result: Watermark, schema: Schema) -> Watermark:
        """As follower: bring the tables to that schema in one transaction with the watermark; tables that are new or
        were remade come back with an empty `Copy`, cleared.
        """

    def quarantine(self, table: int | None = None) -> Iterator[Quarantined]:
        """As follower: the rows that it could not hold, of the table with that id or of all."""

    def count_quarantine(self) -> Mapping[str, int]:
        """As follower: how many such rows there are, by table."""

    def conflicting(self) -> Mapping[int, Sequence[Key]]:
        """As follower: keys of the quarantined rows that only another row kept out, by table id."""

    def altered(self) -> str | None:
        """What somebody has changed there about what is dualdb's, if that can be told: why something failed."""

    def cut_off(self) -> None:
        """As follower, from another thread: let what is under way on a server end, as by the loss of the connection."""

    def close(self) -> None:
        """Give up the connections."""
