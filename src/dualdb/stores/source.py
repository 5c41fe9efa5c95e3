"""The SQLite file as a store, in either role; knows no PostgreSQL and not who listens.

Each store has connections of its own: one that reads, one that writes. The file is only ever opened through SQLite:
closing any other descriptor of it would drop this process's POSIX locks on it.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from dualdb.core.phase import Phase
from dualdb.core.schema import KeyKind
from dualdb.core.store import CONFLICT, NO_SCHEMA, Applied, Copy, Watermark
from dualdb.core.types import decode_row, encode_row
from dualdb.errors import OvertakenError
from dualdb.stores import journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.quarantine import keys_of, named
from dualdb.stores.queries import query
from dualdb.stores.source_apply import SourceApplier
from dualdb.stores.source_file import faults, is_busy, open_source
from dualdb.stores.source_read import ASK, SourceSnapshot, journal_position, read_facts, sequence_of
from dualdb.stores.source_schema import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.core.schema import Schema
    from dualdb.core.store import Key, Mended, Quarantined, TableBatch
    from dualdb.stores.quarantine import Held
    from dualdb.stores.source_read import Facts

_PRUNED_AT_ONCE = 5_000
_LOG_RETRY_S = 2.0
"""How often WAL mode is asked for while somebody keeps the file out of it."""


class SourceStore:
    """One SQLite file, for one thread at a time."""

    def __init__(self, path: str, *, timeout_s: float = 5.0) -> None:
        """Opens nothing yet."""
        self.path = path
        self.uncaptured = 0
        """How often something was committed that the journal does not show (a checkpoint can look like that)."""
        self._timeout_s = timeout_s
        self._reading: sqlite3.Connection | None = None
        self._writing: sqlite3.Connection | None = None
        self._logs = False
        """Whether a connection of ours has the file open in WAL mode."""
        self._asks_for_log_at = 0.0
        self._schema: tuple[tuple[Any, ...], Schema] | None = None
        self._data_version = -1
        self._seen: tuple[Any, ...] | None = None

    # --- as either ----------------------------------------------------------------------------------------------------

    @contextmanager
    def snapshot(self) -> Iterator[SourceSnapshot]:
        """A read transaction."""
        with faults(self.path):
            connection = self._reader()
            connection.execute("BEGIN")
            try:
                facts = read_facts(connection)
                self._watch(connection, facts)
                yield SourceSnapshot(connection, facts, lambda: self._read_schema(connection, facts))
            finally:
                connection.rollback()

    def phase(self) -> Phase:
        """The phase in force."""
        return Phase(self._writer().execute(query(ASK, "control")).fetchone()[1])

    def cut_off(self) -> None:
        """Nothing here waits for a server."""

    def close(self) -> None:
        """Close both connections."""
        for connection in (self._reading, self._writing):
            if connection is not None:
                connection.close()
        self._reading = self._writing = None
        self._logs = False

    # --- as the authority ---------------------------------------------------------------------------------------------

    def head_moved(self) -> bool:
        """Whether another connection has committed since the last snapshot (pragma.html#pragma_data_version)."""
        with faults(self.path):
            return bool(self._reader().execute("PRAGMA data_version").fetchone()[0] != self._data_version)

    def prune(self, through: str, keep: int = 0) -> int:
        """Forget some journal rows strictly below a position; 0 when a writer is at work, who goes first."""
        seq = sequence_of(through) - keep
        with faults(self.path):
            connection = self._writer()
            oldest = connection.execute(query(ASK, "tail")).fetchone()[0]
            if oldest is None or oldest >= seq:
                return 0
            try:
                with self._without_waiting(connection):
                    connection.execute("BEGIN IMMEDIATE")
                    gone = connection.execute(query(ASK, "prune"), (seq, _PRUNED_AT_ONCE)).rowcount
                    oldest = connection.execute(query(ASK, "tail")).fetchone()[0]
                    connection.execute(query(ASK, "pruned"), ((oldest or 1) - 1,))
                    connection.execute("COMMIT")
            except sqlite3.OperationalError as exc:
                connection.rollback()
                if is_busy(exc):
                    return 0
                raise
        return gone

    def make_durable(self) -> None:
        """Nothing: when a commit is on the disk is for the application's own `PRAGMA synchronous` to say. What a power
        failure took back is found by the token of its position.
        """

    def mend_capture(self) -> Mended:
        """Put capture back where it is missing or stale, and journal which tables must be copied anew."""
        with self._transaction() as connection:
            schema = read_schema(connection)
            mended = journal.mend_capture(connection, schema)
            if read_facts(connection).moving:
                journal.mend_fence(connection, schema)
            return mended

    # --- as the follower ----------------------------------------------------------------------------------------------

    def watermark(self) -> Watermark:
        """What the file holds; where the catalog moved, the fence is proven again first."""
        with faults(self.path):
            connection = self._writer()  # a snapshot may be open on the other connection
            facts = read_facts(connection)
            held = self._held(connection)
        if facts.catalog != facts.proven_catalog:
            with self._transaction() as connection:
                self._prove_fence(connection, self._held(connection))
                held = self._held(connection)
        return held

    def apply(self, expected: Watermark, tables: Sequence[TableBatch], result: Callable[[], Watermark]) -> Applied:
        """One write transaction that holds nothing but the writing of what is in memory already."""
        tables = [replace(batch, fresh=list(batch.fresh)) for batch in tables]
        after = result()
        with self._transaction() as connection:
            self._compare(connection, expected)
            if any(batch.table.key.kind is KeyKind.ROWID for batch in tables):
                facts = read_facts(connection)
                if facts.catalog != facts.proven_catalog:  # VACUUM may have renumbered the rows
                    raise OvertakenError(f"the catalog of {self.path} moved while it followed; the relay looks again")
            connection.execute(query(ASK, "applying"), (1,))
            applier = SourceApplier(connection)
            for batch in tables:
                applier.apply(batch)
            self._store(connection, expected, after)
            connection.execute(query(ASK, "applying"), (0,))
        tally = applier.tally
        return Applied(deleted=tally.deleted, inserted=tally.inserted, quarantined=tuple(tally.quarantined))

    def follow_schema(self, expected: Watermark, result: Watermark, schema: Schema) -> Watermark:
        """Bring the tables to the schema by the application's own DDL, in one transaction with the watermark."""
        with self._transaction() as connection:
            self._compare(connection, expected)
            connection.execute(query(ASK, "applying"), (1,))
            remade = follow(connection, read_schema(connection), schema, expected.copies.keys())
            copies = {
                table.id: Copy() if table.id in remade else expected.copies.get(table.id, Copy())
                for table in schema.tables.values()
            }
            after = Watermark(
                epoch=result.epoch,
                position=result.position,
                aligned=False,
                schema_version=schema.version,
                copies=copies,
            )
            self._store(connection, expected, after)
            connection.execute(query(ASK, "applying"), (0,))
        return after

    def quarantine(self, table: int | None = None) -> Iterator[Quarantined]:
        """The rows that the file could not hold."""
        return named(self._quarantined(table), self._names())

    def count_quarantine(self) -> Mapping[str, int]:
        """How many there are, by table."""
        with faults(self.path):
            return dict(self._writer().execute(query(ASK, "quarantine_counts")).fetchall())

    def altered(self) -> str | None:
        """Nothing: the schema is the application's own, and is read from the file."""
        return None

    def conflicting(self) -> Mapping[int, Sequence[Key]]:
        """Keys of the rows that only another row kept out."""
        with faults(self.path):
            return keys_of(
                self._quarantined(None, CONFLICT),
                lambda: {table.id: table for table in read_schema(self._writer()).tables.values()},
            )

    # --- within -------------------------------------------------------------------------------------------------------

    def _names(self) -> dict[int, str]:
        with faults(self.path):
            return dict(self._writer().execute(query(ASK, "names")).fetchall())

    def _quarantined(self, table: int | None, reason: str = "") -> Iterator[Held]:
        # Over a connection of its own: whoever goes through them may write meanwhile, or stop half-way.
        with faults(self.path), closing(open_source(self.path, timeout_s=self._timeout_s)) as own:
            yield from own.execute(query(ASK, "quarantined"), {"tbl": table, "reason": reason})

    def _reader(self) -> sqlite3.Connection:
        if self._reading is None:
            self._reading = open_source(self.path, timeout_s=self._timeout_s)
        self._keep_log(self._reading)
        return self._reading

    def _writer(self) -> sqlite3.Connection:
        if self._writing is None:
            connection = open_source(self.path, timeout_s=self._timeout_s)
            # What was pruned on the other side must be on this disk: in WAL mode only FULL syncs each commit.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("PRAGMA recursive_triggers = OFF")
            # A table that is set aside takes no reference to its name with it: another one comes in its place.
            connection.execute("PRAGMA legacy_alter_table = ON")
            self._writing = connection
        self._keep_log(self._writing)
        return self._writing

    def _keep_log(self, connection: sqlite3.Connection) -> None:
        """Put WAL mode back where a plain program has switched the file to another journal, once nobody is in the way.

        A connection that is open in WAL mode keeps everybody else from leaving it, so it is asked for once.
        """
        if self._logs or time.monotonic() < self._asks_for_log_at:
            return
        self._asks_for_log_at = time.monotonic() + _LOG_RETRY_S
        with suppress(sqlite3.OperationalError), self._without_waiting(connection):  # else nobody could read meanwhile
            self._logs = connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
            self._seen = None  # `data_version` moves with it, and nothing was committed

    @contextmanager
    def _without_waiting(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Fail at once where somebody is in the way."""
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(self._timeout_s * 1000)}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with faults(self.path):
            connection = self._writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                connection.rollback()  # nothing after a commit

    def _read_schema(self, connection: sqlite3.Connection, facts: Facts) -> Schema:
        mark = (facts.catalog, *connection.execute(query(ASK, "numbering")).fetchone())
        if self._schema is None or self._schema[0] != mark:
            self._schema = (mark, read_schema(connection))
        return self._schema[1]

    def _watch(self, connection: sqlite3.Connection, facts: Facts) -> None:
        """The sentinel: a commit that moved neither the journal nor anything of ours was not captured."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        seen = (
            journal_position(connection),
            connection.execute(query(ASK, "tail")).fetchone()[0],
            facts,
            connection.execute(query(ASK, "watermark")).fetchone(),
        )
        if self._seen == seen and version != self._data_version:
            self.uncaptured += 1
        self._data_version, self._seen = version, seen

    def _held(self, connection: sqlite3.Connection) -> Watermark:
        found = connection.execute(query(ASK, "watermark")).fetchone()
        if found is None:
            raise OvertakenError(f"{self.path} follows nobody; look again with dualdb status {quote(self.path)}")
        epoch, position, aligned, version, _, _ = found
        copies = {
            number: Copy(
                cursor=None if cursor is None else decode_row(cursor.encode("ascii"))[1],
                done=bool(done),
                rows=rows,
            )
            for number, cursor, done, rows in connection.execute(query(ASK, "copies"))
        }
        return Watermark(epoch=epoch, position=position, aligned=bool(aligned), schema_version=version, copies=copies)

    def _compare(self, connection: sqlite3.Connection, expected: Watermark) -> None:
        found = connection.execute(query(ASK, "watermark")).fetchone()
        if found != fingerprint(expected):
            raise OvertakenError(
                f"another relay or a change of authority moved the watermark of {self.path}; look again"
            )

    def _store(self, connection: sqlite3.Connection, before: Watermark, after: Watermark) -> None:
        store_watermark(connection, after)
        for number, copy in after.copies.items():
            if before.copies.get(number) != copy:
                cursor = (
                    None if copy.cursor is None else encode_row(list(map(str, range(len(copy.cursor)))), copy.cursor)
                )
                connection.execute(
                    query(ASK, "set_copy"),
                    (number, cursor and cursor.decode("ascii"), copy.done, copy.rows),
                )
        for number in before.copies.keys() - after.copies.keys():
            connection.execute(query(ASK, "drop_copy"), (number,))
            connection.execute(query(ASK, "clear_quarantined"), (number,))

    def _prove_fence(self, connection: sqlite3.Connection, held: Watermark) -> None:
        """Where the fence was missing anything may have been written; where rowids are keys, VACUUM renumbers them.

        What was changed is not looked into: the file follows no known schema now, and is led to the authority's, which
        sets a table aside that was remade.
        """
        unfenced, renumbered = journal.mend_fence(connection, read_schema(connection))
        copies = {
            number: Copy() if number in renumbered else copy
            for number, copy in held.copies.items()
            if number not in unfenced
        }
        after = Watermark(
            epoch=held.epoch, position=held.position, aligned=False, schema_version=NO_SCHEMA, copies=copies
        )
        self._store(connection, held, after)


def fingerprint(held: Watermark) -> tuple[int, str, int, str, int, int]:
    """What a compare-and-set compares: `held` as the query `watermark` gives it."""
    rows = sum(copy.rows for copy in held.copies.values())
    done = sum(copy.done for copy in held.copies.values())
    return (held.epoch, held.position, int(held.aligned), held.schema_version, rows, done)


def store_watermark(connection: sqlite3.Connection, held: Watermark) -> None:
    """Write the watermark, without the copies."""
    connection.execute(query(ASK, "set_watermark"), (held.epoch, held.position, held.aligned, held.schema_version))
