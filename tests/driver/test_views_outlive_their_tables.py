"""In phase postgres a view stays when a table that it reads is dropped, as in SQLite, and works when that is back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.twins import Twins

from dualdb.core.events import unheard
from dualdb.operations.transition import rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE point (run INTEGER, value REAL);
CREATE VIEW best AS SELECT run, max(value) AS value FROM point GROUP BY run;
CREATE VIEW named AS SELECT name, value FROM run JOIN best ON run.id = best.run;
CREATE VIEW other AS SELECT name FROM run;
INSERT INTO run VALUES (1, 'a');
INSERT INTO point VALUES (1, 0.5), (1, 0.75);
"""
LOOKS = [
    "SELECT * FROM best",
    "SELECT * FROM named",
    "SELECT * FROM other",
    "SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY 1",
]


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """The same schema on both sides."""
    with closing(Twins(database, target_dsn, SCHEMA, isolation_level=None)) as both:
        yield both


def test_a_table_is_remade_under_its_views(twins: Twins) -> None:
    twins.all(
        "DROP TABLE point", *LOOKS, "DROP TABLE point", "CREATE TABLE point (run INTEGER, value INTEGER, note TEXT)",
        *LOOKS, "INSERT INTO point VALUES (1, 7, 'x')", *LOOKS,
    )  # fmt: skip


def test_a_view_is_remade_under_another(twins: Twins) -> None:
    twins.all(
        "DROP VIEW best", *LOOKS, "CREATE VIEW best AS SELECT run, min(value) AS value FROM point GROUP BY run", *LOOKS
    )  # fmt: skip


def test_what_was_dropped_in_a_transaction_comes_back_with_its_rollback(twins: Twins) -> None:
    twins.all("BEGIN", "DROP TABLE point", "SELECT * FROM other", "ROLLBACK", *LOOKS)
    twins.all("BEGIN", "SAVEPOINT s", "DROP TABLE point", "ROLLBACK TO s", *LOOKS, "COMMIT", *LOOKS)


def test_a_view_without_its_table_goes_back_to_sqlite_and_works_again_there(twins: Twins) -> None:
    twins.all("DROP TABLE point")
    rollback(str(twins.database), observer=unheard)
    with Pair.open(str(twins.database)) as pair:
        assert verify(pair, full=True).agrees
    twins.all(*LOOKS, "CREATE TABLE point (run INTEGER, value REAL)", "INSERT INTO point VALUES (1, 2)", *LOOKS)
