"""The relay's decisions: state and outcome in, next action out; what a batch leaves behind; how large the next one is.

Pure: `stores.relay` obeys these tables and the tests' explorer walks the very same ones. Knows no database, no lock and
no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import combinations
from typing import TYPE_CHECKING

from dualdb.core.store import Copy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Changes, Key, Watermark


class State(Enum):
    """What the relay knows of the follower."""

    UNKNOWN = "unknown"
    """Its watermark must be read, from the follower, never from memory."""
    PROGRESSING = "progressing"
    """A backlog or a copy is under way: the follower is no past state of the authority."""
    ALIGNED = "aligned"
    """The follower is a past state of the authority, exactly."""


class Action(Enum):
    """What the relay does next."""

    READ = "read"
    """Read the follower's watermark."""
    BATCH = "batch"
    """Take one snapshot of the authority and apply what changed."""
    FOLLOW = "follow"
    """Bring the follower's tables to the authority's schema."""
    MEND = "mend"
    """Prove capture against the authority's catalog, and put back what is missing."""
    WAIT = "wait"
    """Sleep until something may have been committed."""
    BACK_OFF = "back off"
    """Sleep longer with every failure in a row."""
    LOOK = "look"
    """Read the control row again: another phase may be in force, or another relay at work."""
    STOP = "stop"
    """Relay nothing until somebody settles it."""


class Outcome(Enum):
    """What came of an action."""

    FOUND_PROGRESSING = "found progressing"
    FOUND_ALIGNED = "found aligned"
    PARTIAL = "partial"
    """A batch was applied; more is known to follow."""
    COMPLETE = "complete"
    """A batch was applied; the follower equals the snapshot that it came from."""
    NOTHING = "nothing"
    """The follower already equals the snapshot."""
    UNFOLLOWED = "unfollowed"
    """The authority's schema is not the one that the follower's tables were made from."""
    FOLLOWED = "followed"
    UNPROVEN = "unproven"
    """The catalog moved since capture was last proven."""
    MENDED = "mended"
    OVERTAKEN = "overtaken"
    """A compare-and-set failed, or the epoch is another one."""
    LOST = "lost"
    """PostgreSQL went away; what was under way may or may not have been committed."""
    BUSY = "busy"
    """A lock was not to be had in time: SQLite's for writing, or one on a table of PostgreSQL's."""
    BROKEN = "broken"
    """The two databases do not belong together."""
    FAILED = "failed"
    """Anything else."""


GOT_ON = frozenset({Outcome.PARTIAL, Outcome.COMPLETE, Outcome.NOTHING})
"""What ends a row of failures: to look, or to find something to be done first, is no success yet."""

FIRST: dict[State, Action] = {
    # What follows a wait, of whichever kind.
    State.UNKNOWN: Action.READ,
    State.PROGRESSING: Action.BATCH,
    State.ALIGNED: Action.BATCH,
}

