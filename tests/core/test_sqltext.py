"""The lexer and the quoting, held against SQLite itself."""

from __future__ import annotations

import math
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdb.core.sqltext import first_keyword, quote_literal, quote_name, significant, split_statements, tokens, unquote
from dualdb.core.store import Undecodable

TRIGGER = "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM t; END"
VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.binary() | st.text()


def selected(expression: str) -> tuple[object, str]:
    """Value and storage class of an expression."""
    with closing(sqlite3.connect(":memory:")) as connection:
        found: tuple[object, str] = connection.execute(f"SELECT {expression}, typeof({expression})").fetchone()
        return found


@given(VALUES)
def test_a_literal_is_the_value_to_the_bit(value: object) -> None:
    """SQLite evaluates the literal of a value to that value, in its own storage class."""
    if isinstance(value, str) and not value.isprintable() and "\ud800" <= max(value) <= "\udfff":
        return
    found, kind = selected(quote_literal(value))
    classes = {int: "integer", float: "real", str: "text", bytes: "blob", type(None): "null"}
    assert kind == classes[type(value)]
    if isinstance(value, float) and isinstance(found, float):
        assert struct.pack("<d", found) == struct.pack("<d", value)
    else:
        assert found == value


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, math.inf, -math.inf, 5e-324, -5e-324, sys.float_info.max, sys.float_info.min, 0.1, 1e23, 2.0**63, 1e15],
)
def test_a_float_at_an_edge_is_exact(value: float) -> None:
    """Signed zeros, infinities, subnormals and the largest float keep every bit."""
    found, kind = selected(quote_literal(value))
    assert kind == "real"
    assert struct.pack("<d", found) == struct.pack("<d", value)


def test_short_decimals_stay_readable() -> None:
    """A float of few digits is written as people write it."""
    assert [quote_literal(value) for value in (0.1, -3.25, 1234.5678, 1e-05)] == ["0.1", "-3.25", "1234.5678", "1e-05"]


def test_a_literal_with_a_nul_holds_in_any_encoding() -> None:
    """Text with a NUL character survives in a UTF-16 database too."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute(f"CREATE TABLE t AS SELECT {quote_literal('a' + chr(0) + 'é')} AS x")
        assert connection.execute("SELECT x FROM t").fetchall() == [("a\0é",)]


def test_text_that_is_not_utf8_keeps_its_bytes() -> None:
    """Undecodable text becomes text again, byte for byte."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        literal = quote_literal(Undecodable(b"\xff'\x00a"))
        assert connection.execute(f"SELECT {literal}, typeof({literal})").fetchone() == (b"\xff'\x00a", b"text")


def test_what_is_no_value_is_refused() -> None:
    """An object that SQLite cannot store has no literal."""
    with pytest.raises(TypeError, match="no SQLite value"):
        quote_literal(object())


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_quoted_name_is_that_name(name: str) -> None:
    """Whatever the name is, SQLite reads it back from its quotes, and so does the lexer."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t({quote_name(name)})")
        assert connection.execute("SELECT name FROM pragma_table_info('t')").fetchall() == [(name,)]
    assert [unquote(token) for token in significant(quote_name(name))] == [name]


@given(st.text(st.sampled_from("a1.e'\"`[]-/*;$:?x| \n"), max_size=40))
def test_tokens_joined_are_the_text(sql: str) -> None:
    """The lexer loses no character of any text, well-formed or not."""
    assert "".join(token.text for token in tokens(sql)) == sql


def test_every_kind_of_token_is_told_apart() -> None:
    """Names in four quotes, numbers, blobs, parameters, operators and comments."""
    sql = "a \"b\"\"c\" [d e] `f` 'g''h' x'00' 0x1F 1.5e-3 .5 5. ? ?12 :n @n $n::m(x) -> ->> || <> /* c */ -- d"
    assert [token.kind for token in significant(sql)] == [
        *("id", "name", "name", "name", "string", "blob", "number", "number", "number", "number"),
        *("param", "param", "param", "param", "param", "op", "op", "op", "op"),
    ]
    assert [unquote(token) for token in significant(sql)[:5]] == ["a", 'b"c', "d e", "f", "g'h"]


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        (" ;; -- nothing\n ; /* at all */", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT ';' ; SELECT \";\"; SELECT [;], `;` -- ;\n, 2 /* ; */;", None),
        (f"{TRIGGER}; SELECT 2;", [TRIGGER, "SELECT 2"]),
        (f"create temp {TRIGGER[7:]};{TRIGGER}", [f"create temp {TRIGGER[7:]}", TRIGGER]),
        (f"EXPLAIN QUERY PLAN {TRIGGER}; SELECT 2", [f"EXPLAIN QUERY PLAN {TRIGGER}", "SELECT 2"]),
        ("CREATE TABLE trigger_x(a); BEGIN; END; SELECT 1", ["CREATE TABLE trigger_x(a)", "BEGIN", "END", "SELECT 1"]),
        ("SELECT 'open; SELECT 2", ["SELECT 'open; SELECT 2"]),
    ],
)
def test_a_script_is_split_where_sqlite_splits_it(script: str, statements: list[str] | None) -> None:
    """Semicolons inside strings, names, comments and trigger bodies end nothing."""
    found = split_statements(script)
    if statements is None:
        statements = ["SELECT ';'", 'SELECT ";"', "SELECT [;], `;` -- ;\n, 2 /* ; */"]
    assert found == statements
    assert all(sqlite3.complete_statement(sql + "\n;") for sql in found if "open" not in sql)


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1", "SELECT"),
        ("  /* a; */ -- insert\n ;; With x AS (SELECT 1) DELETE FROM t", "WITH"),
        ("\ufeffPRAGMA x", "PRAGMA"),
        ("-- only\n", ""),
        ("(1)", ""),
    ],
)
def test_the_first_keyword_is_found_behind_comments(sql: str, word: str) -> None:
    """Comments, byte order marks and empty statements are skipped."""
    assert first_keyword(sql) == word


def test_the_lexer_starts_light() -> None:
    """The driver may load the lexer in phase sqlite: it brings neither dataclasses nor sqlglot."""
    program = (
        "import sys, dualdb.core.sqltext; print([m for m in ('dataclasses', 'sqlglot', 'psycopg') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
