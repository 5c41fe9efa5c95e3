"""SQLite folds the ASCII letters of a name and no others: to it É and é are two names, and ſ is not s."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.differential.twins import twins_of

if TYPE_CHECKING:
    import psycopg

    from tests.differential.twins import Twins

SCRIPT = """
CREATE TABLE é (Id INTEGER PRIMARY KEY, é TEXT, É TEXT, s INTEGER, ſ INTEGER, ınt REAL);
CREATE TABLE É (id INTEGER PRIMARY KEY, é TEXT);
CREATE VIEW seen AS SELECT é AS É, É AS é, ID FROM é;
INSERT INTO é VALUES (1, 'small', 'capital', 1, 2, 0.5), (2, 'klein', 'groß', 4, 3, 1);
INSERT INTO É VALUES (1, 'other'), (2, 'ander');
"""
STATEMENTS = [
    "SELECT é, É, s, ſ, S, ID FROM é ORDER BY ſ",
    "SELECT s AS a, ſ AS s FROM é ORDER BY s",
    "SELECT s AS É, ſ AS é FROM é ORDER BY é",
    "SELECT s AS É, ſ AS é FROM é ORDER BY É",
    "SELECT É.é, é.é FROM é JOIN É ON É.id = é.id ORDER BY É.ID",
    "SELECT a.É FROM é AS a JOIN é AS A2 ON a.id = a2.id ORDER BY 1",
    "WITH É AS (SELECT ID AS x FROM seen), ä AS (SELECT 8 AS x) SELECT É.x, ä.x FROM É, ä ORDER BY 1",
    "SELECT É, é FROM seen ORDER BY id",
    "SELECT x.É FROM (SELECT s AS É, ſ AS é FROM é) AS x ORDER BY x.é",
    "SELECT typeof(ınt) FROM é ORDER BY id",
    "INSERT INTO é (é, É, ſ) VALUES ('new', 'NEW', 9)",
    "UPDATE é SET É = é, ſ = s WHERE é = 'new'",
    "INSERT INTO É (id, é) VALUES (2, 'again') ON CONFLICT (ID) DO UPDATE SET é = excluded.é",
    "DELETE FROM É WHERE É.é = 'other'",
]


@pytest.fixture
def twins(target: psycopg.Connection[tuple[object, ...]]) -> Twins:
    """The same database on both engines."""
    return twins_of(SCRIPT, target)


def test_each_name_means_what_it_means_in_sqlite(twins: Twins) -> None:
    for sql in STATEMENTS:
        twins.compare(sql)
    twins.compare_tables()
