"""One direction of the relay, one action at a time; obeys `core.delivery` and never learns which database is which."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from shlex import quote
from threading import Timer
from typing import TYPE_CHECKING

from dualdb.core import events
from dualdb.core.delivery import (
    FIRST,
    GOT_ON,
    LARGEST,
    RELAY,
    SNAPSHOT_S,
    Action,
    Outcome,
    Pace,
    State,
    copies_after,
    light_enough,
    paced,
    tables_to_copy,
    watermark_after,
)
from dualdb.core.store import CONFLICT, KEPT_ROWS
from dualdb.errors import BusyError, LineageError, OvertakenError, SchemaError, TargetError, TargetLostError
from dualdb.stores.relay_reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.core.events import Report
    from dualdb.core.schema import Schema
    from dualdb.core.store import Applied, Changes, Copy, Key, Snapshot, Store, Watermark

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
        self._light_rows = LARGEST
        """So many journal rows may have changed rows that are small enough for one batch."""
        self._again: Mapping[int, Sequence[Key]] = {}
        """The keys of rows that only another kept out. They are tried again whatever their size: who waits for the two
        sides to be equal waits for these too.
        """
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
        elif outcome in GOT_ON:
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
            self.error = self._altered() or exc
            return Outcome.FAILED

    def _altered(self) -> Exception | None:
        """What somebody has changed past us, which explains any failure better than the failure itself does."""
        with suppress(Exception):  # it is asked after one already
            changes = [store.altered() for store in (self.authority, self.follower)]
            return next((SchemaError(change) for change in changes if change is not None), None)
        return None

    def _read(self) -> Outcome:
        self._held = self.follower.watermark()
        self._again = self.follower.conflicting()
        return Outcome.FOUND_ALIGNED if self._held.aligned else Outcome.FOUND_PROGRESSING

    def _mend(self) -> Outcome:
        mended = self.authority.mend_capture()
        missing, renumbered = tuple(sorted(mended.missing)), tuple(sorted(mended.renumbered))
        if missing or renumbered:
            self._report(events.CaptureMended(missing=missing, renumbered=renumbered))
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
        """One snapshot of the authority, and one transaction on the follower; the snapshot is over when it is read."""
        began = time.monotonic()
        held = self.held
        with ExitStack() as reading:
            snapshot = reading.enter_context(self.authority.snapshot())
            self._check(snapshot, held)
            if not snapshot.proven:
                return Outcome.UNPROVEN
            schema = snapshot.schema
            if schema.version != held.schema_version:
                self._wanted = schema
                return Outcome.UNFOLLOWED
            changes = snapshot.changes(held.position, min(self._pace.journal_rows, self._light_rows))
            if self._nothing(held, schema, changes):
                return Outcome.NOTHING
            self.authority.make_durable()
            while True:
                copies = copies_after(schema, held.copies, changes.restarts)
                self._count_copied(snapshot, schema, copies)
                batch = Reading(snapshot, schema, copies)
                fewer = batch.read(changes, self._again, self._pace.copy_rows, read_out=reading.close)
                if fewer is None:
                    break
                self._light_rows = fewer
                changes = snapshot.changes(held.position, fewer)
            if batch.open:
                reading.enter_context(_at_most(SNAPSHOT_S, self.follower.cut_off))
            applied = self.follower.apply(held, batch.tables, lambda: watermark_after(held, changes, batch.copies))
        self._held = result = watermark_after(held, changes, batch.copies)
        if changes.journaled:
            self._light_rows = light_enough(changes.journaled, batch.heavy)
        took_s = time.monotonic() - began
        self._tell(applied, result, schema, held, took_s)
        self._pace = paced(self._pace, took_s=took_s, changed=changes.journaled, copied=batch.copied)
        return Outcome.COMPLETE if result.aligned else Outcome.PARTIAL

    def _check(self, snapshot: Snapshot, held: Watermark) -> None:
        if snapshot.epoch != held.epoch:
            raise OvertakenError(
                f"the authority is in epoch {snapshot.epoch} and the follower in {held.epoch}; the phase changed"
            )
        name = quote(self.authority.path)
        branch = snapshot.find_branch(held.position)
        if branch is not None:
            raise LineageError(
                f"{branch}; see what differs with dualdb verify {name}, then copy the follower anew with"
                f" dualdb recopy {name}, which keeps what it held"
            )
        if not snapshot.retains(held.position):
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
        if self._again or any(row.reason.startswith(CONFLICT) for row in applied.quarantined):
            self._again = self.follower.conflicting()


@contextmanager
def _at_most(limit_s: float, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` from another thread if this takes longer."""
    timer = Timer(limit_s, end)
    timer.daemon = True
    with suppress(RuntimeError):  # the interpreter is shutting down and starts no thread; to copy is worth more
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
