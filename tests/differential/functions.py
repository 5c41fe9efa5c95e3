"""The functions of the schema `sqlite` beside SQLite's own, over any values: many calls in one statement each."""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from dualdb.core.schema import TargetType
from dualdb.core.types import from_target, to_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from dualdb.core.store import Value

INTEGERS = st.one_of(
    st.integers(-10, 10),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**63 - 1, -(2**63), 2**53, 2**53 + 1, 2**62 + 1, -(2**53) - 1]),
)
FLOATS = st.one_of(
    st.floats(allow_nan=False),
    st.floats(-1000, 1000),
    st.builds(lambda whole, places: whole / 10**places, st.integers(-(10**9), 10**9), st.integers(0, 9)),
    st.sampled_from([0.0, -0.0, 1e15, 1e16, 9223372036854775808.0, 0.1 + 0.2, 1e-5, 5e-324, float("inf")]),
)
NUMERALS = st.from_regex(r"\A[ \t]{0,1}[+-]{0,2}[0-9]{0,6}\.?[0-9]{0,6}([eE][+-]?[0-9]{0,2})?[ x]?\Z")
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.text("aAbBzZ %_*?[]é🙂'\"\\-", max_size=8),
    NUMERALS,
    st.builds(str, INTEGERS),
)
BLOBS = st.one_of(st.binary(max_size=6), TEXTS.map(str.encode))
VALUES = st.one_of(st.none(), INTEGERS, FLOATS, TEXTS, BLOBS)
"""Any value that PostgreSQL can hold: no text has a NUL character or a lone surrogate."""


class Disagreement(AssertionError):  # noqa: N818 - what two databases are in
    """A function gives another value on PostgreSQL than SQLite's own."""


def check_alike(
    target: psycopg.Connection[Any],
    ours: str,
    theirs: str,
    rows: Sequence[Sequence[Value]],
    *,
    source: sqlite3.Connection,
    equal: Callable[[object, object], bool] | None = None,
) -> None:
    """Fail unless the expression `ours` over `$1`, `$2` … of type bytea gives a value (bytea, as sql/sqlite/values.sql
    has it, or a plain type) of the same Python type and bits as `theirs` over `:1`, `:2` … on SQLite, for each row.
    """
    if not rows:
        return
    count = len(rows[0])
    expression = ours
    for number in reversed(range(count)):
        expression = expression.replace(f"${number + 1}", f"u.v{number}")
    names = ", ".join([*(f"v{number}" for number in range(count)), "n"])
    arrays = ", ".join(["%s::bytea[]"] * count)
    columns = [[to_target(row[number], TargetType.ANY) for row in rows] for number in range(count)]
    statement = f"SELECT {expression} FROM unnest({arrays}) WITH ORDINALITY AS u ({names}) ORDER BY n"
    found = [value for (value,) in target.execute(statement.encode(), columns, binary=True)]
    for row, value in zip(rows, found, strict=True):
        try:
            (expected,) = source.execute(
                f"SELECT {theirs}", {str(n): value for n, value in enumerate(row, 1)}
            ).fetchone()
        except sqlite3.OperationalError as error:
            expected = error
        here = from_target(value, TargetType.ANY) if isinstance(value, bytes) else value
        here = int(here) if isinstance(here, bool) else here
        if not (equal or _same)(here, expected):
            message = f"{theirs} of {list(row)!r} is {expected!r} on SQLite and {here!r} on PostgreSQL ({ours})"
            raise Disagreement(message)


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    return type(one) is type(other) and one == other
