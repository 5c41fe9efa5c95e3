"""Walk one table on both sides at once, in ranges of keys, without trusting that both order their keys alike.

Each side is read in the order of its own key, and each remembers only its own place. When a range of one side equals
the range of the other, row by row, the same keys were read on both, whatever order that was: the common case needs no
opinion about collations. When the ranges are not equal:

- Both ranges ascend as Python orders their keys (integers, rowids, floats; text by code point, which is `BINARY` in a
  UTF-8 file and `COLLATE "C"`; blobs byte by byte; composites of these, column by column). Then what lies beyond the
  smaller of the two ends is left for the next range, and each side steps back to *its own* last key before that end: a
  missing or an extra row therefore shifts nothing, and the next ranges are equal again. That the order is Python's is
  observed in these very rows, not assumed; and since a side only ever continues behind a row that it has itself
  read, in its own order, an order that is different elsewhere costs look-ups but skips nothing.
- They do not ascend (`NOCASE`, `RTRIM`, an application's collation, a UTF-16 file, undecodable text, or a corrupted
  index). Both ranges are kept whole and each side simply goes on in its own order.

In both cases the keys that only one of the ranges has are looked up by key on the other side, at the same instant. So
every row of the authority meets the follower's row of that key, every row of the follower meets the authority's, and
no order that either database believes in can hide a missing or an extra row. Tables whose orders differ throughout
cost each row one more look-up by key.

Knows no database; `operations.verify_walk` reads and hands the rows in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, cast

from dualdb.core.compare import key_of
from dualdb.core.store import LARGE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dualdb.core.store import Key, Row

LARGEST = 20_000
"""Rows of one range at most: beyond that, reading gets no faster, and memory grows."""
SMALLEST = 64
"""Rows of the first range: 64 rows of a megabyte each still fit."""
MOST_BYTES = 8 << 20
"""Texts and blobs of one range, or of one look-up by key, but for the last row's."""
SLOW_S = 0.4
QUICK_S = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How far one side's walk has come."""

    after: Key | None = None
    """The last key that was dealt with."""
    done: bool = False
    """Nothing lies behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far the walk of one table has come, on each side in its own order."""

    control: Side = Side()
    candidate: Side = Side()

    @property
    def done(self) -> bool:
        """Whether both sides were walked to their end."""
        return self.control.done and self.candidate.done


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do with one range of each side: compare these rows by key, then go on from `cursor`."""

    control: Sequence[Row]
    candidate: Sequence[Row]
    cursor: Cursor


def next_limit(limit: int, elapsed_s: float, rows: Sequence[Row]) -> int:
    """How many rows to ask for next, after a range of `limit` began with `rows` and took that long on both sides
    together: many where rows are small, few where they are large, so that memory and the age of a snapshot stay
    bounded.
    """
    if elapsed_s > SLOW_S:
        limit = max(SMALLEST, limit // 2)
    elif elapsed_s < QUICK_S:
        limit = min(LARGEST, limit * 4)
    sample = rows[:SMALLEST]
    heavy = weight(sample)
    return max(1, min(limit, MOST_BYTES * len(sample) // heavy)) if heavy else limit


def weight(rows: Sequence[Row]) -> int:
    """The length of all texts and blobs in these rows."""
    values: Iterable[Any] = chain.from_iterable(rows)
    return sum(len(value) for value in values if type(value) in LARGE_CLASSES)


def may_be_cut(rows: Sequence[Row]) -> bool:
    """Whether these rows can be as heavy as one range may be: a store counts the bytes that it keeps a value in, which
    are up to four for a character, and a few for what is not text.
    """
    return bool(rows) and 4 * weight(rows) + 16 * len(rows) * len(rows[0]) >= MOST_BYTES


def past_equal_ranges(cursor: Cursor, rows: Sequence[Row], limit: int, key_positions: Sequence[int]) -> Cursor:
    """Where to go on when both sides gave these very rows."""
    return Cursor(
        control=_whole(cursor.control, rows, limit, key_positions),
        candidate=_whole(cursor.candidate, rows, limit, key_positions),
    )


def split(
    cursor: Cursor, control: Sequence[Row], candidate: Sequence[Row], limit: int, key_positions: Sequence[int]
) -> Step:
    """What to compare now, and where to go on, when the two ranges are not equal."""
    ends = [rows[-1] for rows in (control, candidate) if len(rows) >= limit]
    if not ends or not (ascends(control, key_positions) and ascends(candidate, key_positions)):
        return Step(
            control=control,
            candidate=candidate,
            cursor=Cursor(
                control=_whole(cursor.control, control, limit, key_positions),
                candidate=_whole(cursor.candidate, candidate, limit, key_positions),
            ),
        )
    key = key_of(key_positions)
    # A side that came to its end bounds nothing: all of it may be compared as far as the other one has come.
    end = cast("Any", min(key(row) for row in ends))
    kept_control = [row for row in control if key(row) <= end]
    kept_candidate = [row for row in candidate if key(row) <= end]
    return Step(
        control=kept_control,
        candidate=kept_candidate,
        cursor=Cursor(
            control=_part(cursor.control, kept_control, control, limit, key_positions),
            candidate=_part(cursor.candidate, kept_candidate, candidate, limit, key_positions),
        ),
    )


def ascends(rows: Sequence[Row], key_positions: Sequence[int]) -> bool:
    """Whether the keys of these rows ascend strictly as Python orders them; False where it cannot order them."""
    keys: list[Any] = list(map(key_of(key_positions), rows))
    try:
        return all(one < other for one, other in pairwise(keys))
    except TypeError:
        return False


def unmatched(rows: Sequence[Row], others: Sequence[Row], key_positions: Sequence[int]) -> list[Key]:
    """The keys of `rows` that `others` does not have."""
    key = key_of(key_positions)
    known = set(map(key, others))
    return [found for found in map(key, rows) if found not in known]


def _whole(side: Side, rows: Sequence[Row], limit: int, key_positions: Sequence[int]) -> Side:
    if not rows:
        return replace(side, done=True)
    return Side(after=key_of(key_positions)(rows[-1]), done=len(rows) < limit)


def _part(side: Side, kept: Sequence[Row], rows: Sequence[Row], limit: int, key_positions: Sequence[int]) -> Side:
    if len(kept) == len(rows):
        return _whole(side, rows, limit, key_positions)
    return Side(after=key_of(key_positions)(kept[-1])) if kept else replace(side, done=False)
