"""How the target finds rows: by their keys, however little it knows of its tables yet."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.stores.mirrored import Mirrored

from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.once

_FILL = """
CREATE TABLE one (id INTEGER PRIMARY KEY, value REAL);
CREATE TABLE two (run INTEGER NOT NULL, step TEXT NOT NULL, value REAL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE folded (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO one SELECT i, i / 3.0 FROM n;
INSERT INTO two SELECT id % 100, 'step ' || id, value FROM one;
INSERT INTO folded SELECT 'name ' || id, value FROM one;
"""


@pytest.mark.parametrize(
    ("table", "changed"), [("one", "id % 40 = 0"), ("two", "run = 3"), ("folded", "value < 150.0")]
)
def test_changed_rows_are_found_by_key(
    database: Path, target_dsn: str, target: psycopg.Connection[Any], table: str, changed: str
) -> None:
    """Carrying and verifying a few hundred changed rows reads no table from end to end, though none was analysed."""
    mirrored = Mirrored(database, target_dsn, _FILL)
    mirrored.align()
    with Pair.open(mirrored.path) as pair:
        verify(pair, full=True, counts=False)
    before = _read_by_scans(target, table)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"UPDATE {table} SET value = value + 0.5 WHERE {changed}")
        connection.commit()
    relay_until_aligned(mirrored.path)
    with Pair.open(mirrored.path) as pair:
        assert verify(pair, counts=False).compared > 100
    assert _read_by_scans(target, table) == before


def _read_by_scans(target: psycopg.Connection[Any], table: str) -> int:
    """Rows read by sequential scans, once the other backends have told their statistics, which they do as they end."""
    deadline = time.monotonic() + 10
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while target.execute(others + " AND backend_type = 'client backend'").fetchone() != (0,):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = target.execute("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = %s", (table,)).fetchone()
    assert found is not None
    return int(found[0])
