"""WITH: which of its queries, tables and views a name means (lang_with.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dualdb.core.translate import Refused
from tests.differential.twins import twins_of

if TYPE_CHECKING:
    import psycopg

    from tests.differential.twins import Twins

SCRIPT = """
CREATE TABLE b (x INTEGER);
CREATE TABLE c (x INTEGER, word TEXT);
CREATE VIEW seen AS SELECT x AS y FROM b;
INSERT INTO b VALUES (1);
INSERT INTO c VALUES (10, 'ten');
"""


@pytest.fixture
def twins(target: psycopg.Connection[tuple[object, ...]]) -> Twins:
    """The same database on both engines."""
    return twins_of(SCRIPT, target)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT x FROM b) SELECT x FROM A",
        'WITH "A" AS (SELECT x FROM b) SELECT a.x, "a".X FROM a, c',
        "WITH b AS (SELECT word AS x FROM c) SELECT x FROM b",
        "WITH b AS (SELECT word AS x FROM c) SELECT y, y + 1 FROM seen",
        "WITH b AS (SELECT x, word FROM c) SELECT * FROM main.b",
        "WITH a AS (WITH c AS (SELECT x FROM b) SELECT x FROM c) SELECT a.x, c.x FROM a, c",
        "WITH a AS (WITH b AS (SELECT 5 AS x) SELECT x FROM b) SELECT a.x, b.x FROM a, b",
        "WITH b AS (SELECT 5 AS x) SELECT x FROM main.b",
        "WITH c AS (SELECT x FROM b UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT x FROM c",
        "SELECT x, (WITH b AS (SELECT 5 AS x) SELECT x FROM b) FROM b",
        "WITH a AS (SELECT x FROM b), d AS (SELECT x + 1 AS x FROM a) SELECT (SELECT x FROM d), x FROM a",
    ],
)
def test_a_name_means_what_it_means_in_sqlite(twins: Twins, sql: str) -> None:
    twins.compare(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT x FROM b), b AS (SELECT x FROM c) SELECT x FROM a",
    ],
)
def test_a_query_further_on_hides_the_table_of_its_name_and_is_refused(twins: Twins, sql: str) -> None:
    with pytest.raises(Refused, match="WITH"):
        twins.plan(sql)
