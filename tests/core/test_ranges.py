"""Walking both sides: nothing is skipped, whatever order either side keeps its keys in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdb.core.compare import key_of, same_rows
from dualdb.core.ranges import (
    LARGEST,
    SMALLEST,
    Cursor,
    ascends,
    next_limit,
    past_equal_ranges,
    split,
    unmatched,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dualdb.core.ranges import Side
    from dualdb.core.store import Key, Row

ORDERS: dict[str, Callable[[Any], Any]] = {
    "python": lambda key: key,
    "nocase": lambda key: (key[0].lower(), key[0]),
    "backwards": lambda key: tuple(-ord(letter) for letter in key[0]) or (1,),
}
keys = st.lists(st.text("aAbBcC", min_size=0, max_size=3), unique=True, max_size=25)


class Ordered:
    """A table that is read in an order of its own."""

    def __init__(self, keys: list[str], order: str) -> None:
        self.order = ORDERS[order]
        self.rows: list[Row] = sorted([(key, 1) for key in keys], key=lambda row: self.order((row[0],)))

    def range(self, side: Side, limit: int) -> list[Row]:
        """The next rows behind that side's place, in this table's order."""
        if side.done:
            return []
        behind = [row for row in self.rows if side.after is None or self.order((row[0],)) > self.order(side.after)]
        return behind[:limit]


def walk(control: Ordered, candidate: Ordered, limit: int) -> tuple[list[Key], list[Key], int]:
    """The keys compared on each side, and how many look-ups by key it took."""
    cursor, look_ups = Cursor(), 0
    seen_control: list[Key] = []
    seen_candidate: list[Key] = []
    key = key_of((0,))
    for _ in range(200):
        if cursor.done:
            return seen_control, seen_candidate, look_ups
        one, other = control.range(cursor.control, limit), candidate.range(cursor.candidate, limit)
        if same_rows(one, other):
            cursor = past_equal_ranges(cursor, one, limit, (0,))
        else:
            step = split(cursor, one, other, limit, (0,))
            look_ups += len(unmatched(step.control, step.candidate, (0,)))
            look_ups += len(unmatched(step.candidate, step.control, (0,)))
            one, other, cursor = list(step.control), list(step.candidate), step.cursor
        seen_control += map(key, one)
        seen_candidate += map(key, other)
    message = "the walk does not end"
    raise AssertionError(message)


@pytest.mark.parametrize("one", ORDERS)
@pytest.mark.parametrize("other", ORDERS)
@given(keys, keys, st.integers(1, 7))
def test_any_two_orders(one: str, other: str, control: list[str], candidate: list[str], limit: int) -> None:
    """Every row of both sides is read exactly once in any two orders."""
    seen_control, seen_candidate, _ = walk(Ordered(control, one), Ordered(candidate, other), limit)
    assert sorted(seen_control) == sorted((key,) for key in control)
    assert sorted(seen_candidate) == sorted((key,) for key in candidate)


@given(keys, st.data(), st.integers(1, 7))
def test_look_ups_where_orders_agree(control: list[str], data: st.DataObject, limit: int) -> None:
    """Where orders agree only true differences are looked up."""
    missing = data.draw(st.sets(st.sampled_from(control), max_size=3)) if control else set()
    kept = [key for key in control if key not in missing]
    _, _, look_ups = walk(Ordered(control, "python"), Ordered(kept, "python"), limit)
    assert look_ups == len(missing)


@given(keys, st.integers(1, 7))
def test_equal_unusual_order(both: list[str], limit: int) -> None:
    """Equal tables in one unusual order need no look up."""
    _, _, look_ups = walk(Ordered(both, "nocase"), Ordered(both, "nocase"), limit)
    assert look_ups == 0


def test_unorderable() -> None:
    """Text that python cannot order with the rest is not ascending."""
    assert not ascends([(b"a",), ("a",)], (0,))
    assert not ascends([(None,), (1,)], (0,))


def test_doubled_key() -> None:
    """A key that stands twice is not ascending."""
    assert not ascends([(1,), (1,)], (0,))
    assert ascends([(1,), (2.5,), (3,)], (0,))


def test_limit() -> None:
    """Ranges grow where rows are small and shrink where they are large."""
    limit = SMALLEST
    for _ in range(10):
        limit = next_limit(limit, 0.01, [(1, "a")])
    assert limit == LARGEST
    for _ in range(20):
        limit = next_limit(limit, 2.0, [(1, "a")])
    assert limit == SMALLEST


def test_large_rows() -> None:
    """Rows of megabytes are read a few at a time, however quickly they come."""
    assert next_limit(SMALLEST, 0.01, [(1, b"x" * (1 << 20))] * SMALLEST) == 8
    assert next_limit(8, 0.01, [(1, b"x" * (1 << 30))]) == 1
    assert next_limit(SMALLEST, 0.01, []) == SMALLEST * 4
