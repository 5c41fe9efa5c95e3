"""What CREATE statements say, read from texts that SQLite accepts."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from dualdb.core.ddltext import (
    default_expression,
    functions_in,
    index_terms,
    inlined_calls,
    literal_value,
    names_in,
    read_table,
    virtual_module,
)

TABLE = """
CREATE TABLE "t(" ( -- a comment, with (
    "check" TEXT CONSTRAINT "odd name" CHECK ("check" IN ('a,)', 2)) DEFAULT (lower('X')),
    [b c] REAL PRIMARY KEY CHECK([b c] > 0 /* ) */) REFERENCES p(q) ON DELETE CASCADE,
    "autoincrement" INT,
    g TEXT GENERATED ALWAYS AS ("check" || ')') STORED,
    h ANY AS (g + 1),
    CONSTRAINT c2 CHECK (h > (1)) CHECK (1),
    UNIQUE ("check", [b c])
) STRICT, WITHOUT ROWID"""


def test_a_table_tells_its_checks_and_generated_columns() -> None:
    """Constraint names, nested parentheses, comments and columns called like keywords."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(TABLE)
    text = read_table(TABLE)
    assert text.checks == (
        ("odd name", "\"check\" IN ('a,)', 2)"),
        (None, "[b c] > 0"),
        ("c2", "h > (1)"),
        (None, "1"),
    )
    assert text.generated == {"g": "\"check\" || ')'", "h": "g + 1"}
    assert (text.strict, text.without_rowid, text.autoincrement) == (True, True, False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("id INTEGER PRIMARY KEY AUTOINCREMENT", True),
        ("id INTEGER CONSTRAINT x PRIMARY KEY ON CONFLICT REPLACE autoincrement, b", True),
        ("id INTEGER, PRIMARY KEY(id AUTOINCREMENT)", True),
        ('id INTEGER PRIMARY KEY, "autoincrement"', False),
        ("id INTEGER PRIMARY KEY, b DEFAULT 'AUTOINCREMENT'", False),
        ("id INTEGER PRIMARY KEY, b -- AUTOINCREMENT", False),
    ],
)
def test_autoincrement_is_told_from_a_name(body: str, expected: bool) -> None:
    """SQLite agrees: it makes sqlite_sequence exactly when the text says AUTOINCREMENT."""
    sql = f"CREATE TABLE t({body}\n)"
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(sql)
        made = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()
    assert read_table(sql).autoincrement is expected is bool(made[0])


def test_an_index_tells_its_terms() -> None:
    """COLLATE, ASC and DESC come off; commas and parentheses inside expressions, strings and names do not count."""
    sql = (
        'CREATE UNIQUE INDEX "a(b" ON t (substr(e, 1, 2) COLLATE nocase DESC, [b c] ASC /* ) */, '
        "'x,' || f) WHERE c = ','"
    )
    assert index_terms(sql) == (["substr(e, 1, 2)", "[b c]", "'x,' || f"], "c = ','")
    assert index_terms("CREATE INDEX i ON t(desc DESC)") == (["desc"], None)


def test_a_virtual_table_tells_its_module() -> None:
    """An ordinary table has none."""
    assert virtual_module('CREATE VIRTUAL TABLE IF NOT EXISTS "using" USING fts5(a, b)') == "fts5"
    assert virtual_module("CREATE TABLE virtual(a)") is None


@pytest.mark.parametrize(
    ("declared", "meant"),
    [
        ("abc", "'abc'"),
        ('"a"', "'a'"),
        ("-1", "-1"),
        ("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        ("TRUE", "TRUE"),
        ("(lower('A') || 'x')", "(lower('A') || 'x')"),
    ],
)
def test_a_default_means_the_same_as_an_expression(declared: str, meant: str) -> None:
    """A bare or double-quoted word in a DEFAULT is a string, which SQLite confirms."""
    assert default_expression(declared) == meant
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t(k, a DEFAULT {declared})")
        connection.execute("INSERT INTO t(k) VALUES (1)")
        assert connection.execute(f"SELECT a IS {meant} FROM t").fetchone() == (1,)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", (True, 5)),
        ("(-1.5)", (True, -1.5)),
        ("'a''b'", (True, "a'b")),
        ("x'00ff'", (True, b"\x00\xff")),
        ("null", (True, None)),
        ("true", (True, 1)),
        ("1 + 1", (False, None)),
        ("CURRENT_DATE", (False, None)),
        ("0x10", (False, None)),
    ],
)
def test_a_literal_is_told_from_an_expression(text: str, value: tuple[bool, object]) -> None:
    """Only what is certain counts as a literal."""
    assert literal_value(text) == value


def test_names_and_functions_of_an_expression() -> None:
    """Strings may be names (SQLite takes them for columns at times); keywords before a parenthesis are no functions."""
    assert {"a", "b c", "d"} <= names_in("lower(A) || \"b c\" || 'd'")
    assert functions_in('lower(a) IN (1, 2) AND (b) OR "random"() > CASE WHEN (1) THEN abs(2) END') == {
        "lower",
        "random",
        "abs",
    }


@pytest.mark.parametrize(
    ("sql", "calls"),
    [
        ("SELECT count(*), COUNT(), count(DISTINCT a), count(a ORDER BY b, c) FROM t", {("count", 0), ("count", 1)}),
        ("SELECT coalesce(f(a, b), (SELECT 1, 2), 3), lower(a)", {("coalesce", 3)}),
        ('SELECT * FROM t JOIN u ON "iif"(a, b, c)', {("iif", 3)}),
        ("SELECT a IS NOT DISTINCT FROM ifnull(a, b) FROM count", {("ifnull", 2)}),
        ("INSERT INTO count(a) VALUES (1)", set()),
        ("INSERT INTO main.count(a) VALUES (1)", set()),
        ("CREATE UNIQUE INDEX i ON count(a) WHERE coalesce(a, 1)", {("coalesce", 2)}),
        ("CREATE TABLE IF NOT EXISTS count(a)", set()),
        ("CREATE TABLE t(a REFERENCES count(a))", set()),
        ("WITH RECURSIVE count(a) AS (SELECT 1), iif(b) AS NOT MATERIALIZED (SELECT 2) SELECT 1", set()),
        ("SELECT coalesce(a, b) AS c", {("coalesce", 2)}),
        ("PRAGMA count(", {("count", 0)}),
    ],
)
def test_calls_that_the_byte_code_does_not_name(sql: str, calls: object) -> None:
    """With their number of arguments; names of tables are none, whatever list follows."""
    assert inlined_calls(sql) == calls
