"""What PostgreSQL refuses is told apart by SQLSTATE and names, never by words, which a server may translate."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dualdb.core.phase import Phase
from dualdb.driver.diagnosis import FENCE_STATE, diagnose
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.stores.catalog import read_schema
from dualdb.stores.target_session import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dualdb.core.schema import Schema

SCHEMA = """
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, score INT CHECK (score > 0));
CREATE TABLE step (run INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (run, at)) WITHOUT ROWID;
CREATE TABLE line (text TEXT);
CREATE UNIQUE INDEX by_length ON line (length(text));
INSERT INTO run VALUES (1, 'a', 1);
INSERT INTO step VALUES (1, 1);
INSERT INTO line VALUES ('x');
"""
WORDS = "in einer anderen Sprache gesagt"
"""What a server with another `lc_messages` might say."""
REFUSED: dict[str, tuple[Sequence[str], str, str]] = {
    # What is done on PostgreSQL, and what sqlite3 would have said.
    "an integer primary key": (
        ["INSERT INTO run VALUES (1, 'b', 1)"],
        "UNIQUE constraint failed: run.id",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
    ),
    "a unique column": (
        ["INSERT INTO run VALUES (2, 'a', 1)"],
        "UNIQUE constraint failed: run.name",
        "SQLITE_CONSTRAINT_UNIQUE",
    ),
    "a primary key of two columns": (
        ["INSERT INTO step VALUES (1, 1)"],
        "UNIQUE constraint failed: step.run, step.at",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
    ),
    "a rowid": (
        ['INSERT INTO line SELECT text, "_dualdb_rowid" FROM line'],
        "UNIQUE constraint failed: line.rowid",
        "SQLITE_CONSTRAINT_ROWID",
    ),
    "a unique expression": (
        ["INSERT INTO line (text) VALUES ('y')"],
        "UNIQUE constraint failed: index 'by_length'",
        "SQLITE_CONSTRAINT_UNIQUE",
    ),
    "a missing value": (
        ["INSERT INTO run VALUES (2, NULL, 1)"],
        "NOT NULL constraint failed: run.name",
        "SQLITE_CONSTRAINT_NOTNULL",
    ),
    "a check": (
        ["INSERT INTO run VALUES (2, 'b', 0)"],
        "CHECK constraint failed: score > 0",
        "SQLITE_CONSTRAINT_CHECK",
    ),
    "no lock in time": (["SET lock_timeout = 10", "LOCK TABLE dualdb.writer"], "database is locked", "SQLITE_BUSY"),
    "no answer in time": (["SET statement_timeout = 10", "SELECT pg_sleep(1)"], "database is locked", "SQLITE_BUSY"),
    "only reading": (
        ["SET TRANSACTION READ ONLY", "DELETE FROM line"],
        "attempt to write a readonly database",
        "SQLITE_READONLY",
    ),
    "a datatype": (
        ["DO $$ BEGIN RAISE SQLSTATE 'DD004' USING MESSAGE = 'datatype mismatch'; END $$"],
        "datatype mismatch",
        "SQLITE_MISMATCH",
    ),
}
OUR_OWN_WORDS = {"a datatype"}
"""No server translates these."""


@pytest.fixture
def schema(database: Path, target_dsn: str) -> Schema:
    """The tables, on a PostgreSQL that is the authority."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    with closing(sqlite3.connect(database)) as connection:
        return read_schema(connection)


@pytest.fixture
def asked(target_dsn: str, target: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection, while another one holds the writers' lock."""
    with psycopg.connect(target_dsn) as holder:
        holder.execute("LOCK TABLE dualdb.writer")
        yield target


def rejection(connection: psycopg.Connection[Any], statements: Sequence[str]) -> Rejected:
    """What came of the last of them."""
    *before, refused = [statement.encode() for statement in statements]
    with connection.transaction(force_rollback=True):
        for statement in before:
            connection.execute(statement)
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(refused)
    return Rejected(caught.value)


def check_names(connection: psycopg.Connection[Any], table: str) -> list[str]:
    """A table's CHECK constraints as PostgreSQL names them."""
    found = connection.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass ORDER BY oid", (table,)
    )
    return [name for (name,) in found.fetchall()]


BACK = "dualdb rollback app.db --to dual_write"


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_is_told_in_sqlites_words_whatever_the_servers_language(
    schema: Schema, asked: psycopg.Connection[Any], what: str
) -> None:
    """Class, message and code, from what PostgreSQL really sent and from the same in other words."""
    statements, message, code = REFUSED[what]
    rejected = rejection(asked, statements)
    for words in (None, *([] if what in OUR_OWN_WORDS else [WORDS])):
        if words is not None:
            rejected.message = words
        error = diagnose(rejected, schema, lambda name: check_names(asked, name), BACK)
        expected = (
            sqlite3.IntegrityError if "constraint" in message or "datatype" in message else sqlite3.OperationalError
        )
        assert (type(error), str(error), error.sqlite_errorname) == (expected, message, code)


def test_what_postgresql_cannot_compute_is_not_supported(schema: Schema, target: psycopg.Connection[Any]) -> None:
    """Its own words are quoted, and decide nothing."""
    rejected = rejection(target, ["SELECT 9223372036854775807 + 1"])
    rejected.message = WORDS
    error = diagnose(rejected, schema, lambda _table: [], BACK)
    assert isinstance(error, sqlite3.NotSupportedError)
    assert WORDS in str(error)
    assert str(error).endswith(f"; keep the values in range, or go back to SQLite: {BACK}")


def test_a_limit_is_not_supported(schema: Schema, target: psycopg.Connection[Any]) -> None:
    """Whichever of class 54 it is."""
    rejected = rejection(target, [f"SELECT {', '.join(['1'] * 1700)}"])
    rejected.message = WORDS
    error = diagnose(rejected, schema, lambda _table: [], BACK)
    assert isinstance(error, sqlite3.NotSupportedError)
    assert str(error) == (
        f"PostgreSQL has no room for this where SQLite has ({WORDS}); make the value or the statement smaller, or go"
        f" back to SQLite: {BACK}"
    )


def test_a_fence_is_known_by_its_state(schema: Schema, target: psycopg.Connection[Any], database: Path) -> None:
    """A state of our own: nobody else raises it."""
    assert schema.tables
    rollback(str(database), observer=lambda _event: None)
    assert rejection(target, ["DELETE FROM line"]).sqlstate == FENCE_STATE
