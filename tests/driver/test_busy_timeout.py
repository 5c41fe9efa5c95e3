"""How long a connection waits for a lock is what it was told last, when it was opened or by PRAGMA busy_timeout."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.moves import back, forward
from tests.stores.mirrored import leave_at

import dualdb
from dualdb.core.phase import Phase, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

WRITE = "INSERT INTO t(a) VALUES ('x')"
READ = "PRAGMA busy_timeout"
HELD_S = 1.0
"""How long somebody else has the lock, or a move takes."""
LONGER_MS = 20_000
SHORTER_MS = 100


@pytest.fixture
def holder(moving: Path) -> Iterator[Any]:
    """Somebody else, who writes and commits when it suits him."""
    with closing(dualdb.connect(moving, isolation_level=None, timeout=20, check_same_thread=False)) as connection:
        yield connection


def _set(connection: Any, timeout_ms: int) -> None:
    assert connection.execute(f"{READ} = {timeout_ms}").fetchall() == [(timeout_ms,)]
    assert connection.execute(READ).fetchall() == [(timeout_ms,)]


def _is_locked_out(connection: Any, least_s: float) -> None:
    """A write is refused, after so long and not much later."""
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
        connection.execute(WRITE)
    assert least_s <= time.monotonic() - began < least_s + 4
    connection.rollback()


@pytest.mark.parametrize("before", [True, False])
def test_a_longer_time_is_waited(moving: Path, holder: Any, before: bool) -> None:
    """By who was opened with a short one, and told before the move or behind it."""
    connection: Any = dualdb.connect(moving, timeout=0.05)
    if before:
        _set(connection, LONGER_MS)
    forward(moving)
    if not before:
        connection.execute("SELECT 1")
        _set(connection, LONGER_MS)
    holder.execute("BEGIN IMMEDIATE")
    over = threading.Timer(HELD_S, holder.execute, ("COMMIT",))
    over.start()
    connection.execute(WRITE)
    connection.commit()
    over.join()
    assert connection.execute(READ).fetchall() == [(LONGER_MS,)]
    connection.close()


@pytest.mark.parametrize("before", [True, False])
def test_a_shorter_time_is_not_outstayed(moving: Path, holder: Any, before: bool) -> None:
    """By who was opened with a long one; and behind the way back it is still that."""
    connection: Any = dualdb.connect(moving, timeout=LONGER_MS / 1000)
    if before:
        _set(connection, SHORTER_MS)
    forward(moving)
    if not before:
        connection.execute("SELECT 1")
        _set(connection, SHORTER_MS)
    holder.execute("BEGIN IMMEDIATE")
    _is_locked_out(connection, SHORTER_MS / 1000)
    holder.execute("COMMIT")
    connection.execute(WRITE)
    connection.commit()
    back(moving)
    assert connection.execute(READ).fetchall() == [(SHORTER_MS,)]
    holder.execute("BEGIN IMMEDIATE")
    _is_locked_out(connection, SHORTER_MS / 1000)
    holder.execute("COMMIT")
    connection.close()


@pytest.mark.parametrize("to", [Phase.POSTGRES, Phase.DUAL_WRITE])
def test_a_longer_time_is_waited_at_a_fence(moving: Path, to: Phase) -> None:
    """A move that takes longer than the connection was opened for is a pause."""
    if to is Phase.DUAL_WRITE:
        forward(moving)
    connection: Any = dualdb.connect(moving, timeout=0.05)
    _set(connection, LONGER_MS)
    connection.execute("SELECT 1")
    leave_at(str(moving), Step.FENCE, to)
    decided = threading.Timer(HELD_S, leave_at, (str(moving), Step.SETTLE, to))
    decided.start()
    connection.execute(WRITE)
    connection.commit()
    decided.join()
    assert connection.execute("SELECT a FROM t").fetchall() == [("x",)]
    connection.close()


@pytest.mark.parametrize("to", [Phase.POSTGRES, Phase.DUAL_WRITE])
def test_a_shorter_time_is_not_outstayed_at_a_fence(moving: Path, to: Phase) -> None:
    """A move that takes longer is a locked database."""
    if to is Phase.DUAL_WRITE:
        forward(moving)
    connection: Any = dualdb.connect(moving, timeout=LONGER_MS / 1000)
    _set(connection, SHORTER_MS)
    connection.execute("SELECT 1")
    leave_at(str(moving), Step.FENCE, to)
    _is_locked_out(connection, SHORTER_MS / 1000)
    leave_at(str(moving), Step.SETTLE, to)
    connection.execute(WRITE)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("timeout_s", [5.0, 0.25, 0.0, 30 * 86400.0, 2147483.0])
def test_a_time_is_read_as_it_was_given(moving: Path, timeout_s: float) -> None:
    """In each phase, as sqlite3 gives it; thirty days are more than PostgreSQL counts, and work."""
    with closing(sqlite3.connect(":memory:", timeout=timeout_s)) as plain:
        expected = plain.execute(READ).fetchall()
    connection: Any = dualdb.connect(moving, timeout=timeout_s)
    assert connection.execute(READ).fetchall() == expected
    forward(moving)
    connection.execute(WRITE)
    connection.commit()
    assert connection.execute(READ).fetchall() == expected
    with closing(dualdb.connect(moving, timeout=timeout_s)) as fresh:
        fresh.execute(WRITE)
        fresh.commit()
        cursor = fresh.execute(READ)
        assert (cursor.description[0][0], cursor.fetchall()) == ("timeout", expected)
    connection.close()
