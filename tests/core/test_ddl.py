"""The schema as PostgreSQL statements, executed on a server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dualdb.core.translate.ddl import target_ddl
from dualdb.stores.catalog import read_schema
from dualdb.stores.target_functions import functions_sql

if TYPE_CHECKING:
    from dualdb.core.schema import Schema
    from dualdb.core.translate.ddl import Ddl

SCRIPT = """
CREATE TABLE plain (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'x', b REAL DEFAULT (1 + 0.5), c BLOB DEFAULT x'00',
  d INTEGER DEFAULT '7', e TEXT DEFAULT 7, f DEFAULT NULL, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT small CHECK (d < 100), CHECK (length(a) > 0 OR a IS NULL));
CREATE TABLE keyed (k TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v TEXT) WITHOUT ROWID;
CREATE TABLE loose (k TEXT PRIMARY KEY, v TEXT UNIQUE COLLATE RTRIM);
CREATE TABLE made (id INTEGER PRIMARY KEY, n INTEGER, twice INTEGER AS (n * 2) STORED, word TEXT AS ('n' || n));
CREATE TABLE plain_pkey (id INTEGER PRIMARY KEY);
CREATE TABLE plain_id_seq (id INTEGER PRIMARY KEY, plain_a TEXT);
CREATE INDEX by_a ON plain (a DESC, b);
CREATE INDEX by_expression ON plain (lower(a), d + 1);
CREATE UNIQUE INDEX part ON plain (a) WHERE b > 1;
CREATE INDEX by_nocase ON plain (a COLLATE NOCASE);
CREATE VIEW second AS SELECT * FROM first_one WHERE b > 1;
CREATE VIEW first_one (x, b) AS SELECT a, b FROM plain;
"""

UNTRANSLATED = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER, g TEXT AS (printf('%d', b)));
CREATE INDEX odd ON t (soundex(a));
CREATE INDEX fine ON t (a);
CREATE VIEW v AS SELECT a, max(b), min(b) FROM t;
CREATE VIEW w AS SELECT * FROM v;
CREATE VIEW good AS SELECT a FROM t;
"""


def _schema(script: str) -> Schema:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.executescript(script)
        except sqlite3.OperationalError as exc:  # a SQLite built without soundex()
            if "soundex" not in str(exc):
                raise
            connection.executescript(script.partition("CREATE INDEX odd")[2].partition(";")[2])
        return read_schema(connection)


def _execute(ddl: Ddl, target: psycopg.Connection[Any]) -> None:
    target.execute(functions_sql())
    target.execute('CREATE SCHEMA IF NOT EXISTS "App"')
    for table in ddl.tables.values():
        target.execute(table.create)
        for index in table.indexes:
            target.execute(index)
    for view in ddl.views.values():
        target.execute(view.create)


