"""The relay's tables decide every case that can occur, and its pace stays within bounds."""

from __future__ import annotations

from dualdb.core.delivery import (
    FIRST,
    LARGEST,
    LONGEST_REST_S,
    RELAY,
    SMALLEST,
    Action,
    Outcome,
    Pace,
    State,
    copy_after,
    paced,
    retry_after_s,
    watermark_after,
)
from dualdb.core.store import Changes, Copy, Watermark

TROUBLE = {Outcome.OVERTAKEN, Outcome.LOST, Outcome.BUSY, Outcome.BROKEN, Outcome.FAILED}
POSSIBLE = {
    # What each action can come to, trouble apart.
    Action.READ: {Outcome.FOUND_ALIGNED, Outcome.FOUND_PROGRESSING},
    Action.BATCH: {Outcome.PARTIAL, Outcome.COMPLETE, Outcome.NOTHING, Outcome.UNFOLLOWED, Outcome.UNPROVEN},
    Action.FOLLOW: {Outcome.FOLLOWED},
    Action.MEND: {Outcome.MENDED},
}
WAITS = {Action.WAIT, Action.BACK_OFF, Action.LOOK, Action.STOP}


def test_no_case_that_can_occur_is_missing() -> None:
    """From the beginning every state that can be reached has an answer to every outcome that can come."""
    seen, todo = set(), [(State.UNKNOWN, FIRST[State.UNKNOWN])]
    used = set()
    while todo:
        state, action = todo.pop()
        if (state, action) in seen:
            continue
        seen.add((state, action))
        if action in WAITS:
            todo.append((state, FIRST[state]))
            continue
        for outcome in POSSIBLE[action] | TROUBLE:
            if (state, outcome) == (State.PROGRESSING, Outcome.NOTHING):
                continue  # a follower that is not aligned always gets a batch, if only to be declared so
            used.add((state, outcome))
            todo.append(RELAY[state, outcome])
    assert used == set(RELAY)


def test_only_a_batch_makes_a_follower_aligned() -> None:
    """No way leads from progressing to aligned but a complete batch or reading the watermark."""
    ways = {outcome for (state, outcome), (after, _) in RELAY.items() if after is State.ALIGNED is not state}
    assert ways == {Outcome.COMPLETE, Outcome.FOUND_ALIGNED}


def test_every_trouble_but_a_lock_forgets_what_was_known() -> None:
    """After a failure the watermark is read from the follower, never from memory."""
    for (_, outcome), (after, _) in RELAY.items():
        if outcome in TROUBLE - {Outcome.BUSY}:
            assert after is State.UNKNOWN


def test_aligned_needs_all_changes_and_all_copies() -> None:
    """One table whose copy is not done, or one part of a backlog, and the follower is not aligned."""
    held = Watermark(epoch=1, position="a", aligned=True)
    done, open_ = {1: Copy(done=True)}, {1: Copy(done=True), 2: Copy(cursor=(3,))}
    for complete, copies, expected in ((True, done, True), (False, done, False), (True, open_, False)):
        changes = Changes(keys={}, position="b", complete=complete)
        after = watermark_after(held, changes, copies)
        assert (after.position, after.aligned) == ("b", expected)


def test_a_copy_counts_its_rows_and_keeps_its_cursor() -> None:
    """Also when the last range turns out to be empty."""
    copy = Copy(cursor=(1,), rows=1)
    assert copy_after(copy, 1, (2,), done=False) == Copy(cursor=(2,), rows=2)
    assert copy_after(copy, 0, None, done=True) == Copy(cursor=(1,), rows=1, done=True)


def test_the_pace_stays_within_bounds_and_finds_its_aim() -> None:
    """Quick batches grow, slow ones shrink, and what was not in the batch keeps its size."""
    pace = Pace()
    for _ in range(30):
        pace = paced(pace, took_s=0.001, changed=0, copied=pace.copy_rows)
    assert pace.copy_rows == LARGEST
    assert pace.journal_rows == Pace().journal_rows
    for _ in range(30):
        pace = paced(pace, took_s=10.0, changed=pace.journal_rows, copied=0)
    assert pace.journal_rows == SMALLEST
    assert retry_after_s(1) < retry_after_s(3) < retry_after_s(100) <= LONGEST_REST_S
