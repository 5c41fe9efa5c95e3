"""Writing rows into a SQLite file that follows, inside a write transaction that its caller holds.

Every row comes from memory. What SQLite cannot hold as it is (a NaN, a value that the column's affinity would change, a
row that a constraint keeps out) goes to the quarantine with its exact bytes.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dualdb.core.compare import key_of
from dualdb.core.schema import Affinity, TargetType
from dualdb.core.sqltext import quote_literal, quote_name
from dualdb.core.store import CONFLICT, Quarantined
from dualdb.core.types import apply_affinity, encode_row
from dualdb.stores.queries import query
from dualdb.stores.source_read import ASK, bound, column_sql, key_collations, marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dualdb.core.schema import Table
    from dualdb.core.store import Key, Row, TableBatch, Value

_KEPT_AS_IT_IS = frozenset(
    {
        # What the target gives for a column stored so, and a column of this affinity never changes.
        (TargetType.BIGINT, Affinity.INTEGER),
        (TargetType.BIGINT, Affinity.NUMERIC),
        (TargetType.TEXT, Affinity.TEXT),
        *((stored, Affinity.BLOB) for stored in TargetType if stored is not TargetType.ANY),  # a NaN among them
        *((TargetType.BYTEA, affinity) for affinity in Affinity),
    }
)
_FLOATS = (TargetType.DOUBLE, TargetType.NUMBER)
_POISON = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,  # a value of no class of SQLite's, on Python 3.11
    sqlite3.ProgrammingError,  # the same since
    OverflowError,
)
"""What a row can be guilty of; text that is not UTF-8 has to be bound in another way."""


def key_text(key: Key) -> str:
    """The key's values as SQL literals."""
    return ", ".join(quote_literal(value) for value in key)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one transaction has done so far."""

    deleted: int = 0
    inserted: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)


class SourceApplier:
    """Applies the tables of one batch."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Over a connection whose write transaction has passed the compare."""
        self._connection = connection
        self.tally = Tally()
        self._any_quarantined = bool(connection.execute(query(ASK, "any_quarantined")).fetchone()[0])

    def apply(self, batch: TableBatch) -> None:
        """Clear the table if told so, delete the keys, insert the rows."""
        table = batch.table
        if batch.clear:
            self._connection.execute(f"DELETE FROM main.{quote_name(table.name)}")
            self._connection.execute(query(ASK, "clear_quarantined"), (table.id,))
        elif batch.deletes:
            self._delete(table, batch.deletes)
        for rows in (batch.rows, *batch.fresh):
            if rows:
                self._insert(table, rows)

    def _delete(self, table: Table, keys: Sequence[Key]) -> None:
        values = [bound(key) for key in keys]
        collated = any(collation.upper() != "BINARY" for collation in key_collations(table))
        # A key is deleted by its very bytes: its collation may call another row's key equal, which is not meant here.
        exact = "".join(f" AND {column_sql(table, name)} COLLATE BINARY = ?" for name in table.key.columns)
        condition = " AND ".join(f"{column_sql(table, name)} = ?" for name in table.key.columns)
        cursor = self._connection.executemany(
            f"DELETE FROM main.{quote_name(table.name)} WHERE {condition}{exact if collated else ''}",
            [twice * 2 for twice in values] if collated else values,
        )
        self.tally.deleted += max(cursor.rowcount, 0)
        if self._any_quarantined:
            self._connection.executemany(query(ASK, "forget_quarantined"), [(table.id, key_text(key)) for key in keys])

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        columns = ", ".join(column_sql(table, name) for name in table.carried)
        # OR ABORT: a constraint declared with ON CONFLICT REPLACE must not delete another row here.
        text = f"INSERT OR ABORT INTO main.{quote_name(table.name)} ({columns}) VALUES "
        wrong = _changed_by_sqlite(table, rows)
        good = rows if not wrong else [row for place, row in enumerate(rows) if place not in wrong]
        self._connection.execute("SAVEPOINT _dualdb_rows")
        try:
            self._connection.executemany(f"{text}({', '.join('?' for _ in table.carried)})", good)
            self.tally.inserted += len(good)
        except _POISON:
            self._connection.execute("ROLLBACK TO _dualdb_rows")
            self._insert_one_by_one(table, text, good)
        self._connection.execute("RELEASE _dualdb_rows")
        for place, reason in wrong.items():
            self._quarantine(table, rows[place], reason)

    def _insert_one_by_one(self, table: Table, text: str, rows: Iterable[Row]) -> None:
        for row in rows:
            try:
                self._connection.execute(f"{text}({', '.join(marks(row))})", bound(row))
                self.tally.inserted += 1
            except sqlite3.IntegrityError as exc:
                clash = "UNIQUE" in str(exc) or "PRIMARY KEY" in str(exc)
                self._quarantine(table, row, f"{CONFLICT} {exc}" if clash else str(exc))
            except (sqlite3.DataError, sqlite3.InterfaceError, OverflowError) as exc:
                self._quarantine(table, row, str(exc))

    def _quarantine(self, table: Table, row: Row, reason: str) -> None:
        key = key_text(key_of(table.key_positions)(row))
        image = encode_row(table.carried, row)
        self._connection.execute(query(ASK, "set_quarantined"), (table.id, key, reason, image))
        self.tally.quarantined.append(Quarantined(table=table.name, key=key, reason=reason, image=image))


def _changed_by_sqlite(table: Table, rows: Sequence[Row]) -> dict[int, str]:
    """Places of the rows with a value that SQLite would store as another one, and why."""
    wrong: dict[int, str] = {}
    plain = [column for column in table.columns if column.generated is None]
    for column, values in zip(reversed(plain), reversed(list(zip(*rows, strict=True))), strict=False):
        if (column.stored, column.affinity) in _KEPT_AS_IT_IS and column.stored not in _FLOATS:
            continue
        if column.stored in _FLOATS and column.affinity in (Affinity.REAL, Affinity.NUMERIC, Affinity.BLOB):
            total: Any = sum(filter(None, values))
            if total == total and (column.affinity, column.stored) != (Affinity.NUMERIC, TargetType.DOUBLE):  # noqa: PLR0124
                continue  # no NaN among them
        for place, value in enumerate(values):
            if not _same(value, apply_affinity(value, column.affinity)):
                wrong[place] = f"{value!r} would be stored as another value in column {column.name}"
    return wrong


def _same(value: Value, stored: Value) -> bool:
    return value is stored or (type(value) is type(stored) and value == stored)
