"""Reading a SQLite file inside one read transaction: its journal, and rows by key and by range.

Knows SQLite only. A key is compared in the key's own collation, always in SQLite, never here.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any

from dualdb.core.compare import key_of
from dualdb.core.phase import AUTHORITY, MoveState, Phase, Side
from dualdb.core.probe import rowid_name
from dualdb.core.ranges import weight
from dualdb.core.schema import ROWID_COLUMN, TargetType
from dualdb.core.sqltext import fold, quote_name
from dualdb.core.store import LARGE_CLASSES, Changes, Undecodable
from dualdb.stores.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Key, Row, Value

ASK = "source/relay.sql"
_SIZES = (1, 8, 64, 512)
"""Keys per statement, which is filled up with its last one: few texts, so that sqlite3 finds them prepared. SQLite
allows 32,766 parameters and a key has at most eight columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The control row and the catalog's cookie as one snapshot has them."""

    epoch: int
    phase: Phase
    proven_catalog: int
    catalog: int
    """`PRAGMA schema_version`: moved by every change of the catalog and by VACUUM."""
    moving: bool
    """Whether the file is fenced for a move that is not decided."""
    rest: tuple[Any, ...]
    """What else of the control row the sentinel compares."""


def read_facts(connection: sqlite3.Connection) -> Facts:
    """The facts of the connection's snapshot, which begins with this when none is open."""
    epoch, phase, proven, *rest = connection.execute(query(ASK, "control")).fetchone()
    catalog = connection.execute("PRAGMA schema_version").fetchone()[0]
    return Facts(
        epoch=epoch,
        phase=Phase(phase),
        proven_catalog=proven,
        catalog=catalog,
        moving=MoveState.MOVING.value in rest,
        rest=tuple(rest),
    )


def journal_position(connection: sqlite3.Connection) -> str:
    """The journal's head as a position."""
    found = connection.execute(query(ASK, "head")).fetchone()
    return "0:0" if found is None else _position(*found)


def sequence_of(position: str) -> int:
    """The journal row that a position of ours ends with."""
    return int(position.partition(":")[0])


