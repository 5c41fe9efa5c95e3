"""What a script's SELECT finds is nobody's: it is stepped through, neither made into values nor kept."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins

from dualdb.core.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMAS = {
    "a text of any bytes": "CREATE TABLE t(id INTEGER PRIMARY KEY, a);"
    "INSERT INTO t(a) VALUES (CAST(x'ff' AS TEXT)), (x'00'), ('x'), (NULL)",
    "a text": "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t(a) VALUES ('x'), (NULL)",
}
PHASES = [Phase.DUAL_WRITE, Phase.POSTGRES]
MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i, 'x' || i FROM n"


def _not_called(*_: Any) -> Any:
    raise AssertionError


def _runs(connection: Any) -> Any:
    connection.executescript("SELECT a FROM t; INSERT INTO t(a) VALUES ('behind'); SELECT * FROM t")
    return connection.execute("SELECT count(*) FROM t").fetchone()


def _runs_with_factories(connection: Any) -> Any:
    connection.text_factory = connection.row_factory = _not_called
    cursor = connection.cursor()
    cursor.row_factory = _not_called
    assert cursor.executescript("SELECT a FROM t; INSERT INTO t(a) VALUES ('behind')") is cursor
    found = connection.text_factory is _not_called, connection.row_factory is _not_called, cursor.description
    connection.text_factory, connection.row_factory = str, None
    return found, connection.execute("SELECT count(*) FROM t").fetchone()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("run", [_runs, _runs_with_factories])
def test_what_a_script_selects_is_made_into_nothing(
    database: Path, target_dsn: str, phase: Phase, schema: str, run: Callable[[Any], Any]
) -> None:
    """A text may be of bytes that are none in UTF-8, and no factory is called; the script goes on."""
    with closing(Twins(database, target_dsn, SCHEMAS[schema], phase=phase)) as twins:
        twins.both(run)


def test_what_a_script_selects_is_not_kept(database: Path, target_dsn: str) -> None:
    """Three hundred thousand rows that SQLite finds take no memory."""
    with closing(Twins(database, target_dsn, SCHEMAS["a text"], phase=Phase.DUAL_WRITE)) as twins:
        twins.ours.executescript("SELECT 1")
        tracemalloc.start()
        try:
            twins.ours.executescript(MANY)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5_000_000
