"""What PostgreSQL has no room for and SQLite has is refused with its cause and a remedy, and costs nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import move

import dualdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = f"""
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT UNIQUE);
CREATE TABLE wide ({", ".join(f"c{place}" for place in range(40))});
"""


@pytest.fixture
def ours(database: Path, target_dsn: str) -> Iterator[Any]:
    """A connection in phase postgres."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    move(database, target_dsn)
    with closing(dualdb.connect(database)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("sql", "cause"),
    [
        (
            f"CREATE TABLE wider ({', '.join(f'c{place}' for place in range(1600))})",
            r"table wider has 1600 columns and PostgreSQL can make 1599, beside .*; move some of them",
        ),
        (
            f"CREATE INDEX long ON wide ({', '.join(f'c{place}' for place in range(33))})",
            r"index long .* has 33 columns and PostgreSQL's have at most 32; ",
        ),
    ],
    ids=["table", "index"],
)
def test_a_definition_that_is_too_large(ours: Any, sql: str, cause: str) -> None:
    """Nothing is made, and the transaction goes on."""
    ours.execute("INSERT INTO notes (body) VALUES ('before')")
    with pytest.raises(sqlite3.NotSupportedError, match=cause):
        ours.execute(sql)
    assert ours.execute("SELECT body FROM notes").fetchall() == [("before",)]
    assert ours.execute("SELECT name FROM sqlite_master WHERE name IN ('wider', 'long')").fetchall() == []
