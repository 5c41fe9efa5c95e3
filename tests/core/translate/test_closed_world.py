"""What has no proven translation is refused; nothing slips through as it stands."""

# ruff: noqa: E501 - a statement stands on one line

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core.translate import Refused, translate
from dualdb.stores.catalog import read_schema

if TYPE_CHECKING:
    from dualdb.core.schema import Schema

SCRIPT = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c REAL, d DECIMAL, e BLOB, n TEXT COLLATE NOCASE, at TIMESTAMP,
  u INTEGER UNIQUE);
CREATE TABLE s (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
INSERT INTO t (d, e, at) VALUES (1, x'00', 'x'), (1.5, x'00', 'x');
CREATE VIEW v AS SELECT a, count(*) AS k FROM t GROUP BY a;
"""

REFUSED = [
    # Classes that PostgreSQL would compare in another way, or not at all
    "SELECT id FROM t WHERE count(*) > 1",
    "SELECT id FROM t WHERE a IN s",
    # Precedence that sqlglot reads in another way
    "SELECT a = NOT b FROM t",
    # Equal values of which any may come out
    "SELECT a FROM t UNION SELECT c FROM t",
    "SELECT n FROM t UNION SELECT b FROM t",
    # Functions without a rule
    "SELECT printf('%d', a) FROM t",
    "SELECT format('%d', a) FROM t",
    "SELECT soundex(b) FROM t",
    "SELECT group_concat(t.a) FROM t, s",
    "SELECT my_function(a) FROM t",
    "SELECT pg_sleep(a) FROM t",
    "SELECT sqlite_version(), a FROM t",
    "SELECT id FROM t WHERE b REGEXP 'x'",
    "SELECT id FROM t WHERE b MATCH 'x'",
    "SELECT id FROM t WHERE b LIKE 'x' ESCAPE 'a'",
    "SELECT b COLLATE unicode FROM t",
    # Rows that SQLite picks in its own way
    "SELECT k, a FROM v GROUP BY k",
    "SELECT a FROM t GROUP BY a + ?",
    "SELECT DISTINCT a FROM t ORDER BY b",
    # Clauses without a rule
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < a) SELECT x FROM r, t",
    "SELECT a FROM t LIMIT a",
    "SELECT a FROM t UNION SELECT a FROM s ORDER BY a + 1",
    "SELECT a FROM temp.t",
    "SELECT name FROM sqlite_master, t",
    "SELECT seq FROM sqlite_sequence",
    "SELECT a FROM _dualdb_control",
    "SELECT missing FROM t",
    "SELECT a FROM t, s",
    "SELECT x.a FROM t",
    # Writes
    "UPDATE t SET a = (SELECT max(a) FROM t)",
    "UPDATE t SET a = 'x'",
    "UPDATE v SET a = 1",
    "DELETE FROM v",
    "DELETE FROM sqlite_sequence",
    "INSERT INTO t (a, a) VALUES (1, 2)",
    "INSERT INTO t (a) VALUES (1.5)",
    "INSERT INTO t (e) VALUES ('text')",
    "INSERT INTO t (u) VALUES (1) ON CONFLICT (a) DO NOTHING",
    "INSERT INTO t (u) VALUES (1) ON CONFLICT DO UPDATE SET a = 1",
    # Commands
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE TEMP TABLE x (a)",
    "CREATE VIRTUAL TABLE x USING fts5(a)",
    "CREATE TABLE x AS SELECT a FROM t",
    "DROP TRIGGER g",
    "ATTACH 'other.db' AS other",
    "DETACH other",
    "VACUUM INTO 'copy.db'",
    "PRAGMA case_sensitive_like = 1",
    "PRAGMA user_version = 5",
    "PRAGMA integrity_check",
    "PRAGMA writable_schema = 1",
    "PRAGMA no_such_pragma",
    "COPY t TO STDOUT",
    "GRANT ALL ON t TO public",
    "SELECT a FROM t; DELETE FROM t",
    "",
    "-- nothing",
    "SELECT a FROM t WHERE b = 'open",
    "SELECT 1::text FROM t",
    "SELECT a FROM t FOR UPDATE",
]


@pytest.fixture(scope="module")
def schema() -> Schema:
    """A schema with a column of each class."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCRIPT)
        return read_schema(connection)


@pytest.mark.parametrize("sql", REFUSED)
def test_refused(schema: Schema, sql: str) -> None:
    """The statement is refused, with its construct, a reason and a remedy."""
    with pytest.raises(Refused) as caught:
        translate(sql, schema)
    refused = caught.value
    assert refused.construct
    assert refused.reason
    assert str(refused).endswith(f"; {refused.remedy}")
    assert "\n" not in str(refused)


@pytest.mark.parametrize("sql", ["SELECT seq FROM SQLite_sequence", "DELETE FROM sqlite_sequence"])
def test_a_table_of_sqlites_own_is_not_said_to_be_missing(schema: Schema, sql: str) -> None:
    """SQLite has it, and the application knows; what it is for is done in another way."""
    with pytest.raises(
        Refused, match=r"sequence' is not .*: SQLite keeps it for itself; ask for the max\(\) of the ids"
    ):
        translate(sql, schema)


@pytest.mark.parametrize("word", ["", "TEMP ", "temporary "])
def test_a_trigger_is_one_statement(schema: Schema, word: str) -> None:
    """Whatever semicolons it holds: it is called by its name."""
    with pytest.raises(Refused, match=r"^CREATE TRIGGER is not translated to PostgreSQL"):
        translate(f"CREATE {word}TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; SELECT 1; END;", schema)


def test_depth(schema: Schema) -> None:
    """A statement nested too deep for the parser is refused, not a crash."""
    with pytest.raises(Refused):
        translate("SELECT " + "(" * 5000 + "a" + ")" * 5000 + " FROM t", schema)


def test_many_terms(schema: Schema) -> None:
    """A long chain of conditions is no deep nesting."""
    sql = "SELECT a FROM t WHERE " + " OR ".join(f"a = {number}" for number in range(300))
    assert translate(sql, schema).steps[0].sql.count(" OR ") == 299


def test_nul(schema: Schema) -> None:
    """A NUL character, which PostgreSQL's text cannot hold, is refused."""
    with pytest.raises(Refused, match="NUL"):
        translate("SELECT a FROM t WHERE b = 'x\0y'", schema)
