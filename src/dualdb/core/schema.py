"""The application's schema as values: tables, columns, keys, indexes, views.

Knows no database and reads nothing; `stores.catalog` makes these values from a live SQLite schema and both
directions of the relay, the translator and verification work from the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dualdb.core.sqltext import fold

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWID_COLUMN = "_dualdb_rowid"
"""Name of the hidden column that carries SQLite's rowid on the target, for a table without INTEGER PRIMARY KEY."""


class Affinity(Enum):
    """Column affinity (sqlite.org/datatype3.html, section 3.1)."""

    INTEGER = "INTEGER"
    REAL = "REAL"
    TEXT = "TEXT"
    NUMERIC = "NUMERIC"
    BLOB = "BLOB"


class TargetType(Enum):
    """How the target stores a column."""

    BIGINT = "bigint"
    """64-bit integers only: `bigint`."""
    DOUBLE = "double"
    """Floats only, bit for bit: `double precision`."""
    TEXT = "text"
    """Text only, ordered as memcmp orders it: `text COLLATE "C"`."""
    BYTEA = "bytea"
    """Blobs only: `bytea`."""
    NUMBER = "number"
    """Integers and floats of a NUMERIC-affinity column, as `double precision`: an integral value in the int64 range
    reads back as an integer, the very rule by which SQLite stores it (datatype3.html, section 3). An integer that a
    float cannot hold exactly is not representable."""
    ANY = "any"
    """Values of any storage class, each with its class: `bytea`, as `core.types.to_target` encodes them."""


class KeyKind(Enum):
    """What identifies a row on both sides."""

    INTEGER_PRIMARY_KEY = "integer primary key"
    """An alias of the rowid: one integer, never NULL."""
    DECLARED = "declared"
    """The declared primary key, each of its columns NOT NULL (always so in a WITHOUT ROWID table)."""
    ROWID = "rowid"
    """The rowid itself, carried by the target in `ROWID_COLUMN`; VACUUM may renumber it where there is no index
    (https://sqlite.org/lang_vacuum.html, section 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as declared, and how the target stores it."""

    name: str
    decltype: str
    """The declared type as written, '' when there is none."""
    affinity: Affinity
    stored: TargetType
    collation: str = "BINARY"
    not_null: bool = False
    default: str | None = None
    """The default's SQL text as SQLite reports it, None when there is none."""
    generated: str | None = None
    """The expression of a generated column, None for an ordinary one."""


HIDDEN_ROWID = Column(
    name=ROWID_COLUMN,
    decltype="INTEGER",  # what sqlite3_column_decltype says of a rowid
    affinity=Affinity.INTEGER,
    stored=TargetType.BIGINT,
    not_null=True,
)
"""The rowid as a column of the target's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The columns that identify a row; for `KeyKind.ROWID` the one column `ROWID_COLUMN`."""

    kind: KeyKind
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTerm:
    """One term of an index: a column by name, or an expression by its SQL text."""

    column: str | None
    expression: str | None
    collation: str = "BINARY"
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index; `origin` is 'c' (CREATE INDEX), 'u' (UNIQUE constraint) or 'pk' (PRIMARY KEY)."""

    name: str
    table: str
    unique: bool
    origin: str
    terms: tuple[IndexTerm, ...]
    where: str | None = None
    sql: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A CHECK constraint: its name, if it has one, and its expression's SQL text."""

    name: str | None
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A declared foreign key; SQLite enforces it only under `PRAGMA foreign_keys = ON`."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_update: str = "NO ACTION"
    on_delete: str = "NO ACTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An ordinary table."""

    id: int
    """Its number in both journals; never reused for another table."""
    name: str
    sql: str
    columns: tuple[Column, ...]
    key: Key
    primary_key: tuple[str, ...] = ()
    """The declared PRIMARY KEY's columns, () when there is none."""
    autoincrement: bool = False
    without_rowid: bool = False
    strict: bool = False
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()

    def column(self, name: str) -> Column:
        """The column of that name, case-insensitively (ASCII), the hidden rowid too; KeyError when there is none."""
        for column in self.columns:
            if fold(column.name) == fold(name):
                return column
        if name == ROWID_COLUMN and self.rowid is HIDDEN_ROWID:
            return HIDDEN_ROWID
        raise KeyError(name)

    @property
    def rowid(self) -> Column | None:
        """The column that holds the rowid on the target: the INTEGER PRIMARY KEY, else `HIDDEN_ROWID`; None for a
        WITHOUT ROWID table.
        """
        if self.key.kind is KeyKind.INTEGER_PRIMARY_KEY:
            return self.column(self.key.columns[0])
        return None if self.without_rowid else HIDDEN_ROWID

    @property
    def carried(self) -> tuple[str, ...]:
        """Column names of a row as the relay carries it: `ROWID_COLUMN` first where the rowid has no other column, then
        every column that is not generated, in declared order.
        """
        return tuple(column.name for column in self._carried)

    @property
    def carried_types(self) -> tuple[TargetType, ...]:
        """Target types of `carried`, in the same order."""
        return tuple(column.stored for column in self._carried)

    @property
    def _carried(self) -> tuple[Column, ...]:
        plain = tuple(column for column in self.columns if column.generated is None)
        return (HIDDEN_ROWID, *plain) if self.rowid is HIDDEN_ROWID else plain

    @property
    def key_positions(self) -> tuple[int, ...]:
        """Where the key's columns stand in `carried`."""
        names = self.carried
        return tuple(names.index(column) for column in self.key.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view by its CREATE statement."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One of the application's own triggers by its CREATE statement."""

    name: str
    table: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Everything of the application's that sqlite_master lists, our own objects left out."""

    tables: Mapping[str, Table]
    """By lower-cased name."""
    views: Mapping[str, View] = field(default_factory=dict)
    triggers: tuple[Trigger, ...] = ()
    version: str = ""
    """Changes whenever anything above changes."""

    def table(self, name: str) -> Table:
        """The table of that name, case-insensitively (ASCII); KeyError when there is none."""
        return self.tables[fold(name)]
