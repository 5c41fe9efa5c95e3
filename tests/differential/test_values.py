"""What the schema `sqlite` does with values of any class is what SQLite does with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dualdb.stores.target_functions import functions_sql
from tests.differential.functions import VALUES, check_alike
from tests.generators.scratch import scratch

if TYPE_CHECKING:
    import psycopg

    from dualdb.core.store import Value

SOURCE = scratch()

ALIKE = {
    "typeof": ("sqlite.typeof($1)", "typeof(:1)"),
    "cast as text": ("sqlite.to_text($1)", "CAST(:1 AS TEXT)"),
    "cast as integer": ("sqlite.to_integer($1)", "CAST(:1 AS INTEGER)"),
    "cast as real": ("sqlite.to_real($1)", "CAST(:1 AS REAL)"),
    "cast as numeric": ("sqlite.to_numeric($1)", "CAST(:1 AS NUMERIC)"),
    "truth": ("sqlite.is_true($1)", "NOT NOT :1"),
    "+": ("sqlite.add($1, $2)", ":1 + :2"),
    "-": ("sqlite.subtract($1, $2)", ":1 - :2"),
    "*": ("sqlite.multiply($1, $2)", ":1 * :2"),
    "/": ("sqlite.divide($1, $2)", ":1 / :2"),
    "%": ("sqlite.modulo($1, $2)", ":1 % :2"),
    "negation": ("sqlite.negate($1)", "-:1"),
    "<<": ("sqlite.shift_left(sqlite.to_integer($1), sqlite.to_integer($2))", ":1 << :2"),
    "=": ("sqlite.key($1) = sqlite.key($2)", ":1 = :2"),
    "<": ("sqlite.key($1) < sqlite.key($2)", ":1 < :2"),
    "< nocase": ("sqlite.key($1, 'NOCASE') < sqlite.key($2, 'NOCASE')", ":1 < :2 COLLATE NOCASE"),
    "= rtrim": ("sqlite.key($1, 'RTRIM') = sqlite.key($2, 'RTRIM')", ":1 = :2 COLLATE RTRIM"),
    "= of a number with": ("sqlite.key($1) = sqlite.key(sqlite.as_number($2))", "CAST(:1 AS NUMERIC) = :2"),
    "= of a text with": ("sqlite.key($1) = sqlite.key(sqlite.as_text($2))", "CAST(:1 AS TEXT) = :2"),
}


@pytest.fixture
def functions(target: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A connection to a database with the schema `sqlite`."""
    target.execute(functions_sql().encode())
    return target


@pytest.mark.parametrize("name", ALIKE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=60))
@example(rows=[(b"300000E10", None), ("2251799813685248.0", None), ("-2251799813685248.0", "2251799813685247.0")])
def test_any_value(functions: psycopg.Connection[Any], name: str, rows: list[tuple[Value, Value]]) -> None:
    """Both give the same value, class and bits, for all values of all classes."""
    ours, theirs = ALIKE[name]
    if name.startswith("= of a number"):
        rows = [(one if isinstance(one, int | float) else None, other) for one, other in rows]
    elif name.startswith("= of a text"):
        rows = [(one if isinstance(one, str) else None, other) for one, other in rows]
    elif name == "cast as text":
        rows = [row for row in rows if _is_text_too(row[0])]
    check_alike(functions, ours, theirs, rows, source=SOURCE)


def _is_text_too(value: Value) -> bool:
    """A blob that is read as text must be one for PostgreSQL."""
    if not isinstance(value, bytes):
        return True
    try:
        return b"\0" not in value and bool(value.decode() or True)
    except UnicodeDecodeError:
        return False
