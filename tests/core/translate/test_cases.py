"""The pair files of tests/cases/pairs: a statement of SQLite and what becomes of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dualdb.core.sqltext import split_statements
from dualdb.core.translate import Refused, translate
from dualdb.stores.catalog import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dualdb.core.schema import Schema

CASES = Path(__file__).parents[2] / "cases" / "pairs"
FILES = ("reads.sql", "writes.sql")


def _pairs(file: str) -> Iterator[tuple[str, list[str] | None]]:
    """Statements with the expected steps, None for a refusal; the pairs are parted by empty lines."""
    text = (CASES / file).read_text(encoding="utf-8")
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("-- ") or line == "-- refuse"]
        if not lines:
            continue
        source, *expected = lines
        yield source, None if expected == ["-- refuse"] else [line.removesuffix(";") for line in expected]


@pytest.fixture(scope="module")
def schema() -> Schema:
    """The schema of the cases."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in split_statements((CASES / "schema.sql").read_text(encoding="utf-8")):
            connection.execute(statement)
        return read_schema(connection)


@pytest.mark.parametrize(("source", "expected"), [pair for file in FILES for pair in _pairs(file)])
def test_case(schema: Schema, source: str, expected: list[str] | None) -> None:
    """The statement is translated to these steps, or refused."""
    if expected is None:
        with pytest.raises(Refused):
            translate(source, schema)
        return
    assert [step.sql for step in translate(source, schema).steps] == expected
