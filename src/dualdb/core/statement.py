"""A statement of the application and the plan that PostgreSQL executes for it.

Values only: `core.translate` makes plans, the driver runs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.schema import Affinity, TargetType


def row_parameter(position: int) -> str:
    """What a parameter is called that takes a row's value (`Plan.each`); no name of the application's has a dot."""
    return f"row.{position}"


class Kind(Enum):
    """What a statement does, as far as transactions and routing care."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    TRANSACTION = "transaction"
    """BEGIN, COMMIT, END, ROLLBACK, SAVEPOINT, RELEASE."""
    CATALOG = "catalog"
    """Reads only the schema (sqlite_master, PRAGMA table_info …): a SQLite with the schema and no rows answers it."""
    PRAGMA = "pragma"
    """A PRAGMA that is emulated or ignored, see `Plan.pragma`."""


class Decoder(Enum):
    """How one result column becomes the value that SQLite would have returned."""

    AS_IS = "as is"
    """int, float, str, bytes, None as psycopg gives them."""
    NUMBER = "number"
    """float8 of `TargetType.NUMBER`: integral and in the int64 range becomes int."""
    ANY = "any"
    """bytea of `TargetType.ANY`: the value of its own class (core.types.from_target)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One placeholder of the PostgreSQL text, in order.

    `source` is the index of the application's positional parameter (0-based) or the name of its named one.
    The driver adapts the value as sqlite3 does, applies `affinity` (core.types.apply_affinity; None: as it is), and
    refuses a value that `stored` cannot hold (core.types.representable), and encodes it (core.types.to_target).
    """

    source: int | str
    affinity: Affinity | None = None
    stored: TargetType | None = None
    column: str | None = None
    """'table.column' that the value is for, named in errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One PostgreSQL statement of a plan. With parameters its text is in psycopg's format, `%s` placeholders and `%`
    doubled elsewhere; without any it is sent as it is, and psycopg must be given None for them.
    """

    sql: str
    parameters: Sequence[Parameter] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultColumn:
    """One column of the result: what `description` and the converters need."""

    name: str
    decoder: Decoder = Decoder.AS_IS
    decltype: str | None = None
    """Declared type when the column is a plain reference to a table's column (for PARSE_DECLTYPES)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What PostgreSQL executes for one statement of the application."""

    kind: Kind
    steps: Sequence[Target] = ()
    """Run in order in one transaction (one round trip in pipeline mode). The *last* step's result counts: its rows for
    a query or RETURNING, its row count for a write. Steps before it prepare (the deletes of OR REPLACE …)."""
    columns: Sequence[ResultColumn] | None = None
    """None when the statement returns no rows."""
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    """Lower-cased table names, views seen through."""
    insert_id: bool = False
    """The last step returns one extra, last result column: the rowid of each inserted row, NULL for one that an upsert
    changed. The driver takes lastrowid from the last that is not NULL, if any, and drops the column."""
    rows_written: int | None = None
    """None: rowcount is the last step's; else the number that sqlite3 reports whatever the steps did."""
    verb: str = ""
    """First keyword, upper case: INSERT, REPLACE, UPDATE, DELETE, SELECT, WITH, BEGIN …"""
    name: str | None = None
    """Savepoint's name, created or dropped object's name, BEGIN's mode (None, DEFERRED, IMMEDIATE, EXCLUSIVE)."""
    object: str | None = None
    """What a DDL statement creates or drops: table, index, view."""
    if_exists: bool = False
    """IF [NOT] EXISTS was written."""
    pragma: str | None = None
    """The PRAGMA's name, lower-cased; also vacuum, analyze, reindex."""
    rows: Sequence[tuple[int | str, ...]] = ()
    """The whole answer of an emulated PRAGMA, under `columns`; executed nowhere."""
    fingerprint: str = ""
    each: Plan | None = None
    """Executed for each row that the last step returns, one after the other; its parameters named `row_parameter` are
    that row's values. It is what SQLite does row by row, and one statement over all of them at once would not."""
    row_columns: Sequence[ResultColumn] = ()
    """The columns of those rows."""
    policy: str = "ABORT"
    """What a violated constraint ends (lang_conflict.html): ABORT undoes the statement, FAIL keeps the rows before,
    ROLLBACK ends the transaction."""
    notes: Sequence[str] = field(default_factory=tuple)