@pytest.fixture
def made(target: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The schema above on the server."""
    ddl = target_ddl(_schema(SCRIPT), "App")
    assert ddl.refusals == ()
    _execute(ddl, target)
    target.execute('SET search_path TO "App"')
    return target


def test_views_follow_what_they_read() -> None:
    """A view comes after the views that it selects from."""
    assert list(target_ddl(_schema(SCRIPT), "App").views) == ["first_one", "second"]


def test_defaults(made: psycopg.Connection[Any]) -> None:
    """A default is what SQLite would have stored."""
    row = made.execute("INSERT INTO plain (id) VALUES (1) RETURNING a, b, c, d, e, f, length(at)").fetchone()
    assert row == ("x", 1.5, b"\x00", 7, "7", None, 19)


def test_constraints(made: psycopg.Connection[Any]) -> None:
    """NOT NULL, CHECK and unique keys hold, in each key's collation, and NULLs differ."""
    for statement in (
        "INSERT INTO plain (a) VALUES (NULL)",
        "INSERT INTO plain (d) VALUES (100)",
        "INSERT INTO plain (a) VALUES ('')",
        "INSERT INTO plain (a, b) VALUES ('same', 2), ('same', 3)",
        "INSERT INTO keyed VALUES ('a', NULL), ('A', NULL)",
        "INSERT INTO loose (k, v) VALUES ('a', NULL), ('a', NULL)",
        "INSERT INTO loose (k, v) VALUES ('a', 'x'), ('b', 'x  ')",
    ):
        with pytest.raises(psycopg.errors.IntegrityError):
            made.execute(statement)
    made.execute("INSERT INTO loose (k, v) VALUES (NULL, NULL), (NULL, NULL), ('a', 'x'), ('A', ' x')")
    made.execute("INSERT INTO plain (a, b) VALUES ('same', 1), ('same', 1), ('same', 2)")
    made.execute("INSERT INTO plain (d) VALUES (NULL)")


def test_generated(made: psycopg.Connection[Any]) -> None:
    """Generated columns are kept by the server."""
    assert made.execute("INSERT INTO made (n) VALUES (4) RETURNING twice, word").fetchone() == (8, "n4")


def test_hidden_key_and_ids(made: psycopg.Connection[Any]) -> None:
    """A table without a key of its own has the hidden one, and ids are given out by default only."""
    assert made.execute("INSERT INTO loose (k) VALUES ('z') RETURNING _dualdb_rowid").fetchone() == (1,)
    assert made.execute("INSERT INTO plain (id) VALUES (9) RETURNING id").fetchone() == (9,)


def test_an_explicit_id_is_passed_over(made: psycopg.Connection[Any]) -> None:
    """An id that the application chose never comes out of the sequence again; NULL takes the next one."""
    claim = "SELECT sqlite.claim_id('\"App\".plain', 'id', %s)"
    found = [made.execute(claim, (given,)).fetchone() for given in (None, 5, 3, None, -4, None)]
    assert found == [(1,), (5,), (3,), (6,), (-4,), (7,)]


def test_an_order_can_use_the_index(made: psycopg.Connection[Any]) -> None:
    """An index is ordered, NULLs included, as ORDER BY is translated."""
    made.execute("SET enable_seqscan = off; SET enable_sort = off")
    plan = "\n".join(str(row[0]) for row in made.execute("EXPLAIN SELECT * FROM plain ORDER BY a DESC, b NULLS FIRST"))
    assert "by_a" in plan


def test_what_is_nested_too_deeply_is_left_out() -> None:
    """SQLite takes a thousand levels."""
    ddl = target_ddl(_schema(f"CREATE TABLE t (n INTEGER, CHECK ({' + '.join(['n'] * 900)} > 0))"), "App")
    assert ddl.refusals == (("check of t", "it is nested too deeply"),)


@pytest.mark.parametrize(
    ("definition", "policies"),
    [
        ("a INTEGER UNIQUE ON CONFLICT REPLACE", "REPLACE"),
        ("a NOT NULL ON CONFLICT ignore, b, UNIQUE (b) ON CONFLICT ROLLBACK", "IGNORE, ROLLBACK"),
        ("id INTEGER PRIMARY KEY ON CONFLICT FAIL", "FAIL"),
        ("a UNIQUE ON CONFLICT ABORT, b DEFAULT 'ON CONFLICT IGNORE'", ""),
    ],
)
def test_a_constraint_that_does_not_only_refuse_is_told(definition: str, policies: str) -> None:
    """PostgreSQL's would refuse where SQLite replaces, passes over, or takes the whole transaction back."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t ({definition})")
        refusals = target_ddl(read_schema(connection), "public").refusals
    told = ("table t", f"ON CONFLICT {policies} of a constraint: PostgreSQL's constraints only refuse")
    assert refusals == ((told,) if policies else ())


def test_what_is_left_out_is_told(target: psycopg.Connection[Any]) -> None:
    """What cannot be translated is listed with its reason, and the rest is made all the same."""
    ddl = target_ddl(_schema(UNTRANSLATED), "App")
    told = {name for name, _ in ddl.refusals}
    assert {"generated column t.g", "view v", "view w"} <= told
    assert all(reason for _, reason in ddl.refusals)
    assert list(ddl.views) == ["good"]
    _execute(ddl, target)