class SourceSnapshot:
    """One read transaction."""

    def __init__(self, connection: sqlite3.Connection, facts: Facts, schema: Callable[[], Schema]) -> None:
        """Over a transaction that is open; `schema` reads it when it is asked for."""
        self._connection = connection
        self._schema = schema
        self.facts = facts
        self.epoch = facts.epoch
        self.proven = facts.proven_catalog == facts.catalog

    @property
    def position(self) -> str:
        """The journal's head of the authority, the watermark's position of the follower."""
        if AUTHORITY[self.facts.phase] is Side.SOURCE:
            return journal_position(self._connection)
        found = self._connection.execute(query(ASK, "watermark")).fetchone()
        return "" if found is None else str(found[1])

    @property
    def schema(self) -> Schema:
        """The application's schema, parsed again only when the catalog moved."""
        return self._schema()

    def retains(self, position: str) -> bool:
        """Whether the journal row that the position ends with is there, token and all."""
        seq, _, token = position.partition(":")
        found = self._connection.execute(query(ASK, "token"), (int(seq),)).fetchone()
        return found is not None and str(found[0]) == token

    def find_branch(self, _position: str) -> str | None:
        """Nothing: a file has one past, and a copy of it that was put in its place has other tokens."""
        return None

    def changes(self, after: str, limit: int) -> Changes:
        """The distinct keys in the next `limit` journal rows."""
        by_id = {table.id: table for table in self.schema.tables.values()}
        found: list[Any] = fetch(self._connection, query(ASK, "changes"), (sequence_of(after), limit + 1))
        complete, found = len(found) <= limit, found[:limit]
        keys: dict[int, dict[Key, None]] = {}
        restarts: set[int] = set()
        for row in found:
            if row[0] in by_id:
                keys.setdefault(row[0], {})[row[1 : 1 + len(by_id[row[0]].key.columns)]] = None
            elif row[0] == 0 and row[1] is not None:
                restarts.add(row[1])
        return Changes(
            keys={number: list(distinct) for number, distinct in keys.items()},
            position=_position(*found[-1][9:11]) if found else after,
            complete=complete,
            restarts=frozenset(restarts),
            journaled=len(found),
        )

    def rows(self, table: Table, keys: Sequence[Key], through: Key | None = None) -> list[Row]:
        """The current rows of these keys, each once, none beyond `through`."""
        return self.some_rows(table, keys, None, through)[0]

    def some_rows(
        self, table: Table, keys: Sequence[Key], most_bytes: int | None, through: Key | None = None
    ) -> tuple[list[Row], Sequence[Key]]:
        """Few keys per statement at first, and more while their rows are small. SQLite does not tell which keys the
        rows so far are of, so a statement that brings too much is given up, and fewer keys are asked for.
        """
        found: list[Row] = []
        done = statements = 0
        size, room = (_SIZES[-1], inf) if most_bytes is None else (_SIZES[1], most_bytes)
        while done < len(keys) and room > 0:
            part = keys[done : done + size]
            if any(isinstance(value, Undecodable) for key in part for value in key):
                part = part[:1]
            rows = self._look_up(table, part, room if len(part) > 1 else inf, through)
            heavy = 0 if most_bytes is None else weight(rows)
            if heavy >= room and len(part) > 1:  # and there may be more
                if found:
                    break
                size = _SIZES[_SIZES.index(size) - 1]
                continue
            if 8 * heavy <= room:
                size = next((larger for larger in _SIZES if larger > size), size)
            found += rows
            done, room, statements = done + len(part), room - heavy, statements + 1
        (collation, *others) = key_collations(table)
        once = not others and (statements <= 1 or collation.upper() == "BINARY")
        return found if once else _distinct(table, found), keys[done:]

    def _look_up(self, table: Table, part: Sequence[Key], most_bytes: float, through: Key | None) -> list[Row]:
        """The rows of so many keys as one statement takes, or the first of them that add up to `most_bytes`."""
        last = None if through is None else ", ".join(marks(through))
        size = next(size for size in _SIZES if size >= len(part))
        key_marks = tuple(marks(part[0])) if size == 1 else ("?",) * len(table.key.columns)
        filled = chain.from_iterable([*part, *[part[-1]] * (size - len(part))])
        text = _by_key(table, key_marks, size, last)
        return fetch(self._connection, text, [*bound(filled), *bound(through or ())], bounded_by(table, most_bytes))

    def range(self, table: Table, after: Key | None, limit: int, most_bytes: int | None = None) -> list[Row]:
        """The next rows in the key's order; fewer when texts and blobs add up to `most_bytes`."""
        text = _by_range(table, None if after is None else ", ".join(marks(after)))
        values = [*bound(after or ()), limit]
        return fetch(self._connection, text, values, bounded_by(table, inf if most_bytes is None else most_bytes))

    def count(self, table: Table) -> int:
        """How many rows the table has."""
        return int(self._connection.execute(f"SELECT count(*) FROM main.{quote_name(table.name)}").fetchone()[0])


_LARGE = (TargetType.TEXT, TargetType.BYTEA, TargetType.ANY)


def large_places(table: Table) -> list[int]:
    """Where in a row the values are that can be large."""
    return [place for place, stored in enumerate(table.carried_types) if stored in _LARGE]


def bounded_by(table: Table, most_bytes: float) -> Callable[[Iterator[Row]], list[Row]] | None:
    """How to take rows from a cursor until their texts and blobs add up to so much; None for all of them."""
    large = large_places(table)
    if most_bytes == inf or not large:
        return None

    def take(cursor: Iterator[Row]) -> list[Row]:
        rows: list[Row] = []
        left = most_bytes
        for row in cursor:  # one by one: the next few could be large
            rows.append(row)
            for place in large:
                value: Any = row[place]
                if type(value) in LARGE_CLASSES:
                    left -= len(value)
            if left <= 0:
                break
        return rows

    return take


