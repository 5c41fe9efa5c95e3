"""PostgreSQL as a store, in either role; knows no SQLite file and not who listens.

Two connections: one for snapshots, one for everything else, among it the relay lock. A connection that was lost is
opened anew when it is needed again; what was under way then is for the caller to find out, from the watermark.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing, contextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from dualdb.core.delivery import PAGE, PAGE_BYTES
from dualdb.core.phase import Phase
from dualdb.core.store import CONFLICT, Applied, Copy, Watermark
from dualdb.core.types import decode_row, encode_row
from dualdb.errors import BusyError, NotPreparedError, OvertakenError
from dualdb.stores import target_journal
from dualdb.stores.quarantine import keys_of, named
from dualdb.stores.queries import query
from dualdb.stores.source import fingerprint
from dualdb.stores.target_apply import POISON, TargetApplier
from dualdb.stores.target_catalog import read_target_schema
from dualdb.stores.target_connection import losses
from dualdb.stores.target_functions import mend_functions
from dualdb.stores.target_pairing import connect_paired
from dualdb.stores.target_read import ASK, Facts, Position, TargetSnapshot
from dualdb.stores.target_shape import Extent, find_changes
from dualdb.stores.target_tables import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.core.schema import Schema
    from dualdb.core.store import Key, Mended, Quarantined, TableBatch
    from dualdb.stores.quarantine import Held
    from dualdb.stores.target_connection import Target
    from dualdb.stores.target_pairing import Pairing

_PRUNED_AT_ONCE = 5_000


class TargetStore:
    """One PostgreSQL database, for one thread at a time."""

    def __init__(self, pairing: Pairing, database: str, *, purpose: str = "dualdb relay") -> None:
        """Opens nothing yet; `database` is the SQLite file's path."""
        self.path = database
        self.uncaptured = 0
        self._pairing = pairing
        self._purpose = purpose
        self._reading: Target | None = None
        self._writing: Target | None = None
        self._schema: tuple[str, Schema] | None = None
        self._last: Facts | None = None

    # --- as either ----------------------------------------------------------------------------------------------------

    @contextmanager
    def snapshot(self) -> Iterator[TargetSnapshot]:
        """A REPEATABLE READ transaction."""
        with losses():
            connection = self._reading = self._alive(self._reading)
            try:
                facts = _read_facts(connection, self.path)
                self._last = facts
                yield TargetSnapshot(connection, facts, lambda: self._read_schema(connection, facts))
            finally:
                _rollback(connection)

    def connection(self) -> Target:
        """The connection for everything but snapshots, in autocommit mode."""
        self._writing = self._alive(self._writing)
        return self._writing

    def close(self) -> None:
        """Close both connections."""
        for connection in (self._reading, self._writing):
            if connection is not None:
                connection.close()
        self._reading = self._writing = None

    # --- as the authority ---------------------------------------------------------------------------------------------

    def head_moved(self) -> bool:
        """Whether the journal has a row that the last snapshot did not see."""
        if self._last is None:
            return True
        with losses():
            values = {"after": self._last.snapshot, "epoch": self._last.epoch}
            found = self.connection().execute(query(ASK, "moved").encode(), values).fetchone()
        return found is None or bool(found[0])

    def prune(self, through: str, keep: int = 0) -> int:
        """Forget some journal rows that the position covers, all before the one that proves it."""
        held = Position.parse(through)
        seq = int(held.proof.partition(":")[0] or 0) - keep
        values = {"seq": seq, "after": held.after, "limit": _PRUNED_AT_ONCE}
        with losses():
            return self.connection().execute(query(ASK, "prune").encode(), values).rowcount

    def make_durable(self) -> None:
        """Flush the log. Else the numbers of transactions that were rolled back last would be given again after a
        crash, and a position that knows them as over would take their next owners' changes for seen.
        """
        with losses():
            self.connection().execute(query(ASK, "make_durable").encode())

    def mend_capture(self) -> Mended:
        """Put capture back where it is missing or off, and journal which tables must be copied anew."""
        with losses(), self.connection().transaction():
            return target_journal.mend_capture(self.connection(), read_target_schema(self.connection()))

    # --- as the follower ----------------------------------------------------------------------------------------------

    def watermark(self) -> Watermark:
        """What PostgreSQL holds."""
        with losses():
            found = self.connection().execute(query(ASK, "watermark").encode()).fetchall()
        if not found:
            raise OvertakenError(f"PostgreSQL follows nobody; look again with dualdb status {quote(self.path)}")
        epoch, position, aligned, version, *_ = found[0]
        copies = {
            number: Copy(
                cursor=None if cursor is None else decode_row(cursor.encode("ascii"))[1],
                done=done,
                rows=rows,
            )
            for *_, number, cursor, done, rows in found
            if number is not None
        }
        return Watermark(epoch=epoch, position=position, aligned=aligned, schema_version=version, copies=copies)

    def apply(self, expected: Watermark, tables: Sequence[TableBatch], result: Callable[[], Watermark]) -> Applied:
        """One transaction with the watermark; done again, carefully, when PostgreSQL refuses a row."""
        try:
            return self._apply(expected, tables, result, careful=False)
        except POISON:
            return self._apply(expected, tables, result, careful=True)

    def cut_off(self) -> None:
        """Shut the socket of the connection that writes; whoever waits on it gets TargetLostError."""
        connection = self._writing
        if connection is not None:
            with (
                suppress(OSError, psycopg.Error),  # lost already
                closing(socket.socket(fileno=os.dup(connection.fileno()))) as line,
            ):
                line.shutdown(socket.SHUT_RDWR)

    def follow_schema(self, expected: Watermark, result: Watermark, schema: Schema) -> Watermark:
        """Bring the tables to the schema, in one transaction with the watermark."""
        with self._compared(expected) as (connection, _, target_schema):
            # No snapshot of the authority's is open, and who gives up its place in the queue may never get through.
            connection.execute(query(ASK, "wait_in_line").encode())
            remade = follow(connection, schema, target_schema)
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
            _store(connection, expected, after)
        return after

    def quarantine(self, table: int | None = None) -> Iterator[Quarantined]:
        """The rows that PostgreSQL could not hold."""
        return named(self._quarantined(table), self._names())

    def count_quarantine(self) -> Mapping[str, int]:
        """How many there are, by table."""
        with losses():
            return dict(self.connection().execute(query(ASK, "quarantine_counts").encode()).fetchall())

    def conflicting(self) -> Mapping[int, Sequence[Key]]:
        """Keys of the rows that only another row kept out."""
        with losses():
            return keys_of(
                self._quarantined(None, CONFLICT),
                lambda: {table.id: table for table in read_target_schema(self.connection()).tables.values()},
            )

    def mend_functions(self) -> None:
        """Make what is missing of our functions. Raises TargetError, TargetLostError."""
        with losses():
            mend_functions(self.connection())

    def altered(self) -> str | None:
        """The first thing that somebody has changed about the tables here."""
        return next(iter(find_changes(self.connection(), self.path, Extent.COLUMNS)), None)

    # --- within -------------------------------------------------------------------------------------------------------

    def _names(self) -> dict[int, str]:
        with losses():
            return dict(self.connection().execute(query(ASK, "names").encode()).fetchall())

    def _quarantined(self, table: int | None, reason: str = "") -> Iterator[Held]:
        asked = {"tbl": table, "reason": reason, "rows": PAGE, "bytes": PAGE_BYTES}
        after, key = -1, ""
        while True:
            with losses():
                values = asked | {"after": after, "key": key}
                page = self.connection().execute(query(ASK, "quarantined").encode(), values).fetchall()
            if not page:
                return
            yield from page
            after, key, *_ = page[-1]

    def _alive(self, connection: Target | None) -> Target:
        if connection is not None and not connection.closed and not connection.broken:
            return connection
        connection = connect_paired(self._pairing, self.path, purpose=self._purpose)
        with losses():
            # What is pruned on the other side must be on the server's disk.
            connection.execute(query(ASK, "make_commits_durable").encode())
            setting = query(ASK, "setting").encode()
            # Everything here goes by key. Of a table that was never analysed the planner would rather read all of it.
            # Without jit = off a plan that cannot do without looks so dear, before PostgreSQL 18, that it is compiled.
            for method in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"):
                connection.execute(setting, (method, "off"))
            # What is there to keep an application's statements short would end an index that is being made.
            for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                connection.execute(setting, (limit, "0"))
        return connection

    def _apply(
        self, expected: Watermark, tables: Sequence[TableBatch], result: Callable[[], Watermark], *, careful: bool
    ) -> Applied:
        with self._compared(expected) as (connection, any_quarantined, target_schema):
            applier = TargetApplier(connection, target_schema, careful=careful, any_quarantined=any_quarantined)
            for batch in tables:
                applier.apply(batch)
            _store(connection, expected, result())
        tally = applier.tally
        return Applied(deleted=tally.deleted, inserted=tally.inserted, quarantined=tuple(tally.quarantined))

    @contextmanager
    def _compared(self, expected: Watermark) -> Iterator[tuple[Target, bool, str]]:
        """A transaction that has passed the compare and holds the watermark's lock; with whether there is any
        quarantined row, and the schema of the application's tables.
        """
        with losses():
            connection = self.connection()
            try:
                found = _last_row(connection, "begin_apply")
                if found is None or found[:6] != fingerprint(expected):
                    raise OvertakenError("another relay or a change of authority moved the watermark; look again")
                yield connection, found[6], found[7]
                connection.execute("COMMIT")
            except psycopg.errors.LockNotAvailable as exc:
                raise BusyError(f"a lock on the target is in the relay's way: {exc.diag.message_primary}") from exc
            finally:
                _rollback(connection)

    def _read_schema(self, connection: Target, facts: Facts) -> Schema:
        if self._schema is None or self._schema[0] != facts.catalog:
            self._schema = (facts.catalog, read_target_schema(connection))
        return self._schema[1]


