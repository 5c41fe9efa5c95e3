"""A pair of two SQLite files that obeys the contract of `core.store`, for verification without a server.

Everything is real but the second database's make: snapshots are read transactions, the journal is written by triggers
in the writer's own transaction, a relay batch is one transaction on the follower. Keys are journaled as literals.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from dualdb.core.ranges import weight
from dualdb.core.schema import ROWID_COLUMN
from dualdb.core.sqltext import quote_literal, quote_name
from dualdb.core.store import Applied, Changes, Mended, Quarantined, TableBatch, Watermark
from dualdb.stores.catalog import read_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Key, Row, Snapshot, Value

_OURS = """
CREATE TABLE _dualdb_journal (seq INTEGER PRIMARY KEY, tbl INTEGER NOT NULL, k1 TEXT NOT NULL);
CREATE TABLE _dualdb_table (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stored TEXT NOT NULL);
CREATE TABLE _dualdb_watermark (
    position INTEGER NOT NULL, aligned INTEGER NOT NULL, epoch INTEGER NOT NULL, version TEXT NOT NULL);
CREATE TABLE _dualdb_quarantine (tbl TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, image BLOB NOT NULL);
INSERT INTO _dualdb_watermark VALUES (0, 1, 1, '');
"""


def connect(path: Path | str) -> sqlite3.Connection:
    """A connection that opens its own transactions."""
    return sqlite3.connect(path, isolation_level=None, timeout=20)


class SqliteSnapshot:
    """A read transaction in one of the two files."""

    def __init__(self, connection: sqlite3.Connection, store: SqliteStore) -> None:
        self._connection = connection
        self._store = store
        connection.execute("BEGIN")
        self._head = int(
            connection.execute(
                "SELECT position FROM _dualdb_watermark"
                if store.follows
                else "SELECT ifnull(max(seq), 0) FROM _dualdb_journal"
            ).fetchone()[0]
        )
        self._epoch = int(connection.execute("SELECT epoch FROM _dualdb_watermark").fetchone()[0])
        self._schema: Schema | None = None

    @property
    def position(self) -> str:
        """See `Snapshot`."""
        return str(self._head)

    @property
    def epoch(self) -> int:
        """See `Snapshot`."""
        return self._epoch

    @property
    def schema(self) -> Schema:
        """See `Snapshot`."""
        if self._schema is None:
            self._schema = read_schema(self._connection)
            cached = self._store.schema
            if cached is not None and cached.version == self._schema.version:
                self._schema = cached
            self._store.schema = self._schema
        return self._schema

    @property
    def proven(self) -> bool:
        """See `Snapshot`."""
        return True

    def retains(self, position: str) -> bool:
        """See `Snapshot`."""
        oldest = self._connection.execute("SELECT min(seq) FROM _dualdb_journal").fetchone()[0]
        return oldest is None or int(position) >= oldest - 1

    def find_branch(self, _position: str) -> str | None:
        """See `Snapshot`."""
        return None

    def changes(self, after: str, limit: int) -> Changes:
        """See `Snapshot`."""
        found: dict[int, dict[Key, None]] = {}
        rows = self._connection.execute(
            "SELECT seq, tbl, k1 FROM _dualdb_journal WHERE seq > ? ORDER BY seq LIMIT ?", (int(after), limit)
        ).fetchall()
        for _, number, literals in rows:
            key = tuple(self._connection.execute(f"SELECT {literals}").fetchone())
            found.setdefault(number, {})[key] = None
        complete = len(rows) < limit
        position = str(self._head if complete else rows[-1][0])
        return Changes(
            keys={number: list(keys) for number, keys in found.items()}, position=position, complete=complete
        )

    def rows(self, table: Table, keys: Sequence[Key], through: Key | None = None) -> list[Row]:
        """See `Snapshot`."""
        assert through is None
        sql = f"SELECT {carried(table)} FROM {quote_name(table.name)} WHERE " + " AND ".join(
            f"{column} IS ?" for column in key_columns(table)
        )
        found: dict[Row, None] = {}
        for key in keys:
            found.update(dict.fromkeys(self._connection.execute(sql, key)))
        return list(found)

    def some_rows(
        self, table: Table, keys: Sequence[Key], most_bytes: int | None, through: Key | None = None
    ) -> tuple[list[Row], Sequence[Key]]:
        """See `Snapshot`."""
        found: list[Row] = []
        place, room = 0, most_bytes
        while place < len(keys) and (room is None or room > 0):
            rows = self.rows(table, keys[place : place + 1], through)
            found += rows
            room = None if room is None else room - weight(rows)
            place += 1
        return list(dict.fromkeys(found)), keys[place:]

    def range(self, table: Table, after: Key | None, limit: int, most_bytes: int | None = None) -> list[Row]:
        """See `Snapshot`."""
        key = ", ".join(key_columns(table))
        behind = "" if after is None else f"WHERE ({key}) > ({', '.join('?' * len(after))})"
        sql = f"SELECT {carried(table)} FROM {quote_name(table.name)} {behind} ORDER BY {key} LIMIT ?"
        return _light(self._connection.execute(sql, (*(after or ()), limit)), most_bytes)

    def count(self, table: Table) -> int:
        """See `Snapshot`."""
        return int(self._connection.execute(f"SELECT count(*) FROM {quote_name(table.name)}").fetchone()[0])


class SqliteStore:
    """One of the two files, in the role that it was given."""

    def __init__(self, path: Path, *, follows: bool) -> None:
        self.path = str(path)
        self.follows = follows
        self.schema: Schema | None = None
        self.uncaptured = 0

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """See `Store`."""
        with closing(connect(self.path)) as connection:
            yield SqliteSnapshot(connection, self)

    def prune(self, through: str, keep: int = 0) -> int:
        """See `Store`."""
        with closing(connect(self.path)) as connection:
            return connection.execute("DELETE FROM _dualdb_journal WHERE seq <= ?", (int(through) - keep,)).rowcount

    def head_moved(self) -> bool:
        """See `Store`."""
        return True

    def watermark(self) -> Watermark:
        """See `Store`."""
        with closing(connect(self.path)) as connection:
            sql = "SELECT position, aligned, epoch, version FROM _dualdb_watermark"
            position, aligned, epoch, version = connection.execute(sql).fetchone()
        return Watermark(epoch=epoch, position=str(position), aligned=bool(aligned), schema_version=version)

    def apply(self, expected: Watermark, tables: Sequence[TableBatch], result: Callable[[], Watermark]) -> Applied:
        """See `Store`."""
        deleted = inserted = 0
        with closing(connect(self.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for batch in tables:
                name, width = quote_name(batch.table.name), len(batch.table.carried)
                gone = " AND ".join(f"{column} IS ?" for column in key_columns(batch.table))
                deleted += connection.executemany(f"DELETE FROM {name} WHERE {gone}", batch.deletes).rowcount
                insert = f"INSERT INTO {name} ({carried(batch.table)}) VALUES ({', '.join('?' * width)})"
                inserted += connection.executemany(insert, [*batch.rows, *chain(*batch.fresh)]).rowcount
            after = result()
            connection.execute(
                "UPDATE _dualdb_watermark SET position = ?, aligned = ?, version = ? WHERE position = ?",
                (int(after.position), after.aligned, after.schema_version, int(expected.position)),
            )
            connection.execute("COMMIT")
        return Applied(deleted=deleted, inserted=inserted)

    def follow_schema(self, expected: Watermark, result: Watermark, schema: Schema) -> Watermark:
        """Not asked of these files by any test."""
        raise NotImplementedError

    def make_durable(self) -> None:
        """See `Store`."""

    def mend_capture(self) -> Mended:
        """See `Store`."""
        return Mended()

    def conflicting(self) -> Mapping[int, Sequence[Key]]:
        """See `Store`."""
        return {}

    def altered(self) -> str | None:
        """Nothing."""
        return None

    def cut_off(self) -> None:
        """See `Store`."""

    def close(self) -> None:
        """See `Store`."""

    def quarantine(self, table: int | None = None) -> Iterator[Quarantined]:
        """See `Store`."""
        with closing(connect(self.path)) as connection:
            numbers = {one.name: one.id for one in read_schema(connection).tables.values()}
            for name, key, reason, image in connection.execute(
                "SELECT tbl, key, reason, image FROM _dualdb_quarantine"
            ):
                if table in (None, numbers[name]):
                    yield Quarantined(table=name, key=key, reason=reason, image=image)

    def count_quarantine(self) -> Mapping[str, int]:
        """See `Store`."""
        return Counter(one.table for one in self.quarantine())


class SqlitePair:
    """Authority and follower, with a relay between them."""

    def __init__(self, folder: Path, ddl: str) -> None:
        self.source, self.target = folder / "authority.db", folder / "follower.db"
        for path in (self.source, self.target):
            with closing(connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(ddl + _OURS)
        with closing(connect(self.source)) as connection:
            schema = read_schema(connection)
            for table in schema.tables.values():
                _capture(connection, table)
        with closing(connect(self.target)) as connection:
            connection.execute("UPDATE _dualdb_watermark SET version = ?", (schema.version,))
        self.authority = SqliteStore(self.source, follows=False)
        self.follower = SqliteStore(self.target, follows=True)

    def relay(self) -> None:
        """One batch: everything journaled so far, exactly as one snapshot has it."""
        expected = self.follower.watermark()
        with self.authority.snapshot() as snapshot:
            changes = snapshot.changes(expected.position, 1_000_000)
            batches = [
                _batch(snapshot, table, changes.keys[table.id])
                for table in snapshot.schema.tables.values()
                if table.id in changes.keys
            ]
            result = Watermark(epoch=1, position=changes.position, aligned=True, schema_version=snapshot.schema.version)
        self.follower.apply(expected, batches, lambda: result)

    def dirty(self, keys: Mapping[int, Sequence[Key]]) -> None:
        """Journal these keys on the authority."""
        with closing(connect(self.source)) as connection:
            connection.executemany(
                "INSERT INTO _dualdb_journal (tbl, k1) VALUES (?, ?)",
                [(number, ", ".join(map(quote_literal, key))) for number, some in keys.items() for key in some],
            )

    def on_authority(self, sql: str, *parameters: Value) -> None:
        """A statement of the application."""
        with closing(connect(self.source)) as connection:
            connection.execute(sql, parameters)

    def on_follower(self, sql: str, *parameters: Value) -> None:
        """A statement of somebody who should not write there."""
        with closing(connect(self.target)) as connection:
            connection.execute(sql, parameters)


def carried(table: Table) -> str:
    """The columns that a row is read by."""
    return ", ".join("rowid" if name == ROWID_COLUMN else quote_name(name) for name in table.carried)


def key_columns(table: Table) -> list[str]:
    """The columns that a row is found by."""
    return ["rowid" if name == ROWID_COLUMN else quote_name(name) for name in table.key.columns]


def _light(cursor: Iterable[Row], most_bytes: int | None) -> list[Row]:
    """The rows until texts and blobs add up to so much."""
    if most_bytes is None:
        return list(cursor)
    rows: list[Row] = []
    for row in cursor:
        rows.append(row)
        most_bytes -= weight([row])
        if most_bytes <= 0:
            break
    return rows


def _batch(snapshot: Snapshot, table: Table, keys: Sequence[Key]) -> TableBatch:
    return TableBatch(table=table, deletes=keys, rows=snapshot.rows(table, keys))


def _capture(connection: sqlite3.Connection, table: Table) -> None:
    name = quote_name(table.name)
    for event, sides in {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}.items():
        inserts = " ".join(
            f"INSERT INTO _dualdb_journal (tbl, k1) VALUES ({table.id}, "
            + " || ', ' || ".join(f"quote({side}.{column})" for column in key_columns(table))
            + ");"
            for side in sides
        )
        trigger = quote_name(f"_dualdb_{event.lower()}_{table.id}")
        connection.execute(f"CREATE TRIGGER {trigger} AFTER {event} ON {name} BEGIN {inserts} END")
