"""round() of the schema `sqlite` gives SQLite's float, bit for bit."""

from __future__ import annotations

import math
import sqlite3
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualdb.stores.target_functions import functions_sql
from tests.generators.scratch import scratch

if TYPE_CHECKING:
    import psycopg

SOURCE = scratch()

FLOATS = st.one_of(
    st.floats(-1000, 1000),
    st.floats(allow_nan=False),
    st.builds(lambda whole, places: whole / 10**places, st.integers(-(10**9), 10**9), st.integers(0, 9)),
    st.integers(-(10**7), 10**7).map(float),
)


def _round(values: list[tuple[float, int]]) -> list[float]:
    return [SOURCE.execute("SELECT round(?, ?)", pair).fetchone()[0] for pair in values]


@pytest.fixture
def functions(target: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A connection to a database with the schema `sqlite`."""
    target.execute(functions_sql())
    return target


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FLOATS, st.integers(-2, 40)), min_size=1, max_size=60))
def test_round(functions: psycopg.Connection[Any], pairs: list[tuple[float, int]]) -> None:
    """Any float rounded to any number of places is the one that SQLite gives."""
    cursor = functions.execute(
        "SELECT sqlite.round(v, p) FROM unnest(%s::float8[], %s::bigint[]) WITH ORDINALITY u (v, p, n) ORDER BY n",
        ([value for value, _ in pairs], [places for _, places in pairs]),
        binary=True,
    )
    found = [row[0] for row in cursor]
    expected = _round(pairs)
    if sqlite3.sqlite_version_info < (3, 43):
        assert [struct.pack(">d", one) for one in found] == [struct.pack(">d", one) for one in expected]
    else:  # later versions print floats in another way, and differ from the older ones in the last bits
        assert all(math.isclose(one, other, rel_tol=1e-14) for one, other in zip(found, expected, strict=True))


def test_installing_again_changes_nothing(functions: psycopg.Connection[Any]) -> None:
    """The script may run any number of times."""
    functions.execute(functions_sql())
    assert functions.execute("SELECT sqlite.nocase('ÄBc')").fetchone() == ("Äbc",)