def fetch(
    connection: sqlite3.Connection,
    text: str,
    values: Sequence[Any],
    take: Callable[[Iterator[Row]], list[Row]] | None = None,
) -> list[Row]:
    """The rows of a query; texts that are not UTF-8 come as `Undecodable`, for which the query runs a second time."""
    try:
        cursor = connection.execute(text, values)
        return cursor.fetchall() if take is None else take(cursor)
    except sqlite3.OperationalError as exc:
        if not str(exc).startswith("Could not decode to UTF-8"):
            raise
    connection.text_factory = _decoded
    try:
        cursor = connection.execute(text, values)
        return cursor.fetchall() if take is None else take(cursor)
    finally:
        connection.text_factory = str


def _decoded(raw: bytes) -> Value:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return Undecodable(bytes(raw))


def column_sql(table: Table, column: str) -> str:
    """A carried column as SQLite's text names it: a hidden rowid by whichever of its names is free."""
    if column == ROWID_COLUMN:
        return rowid_name(table) or "rowid"
    return quote_name(column)


def key_collations(table: Table) -> tuple[str, ...]:
    """The collation in which each key column is unique: the primary key's index may have others than the columns."""
    for index in table.indexes:
        if index.origin == "pk":
            found = {fold(term.column): term.collation for term in index.terms if term.column is not None}
            if all(fold(name) in found for name in table.key.columns):
                return tuple(found[fold(name)] for name in table.key.columns)
    return tuple(table.column(name).collation for name in table.key.columns)


def key_sql(table: Table) -> list[str]:
    """The key's columns, with their collation where it is not the column's own."""
    return [
        _key_column(table, name, collation)
        for name, collation in zip(table.key.columns, key_collations(table), strict=True)
    ]


def _key_column(table: Table, name: str, collation: str) -> str:
    text, own = column_sql(table, name), table.column(name).collation
    return text if own.upper() == collation.upper() else f"{text} COLLATE {quote_name(collation)}"


@lru_cache(maxsize=512)
def _by_key(table: Table, marks: tuple[str, ...], number: int, last: str | None) -> str:
    """The rows of so many keys up to the `last`, by look-ups in the key's own index.

    `k IN (VALUES …)` gives each row once. With row values it would scan the table (SQLite 3.40), so a key of several
    columns is joined; a row that two keys name, which are equal in its collation, then comes twice.
    """
    carried = ", ".join(column_sql(table, column) for column in table.carried)
    name = f"main.{quote_name(table.name)}"
    values = ", ".join([f"({', '.join(marks)})"] * number)
    columns = key_sql(table)
    if len(columns) == 1:
        # The sign keeps SQLite from walking the index up to there instead.
        end = "" if last is None else f" AND +{columns[0]} <= {last}"
        return f"SELECT {carried} FROM {name} WHERE {columns[0]} IN (VALUES {values}){end}"
    carried = ", ".join(f"_dualdb_row.{column_sql(table, column)}" for column in table.carried)
    condition = " AND ".join(f"_dualdb_row.{column} = _dualdb_key.column{n}" for n, column in enumerate(columns, 1))
    if last is not None:
        condition += f" AND ({', '.join(f'+_dualdb_row.{column}' for column in columns)}) <= ({last})"
    keys = f"(VALUES {values}) AS _dualdb_key"
    return f"SELECT {carried} FROM {keys} CROSS JOIN {name} AS _dualdb_row ON {condition}"


@lru_cache(maxsize=512)
def _by_range(table: Table, marks: str | None) -> str:
    carried = ", ".join(column_sql(table, column) for column in table.carried)
    key = ", ".join(key_sql(table))
    behind = "" if marks is None else f" WHERE ({key}) > ({marks})"
    return f"SELECT {carried} FROM main.{quote_name(table.name)}{behind} ORDER BY {key} LIMIT ?"


def _distinct(table: Table, rows: list[Row]) -> list[Row]:
    key = key_of(table.key_positions)
    return list({key(row): row for row in rows}.values())


def marks(values: Iterable[Value]) -> list[str]:
    """Placeholders for these values; text that is not UTF-8 cannot be bound as text."""
    return ["CAST(? AS TEXT)" if isinstance(value, Undecodable) else "?" for value in values]


def bound(values: Iterable[Value]) -> list[Any]:
    """The values as they are bound to `marks`."""
    return [value.raw if isinstance(value, Undecodable) else value for value in values]


def _position(seq: int, token: int) -> str:
    return f"{seq}:{token}"
