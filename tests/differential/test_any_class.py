"""Values whose class varies from row to row, and operands of different classes, give SQLite's own answers."""

# ruff: noqa: E501 - a statement stands on one line

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.differential.twins import twins_of

if TYPE_CHECKING:
    import psycopg

SETUP = """
CREATE TABLE t(id INTEGER PRIMARY KEY, dim INTEGER DEFAULT '7', x DEFAULT x'00', n INTEGER);
INSERT INTO t VALUES (1, x'41', 1, 1), (2, 3, 'text', 2), (3, 'abc', 2.5, 3), (4, 3.5, NULL, NULL), (5, NULL, x'31', 3);
CREATE TABLE other(id INTEGER PRIMARY KEY, dim INTEGER, x TEXT);
INSERT INTO other VALUES (1, x'00', 'a'), (2, 3, 'text'), (3, 3.5, NULL), (4, 'abc', '2.5');
CREATE VIEW shown AS SELECT id, dim AS d FROM t WHERE dim IS NOT NULL;
"""
EXPRESSIONS = [
    *(
        "dim = 3",
        "dim <> x",
        "3 < dim",
        "dim = ?",
        "dim IS 3",
        "dim BETWEEN 1 AND 2",
        "dim IN (1, 3)",
        "dim",
        "NOT dim",
    ),
    *(
        "3 IN (SELECT dim FROM other)",
        "dim IN (SELECT x FROM other)",
        "x LIKE 't%'",
        "n = (SELECT dim FROM other WHERE id = 2)",
        "dim IS TRUE",
    ),
    *(
        "dim + 1",
        "-dim",
        "x || 'a'",
        "dim & 1",
        "dim COLLATE NOCASE",
        "CAST(x AS TEXT)",
        "+dim",
        "dim / 2",
        "dim % 2",
        "dim * x",
        "dim << 1",
        "~dim",
    ),
    *(
        "abs(dim)",
        "length(x)",
        "typeof(dim)",
        "coalesce(dim, 1)",
        "ifnull(1, dim)",
        "nullif(dim, 3)",
        "hex(x)",
        "round(dim)",
        "quote(x)",
    ),
    *(
        "CASE WHEN n THEN dim END",
        "CASE dim WHEN 3 THEN 2 END",
        "iif(n, dim, 1)",
        "max(dim, 1)",
        "likely(dim)",
        "CAST(dim AS REAL)",
        "CAST(dim AS NUMERIC)",
    ),
]
STATEMENTS = [
    "SELECT dim FROM t ORDER BY dim",
    "SELECT dim FROM t ORDER BY 1 DESC",
    "SELECT dim AS d FROM t ORDER BY d DESC",
    "SELECT DISTINCT dim FROM t",
    "SELECT DISTINCT x FROM t ORDER BY x",
    "SELECT dim FROM t GROUP BY dim",
    "SELECT dim, count(*) FROM t GROUP BY 1",
    "SELECT dim FROM t UNION ALL SELECT dim FROM other",
    "SELECT NULL UNION ALL SELECT dim FROM t",
    "SELECT * FROM t JOIN other USING (dim)",
    "SELECT * FROM t NATURAL JOIN other",
    "SELECT * FROM t JOIN other ON t.dim = other.dim",
    *(f"SELECT {name}(dim) FROM t" for name in ("min", "max", "sum", "avg", "total")),
    "SELECT group_concat(x) FROM t",
    "SELECT count(DISTINCT dim), count(DISTINCT x) FROM t",
    "SELECT n FROM t GROUP BY n HAVING max(dim) > 1",
    "SELECT d FROM shown WHERE d = 3",
    "INSERT INTO t(dim) SELECT x FROM other ORDER BY id",
    "INSERT INTO t(dim) SELECT n FROM t ORDER BY id",
    "INSERT INTO t(n) SELECT dim FROM t WHERE typeof(dim) = 'integer' ORDER BY id",
    "UPDATE t SET dim = n",
    "UPDATE t SET dim = n + 1",
    "UPDATE t SET dim = x",
    "UPDATE t SET n = dim WHERE id = 2",
    "UPDATE t SET dim = dim || '1'",
    "UPDATE t SET x = CASE WHEN n > 1 THEN dim ELSE 1.5 END",
    "DELETE FROM t WHERE dim > 'a'",
]

CLASSES = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c REAL, d DECIMAL, e BLOB, n TEXT COLLATE NOCASE, at TIMESTAMP,
  u INTEGER UNIQUE);
