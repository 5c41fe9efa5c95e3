"""Compare rows of the two sides exactly: values, their Python types, the bits of floats.

Equal means equal for SQLite's user: 1 is not 1.0, 0.0 is not -0.0, 'a' is not b'a'. Nothing is rounded and nothing is
folded. The common case, two equal lists, costs little more than reading them did: everything in it is a loop in C. Rows
are looked at one by one only after that found a difference.

Knows no database and no table: rows are tuples and the key is where `key_positions` says.
"""

from __future__ import annotations

import marshal
import struct
from dataclasses import dataclass
from enum import Enum
from math import copysign
from operator import itemgetter, ne
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dualdb.core.store import Key, Row, Value

_DOUBLE = struct.Struct("<d")


class DifferenceKind(Enum):
    """How one key differs."""

    MISSING = "missing"
    """The authority has a row, the follower has none."""
    EXTRA = "extra"
    """The follower has a row, the authority has none (or the follower has the key twice)."""
    DIFFERENT = "different"
    """Both have a row, and a value differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One key that differs, with both rows."""

    kind: DifferenceKind
    key: Key
    positions: tuple[int, ...] = ()
    """Which values differ; () unless `kind` is DIFFERENT."""
    control: Row | None = None
    """The authority's row."""
    candidate: Row | None = None
    """The follower's row."""


def key_of(key_positions: Sequence[int]) -> Callable[[Row], Key]:
    """A function that takes the key out of a row."""
    if len(key_positions) == 1:
        (position,) = key_positions
        return lambda row: (row[position],)
    return itemgetter(*key_positions)


def same_value(control: Value, candidate: Value) -> bool:
    """Whether two values are one: same type, same value, and for floats the same bits."""
    if type(control) is not type(candidate):
        return False
    if isinstance(control, float) and isinstance(candidate, float):
        return _DOUBLE.pack(control) == _DOUBLE.pack(candidate)
    return control == candidate


def same_rows(control: Sequence[Row], candidate: Sequence[Row]) -> bool:
    """Whether two lists hold the same rows in the same order, exactly."""
    # 1. Serialising tags every value with its type and keeps a float's eight bytes, so equal bytes are equal rows; it
    #    costs a third of what the next steps cost. Unequal bytes prove nothing: objects may be shared in one list.
    # 2. `==` settles everything but what Python calls equal and SQLite does not: 1 == 1.0 == True, and 0.0 == -0.0.
    # 3. So the types are compared, column by column, and the sign of every zero in the columns that hold floats.
    if _same_bytes(control, candidate):
        return True
    if len(control) != len(candidate) or any(map(ne, control, candidate)):
        return False
    return all(map(_same_column, zip(*control, strict=True), zip(*candidate, strict=True)))


def differences(control: Sequence[Row], candidate: Sequence[Row], key_positions: Sequence[int]) -> Iterator[Difference]:
    """Every key that differs between two lists of rows, in whatever order they are.

    A key is matched as SQLite's unique indexes match it, so 1 and 1.0 are one key, with a different value in it.
    """
    key = key_of(key_positions)
    expected = {key(row): row for row in control}
    seen: set[Key] = set()
    for row in candidate:
        found = key(row)
        other = expected.get(found)
        if other is None or found in seen:
            yield Difference(kind=DifferenceKind.EXTRA, key=found, candidate=row)
            continue
        seen.add(found)
        positions = differing_positions(other, row)
        if positions:
            yield Difference(
                kind=DifferenceKind.DIFFERENT, key=key(other), positions=positions, control=other, candidate=row
            )
    for missing, row in expected.items():
        if missing not in seen:
            yield Difference(kind=DifferenceKind.MISSING, key=missing, control=row)


def differing_positions(control: Row, candidate: Row) -> tuple[int, ...]:
    """Where two rows differ; rows of unequal width differ everywhere."""
    if len(control) != len(candidate):
        return tuple(range(max(len(control), len(candidate))))
    pairs = enumerate(zip(control, candidate, strict=True))
    return tuple(position for position, (one, other) in pairs if not same_value(one, other))


def _same_bytes(control: Sequence[Row], candidate: Sequence[Row]) -> bool:
    try:
        return marshal.dumps(cast("Any", control)) == marshal.dumps(cast("Any", candidate))
    except ValueError:  # an Undecodable is among the values
        return False


def _same_column(control: tuple[Value, ...], candidate: tuple[Value, ...]) -> bool:
    """Whether two columns that are equal for Python are equal in types and signs as well."""
    types = set(map(type, control))
    if types != set(map(type, candidate)):
        return False
    if float not in types:
        return True
    # Integers beside floats: the two sides may hold the same types in different rows.
    if int in types and list(map(type, control)) != list(map(type, candidate)):
        return False
    # Searching for 0.0 finds -0.0 too, and it is much cheaper than asking every value for its sign.
    return 0.0 not in control or _signs(control) == _signs(candidate)


def _signs(column: tuple[Value, ...]) -> list[float]:
    return [copysign(1.0, value) for value in column if type(value) is float]
