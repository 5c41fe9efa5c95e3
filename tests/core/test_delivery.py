"""The relay's tables decide every case that can occur, and its pace stays within bounds."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdb.core.delivery import (
    AIM_S,
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
        pace = paced(pace, took_s=0.01 * pace.journal_rows, changed=pace.journal_rows, copied=0)
    assert pace.journal_rows <= 2 * SMALLEST
    assert retry_after_s(1) < retry_after_s(3) < retry_after_s(100) <= LONGEST_REST_S


@dataclass(frozen=True, slots=True)
class Link:
    """What a batch takes: so much whatever is in it, and so much for each of its rows."""

    fixed_s: float
    row_s: float

    def took_s(self, rows: int) -> float:
        """How long a batch of that many rows takes."""
        return self.fixed_s + self.row_s * rows

    def copied(self, pace: Pace, batches: int) -> Pace:
        """The pace after so many full batches of a copy."""
        for _ in range(batches):
            pace = paced(pace, took_s=self.took_s(pace.copy_rows), changed=0, copied=pace.copy_rows)
        return pace

    def caught_up(self, pace: Pace, batches: int) -> Pace:
        """The pace after so many full batches of a backlog."""
        for _ in range(batches):
            pace = paced(pace, took_s=self.took_s(pace.journal_rows), changed=pace.journal_rows, copied=0)
        return pace


NEAR, FAR = Link(0.003, 20e-6), Link(0.130, 20e-6)


def largest_of(link: Link, pace: Pace, batches: int) -> int:
    """The largest batch of a copy among so many."""
    sizes = []
    for _ in range(batches):
        pace = link.copied(pace, 1)
        sizes.append(pace.copy_rows)
    return max(sizes)


def test_what_every_batch_costs_makes_none_smaller() -> None:
    """Where the way to the server alone takes longer than a batch should, rows are sent in numbers all the same."""
    assert largest_of(FAR, FAR.copied(Pace(), 30), 8) >= 4_000
    farthest = Link(3.0, 20e-6)
    assert largest_of(farthest, farthest.copied(Pace(), 60), 8) >= 1_000
    pace = FAR.caught_up(Pace(), 10)
    for _ in range(200):
        pace = FAR.caught_up(pace, 1)
        assert pace.journal_rows >= 2_000


def test_the_pace_follows_a_link_that_changes() -> None:
    """A server that moves away, comes back, or grows slow, and a hiccup: it is found out within a few batches."""
    slow = Link(0.003, 2e-3)
    pace = NEAR.copied(Pace(), 30)
    for link, expected in ((FAR, 5_000), (slow, 50), (FAR, 5_000), (NEAR, 5_000)):
        pace = link.copied(pace, 30)
        largest = largest_of(link, pace, 8)
        assert max(SMALLEST, expected / 2) <= largest <= max(2 * SMALLEST, expected * 2)
    pace = paced(pace, took_s=5.0, changed=0, copied=pace.copy_rows)
    assert largest_of(NEAR, pace, 15) >= 2_500


def test_a_batch_that_was_not_full_says_nothing() -> None:
    """An application that changes a few rows at a time over a long way leaves the pace for a backlog alone."""
    pace = FAR.caught_up(Pace(), 30)
    after = pace
    for rows in (1, 70, 3, 65, 90):
        after = paced(after, took_s=FAR.took_s(rows), changed=rows, copied=0)
    assert after == pace


links = st.builds(Link, st.floats(0, 1.0), st.floats(1e-6, 5e-3))


@given(before=links, link=links, batches=st.integers(0, 40))
def test_the_pace_converges(before: Link, link: Link, batches: int) -> None:
    """Whatever the link was before: soon its rows take about the aim, or there are as many, or as few, as may be."""
    pace = link.copied(before.copied(Pace(), batches), 40)
    largest = largest_of(link, pace, 12)
    rows_s = largest * link.row_s
    assert rows_s <= 2 * AIM_S or largest <= 2 * SMALLEST
    assert rows_s >= AIM_S / 2 or largest == LARGEST


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 100_000), st.integers(0, 100_000)), max_size=30))
def test_no_pace_is_out_of_bounds(batches: list[tuple[float, int, int]]) -> None:
    """Whatever batches took, each is at most twice as large as the one before."""
    pace = Pace()
    for took_s, changed, copied in batches:
        after = paced(pace, took_s=took_s, changed=changed, copied=copied)
        for before, now in ((pace.journal_rows, after.journal_rows), (pace.copy_rows, after.copy_rows)):
            assert SMALLEST <= now <= min(LARGEST, 2 * before)
        pace = after


@pytest.mark.parametrize("noise", range(5))
def test_times_that_vary_do_not_mislead(noise: int) -> None:
    """By a fifth, on a long way: most batches are not much smaller than they should be, and none is far larger."""
    times = random.Random(noise)
    pace, sizes = Pace(), []
    for _ in range(300):
        took_s = FAR.took_s(pace.copy_rows) * times.uniform(0.8, 1.2)
        pace = paced(pace, took_s=took_s, changed=0, copied=pace.copy_rows)
        sizes.append(pace.copy_rows)
    settled = sorted(sizes[50:])
    assert settled[len(settled) // 2] >= 1_500
    assert settled[-len(settled) // 20] <= 20_000