RELAY: dict[tuple[State, Outcome], tuple[State, Action]] = {
    # A missing pair cannot happen and is an error.
    (State.UNKNOWN, Outcome.FOUND_PROGRESSING): (State.PROGRESSING, Action.BATCH),
    (State.UNKNOWN, Outcome.FOUND_ALIGNED): (State.ALIGNED, Action.BATCH),
    (State.UNKNOWN, Outcome.OVERTAKEN): (State.UNKNOWN, Action.LOOK),
    (State.UNKNOWN, Outcome.LOST): (State.UNKNOWN, Action.BACK_OFF),
    (State.UNKNOWN, Outcome.BUSY): (State.UNKNOWN, Action.BACK_OFF),
    (State.UNKNOWN, Outcome.BROKEN): (State.UNKNOWN, Action.STOP),
    (State.UNKNOWN, Outcome.FAILED): (State.UNKNOWN, Action.BACK_OFF),
    (State.PROGRESSING, Outcome.PARTIAL): (State.PROGRESSING, Action.BATCH),
    (State.PROGRESSING, Outcome.COMPLETE): (State.ALIGNED, Action.WAIT),
    (State.PROGRESSING, Outcome.UNFOLLOWED): (State.PROGRESSING, Action.FOLLOW),
    (State.PROGRESSING, Outcome.FOLLOWED): (State.PROGRESSING, Action.BATCH),
    (State.PROGRESSING, Outcome.UNPROVEN): (State.PROGRESSING, Action.MEND),
    (State.PROGRESSING, Outcome.MENDED): (State.PROGRESSING, Action.BATCH),
    (State.PROGRESSING, Outcome.OVERTAKEN): (State.UNKNOWN, Action.LOOK),
    (State.PROGRESSING, Outcome.LOST): (State.UNKNOWN, Action.BACK_OFF),
    (State.PROGRESSING, Outcome.BUSY): (State.PROGRESSING, Action.BACK_OFF),
    (State.PROGRESSING, Outcome.BROKEN): (State.UNKNOWN, Action.STOP),
    (State.PROGRESSING, Outcome.FAILED): (State.UNKNOWN, Action.BACK_OFF),
    (State.ALIGNED, Outcome.PARTIAL): (State.PROGRESSING, Action.BATCH),
    (State.ALIGNED, Outcome.COMPLETE): (State.ALIGNED, Action.WAIT),
    (State.ALIGNED, Outcome.NOTHING): (State.ALIGNED, Action.WAIT),
    # The follower leaves its past state with the change of its tables, and is aligned again by a batch only.
    (State.ALIGNED, Outcome.UNFOLLOWED): (State.PROGRESSING, Action.FOLLOW),
    (State.ALIGNED, Outcome.UNPROVEN): (State.ALIGNED, Action.MEND),
    (State.ALIGNED, Outcome.MENDED): (State.ALIGNED, Action.BATCH),
    (State.ALIGNED, Outcome.OVERTAKEN): (State.UNKNOWN, Action.LOOK),
    (State.ALIGNED, Outcome.LOST): (State.UNKNOWN, Action.BACK_OFF),
    (State.ALIGNED, Outcome.BUSY): (State.ALIGNED, Action.BACK_OFF),
    (State.ALIGNED, Outcome.BROKEN): (State.UNKNOWN, Action.STOP),
    (State.ALIGNED, Outcome.FAILED): (State.UNKNOWN, Action.BACK_OFF),
}


# What a batch leaves behind ---------------------------------------------------------------------------------------


def copies_after(schema: Schema, held: Mapping[int, Copy], restarts: Iterable[int]) -> dict[int, Copy]:
    """The copies as a batch begins: new tables and those to be copied anew at their beginning, dropped ones gone."""
    anew = frozenset(restarts)
    return {
        table.id: Copy() if table.id in anew else held.get(table.id, Copy())
        for table in sorted(schema.tables.values(), key=lambda table: table.id)
    }


def tables_to_copy(schema: Schema, copies: Mapping[int, Copy]) -> list[Table]:
    """The tables whose copy is not done, in the order in which they are copied: one begun before those not begun."""
    open_tables = [table for table in schema.tables.values() if not copies[table.id].done]
    return sorted(open_tables, key=lambda table: (not copies[table.id].begun, table.id))


def watermark_after(held: Watermark, changes: Changes, copies: Mapping[int, Copy]) -> Watermark:
    """What the follower holds when a batch of these changes and copies is applied."""
    aligned = changes.complete and all(copy.done for copy in copies.values())
    return replace(held, position=changes.position, aligned=aligned, copies=copies)


def copy_after(copy: Copy, rows: int, last: Key | None, *, done: bool) -> Copy:
    """How far a copy has come with so many rows; `last` is the key of the last of them."""
    return Copy(cursor=last or copy.cursor, done=done, rows=copy.rows + rows)


# How large a batch is ---------------------------------------------------------------------------------------------

