"""Reading PostgreSQL inside one snapshot: its journal, and rows by key and by range.

A position is `timeline/snapshot@seq:token`: everything that `pg_current_snapshot()` saw on that timeline of the server,
and a journal row that proves it is of this server's past. In the midst of a backlog it is `position|position|seq`:
besides, of what the second snapshot saw, everything up to a journal row. Sequence order is not commit order, so the
snapshots decide. A standby that was promoted may have the journal row and not all that the snapshot saw, and it gives
the numbers of what it lacks to other transactions: hence the timeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any

from dualdb.core.compare import key_of
from dualdb.core.names import collated, qualified, quoted
from dualdb.core.phase import AUTHORITY, Side
from dualdb.core.ranges import weight
from dualdb.core.schema import TargetType
from dualdb.core.store import Changes
from dualdb.core.types import from_target, representable
from dualdb.stores.queries import query
from dualdb.stores.source_read import large_places
from dualdb.stores.target_address import place_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dualdb.core.phase import Phase
    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Key, Row, Value
    from dualdb.stores.target_connection import Target

ASK = "target/relay.sql"
ARRAY_TYPE = {  # of the types that a key can have
    TargetType.BIGINT: "bigint[]",
    TargetType.DOUBLE: "float8[]",
    TargetType.TEXT: "text[]",
    TargetType.BYTEA: "bytea[]",
    TargetType.NUMBER: "float8[]",
}
_KEYS_AT_ONCE = 5_000
_PARSED: dict[TargetType, Callable[[str], Value]] = {
    TargetType.BIGINT: int,
    TargetType.DOUBLE: float,
    TargetType.TEXT: str,
    TargetType.BYTEA: bytes.fromhex,
    TargetType.NUMBER: lambda text: from_target(float(text), TargetType.NUMBER),
}
"""A key's value from its text in the journal."""
_WRITTEN_OTHERWISE = (TargetType.NUMBER, TargetType.ANY)
"""What psycopg alone does not give back as SQLite has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A position taken apart."""

    timeline: str
    """'' where the server did not tell."""
    after: str
    """Everything that this snapshot saw."""
    proof: str
    """`seq:token` of the journal row that proves it."""
    until: str | None = None
    """The position that the backlog under way leads to, None when there is none."""
    seq: int = 0
    """Of what `until` saw, everything up to this journal row."""

    @classmethod
    def parse(cls, text: str) -> Position:
        """A position from its text."""
        first, _, rest = text.partition("|")
        timeline, _, seen = first.rpartition("/")
        after, _, proof = seen.partition("@")
        until, _, seq = rest.partition("|")
        return cls(timeline=timeline, after=after, proof=proof, until=until or None, seq=int(seq or 0))

    @property
    def goal(self) -> str:
        """The snapshot that the backlog under way leads to; `after` when there is none."""
        return Position.parse(self.until).after if self.until else self.after


def position_text(timeline: int | None, snapshot: str, head: str | None) -> str:
    """A position from its parts: a server's timeline, a snapshot of it, and `seq:token` of its newest journal row."""
    seen = f"{snapshot}@{head or '0:0'}"
    return seen if timeline is None else f"{timeline}/{seen}"


