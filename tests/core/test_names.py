"""Names on the target: unique, within 63 bytes, always quoted."""

from __future__ import annotations

import pytest

from dualdb.core.names import collated, key_term, literal, qualified, quoted, target_name
from dualdb.core.schema import Affinity, Column, TargetType


def test_short_names_stay() -> None:
    """A name that fits is not touched, in whatever spelling."""
    for name in ("job", "Two Words", 'a"b', "é" * 31, "x" * 63):
        assert target_name(name) == name


def test_long_names_differ() -> None:
    """Names that differ only beyond the limit stay different, and fit."""
    names = ["x" * 63 + tail for tail in ("a", "b", "ab")] + ["é" * 32, "é" * 33, "x" * 62 + "é", ""]
    short = [target_name(name) for name in names]
    assert len(set(short)) == len(names)
    assert all(0 < len(name.encode()) <= 63 for name in short)
    assert short == [target_name(name) for name in names]


def test_the_names_of_system_columns_are_others() -> None:
    """PostgreSQL's own columns are there already, in lower case; whatever else looks like them stays."""
    taken = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"]
    others = [target_name(name) for name in taken]
    assert len(set(others) | set(taken)) == 12
    for name in ("CTID", "Xmin", "oid", "xmin "):
        assert target_name(name) == name


def test_quoting() -> None:
    """Quotes inside a name are doubled, and backslashes where somebody might have them mean more."""
    assert quoted('a"b\\') == '"a""b\\"'
    assert literal("a'b") == "'a''b'"
    assert literal("a'b\\") == "E'a''b\\\\'"
    assert qualified("public", "T") == '"public"."T"'


@pytest.mark.parametrize(
    ("collation", "stored", "expected"),
    [
        ("BINARY", TargetType.TEXT, '"c"'),
        ("nocase", TargetType.TEXT, 'sqlite.nocase("c")'),
        ("RTRIM", TargetType.TEXT, "rtrim(\"c\", ' ')"),
        ("NOCASE", TargetType.BIGINT, '"c"'),
    ],
)
def test_key_terms(collation: str, stored: TargetType, expected: str) -> None:
    """A key column is compared as its collation has it; a number has none."""
    column = Column(name="c", decltype="", affinity=Affinity.TEXT, stored=stored, collation=collation)
    assert key_term(column) == expected


def test_unknown_collation() -> None:
    """Only SQLite's own collations are known."""
    with pytest.raises(ValueError, match="not one of SQLite's own"):
        collated("x", "unicode")
