"""What counts as equal, and how a difference is named."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdb.core.compare import Difference, DifferenceKind, differences, differing_positions, same_rows, same_value
from dualdb.core.store import Undecodable

if TYPE_CHECKING:
    from dualdb.core.store import Row, Value

NEXT_DOUBLE = struct.unpack("<d", struct.pack("<q", struct.unpack("<q", struct.pack("<d", 0.1))[0] + 1))[0]

UNEQUAL: list[tuple[Value, Value]] = [
    (1, 1.0),
    (1, "1"),
    (0, None),
    (0.0, -0.0),
    (0.1, NEXT_DOUBLE),
    (1e308, float("inf")),
    (2**53, 2.0**53),
    ("a", b"a"),
    ("a", "a "),
    ("a", "A"),
    ("", None),
    ("\u00e9", "e\u0301"),
    (b"", b"\x00"),
    ("a", "a\x00"),
    ("\u00ff", Undecodable(b"\xff")),
    (Undecodable(b"\xff"), Undecodable(b"\xfe")),
    ("2024-01-01 00:00:00.000001", "2024-01-01 00:00:00.000002"),
]
values = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, float("inf")]),
    st.sampled_from(["", "a", "1"]),
    st.sampled_from([b"", b"a"]),
    st.just(Undecodable(b"\xff")),
)


def _literal(value: Value) -> str:
    return f"{type(value).__name__}:{value!r}"


@pytest.mark.parametrize(("one", "other"), UNEQUAL)
def test_unequal_values(one: Value, other: Value) -> None:
    """Unequal values are told apart wherever they stand."""
    assert not same_value(one, other)
    assert not same_value(other, one)
    rows: list[Row] = [(key, "x", 1.5) for key in range(50)]
    for place in (0, 25, 49):
        control, candidate = list(rows), list(rows)
        control[place], candidate[place] = (place, one, 1.5), (place, other, 1.5)
        assert not same_rows(control, candidate)
        assert [found.positions for found in differences(control, candidate, (0,))] == [(1,)]


@given(st.lists(st.tuples(values, values), max_size=6), st.lists(st.tuples(values, values), max_size=6))
def test_fast_comparison(control: list[Row], candidate: list[Row]) -> None:
    """The fast comparison says what comparing literals says."""
    expected = [tuple(map(_literal, row)) for row in control] == [tuple(map(_literal, row)) for row in candidate]
    assert same_rows(control, candidate) is expected


@given(st.lists(st.tuples(values, values), max_size=6))
def test_copies(rows: list[Row]) -> None:
    """Rows equal their own copies."""
    copies = [(one, float(str(other)) if isinstance(other, float) else other) for one, other in rows]
    assert same_rows(rows, copies)


def test_signs_of_zeros() -> None:
    """Zeros of both signs in another row are not the same."""
    assert not same_rows([(1, 0.0), (2, -0.0)], [(1, -0.0), (2, 0.0)])


def test_integers_and_floats() -> None:
    """Integers and floats in another row are not the same."""
    assert not same_rows([(1, 1), (2, 1.0)], [(1, 1.0), (2, 1)])


def test_undecodable() -> None:
    """Undecodable text is compared by its bytes."""
    assert same_rows([(1, Undecodable(b"\xff"))], [(1, Undecodable(b"\xff"))])
    assert not same_rows([(1, Undecodable(b"\xff"))], [(1, Undecodable(b"\xff\xff"))])


def test_length() -> None:
    """Lists of unequal length differ."""
    assert not same_rows([(1,), (2,)], [(1,)])
    assert same_rows([], [])


def test_differences_are_named() -> None:
    """Each difference names its key and columns whatever the order of the rows."""
    control: list[Row] = [(1, "a", 1), (2, "b", 2), (3, "c", 3)]
    candidate: list[Row] = [(4, "d", 4), (3, "c", 3), (2, "B", 2.0)]
    found = sorted(differences(control, candidate, (0,)), key=lambda one: str(one.key))
    assert found == [
        Difference(kind=DifferenceKind.MISSING, key=(1,), control=(1, "a", 1)),
        Difference(
            kind=DifferenceKind.DIFFERENT, key=(2,), positions=(1, 2), control=(2, "b", 2), candidate=(2, "B", 2.0)
        ),
        Difference(kind=DifferenceKind.EXTRA, key=(4,), candidate=(4, "d", 4)),
    ]


def test_swapped_values() -> None:
    """A swap of two rows values differs in both."""
    found = differences([(1, "a"), (2, "b")], [(1, "b"), (2, "a")], (0,))
    assert [(one.key, one.positions) for one in found] == [((1,), (1,)), ((2,), (1,))]


def test_doubled_key() -> None:
    """A key that the follower has twice is extra."""
    found = list(differences([(1, "a")], [(1, "a"), (1, "a")], (0,)))
    assert [(one.kind, one.key) for one in found] == [(DifferenceKind.EXTRA, (1,))]


def test_composite_key() -> None:
    """A composite key is taken in its own order."""
    found = list(differences([("x", 1, "y")], [], (2, 0)))
    assert [one.key for one in found] == [("y", "x")]


def test_key_of_another_type() -> None:
    """A key of another type is the same key with a different value."""
    found = list(differences([(1, "a")], [(1.0, "a")], (0,)))
    assert [(one.kind, one.positions) for one in found] == [(DifferenceKind.DIFFERENT, (0,))]


def test_width() -> None:
    """Rows of unequal width differ everywhere."""
    assert differing_positions((1, 2), (1, 2, 3)) == (0, 1, 2)
