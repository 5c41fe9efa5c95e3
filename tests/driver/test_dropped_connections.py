"""A connection that nobody closes: what it had open on PostgreSQL ends with it."""

from __future__ import annotations

import gc
import sqlite3
import sys
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.moves import back, forward

import dualdb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

WRITE = "INSERT INTO t(a) VALUES (?)"


def _drop_one(connection: Any) -> None:
    """Nothing but the caller's name holds it."""
    connection.execute(WRITE, ("never",))


def _drop_a_ring(connection: Any) -> None:
    """It is found by the garbage collector alone."""
    connection.execute(WRITE, ("never",))
    ring: list[Any] = [connection]
    ring.append(ring)


def _drop_with_a_cursor(connection: Any) -> None:
    """One that has rows to give yet."""
    cursor = connection.execute(WRITE + " RETURNING a", ("never",))
    cursor.execute("SELECT a FROM t UNION ALL SELECT 'x'")
    cursor.fetchone()


def _drop_in_an_executemany(connection: Any) -> None:
    """What makes the rows has failed."""

    def rows() -> Any:
        yield ("never",)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        connection.executemany(WRITE, rows())
    assert connection.in_transaction


@pytest.mark.parametrize("use", [_drop_one, _drop_a_ring, _drop_with_a_cursor, _drop_in_an_executemany])
@pytest.mark.parametrize("before", [True, False])
def test_a_connection_that_is_dropped_in_a_transaction_frees_its_lock(
    moving: Path, use: Callable[[Any], None], before: bool
) -> None:
    """What it wrote is rolled back, others write at once, and psycopg has nothing to complain of."""
    connection: Any = None
    if before:
        connection = dualdb.connect(moving)
        connection.execute("SELECT 1")
    forward(moving)
    if not before:
        connection = dualdb.connect(moving)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        use(connection)
        del connection
        gc.collect()
    assert [str(warning.message) for warning in told if "psycopg" in str(warning.message)] == []
    # From Python 3.13 on sqlite3 itself says so of its connections.
    assert [str(warning.message) for warning in told if sys.version_info < (3, 13)] == []
    with closing(dualdb.connect(moving, timeout=1)) as other:
        other.execute(WRITE, ("now",))
        other.commit()
        assert other.execute("SELECT a FROM t").fetchall() == [("now",)]
    back(moving)
    with closing(sqlite3.connect(moving)) as plain:
        assert plain.execute("SELECT a FROM t").fetchall() == [("now",)]


def test_an_instance_of_ones_own_that_is_dropped_frees_its_lock(moving: Path) -> None:
    """The same of a class with a destructor, which can use the connection still."""
    forward(moving)
    seen: list[Any] = []

    class Own(dualdb.Connection):
        def __del__(self) -> None:
            seen.append(self.in_transaction)
            self.close()

    connection: Any = dualdb.connect(moving, factory=Own)
    connection.execute(WRITE, ("never",))
    del connection
    gc.collect()
    assert seen == [True]
    with closing(dualdb.connect(moving, timeout=1)) as other:
        other.execute(WRITE, ("now",))
        other.commit()
