"""Writing rows into PostgreSQL while it follows, inside a transaction that its caller holds.

The rows go through binary COPY as they are. When PostgreSQL refuses some of them the whole batch is done again
*carefully*: what it cannot hold is told apart beforehand, and of the rest the rows that it refuses are found by halving
and go to the quarantine with their exact bytes; all others flow.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from dualdb.core.compare import key_of
from dualdb.core.names import qualified, quoted
from dualdb.core.schema import TargetType
from dualdb.core.store import CONFLICT, Quarantined
from dualdb.core.types import PG_COPY_TYPE, encode_row, misfits, representable, to_target
from dualdb.stores.queries import query
from dualdb.stores.source_apply import Tally, key_text
from dualdb.stores.target_read import ASK, holdable, is_folded, key_columns, matching, unnested

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dualdb.core.schema import Table
    from dualdb.core.store import Key, Row, TableBatch
    from dualdb.stores.target_connection import Target

POISON = (
    psycopg.DataError,
    psycopg.IntegrityError,
    errors.ProgramLimitExceeded,
    errors.RaiseException,
    TypeError,
    ValueError,
    OverflowError,
)
"""What a row can be guilty of; the last three come from psycopg, for a value of another class than the column's."""
_FLOATS = frozenset({float, type(None)})


class UnfitRowsError(ValueError):
    """Some row would be stored as another one; the batch must be done carefully."""


class TargetApplier:
    """Applies the tables of one batch."""

    def __init__(self, connection: Target, schema: str, *, careful: bool, any_quarantined: bool) -> None:
        """Over a connection whose transaction has passed the compare."""
        self._connection = connection
        self._schema = schema
        self._careful = careful
        self._any_quarantined = any_quarantined
        self.tally = Tally()

    def apply(self, batch: TableBatch) -> None:
        """Clear the table if told so, delete the keys, insert the rows."""
        table = batch.table
        if batch.clear:
            # Not TRUNCATE: it would empty the table in older snapshots too, and wait for every reader.
            cursor = self._connection.execute(f"DELETE FROM {qualified(self._schema, table.name)}".encode())
            self.tally.deleted += cursor.rowcount
            self._connection.execute(query(ASK, "clear_quarantined").encode(), (table.id,))
        elif batch.deletes:
            self._delete(table, batch.deletes)
        for parts in ((batch.rows,), batch.fresh):
            self._insert(table, parts)

    def _delete(self, table: Table, keys: Sequence[Key]) -> None:
        columns = key_columns(table, holdable(table, keys))
        if columns[0]:
            cursor = self._connection.execute(_delete_text(table, self._schema).encode(), columns)
            self.tally.deleted += cursor.rowcount
        if self._any_quarantined:
            self._connection.execute(
                query(ASK, "forget_quarantined").encode(), (table.id, [key_text(key) for key in keys])
            )

    def _insert(self, table: Table, parts: Iterable[Sequence[Row]]) -> None:
        if not self._careful:
            self._copy(table, parts)
            return
        rows = [row for part in parts for row in part]
        wrong = set(misfits(rows, table.carried_types))
        for place in sorted(wrong):
            self._quarantine(table, rows[place], _misfit(table, rows[place]))
        self._insert_halving(table, [row for place, row in enumerate(rows) if place not in wrong])

    def _insert_halving(self, table: Table, rows: Sequence[Row]) -> None:
        if not rows:
            return
        try:
            with self._connection.transaction():  # a savepoint
                self._copy(table, (rows,))
        except POISON as exc:
            if len(rows) == 1:
                self._quarantine(table, rows[0], _reason(exc))
                return
            middle = len(rows) // 2
            self._insert_halving(table, rows[:middle])
            self._insert_halving(table, rows[middle:])

    def _copy(self, table: Table, parts: Iterable[Sequence[Row]]) -> None:
        """One COPY of all parts. What is written is on its way: PostgreSQL works while the next part is read."""
        parts = filter(None, parts)
        first = next(parts, None)
        if first is None:
            return
        with self._connection.cursor() as cursor, cursor.copy(_copy_text(table, self._schema).encode()) as copy:
            copy.set_types([PG_COPY_TYPE[stored] for stored in table.carried_types])
            write = copy.write_row
            inserted = 0
            for rows in chain((first,), parts):
                if not self._careful and _would_change(table, rows):
                    raise UnfitRowsError
                for row in _as_in_target(table, rows):
                    write(row)
                inserted += len(rows)
        self.tally.inserted += inserted

    def _quarantine(self, table: Table, row: Row, reason: str) -> None:
        key = key_text(key_of(table.key_positions)(row))
        image = encode_row(table.carried, row)
        # What a reason quotes of a value may itself hold what PostgreSQL cannot.
        reason = reason.encode("utf-8", "replace").decode().replace("\0", "\\0")
        self._connection.execute(
            query(ASK, "set_quarantined").encode(), (table.id, key.replace("\0", "\\0"), reason, image)
        )
        self.tally.quarantined.append(Quarantined(table=table.name, key=key, reason=reason, image=image))


def _would_change(table: Table, rows: Sequence[Row]) -> bool:
    """Whether COPY would store some value as another one without a word; it refuses everything else by itself."""
    for place, stored in enumerate(table.carried_types):
        if stored in (TargetType.DOUBLE, TargetType.NUMBER):
            column = list(map(itemgetter(place), rows))
            # On the path of every row: floats alone need no second look in a column of floats.
            only_floats = stored is TargetType.DOUBLE and set(map(type, column)) <= _FLOATS
            if not only_floats and misfits([(value,) for value in column], (stored,)):
                return True
    return False


def _as_in_target(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows as they are stored; the same list where no column holds values of several classes."""
    places = [place for place, stored in enumerate(table.carried_types) if stored is TargetType.ANY]
    if not places:
        return rows
    changed = []
    for row in rows:
        values = list(row)
        for place in places:
            values[place] = to_target(values[place], TargetType.ANY)
        changed.append(tuple(values))
    return changed


def _misfit(table: Table, row: Row) -> str:
    for name, value, stored in zip(table.carried, row, table.carried_types, strict=True):
        reason = representable(value, stored)
        if reason is not None:
            return f"{name}: {reason}"
    return "a value that PostgreSQL cannot hold"


def _reason(exc: Exception) -> str:
    if isinstance(exc, psycopg.Error):
        primary = exc.diag.message_primary or str(exc)
        detail = f" ({exc.diag.message_detail})" if exc.diag.message_detail else ""
        clash = isinstance(exc, errors.UniqueViolation | errors.ExclusionViolation)
        return f"{CONFLICT} {primary}{detail}" if clash else f"{primary}{detail}"
    return str(exc)


@lru_cache(maxsize=512)
def _copy_text(table: Table, schema: str) -> str:
    columns = ", ".join(quoted(name) for name in table.carried)
    return f"COPY {qualified(schema, table.name)} ({columns}) FROM STDIN (FORMAT BINARY)"


@lru_cache(maxsize=512)
def _delete_text(table: Table, schema: str) -> str:
    condition = matching(table)
    if is_folded(table):  # by its very bytes: its collation may call another row's key equal, which is not meant here
        exact = " AND ".join(f"t.{quoted(name)} = d.k{place}" for place, name in enumerate(table.key.columns, 1))
        condition = f"{condition} AND {exact}"
    keys = unnested(table).replace("%s", "\0")
    text = f"DELETE FROM {qualified(schema, table.name)} AS t USING {keys} WHERE {condition}"
    return text.replace("%", "%%").replace("\0", "%s")
