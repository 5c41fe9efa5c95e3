"""A typed piece of PostgreSQL text: what an SQLite expression became, and what is known of its values.

Knows no syntax tree. `sql` carries parameters as markers (`work.Work.placeholder`) until the statement is finished.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from dualdb.core.names import quoted
from dualdb.core.schema import Affinity, TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.schema import Column

INT64 = range(-(2**63), 2**63)
EXACT_FLOAT = 2**53
"""Every integer up to here, and not all beyond, is a double."""


class Storage(Enum):
    """What values an expression can have besides NULL, and the PostgreSQL type that carries them."""

    INTEGER = "bigint"
    REAL = "double precision"
    NUMBER = "number"
    """Integers and floats of a NUMERIC column, as double precision."""
    TEXT = "text"
    BLOB = "bytea"
    ANY = "any"
    """Values of any class, each encoded with its class (`core.types.to_target`)."""
    NULL = "null"
    """NULL and nothing else."""
    TRUTH = "boolean"
    """The integers 0 and 1, still as PostgreSQL's boolean."""
    OPEN = "parameter"
    """A parameter whose class nothing has told yet."""

    @property
    def type_name(self) -> str:
        """The PostgreSQL type."""
        return _TYPE_NAMES.get(self, self.value)

    @property
    def is_numeric(self) -> bool:
        """Whether values of this class are compared as numbers."""
        return self in _NUMERIC


_TYPE_NAMES = {Storage.NUMBER: "double precision", Storage.ANY: "bytea", Storage.NULL: "text"}
_NUMERIC = frozenset({Storage.INTEGER, Storage.REAL, Storage.NUMBER, Storage.TRUTH})

STORED_AS: Mapping[TargetType, Storage] = {
    TargetType.BIGINT: Storage.INTEGER,
    TargetType.DOUBLE: Storage.REAL,
    TargetType.NUMBER: Storage.NUMBER,
    TargetType.TEXT: Storage.TEXT,
    TargetType.BYTEA: Storage.BLOB,
    TargetType.ANY: Storage.ANY,
}
STORES: Mapping[Storage, TargetType] = {storage: stored for stored, storage in STORED_AS.items()} | {
    Storage.TRUTH: TargetType.BIGINT
}
NUMERIC_AFFINITIES = frozenset({Affinity.INTEGER, Affinity.REAL, Affinity.NUMERIC})

type_of_value = {int: Storage.INTEGER, float: Storage.REAL, str: Storage.TEXT, bytes: Storage.BLOB}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """An expression's PostgreSQL text with its static type; operators are parenthesised already."""

    sql: str
    storage: Storage
    affinity: Affinity | None = None
    """None for an expression without affinity (datatype3.html, section 3.2)."""
    collation: str | None = None
    """That of the column or COLLATE operator; None means BINARY, and gives way to the other operand's."""
    explicit: bool = False
    """The collation comes from a COLLATE operator."""
    in_c: bool = False
    """PostgreSQL itself already gives this text the collation "C"."""
    constant: int | float | str | bytes | None = None
    """The value of a literal; None for everything else, and for NULL."""
    parameter: int | str | None = None
    """The application's parameter behind a placeholder of class OPEN."""
    column: Column | None = None
    """The table's column that this is a plain reference to."""
    label: str | None = None
    """'table.column' of that column."""
    plain_text: bool = False
    """A text that never looks like a number, whatever its affinity."""
    is_json: bool = False
    """A document that one of the JSON functions has made: JSON where another one takes it (json1.html, section 3.4)."""
    varying: str | None = None
    """What stands for it in a document, where only its value tells whether it is JSON itself."""

    @property
    def is_constant(self) -> bool:
        """Whether the value is known here and now."""
        return self.constant is not None

    def bare(self) -> Term:
        """The same value as the result of an expression: no affinity, no column, no collation."""
        return replace(
            self, affinity=None, collation=None, explicit=False, column=None, label=None, is_json=False, varying=None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A translated query and its result columns by name, in order."""

    sql: str
    fields: Mapping[str, Term]
    order: str | None = None
    """What brings the rows of an unordered query into SQLite's order, '' when nothing need be done, None when that
    order is not provable."""
    is_single: bool = False
    """Whether it always gives exactly one row."""

    def renamed(self, names: Sequence[str]) -> Query:
        """The same under other names for its columns."""
        if list(self.fields) == list(names):
            return self
        columns = ", ".join(quoted(name) for name in names)
        sql = f'SELECT * FROM ({self.sql}) AS "_named" ({columns})'
        return replace(self, sql=sql, fields=dict(zip(names, self.fields.values(), strict=True)))


def constant(value: float | str | bytes) -> Term:
    """A literal."""
    return Term(sql=_written(value), storage=type_of_value[type(value)], constant=value)


def null() -> Term:
    """The literal NULL."""
    return Term(sql="NULL", storage=Storage.NULL)


def truth(sql: str) -> Term:
    """The result of a comparison or of logic."""
    return Term(sql=sql, storage=Storage.TRUTH)


def computed(sql: str, storage: Storage) -> Term:
    """The result of a function or an operator."""
    return Term(sql=sql, storage=storage, in_c=False)


def _written(value: float | str | bytes) -> str:
    match value:
        case int():
            return f"({value})" if value < 0 else str(value)
        case float():
            return (
                f"'{value!r}'::double precision"
                if math.copysign(1, value) < 0 or value in _UNWRITABLE
                else f"{value!r}::double precision"
            )
        case str():
            return "'" + value.replace("'", "''") + "'"
        case bytes():
            return f"'\\x{value.hex()}'::bytea"


_UNWRITABLE = (float("inf"), float("-inf"))
