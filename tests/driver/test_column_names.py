"""Result columns are called what SQLite calls them, in `description` and in the keys of a row."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from tests.driver.twins import Twins

from dualdb.driver.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = """
CREATE TABLE m(Id INTEGER PRIMARY KEY, NaMe TEXT NOT NULL, Score REAL CHECK (Score > 0));
CREATE TABLE p(X UNIQUE, Y TEXT);
CREATE TABLE k(A TEXT PRIMARY KEY, B INTEGER) WITHOUT ROWID;
CREATE VIEW v AS SELECT NaMe AS Shown, ID, name FROM m;
CREATE VIEW w(First, Second) AS SELECT NAME, NAME FROM m;
CREATE VIEW u AS SELECT NAME, NAME FROM m;
INSERT INTO m(NaMe, Score) VALUES ('a', 1.5), ('b', NULL);
INSERT INTO p VALUES (1, 'x');
INSERT INTO k VALUES ('a', 1);
"""
QUERIES = (
    "SELECT NAME FROM m ORDER BY id",
    "SELECT name, NAME, NaMe FROM m ORDER BY id",
    "SELECT NaMe, NaMe, id, ID FROM m ORDER BY id",
    "SELECT a.name, b.NAME FROM m a JOIN m b ON a.id = b.id ORDER BY a.id",
    "SELECT a.NaMe, b.NaMe, a.* FROM m a JOIN m b ON a.id = b.id ORDER BY a.id",
    "SELECT * FROM m a JOIN m b ON a.id = b.id ORDER BY a.id",
    "SELECT * FROM m a JOIN m b USING (id) ORDER BY id",
    "SELECT m.NAME  , main.m.ID FROM m ORDER BY id",
    "SELECT rowid, ROWID FROM m ORDER BY id",
    "SELECT a.ROWID FROM m AS a ORDER BY id",
    "SELECT ROWID, x FROM p",
    "SELECT a._rowid_, a.OID FROM p a",
    "SELECT shown, NAME, id FROM v ORDER BY id",
    "SELECT * FROM v ORDER BY id",
    "SELECT * FROM w ORDER BY 1",
    "SELECT FIRST, second FROM w ORDER BY 1",
    "SELECT * FROM u ORDER BY 1",
    "SELECT name FROM (SELECT NAME FROM m) ORDER BY 1",
    "SELECT * FROM (SELECT NAME, name FROM m) ORDER BY 1",
    "SELECT X.n FROM (SELECT NAME AS N FROM m) x ORDER BY 1",
    "WITH c AS (SELECT NAME FROM m) SELECT name FROM c ORDER BY 1",
    "WITH c(One) AS (SELECT NAME FROM m) SELECT ONE, one AS Two FROM c ORDER BY 1",
    "SELECT name FROM m UNION SELECT y FROM p ORDER BY 1",
    "SELECT name AS n, name AS n FROM m ORDER BY id",
    "SELECT name n, count( * ) FROM m GROUP BY name ORDER BY 1",
    "SELECT max( Name ), MIN(name) FROM m",
    'SELECT "name", [NAME], `Name` FROM m ORDER BY id',
    "SELECT (name), name || 1, 'x' FROM m ORDER BY id",
    "SELECT 1 AS a, 2 AS a, 3",
    "SELECT name AS \"a [b]\", name AS 'c' FROM m ORDER BY id",
    "SELECT a, B FROM k",
)
BOUND = (
    ("SELECT NAME FROM m WHERE id = ?", (1,)),
    ("SELECT NAME, :n FROM m WHERE id < :n ORDER BY id", {"n": 9}),
    ("SELECT ? || NAME FROM m ORDER BY id", ("x",)),
    ("SELECT ? AS v, NAME FROM m ORDER BY id", (2.5,)),
    ("SELECT NAME FROM m WHERE name LIKE ? ESCAPE '!' ORDER BY id LIMIT ? OFFSET ?", ("%", 5, 0)),
    ("INSERT INTO m(name, score) VALUES (?, ?), (?, ?) RETURNING NAME, ID, SCORE", ("c", 1.5, "d", 2.5)),
    ("INSERT INTO p(x) VALUES (?), (?) RETURNING ROWID, X", (7, 8)),
    ("INSERT INTO m(id, name) VALUES (?, ?) RETURNING *", (1, "taken")),
)
CHANGES = (
    "INSERT INTO m(NAME) VALUES ('c') RETURNING NAME, ID",
    "INSERT INTO m(NAME) VALUES ('c') RETURNING ROWID, name, name, m.NAME, name AS NAME,  name||1",
    "INSERT INTO m(NAME) VALUES ('c') RETURNING *",
    "INSERT INTO m(id, NAME) VALUES (1, 'c') ON CONFLICT (id) DO UPDATE SET name = 'e' RETURNING NAME",
    "INSERT INTO p VALUES (2, 'y') RETURNING ROWID, X",
    "UPDATE m SET name = 'z' WHERE id = 2 RETURNING ( Id ), NAME",
    "DELETE FROM m WHERE id = 1 RETURNING NAME, Id % 2",
    "DELETE FROM k RETURNING a, B",
)


@pytest.fixture(params=[0, sqlite3.PARSE_COLNAMES])
def twins(request: pytest.FixtureRequest, database: Path, target_dsn: str) -> Iterator[Twins]:
    """Both connections, with names that tell of types and without."""
    both = Twins(database, target_dsn, SCHEMA, detect_types=request.param)
    yield both
    both.close()


def test_names(twins: Twins) -> None:
    """Of queries, of queries whose plan waits for the values, and of RETURNING."""
    twins.all(*QUERIES)
    for sql, parameters in BOUND:
        twins.execute(sql, parameters)
    twins.all(*CHANGES, *CHANGES)


def test_nothing_is_left_behind(twins: Twins) -> None:
    """What SQLite is asked for a name has no effect: neither on a schema's copy nor on the ids that it gives."""
    for number in range(3):
        twins.execute("INSERT INTO m(NAME) VALUES (?) RETURNING ID", (str(number),))
        twins.execute("SELECT count(*) FROM m")
    twins.execute("SELECT count(*) FROM sqlite_master")


def test_a_long_answer_is_not_computed_for_its_names() -> None:
    """Whatever a query costs, its names cost little."""
    lines = " UNION ALL ".join(f"SELECT {number} AS N" for number in range(60))
    several = ", ".join(f"l AS l{number}" for number in range(6))
    catalogue = Catalogue([("table", "t", "t", "CREATE TABLE t(a)")], {"t": (1, {})}, "public")
    statement = catalogue.statement(f"WITH l AS ({lines}) SELECT count(*), (SELECT max(a) FROM t) AS A FROM {several}")
    assert statement.plan is not None
    assert [column.name for column in statement.plan.columns or ()] == ["count(*)", "A"]