def find_branch(connection: Target, position: str, timeline: int | None) -> str | None:
    """What to tell when that position is of another timeline of the server; None where both are not known."""
    held = Position.parse(position).timeline
    if not held or timeline is None or held == str(timeline):
        return None
    info = connection.info
    where = place_in({"host": info.host, "port": str(info.port), "dbname": info.dbname})
    return (
        f"the server at {where} was promoted, or restored to an earlier time (timeline {held}, now {timeline}):"
        " commits that it had acknowledged may be missing"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the first query of a snapshot told."""

    snapshot: str
    epoch: int
    phase: Phase
    target_schema: str
    head: str | None
    held: str | None
    catalog: str
    """Changes with the rows that describe the application's schema."""
    captured: bool
    timeline: int | None
    """None: the server does not tell."""


class TargetSnapshot:
    """One REPEATABLE READ transaction."""

    def __init__(self, connection: Target, facts: Facts, schema: Callable[[], Schema]) -> None:
        """Over a transaction that is open; `schema` reads it when it is asked for."""
        self._connection = connection
        self._schema = schema
        self.facts = facts
        self.epoch = facts.epoch
        self.proven = AUTHORITY[facts.phase] is not Side.TARGET or facts.captured

    @property
    def own_position(self) -> str:
        """The journal's head."""
        return position_text(self.facts.timeline, self.facts.snapshot, self.facts.head)

    @property
    def position(self) -> str:
        """The journal's head of the authority, the watermark's position of the follower."""
        if AUTHORITY[self.facts.phase] is Side.TARGET:
            return self.own_position
        return self.facts.held or ""

    @property
    def schema(self) -> Schema:
        """The application's schema, parsed again only when its description moved."""
        return self._schema()

    def retains(self, position: str) -> bool:
        """Whether the journal row that proves the position is there, token and all."""
        seq, _, token = Position.parse(position).proof.partition(":")
        found = self._connection.execute(query(ASK, "token").encode(), (int(seq or 0),)).fetchone()
        return found is not None and str(found[0]) == token

    def find_branch(self, position: str) -> str | None:
        """What to tell when the server has another timeline than the position."""
        return find_branch(self._connection, position, self.facts.timeline)

    def changes(self, after: str, limit: int) -> Changes:
        """The distinct keys in the next `limit` journal rows; the position stays when there are none."""
        held = Position.parse(after)
        values: dict[str, Any] = {"after": held.after, "limit": limit + 1}
        if held.until is None:
            found = self._connection.execute(query(ASK, "changes").encode(), values).fetchall()
            if not found:
                return Changes(keys={}, position=after, complete=True)
            complete, until = len(found) <= limit, self.own_position
            position = until if complete else f"{after}|{until}|{found[limit - 1][2]}"
        else:
            values |= {"until": held.goal, "seq": held.seq}
            found = self._connection.execute(query(ASK, "further_changes").encode(), values).fetchall()
            complete = False  # what came after `until` is still to follow
            more = len(found) > limit
            position = f"{after.partition('|')[0]}|{held.until}|{found[limit - 1][2]}" if more else held.until
        return self._changes(found[:limit], position, complete=complete)

    def _changes(self, found: Sequence[tuple[Any, ...]], position: str, *, complete: bool) -> Changes:
        by_id = {table.id: table for table in self.schema.tables.values()}
        keys: dict[int, dict[Key, None]] = {}
        restarts = set()
        for number, texts, _ in found:
            if number in by_id:
                parse = [_PARSED[stored] for stored in key_types(by_id[number])]
                if len(parse) == len(texts):  # a key of another shape is from before the table was remade
                    key = tuple(one(text) for one, text in zip(parse, texts, strict=True))
                    keys.setdefault(number, {})[key] = None
            elif number == 0 and texts:
                restarts.add(int(texts[0]))
        return Changes(
            keys={number: list(distinct) for number, distinct in keys.items()},
            position=position,
            complete=complete,
            restarts=frozenset(restarts),
            journaled=len(found),
        )

    def rows(self, table: Table, keys: Sequence[Key], through: Key | None = None) -> list[Row]:
        """The current rows of these keys, each once, none beyond `through`; keys equal in their collation name the same
        row.
        """
        return self.some_rows(table, keys, None, through)[0]

    def some_rows(
        self, table: Table, keys: Sequence[Key], most_bytes: int | None, through: Key | None = None
    ) -> tuple[list[Row], Sequence[Key]]:
        """PostgreSQL knows a value's length without reading it, so it gives what fits, in one round trip."""
        found: list[Row] = []
        left: list[Key] = []
        done, room = 0, inf if most_bytes is None else most_bytes
        while done < len(keys) and room > 0 and not left:
            rows, left = self._look_up(table, keys[done : done + _KEYS_AT_ONCE], room, through)
            found += rows
            done += _KEYS_AT_ONCE
            room -= 0 if most_bytes is None else weight(rows)
        if is_folded(table):
            key = key_of(table.key_positions)
            found = list({key(row): row for row in found}.values())
        return found, [*left, *keys[done:]]

    def _look_up(
        self, table: Table, keys: Sequence[Key], room: float, through: Key | None
    ) -> tuple[list[Row], list[Key]]:
        """The rows of the keys that fit, and the keys of those that do not."""
        keys = holdable(table, keys)
        if not keys:
            return [], []
        large = large_columns(table) if room < inf else ()
        text = _by_key(table, self.facts.target_schema, large, ended=through is not None).encode()
        values: list[Any] = [*([room] if large else []), *key_columns(table, keys), *(through or ())]
        found = self._connection.execute(text, values, binary=True).fetchall()
        if not large:
            return _as_in_sqlite(table, found), []
        rows = [row[1:] for row in found if row[0] == 0]
        return _as_in_sqlite(table, rows), [keys[row[0] - 1] for row in found if row[0] > 0]

    def range(self, table: Table, after: Key | None, limit: int, most_bytes: int | None = None) -> list[Row]:
        """The next rows in the key's order; fewer when texts and blobs add up to `most_bytes`."""
        large = () if most_bytes is None else large_columns(table)
        text = _by_range(table, self.facts.target_schema, large, behind=after is not None).encode()
        values = [*(after or ()), limit, *([most_bytes] if large else [])]
        return _as_in_sqlite(table, self._connection.execute(text, values, binary=True).fetchall())

    def count(self, table: Table) -> int:
        """How many rows the table has."""
        name = qualified(self.facts.target_schema, table.name)
        found = self._connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
        return 0 if found is None else int(found[0])


def large_columns(table: Table) -> tuple[str, ...]:
    """The columns whose values can be large."""
    return tuple(table.carried[place] for place in large_places(table))


def key_types(table: Table) -> tuple[TargetType, ...]:
    """How the key's columns are stored."""
    types = table.carried_types
    return tuple(types[place] for place in table.key_positions)


def holdable(table: Table, keys: Sequence[Key]) -> list[Key]:
    """The keys without those that PostgreSQL cannot hold and so does not have."""
    types = key_types(table)
    return [
        key
        for key in keys
        if len(key) == len(types)
        and None not in key
        and all(representable(value, stored) is None for value, stored in zip(key, types, strict=True))
    ]


def key_columns(table: Table, keys: Sequence[Key]) -> list[list[Value]]:
    """Keys that can be held, column by column."""
    types = key_types(table)
    columns = [list(column) for column in zip(*keys, strict=True)] or [[] for _ in types]
    # An int among floats would make psycopg guess another array type.
    return [
        [float(value) for value in column if isinstance(value, int | float)]
        if stored in (TargetType.DOUBLE, TargetType.NUMBER)
        else column
        for column, stored in zip(columns, types, strict=True)
    ]


def key_terms(table: Table, prefix: str) -> list[str]:
    """What the key's unique index is on: the columns, folded where their collation wants it."""
    return [_folded(table, name, f"{prefix}{quoted(name)}") for name in table.key.columns]


def unnested(table: Table) -> str:
    """`unnest(%s::bigint[], …) WITH ORDINALITY AS d(k1, …, place)`: keys as a table, numbered from 1."""
    arrays = ", ".join(f"%s::{ARRAY_TYPE[stored]}" for stored in key_types(table))
    columns = ", ".join(f"k{place}" for place in range(1, len(table.key.columns) + 1))
    return f"unnest({arrays}) WITH ORDINALITY AS d({columns}, place)"


def matching(table: Table) -> str:
    """`t.key = d.key` on what the index is on."""
    folded = [_folded(table, name, f"d.k{place}") for place, name in enumerate(table.key.columns, 1)]
    return " AND ".join(f"{left} = {right}" for left, right in zip(key_terms(table, "t."), folded, strict=True))


def is_folded(table: Table) -> bool:
    """Whether two different keys may be equal in the key's collation."""
    return key_terms(table, "") != [quoted(name) for name in table.key.columns]


def _folded(table: Table, name: str, text: str) -> str:
    column = table.column(name)
    if column.stored is not TargetType.TEXT:
        return text
    collation = column.collation
    return collated(text, collation) if collation.upper() in ("NOCASE", "RTRIM") else text


@lru_cache(maxsize=512)
def _by_key(table: Table, schema: str, large: tuple[str, ...], *, ended: bool) -> str:
    """With `large` columns, which are to add up to so much: before each row a zero, or the number of a key whose row
    does not come because those before are that large.
    """
    carried = ", ".join(f"t.{quoted(name)}" for name in table.carried)
    joined = f"{_keys(table)} JOIN {qualified(schema, table.name)} AS t ON {matching(table)}"
    end = f" WHERE ({', '.join(key_terms(table, 't.'))}) <= ({_marks(table)})" if ended else ""
    if not large:
        return _escaped(f"SELECT {carried} FROM {joined}{end}")
    fits = f"{_weight_before(large, 't.')} < \0::bigint AS _dualdb_fits"
    # No order: whichever rows come first fit. To sort them would cost more than it is worth.
    window = f"WINDOW _dualdb_before AS ({_BEFORE})"
    shown = ", ".join(
        f"CASE WHEN _dualdb_fits THEN {quoted(name)} END" if name in large else quoted(name) for name in table.carried
    )
    return _escaped(
        f"SELECT CASE WHEN _dualdb_fits THEN 0 ELSE _dualdb_place END, {shown}"
        f" FROM (SELECT {fits}, d.place AS _dualdb_place, {carried} FROM {joined}{end} {window}) AS _dualdb_row"
    )


_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"


def _weight_before(large: tuple[str, ...], prefix: str) -> str:
    """What the large columns of the rows before add up to, for which none of them is read (`octet_length` of a value
    that is stored apart is told by its pointer).
    """
    return " + ".join(f"coalesce(sum(octet_length({prefix}{quoted(name)})) OVER _dualdb_before, 0)" for name in large)


def _keys(table: Table) -> str:
    return unnested(table).replace("%s", "\0")


def _escaped(text: str) -> str:
    """Doubled `%` of names, single ones of placeholders."""
    return text.replace("%", "%%").replace("\0", "%s")


@lru_cache(maxsize=512)
def _by_range(table: Table, schema: str, large: tuple[str, ...], *, behind: bool) -> str:
    """With `large` columns: only while those of the rows before add up to less than so much."""
    carried = ", ".join(quoted(name) for name in table.carried)
    key = ", ".join(key_terms(table, ""))
    where = f" WHERE ({key}) > ({_marks(table)})" if behind else ""
    rows = f" FROM {qualified(schema, table.name)}{where}"
    if not large:
        return _escaped(f"SELECT {carried}{rows} ORDER BY {key} LIMIT \0")
    before = f"{_weight_before(large, '')} AS _dualdb_weight"
    window = f"WINDOW _dualdb_before AS (ORDER BY {key} {_BEFORE})"
    return _escaped(
        f"SELECT {carried} FROM (SELECT {carried}, {before}{rows} {window} ORDER BY {key} LIMIT \0) AS _dualdb_row"
        f" WHERE _dualdb_weight < \0::bigint"
    )


def _marks(table: Table) -> str:
    """Placeholders for one key's values."""
    return ", ".join(_folded(table, name, "\0") for name in table.key.columns)


def _as_in_sqlite(table: Table, rows: list[Row]) -> list[Row]:
    written = [(place, stored) for place, stored in enumerate(table.carried_types) if stored in _WRITTEN_OTHERWISE]
    if not written:
        return rows
    changed = []
    for row in rows:
        values = list(row)
        for place, stored in written:
            values[place] = from_target(values[place], stored)
        changed.append(tuple(values))
    return changed