AIM_S = 0.1
"""How long the rows of one batch should take: a snapshot stays short, and so does a lock on the follower. What a batch
takes whatever is in it, the round trips, does not count: that would only be paid more often by smaller ones."""
SNAPSHOT_S = 5.0
"""After this time a follower that hangs is given up, so that the authority's snapshot ends: what is open holds back the
emptying of SQLite's log."""
SMALLEST = 64
LARGEST = 50_000
PAGE = 2_048
"""Rows that are read of a range at once: while they are sent, PostgreSQL writes those before."""
PAGE_BYTES = 1 << 20
"""Of text and blobs in one page; a page that is cut short by that ends the range."""
CHANGED_BYTES = 8 << 20
"""Of text and blobs in the changed rows of one batch, but for the last row's: all of them are in memory at once."""
_MARGIN = 0.75
"""Rows are not all alike."""
REMEMBERED = 6
"""Batches that tell what a row costs: few, for a link changes; more than three, so that one hiccup is outvoted."""
_UNLIKE = 1.25
"""Two batches are compared when one is so many times as large: the times of others differ by chance."""


def light_enough(journaled: int, heavy: int) -> int:
    """How many journal rows the next batch may take on, when the rows that so many changed weighed so much: one that
    turns out too heavy is read in vain.
    """
    return max(1, min(LARGEST, int(_MARGIN * journaled * CHANGED_BYTES / heavy))) if heavy else LARGEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much the next batch takes on."""

    journal_rows: int = 1_000
    copy_rows: int = 1_000
    journal_batches: tuple[tuple[int, float], ...] = ()
    """The last full ones: how many journal rows, and how long they took."""
    copy_batches: tuple[tuple[int, float], ...] = ()
    """The same of copied ranges."""


def paced(pace: Pace, *, took_s: float, changed: int, copied: int) -> Pace:
    """The pace after a batch of so many journal rows and copied ones that took so long: no more than twice as much, and
    only of what the batch was full of. One that was not says nothing of many rows.
    """
    journal_batches = _remembered(pace.journal_batches, pace.journal_rows, changed, took_s)
    copy_batches = _remembered(pace.copy_batches, pace.copy_rows, copied, took_s)
    return Pace(
        journal_rows=pace.journal_rows if journal_batches is pace.journal_batches else _next_rows(journal_batches),
        copy_rows=pace.copy_rows if copy_batches is pace.copy_batches else _next_rows(copy_batches),
        journal_batches=journal_batches,
        copy_batches=copy_batches,
    )


def _remembered(
    batches: tuple[tuple[int, float], ...], most: int, rows: int, took_s: float
) -> tuple[tuple[int, float], ...]:
    """The batches with this one; the very same when it was not full."""
    return batches if rows < most else (*batches, (most, took_s))[-REMEMBERED:]


def _next_rows(batches: Sequence[tuple[int, float]]) -> int:
    """The size of the batch after these."""
    rows, took_s = batches[-1]
    row_s = _find_row_s(batches)
    if row_s is None:  # another size will tell: a smaller one where there is a choice
        factor = 2.0 if took_s <= AIM_S / 2 or rows <= SMALLEST else 0.5
    else:
        factor = min(2.0, max(0.25, AIM_S / max(min(row_s * rows, took_s), 0.001)))
    # Whatever such a batch took its time for, one that is larger than any of them could take too long.
    largest = LARGEST if took_s < SNAPSHOT_S / 2 else max(rows for rows, _ in batches)
    return min(largest, max(SMALLEST, int(rows * factor)))


def _find_row_s(batches: Sequence[tuple[int, float]]) -> float | None:
    """What one more row costs: the median of what any two batches of unlike sizes say (Theil and Sen's estimate); None
    when there are no such two.
    """
    slopes = sorted(
        (took_s - other_s) / (rows - other)
        for (rows, took_s), (other, other_s) in combinations(batches, 2)
        if max(rows, other) >= _UNLIKE * min(rows, other)
    )
    return slopes[len(slopes) // 2] if slopes else None


LONGEST_REST_S = 2.5
"""No wait of a relay's is longer: while it waits it does not beat, and the lock of a silent holder is taken away."""


def retry_after_s(failures: int) -> float:
    """How long to back off after so many failures in a row."""
    return min(LONGEST_REST_S, 0.05 * 2.0 ** min(failures, 7))
