"""One direction of the relay, one action at a time; obeys `core.delivery` and never learns which database is which."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core import events
from dualdb.core.compare import key_of
from dualdb.core.delivery import (
    FIRST,
    MOST_BYTES,
    RELAY,
    Action,
    Outcome,
    Pace,
    State,
    copies_after,
    copy_after,
    paced,
    tables_to_copy,
    watermark_after,
)
from dualdb.core.store import CONFLICT, KEPT_ROWS, TableBatch
from dualdb.errors import BusyError, LineageError, OvertakenError, TargetError, TargetLostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dualdb.core.events import Report
    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Applied, Changes, Copy, Key, Row, Snapshot, Store, Watermark

_PRUNE_EVERY_S = 1.0


class Carrier:
    """Carries from one authority to one follower."""

    def __init__(self, authority: Store, follower: Store, report: Report) -> None:
        """Nothing is known of the follower yet."""
        self.authority = authority
        self.follower = follower
        self.state = State.UNKNOWN
        self.action = FIRST[State.UNKNOWN]
        self.failures = 0
        """In a row."""
        self.carried = 0
        """Rows inserted and deleted on the follower."""
        self.error: Exception | None = None
        """What went wrong last, until something goes well."""
        self._report = report
        self._held: Watermark | None = None
        self._wanted: Schema | None = None
        self._pace = Pace()
        self._conflicts: Mapping[int, Sequence[Key]] = {}
        self._totals: dict[int, int] = {}
        self._uncaptured = authority.uncaptured
        self._pruned_at = time.monotonic()
        self._pruned_through = ""

    @property
    def held(self) -> Watermark:
        """What the follower holds."""
        if self._held is None:
            raise OvertakenError("the follower's watermark is not known; read it first")
        return self._held

    def step(self) -> Action:
        """Do what is to be done; what follows. Raises nothing that can come from a database."""
        outcome = self._outcome()
        if outcome in (Outcome.OVERTAKEN, Outcome.LOST, Outcome.BUSY, Outcome.BROKEN, Outcome.FAILED):
            self.failures += 1
        elif outcome not in (Outcome.FOUND_PROGRESSING, Outcome.FOUND_ALIGNED):  # to look again is no success yet
            self.failures, self.error = 0, None
        self.state, self.action = RELAY[self.state, outcome]
        following = self.action
        if following in (Action.WAIT, Action.BACK_OFF, Action.LOOK, Action.STOP):
            self.action = FIRST[self.state]
        return following

    def prune(self) -> None:
        """Now and then, forget what the follower has made durable."""
        held = self._held
        if held is None or held.position == self._pruned_through or time.monotonic() - self._pruned_at < _PRUNE_EVERY_S:
            return
        self._pruned_at = time.monotonic()
        with suppress(BusyError):
            if self.authority.prune(held.position, KEPT_ROWS) == 0:
                self._pruned_through = held.position

    def _outcome(self) -> Outcome:
        actions = {
            Action.READ: self._read,
            Action.BATCH: self._batch,
            Action.FOLLOW: self._follow,
            Action.MEND: self._mend,
        }
        try:
            return actions[self.action]()
        except OvertakenError as exc:
            self.error = exc
            return Outcome.OVERTAKEN
        except LineageError as exc:
            self.error = exc
            return Outcome.BROKEN
        except (TargetLostError, TargetError) as exc:
            self.error = exc
            return Outcome.LOST
        except BusyError as exc:
            self.error = exc
            return Outcome.BUSY
        except Exception as exc:  # noqa: BLE001 - a border: whatever it was becomes an event, and the relay goes on
            self.error = exc
            return Outcome.FAILED

    def _read(self) -> Outcome:
        self._held = self.follower.watermark()
        self._conflicts = self.follower.conflicting()
        return Outcome.FOUND_ALIGNED if self._held.aligned else Outcome.FOUND_PROGRESSING

    def _mend(self) -> Outcome:
        gone = self.authority.mend_capture()
        self._report(events.CaptureMended(recopied=tuple(sorted(gone))))
        return Outcome.MENDED

    def _follow(self) -> Outcome:
        if self._wanted is None:
            raise OvertakenError("no schema to follow was read")
        before = self.held
        self._held = self.follower.follow_schema(before, replace(before, aligned=False), self._wanted)
        tables = {table.id: table.name for table in self._wanted.tables.values()}
        recopied = [tables[number] for number, copy in self._held.copies.items() if not copy.begun]
        self._report(events.SchemaFollowed(version=self._wanted.version, recopied=tuple(recopied)))
        return Outcome.FOLLOWED

    def _batch(self) -> Outcome:
        """One snapshot of the authority, then one transaction on the follower; the snapshot is over by then."""
        began = time.monotonic()
        held = self.held
        with self.authority.snapshot() as snapshot:
            self._check(snapshot, held)
            if not snapshot.proven:
                return Outcome.UNPROVEN
            schema = snapshot.schema
            if schema.version != held.schema_version:
                self._wanted = schema
                return Outcome.UNFOLLOWED
            changes = snapshot.changes(held.position, self._pace.journal_rows)
            if self._nothing(held, schema, changes):
                return Outcome.NOTHING
            tables, copies = _Reading(snapshot, schema, held, self._pace).read(changes, self._conflicts)
            self._count_copied(snapshot, schema, copies)
        result = watermark_after(held, changes, copies)
        self.authority.make_durable()
        applied = self.follower.apply(held, result, tables)
        self._held = result
        took_s = time.monotonic() - began
        self._tell(applied, result, schema, held, took_s)
        copied = sum(len(batch.fresh) for batch in tables)
        changed = sum(len(keys) for keys in changes.keys.values())
        self._pace = paced(self._pace, took_s=took_s, changed=changed, copied=copied)
        return Outcome.COMPLETE if result.aligned else Outcome.PARTIAL

    def _check(self, snapshot: Snapshot, held: Watermark) -> None:
        if snapshot.epoch != held.epoch:
            raise OvertakenError(
                f"the authority is in epoch {snapshot.epoch} and the follower in {held.epoch}; the phase changed"
            )
        if not snapshot.retains(held.position):
            name = quote(self.authority.path)
            raise LineageError(
                f"the authority does not know the position {held.position} that the follower holds: one of the two was"
                f" restored or replaced; see dualdb status {name}, and copy the follower anew with dualdb recopy {name}"
            )
        if self.authority.uncaptured != self._uncaptured:
            self._uncaptured = self.authority.uncaptured
            self._report(events.UncapturedCommit(count=self._uncaptured))

    def _nothing(self, held: Watermark, schema: Schema, changes: Changes) -> bool:
        copies = copies_after(schema, held.copies, changes.restarts)
        return (
            held.aligned
            and changes.position == held.position
            and changes.complete
            and copies == held.copies
            and all(copy.done for copy in copies.values())
        )

    def _count_copied(self, snapshot: Snapshot, schema: Schema, copies: Mapping[int, Copy]) -> None:
        for table in tables_to_copy(schema, copies)[:1]:
            if table.id not in self._totals:
                self._totals[table.id] = snapshot.count(table)

    def _tell(self, applied: Applied, result: Watermark, schema: Schema, before: Watermark, took_s: float) -> None:
        self.carried += applied.inserted + applied.deleted
        self._report(
            events.BatchApplied(
                position=result.position,
                aligned=result.aligned,
                deleted=applied.deleted,
                inserted=applied.inserted,
                took_s=took_s,
            )
        )
        for table in schema.tables.values():
            copy = result.copies[table.id]
            if copy != before.copies.get(table.id):
                total = max(copy.rows, self._totals.get(table.id, 0))
                self._report(events.CopyProgress(table=table.name, rows=copy.rows, total=total, done=copy.done))
        for row in applied.quarantined:
            self._report(events.RowQuarantined(table=row.table, key=row.key, reason=row.reason))
        if self._conflicts or any(row.reason.startswith(CONFLICT) for row in applied.quarantined):
            self._conflicts = self.follower.conflicting()


class _Reading:
    """What one batch reads from one snapshot."""

    def __init__(self, snapshot: Snapshot, schema: Schema, held: Watermark, pace: Pace) -> None:
        self._snapshot = snapshot
        self._schema = schema
        self._held = held
        self._pace = pace

    def read(self, changes: Changes, again: Mapping[int, Sequence[Key]]) -> tuple[list[TableBatch], dict[int, Copy]]:
        """The batch's tables, and how far the copies have come with it. `again` are keys to try once more."""
        copies = copies_after(self._schema, self._held.copies, changes.restarts)
        batches: dict[int, TableBatch] = {}
        for table in self._schema.tables.values():
            keys = {*changes.keys.get(table.id, ()), *again.get(table.id, ())}
            # What a table whose copy has not begun holds is cleared before; its changed rows are copied anyway.
            if keys and copies[table.id].begun:
                batches[table.id] = self._changed(table, list(keys))
                if not copies[table.id].done:
                    copies[table.id] = replace(copies[table.id], touched=True)
        self._copy(batches, copies)
        return list(batches.values()), copies

    def _changed(self, table: Table, keys: Sequence[Key]) -> TableBatch:
        rows = self._snapshot.rows(table, keys)
        key = key_of(table.key_positions)
        # A row may come back under another key that is equal in the key's collation.
        deletes = dict.fromkeys(keys) | dict.fromkeys(map(key, rows))
        return TableBatch(table=table, deletes=list(deletes), rows=rows)

    def _copy(self, batches: dict[int, TableBatch], copies: dict[int, Copy]) -> None:
        """The next ranges of the tables that are being copied, as many as the pace allows."""
        left = self._pace.copy_rows
        for table in tables_to_copy(self._schema, copies):
            if left <= 0:
                return
            copy = copies[table.id]
            rows = self._snapshot.range(table, copy.cursor, left, MOST_BYTES)
            key = key_of(table.key_positions)
            last = key(rows[-1]) if rows else copy.cursor
            # Fewer than asked for: the end, or large rows.
            done = not rows or (len(rows) < left and not self._snapshot.range(table, last, 1))
            left = left - len(rows) if done else 0
            batches[table.id] = _with_range(table, batches.get(table.id), copy, rows)
            copies[table.id] = copy_after(copy, rows, last, done=done)


def _with_range(table: Table, changed: TableBatch | None, copy: Copy, fresh: Sequence[Row]) -> TableBatch:
    """A table's changed rows with a range: a row that is in both is inserted once."""
    key = key_of(table.key_positions)
    if not copy.begun:
        return TableBatch(table=table, deletes=(), rows=(), fresh=fresh, clear=True)
    if changed is None and not copy.touched:
        return TableBatch(table=table, deletes=(), rows=(), fresh=fresh)
    deletes: Iterable[Key] = changed.deletes if changed else ()
    rows: Sequence[Row] = changed.rows if changed else ()
    copied = set(map(key, fresh))
    return TableBatch(
        table=table,
        deletes=list(dict.fromkeys(deletes) | dict.fromkeys(copied)),
        rows=[row for row in rows if key(row) not in copied],
        fresh=fresh,
    )
