"""What PostgreSQL has no room for and SQLite has is refused with its cause and a remedy, and costs nothing else."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import move

import dualdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEMA = f"""
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT UNIQUE);
CREATE TABLE filled ({", ".join(f"c{place} TEXT" for place in range(500))});
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


LONG = random.Random(4).randbytes(20_000).hex()
"""Hard to compress."""
TOO_LARGE = {
    "an index's entry": ("INSERT INTO notes (body) VALUES (?)", [LONG]),
    "a row": (
        f"INSERT INTO filled VALUES ({', '.join('?' * 500)})",
        [LONG[place : place + 40] for place in range(500)],
    ),
    "a result": (f"SELECT {', '.join(f'id + {place}' for place in range(1700))} FROM notes", []),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_a_value_or_a_result_that_is_too_large(ours: Any, database: Path, what: str) -> None:
    """The limit is told, and the transaction goes on."""
    sql, values = TOO_LARGE[what]
    ours.execute("INSERT INTO notes (body) VALUES ('before')")
    with pytest.raises(sqlite3.NotSupportedError, match="PostgreSQL has no room for this where SQLite has") as caught:
        ours.execute(sql, values)
    assert str(caught.value).endswith(f"go back to SQLite: dualdb rollback {database} --to dual_write")
    with pytest.raises(sqlite3.NotSupportedError, match="no room"):
        ours.executemany(sql, [values, values]) if values else ours.execute(sql)
    assert ours.in_transaction
    assert ours.execute("SELECT body FROM notes").fetchall() == [("before",)]