def _read_facts(connection: Target, database: str) -> Facts:
    again = f"run dualdb init {quote(database)} again with the same target"
    try:
        found = _last_row(connection, "snapshot")
    except psycopg.errors.UndefinedTable as exc:
        raise NotPreparedError(f"the target is not prepared; {again}") from exc
    if found is None:
        raise NotPreparedError(f"the target has no control row; {again}")
    snapshot, epoch, phase, target_schema, head, held, catalog, captured, timeline = found
    return Facts(
        snapshot=snapshot,
        epoch=epoch,
        phase=Phase(phase),
        target_schema=target_schema,
        head=head,
        held=held,
        catalog=catalog,
        captured=captured,
        timeline=timeline,
    )


def _last_row(connection: Target, name: str) -> tuple[Any, ...] | None:
    """The row of the last statement of several, sent in one round trip."""
    cursor = connection.execute(query(ASK, name).encode())
    while cursor.nextset():
        pass
    return cursor.fetchone()


def _store(connection: Target, before: Watermark, after: Watermark) -> None:
    values = {
        "epoch": after.epoch,
        "position": after.position,
        "aligned": after.aligned,
        "schema_version": after.schema_version,
    }
    connection.execute(query(ASK, "set_watermark").encode(), values)
    for number, copy in after.copies.items():
        if before.copies.get(number) != copy:
            cursor = None if copy.cursor is None else encode_row(tuple(map(str, range(len(copy.cursor)))), copy.cursor)
            text = None if cursor is None else cursor.decode("ascii")
            connection.execute(query(ASK, "set_copy").encode(), (number, text, copy.done, copy.rows))
    for number in before.copies.keys() - after.copies.keys():
        connection.execute(query(ASK, "drop_copy").encode(), (number,))
        connection.execute(query(ASK, "clear_quarantined").encode(), (number,))


def _rollback(connection: Target) -> None:
    """End what is open, if the connection still lives."""
    if not connection.closed and connection.info.transaction_status is not TransactionStatus.IDLE:
        connection.execute("ROLLBACK")
