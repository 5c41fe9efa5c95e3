"""What verification asks of the SQLite file besides its rows: ids, indexes, orphans; and the note that it leaves there.

Each question is answered as of now, over a connection of its own. The only writes are the note, and journal rows for
keys that are to be carried again; both are over in a moment.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from dualdb.core.probe import key_names, rowid_name
from dualdb.core.sqltext import quote_name
from dualdb.core.store import Undecodable
from dualdb.stores.queries import query
from dualdb.stores.source_read import column_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Key, Value

_ASK = "source/evidence.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Rows of one table whose foreign key points to no row."""

    table: str
    columns: tuple[str, ...]
    parent: str
    count: int
    keys: tuple[Key, ...] = ()
    """The first of them; () where SQLite tells no row (WITHOUT ROWID)."""
    problem: str | None = None
    """Why the foreign key cannot be checked at all, as SQLite says it."""


class SourceEvidence:
    """The SQLite file's side."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Ask over a connection in autocommit mode."""
        self._connection = connection

    def kept(self) -> str | None:
        """The last verification that was noted here, JSON."""
        found = self._connection.execute(query(_ASK, "kept")).fetchone()
        return None if found is None else found[0]

    def keep(self, note: str) -> None:
        """Note a verification."""
        self._connection.execute(query(_ASK, "keep"), (note,))

    def dirty(self, keys: Mapping[int, Sequence[Key]]) -> None:
        """Journal these keys, by table number, so that the relay carries their rows again."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for number, key in ((number, key) for number, some in keys.items() for key in some):
                self._connection.execute(_dirty(key), (number, *map(_bound, key)))
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def missing_objects(self, schema: Schema) -> list[str]:
        """Indexes and views of the schema that are not in the file; none, unless somebody dropped them."""
        there = {name for (name,) in self._connection.execute(query(_ASK, "objects"))}
        wanted = [index.name for table in schema.tables.values() for index in table.indexes]
        wanted += [view.name for view in schema.views.values()]
        return [name for name in wanted if name not in there]

    def last_ids(self, schema: Schema) -> dict[str, int]:
        """By table name the highest id given out, of each AUTOINCREMENT table that remembers one."""
        if not self._connection.execute(query(_ASK, "has_sequences")).fetchone()[0]:
            return {}
        automatic = {table.name for table in schema.tables.values() if table.autoincrement}
        found = self._connection.execute(query(_ASK, "sequences")).fetchall()
        return {name: seq for name, seq in found if name in automatic and isinstance(seq, int)}

    def highest_ids(self, schema: Schema) -> dict[str, int]:
        """By table name the highest id among the rows, of each table that gives out ids and has rows."""
        found = {}
        for table in schema.tables.values():
            if table.rowid is not None:
                column = column_sql(table, table.rowid.name)
                sql = f"SELECT max({column}) FROM main.{quote_name(table.name)}"
                highest = self._connection.execute(sql).fetchone()[0]
                if highest is not None:
                    found[table.name] = int(highest)
        return found

    def orphans(self, schema: Schema, listed: int) -> Iterator[Orphans]:
        """Per foreign key the rows that it does not hold for, the first `listed` by key."""
        for table in schema.tables.values():
            if not table.foreign_keys:
                continue
            columns = self._foreign_keys(table)
            try:
                counts = self._connection.execute(query(_ASK, "orphans"), (table.name,)).fetchall()
            except sqlite3.OperationalError as exc:
                parents = ", ".join(sorted({parent for _, parent in columns.values()}))
                yield Orphans(table=table.name, columns=(), parent=parents, count=0, problem=str(exc))
                continue
            for _, number, count in counts:
                names, parent = columns[number]
                keys = self._orphan_keys(table, number, listed)
                yield Orphans(table=table.name, columns=names, parent=parent, count=count, keys=keys)

    def _foreign_keys(self, table: Table) -> dict[int, tuple[tuple[str, ...], str]]:
        rows = self._connection.execute(query(_ASK, "foreign_keys"), (table.name,)).fetchall()
        found = {}
        for number, group in groupby(rows, key=lambda row: row[0]):
            parts = list(group)
            found[number] = (tuple(part[1] for part in parts), parts[0][2])
        return found

    def _orphan_keys(self, table: Table, number: int, listed: int) -> tuple[Key, ...]:
        rowid = rowid_name(table)  # None where every name of it is an ordinary column's, besides WITHOUT ROWID
        if rowid is None:
            return ()
        sql = (
            f"SELECT {', '.join(key_names(table))} FROM main.{quote_name(table.name)}"
            f" WHERE {rowid} IN ({query(_ASK, 'orphan_rowids')})"
        )
        return tuple(self._connection.execute(sql, (table.name, number, listed)))


def _dirty(key: Key) -> str:
    columns = ", ".join(f"k{place}" for place in range(1, len(key) + 1))
    values = ", ".join("CAST(? AS TEXT)" if isinstance(value, Undecodable) else "?" for value in key)
    return f"INSERT INTO _dualdb_journal (tbl, {columns}) VALUES (?, {values})"


def _bound(value: Value) -> int | float | str | bytes | None:
    return value.raw if isinstance(value, Undecodable) else value