CREATE TABLE s (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
INSERT INTO t (a, b, c, d, e, n, at, u) VALUES (1, '12abc', 1.5, 1, x'31', 'a', 'x', 10), (2, 'x', -2.0, 1.5, x'32', 'A', '2024', 20),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (7, '7', 7.0, 7, x'37', 'b', '7', 5);
INSERT INTO s (a, b) VALUES (1, '12abc'), (2, '2'), (7, '7.0');
CREATE VIEW v AS SELECT a, count(*) AS k FROM t GROUP BY a;
"""
OF_DIFFERENT_CLASSES = [
    "SELECT id FROM t WHERE a = 'x'",
    "SELECT id FROM t WHERE a = b",
    "SELECT id FROM t WHERE b > c",
    "SELECT id FROM t WHERE b = x'00'",
    "SELECT id FROM t WHERE e = 'x'",
    "SELECT id FROM t WHERE at > 5",
    "SELECT id FROM t WHERE b",
    "SELECT id FROM t WHERE 'x'",
    "SELECT id FROM t WHERE (a, b) = (1, 'x')",
    "SELECT id FROM t WHERE (a, b) IN (SELECT a, b FROM s)",
    "SELECT id FROM t WHERE b IN (SELECT a FROM s)",
    "SELECT id FROM t WHERE a = ? AND b = (? || 'x')",
    "SELECT ? FROM t",
    "SELECT ? + ? FROM t",
    "SELECT id FROM t WHERE ?",
    "SELECT id FROM t WHERE +b = 5",
    "SELECT id FROM t WHERE a = b IN (1, 2)",
    "SELECT a = 1 = 1 FROM t",
    "SELECT CASE WHEN a THEN a ELSE b END FROM t",
    "SELECT coalesce(a, b) FROM t",
    "SELECT coalesce(a, c) FROM t",
    "SELECT iif(a, 1, 1.5) FROM t",
    "SELECT d + 1 FROM t",
    "SELECT d / 2 FROM t",
    "SELECT sum(d) FROM t",
    "SELECT sum(b) FROM t",
    "SELECT abs(b) FROM t",
    "SELECT b + 1 FROM t",
    "SELECT -b FROM t",
    "SELECT c % 2 FROM t",
    "SELECT c || 'x' FROM t",
    "SELECT e || b FROM t",
    "SELECT typeof(d) FROM t",
    "SELECT a FROM t UNION SELECT b FROM t",
    "SELECT round(b) FROM t",
    "SELECT min(e) FROM t",
    "SELECT CAST(b AS REAL) FROM t",
    "SELECT CAST(c AS TEXT) FROM t",
    "SELECT CAST(a AS NUMERIC) FROM t",
    "SELECT CAST(a AS BLOB) FROM t",
    "SELECT max(a, 2) FROM t",
    "SELECT min(a, c) FROM t",
    "SELECT quote(b) FROM t",
    "SELECT char(a + 60) FROM t WHERE a > 0",
    "SELECT zeroblob(a) FROM t",
    "SELECT group_concat(DISTINCT b) FROM t",
    "SELECT hex(b) FROM t",
    "SELECT a << 2 FROM t",
    "SELECT total(DISTINCT c) FROM t",
    "SELECT sum(a) FILTER (WHERE a > 1) FROM t",
    "SELECT a, b FROM t GROUP BY a",
    "SELECT a, max(c) FROM t",
    "SELECT n FROM t GROUP BY n",
    "SELECT DISTINCT n FROM t",
    "SELECT max(n) FROM t",
    "SELECT count(*) FROM t HAVING count(*) > 1",
    "SELECT row_number() OVER (ORDER BY a) FROM t",
    "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY a)",
    "SELECT a FROM t LIMIT 1 + 1",
    "SELECT * FROM t FULL JOIN s USING (a)",
    "UPDATE OR REPLACE t SET a = 1",
    "UPDATE OR IGNORE t SET u = 1",
    "UPDATE t SET u = u + 1",
    "UPDATE t SET id = id + 1",
    "UPDATE t SET a = s.a FROM s WHERE s.id = t.id",
    "UPDATE t SET (a, b) = (1, 'x')",
    "UPDATE t SET a = 1, a = 2",
    "UPDATE t SET at = b",
    "INSERT OR ROLLBACK INTO t (a) VALUES (1)",
    "INSERT OR FAIL INTO t (a) VALUES (1)",
    "INSERT OR REPLACE INTO t (a) SELECT a FROM s",
    "INSERT INTO t (at) SELECT b FROM t",
    "WITH x AS (SELECT 1 AS a) INSERT INTO t (a) SELECT a FROM x",
]


@pytest.mark.parametrize(
    "form", ["SELECT id FROM t WHERE {}", "SELECT {} AS a FROM t ORDER BY id", "UPDATE t SET x = {}"]
)
def test_an_expression(target: psycopg.Connection[Any], form: str) -> None:
    """Wherever the expression stands, each of them gives the value that SQLite gives, or sets it."""
    refused = []
    for expression in EXPRESSIONS:
        target.execute("DROP SCHEMA IF EXISTS each CASCADE")
        twins = twins_of(SETUP, target, "each")
        if not twins.compare(form.format(expression), (3,) * expression.count("?"), refusable=True):
            refused.append(expression)
        twins.compare_tables()
    assert refused == []


@pytest.mark.parametrize(("setup", "statements"), [(SETUP, STATEMENTS), (CLASSES, OF_DIFFERENT_CLASSES)])
def test_a_statement(target: psycopg.Connection[Any], setup: str, statements: list[str]) -> None:
    """Each gives SQLite's answer, and leaves the same rows; what PostgreSQL cannot hold is refused."""
    refused = []
    for sql in statements:
        target.execute("DROP SCHEMA IF EXISTS each CASCADE")
        twins = twins_of(setup, target, "each")
        if not twins.compare(sql, (1,) * sql.count("?"), refusable=True):
            refused.append(sql)
        twins.compare_tables()
    assert refused == []
