"""What verification asks of PostgreSQL besides its rows; the counterpart of `source_evidence.SourceEvidence`.

Foreign keys are not asked for here: PostgreSQL has none of the application's, and both sides hold the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dualdb.core.names import qualified, quoted, rowid_index, target_name
from dualdb.core.schema import HIDDEN_ROWID, KeyKind
from dualdb.core.store import Undecodable
from dualdb.stores.queries import query
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dualdb.core.schema import Schema
    from dualdb.core.store import Key, Value
    from dualdb.stores.target_connection import Target

_ASK = "target/evidence.sql"


class TargetEvidence:
    """PostgreSQL's side; every question may raise TargetLostError."""

    def __init__(self, connection: Target, target_schema: str) -> None:
        """Ask over a connection in autocommit mode, of the application's tables in that schema."""
        self._connection = connection
        self._schema = target_schema

    def kept(self) -> str | None:
        """The last verification that was noted here, JSON."""
        found = self._rows(query(_ASK, "kept"))
        return found[0][0] if found else None

    def keep(self, note: str) -> None:
        """Note a verification."""
        with losses():
            self._connection.execute(query(_ASK, "keep").encode(), (note,))

    def dirty(self, keys: Mapping[int, Sequence[Key]]) -> None:
        """Journal these keys, by table number, so that the relay carries their rows again."""
        rows = [(number, [_text(value) for value in key]) for number, some in keys.items() for key in some]
        with losses(), self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(query(_ASK, "dirty").encode(), rows)

    def missing_objects(self, schema: Schema) -> list[str]:
        """Indexes and views of the schema that the target does not have, those that it cannot have among them."""
        there = {name for (name,) in self._rows(query(_ASK, "objects"), (quoted(self._schema),))}
        return [
            name for name, known_as in _wanted(schema) if not any(target_name(other) in there for other in known_as)
        ]

    def last_ids(self, schema: Schema) -> dict[str, int]:
        """By table name the last id given out by a sequence; tables whose sequence was never used are left out."""
        found = {}
        for table in schema.tables.values():
            if table.rowid is None:
                continue
            sequence = qualified(self._schema, f"sqlite_sequence_{table.name}")
            (row,) = self._rows(query(_ASK, "sequence").format(sequence=sequence))
            if row[1]:
                found[table.name] = int(row[0])
        return found

    def highest_ids(self, schema: Schema) -> dict[str, int]:
        """By table name the highest id among the rows, of each table that gives out ids and has rows."""
        found = {}
        for table in schema.tables.values():
            if table.rowid is None:
                continue
            column, name = quoted(table.rowid.name), qualified(self._schema, table.name)
            (row,) = self._rows(f"SELECT max({column}) FROM {name}")
            if row[0] is not None:
                found[table.name] = int(row[0])
        return found

    def _rows(self, text: str, values: Any = None) -> list[tuple[Any, ...]]:  # noqa: ANN401 - psycopg's parameters
        with losses():
            return self._connection.execute(text.encode(), values).fetchall()


def _wanted(schema: Schema) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each index and view, and the names under which it may stand on the target."""
    for table in schema.tables.values():
        key = f"sqlite_key_{table.name}"
        if not any(index.origin == "pk" for index in table.indexes):
            yield f"the key of {table.name}", (key,)
        if table.rowid is HIDDEN_ROWID and table.key.kind is not KeyKind.ROWID:
            yield f"the rowid of {table.name}", (rowid_index(table.name),)
        for index in table.indexes:
            yield index.name, (index.name, key) if index.origin == "pk" else (index.name,)
    for view in schema.views.values():
        yield view.name, (view.name,)


def _text(value: Value) -> str | None:
    """A key's value as the journal has it: blobs in hexadecimal, everything else as text that reads back the same."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Undecodable):
        return value.raw.decode("utf-8", "replace")  # no row of PostgreSQL's has such a key
    return value.hex() if isinstance(value, bytes) else repr(value)
