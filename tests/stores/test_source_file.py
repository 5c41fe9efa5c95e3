"""A file is told damaged when it is, and nothing else is called damage."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core.phase import Phase
from dualdb.core.schema import KeyKind
from dualdb.errors import PhaseError, SchemaError, SourceError
from dualdb.operations.initialise import initialise
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance
from dualdb.operations.verify import verify
from dualdb.stores.catalog import read_schema
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned
from dualdb.stores.source_file import check_sound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.once

UNCHECKED = "PRAGMA ignore_check_constraints = ON"


def make(database: Path, *statements: str) -> None:
    """What a program does that knows the function `isok` and the collation `mine`."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.create_function("isok", 1, lambda value: value != 7, deterministic=True)
        connection.create_collation("mine", lambda left, right: (left < right) - (left > right))
        for statement in statements:
            connection.execute(statement)


def redefined(sql: str) -> Sequence[str]:
    """The statements that give table t another definition, its rows left alone (lang_altertable.html, section 7)."""
    return ("PRAGMA writable_schema = ON", f"UPDATE sqlite_master SET sql = '{sql}' WHERE name = 't'")


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a CHECK (a > 0))", UNCHECKED, "INSERT INTO t(a) VALUES (1), (-2)"),
        (
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
            "INSERT INTO t(a) VALUES (1), ('x')",
            *redefined("CREATE TABLE t(id INTEGER PRIMARY KEY, a INT) STRICT"),
        ),
    ],
    ids=["check", "strict"],
)
def test_a_row_that_breaks_a_rule_is_kept_apart(database: Path, target_dsn: str, statements: Sequence[str]) -> None:
    """It was there before the rule, or the rule was off; the file is sound."""
    make(database, *statements)
    initialise(str(database), target_dsn)
    advance(str(database), observer=lambda _event: None)
    found = read_status(str(database)).quarantine
    assert found is not None
    assert found.count == 1


def test_a_null_that_is_forbidden_is_told_as_such(database: Path, target_dsn: str) -> None:
    """It may stand in a key, by which its row would not be found."""
    made = "CREATE TABLE t(k TEXT PRIMARY KEY, a)"
    make(database, made, "INSERT INTO t(a) VALUES (1)", *redefined(made.replace("TEXT", "TEXT NOT NULL")))
    with pytest.raises(SourceError, match=r"NULL in t\.k, which their table forbids; give them a value"):
        initialise(str(database), target_dsn)
    make(database, "UPDATE t SET k = 'k' WHERE typeof(k) = 'null'")
    initialise(str(database), target_dsn)


def test_damage_is_found_behind_rows_that_break_a_rule(database: Path) -> None:
    """However many there are."""
    make(
        database,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "INSERT INTO t(a) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT 'x' FROM n",
        *redefined("CREATE TABLE t(id INTEGER PRIMARY KEY, a INT) STRICT"),
        "CREATE TABLE u(id INTEGER PRIMARY KEY, a)",
        "INSERT INTO u VALUES (1, 1)",
    )
    check_sound(str(database))
    with database.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"\xff" * 4096)
    with pytest.raises(SourceError, match="is damaged"):
        check_sound(str(database))


def test_damage_is_told_in_a_line(database: Path) -> None:
    """However much there is; all that SQLite finds in the pages is one text to it."""
    make(database, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    with database.open("r+b") as file:
        pages = file.seek(0, 2) // 4096
        file.write(bytes(4096 * 3000))
        file.seek(28)
        file.write((pages + 3000).to_bytes(4, "big"))
    with pytest.raises(SourceError) as caught:
        check_sound(str(database))
    assert f"is damaged (Page {pages + 1} is never used); restore" in str(caught.value)
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    with pytest.raises(SourceError) as caught:
        check_sound(str(database))
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


OWN = {
    "function in a check": ("CREATE TABLE t(id INTEGER PRIMARY KEY, a CHECK (isok(a)))", "check of t"),
    "function in an index": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE UNIQUE INDEX i ON t(isok(a), a)",
        "index i",
    ),
    "function in a partial index": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE INDEX i ON t(a) WHERE isok(a)",
        "index i",
    ),
    "function in a generated column": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, g AS (isok(a)))",
        "generated column t.g",
    ),
    "function in a typed column": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, g INT AS (isok(a)))",
        "generated column t.g",
    ),
    "function in a typed column that is never null": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, g INT NOT NULL AS (isok(a)))",
        "generated column t.g",
    ),
    "function in a stored column": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, g AS (isok(a)) STORED)",
        "generated column t.g",
    ),
    "function in a default": ("CREATE TABLE t(id INTEGER PRIMARY KEY, a, d DEFAULT (isok(7)))", "default of t.d"),
    "collation of a column": ("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE mine)", "column t.a"),
    "collation of a unique column": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE mine UNIQUE)",
        "column t.a",
    ),
    "collation of an index": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX i ON t(a COLLATE mine)",
        "index i",
    ),
    "collation of a key": ("CREATE TABLE t(a TEXT COLLATE mine NOT NULL PRIMARY KEY)", "column t.a"),
    "collation of a key's index": ("CREATE TABLE t(a TEXT NOT NULL, PRIMARY KEY (a COLLATE mine))", "index sqlite_"),
    "collation in a check": (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, CHECK (a COLLATE mine > 'z'))",
        "check of t",
    ),
}


@pytest.mark.parametrize("what", OWN)
def test_what_only_the_application_can_compute_is_mirrored(database: Path, target_dsn: str, what: str) -> None:
    """Its tables flow and are compared; phase postgres, where it would be missing, says what stands in the way."""
    made, told = OWN[what]
    make(database, *made.split("; "), "INSERT INTO t(a) VALUES ('b'), ('a'), ('c')")
    initialise(str(database), target_dsn)
    advance(str(database), observer=lambda _event: None)
    make(
        database,
        "INSERT INTO t(a) VALUES ('d'), ('B')",
        "UPDATE t SET a = 'e' WHERE a = 'a'",
        "DELETE FROM t WHERE a = 'b'",
        "INSERT OR REPLACE INTO t(a) VALUES ('d')",
    )
    relay_until_aligned(str(database))
    with Pair.open(str(database)) as pair:
        assert verify(pair).agrees
    assert [blocker.reason for blocker in read_status(str(database)).blockers if told in blocker.reason]
    with pytest.raises(PhaseError, match=f"blocked.*: {told}"):
        advance(str(database), Phase.POSTGRES, observer=lambda _event: None)


def test_a_key_without_rowid_in_a_collation_of_the_applications_is_refused(database: Path, target_dsn: str) -> None:
    """Nothing of ours could walk along it; with rowids the rowid is the key."""
    make(database, "CREATE TABLE t(a TEXT COLLATE mine PRIMARY KEY) WITHOUT ROWID")
    with pytest.raises(SchemaError, match=r"primary key of table t is in the application's own collation mine.*; make"):
        initialise(str(database), target_dsn)
    make(database, "DROP TABLE t", "CREATE TABLE t(a TEXT COLLATE mine NOT NULL PRIMARY KEY)")
    with closing(sqlite3.connect(database)) as connection:
        assert read_schema(connection).table("t").key.kind is KeyKind.ROWID
