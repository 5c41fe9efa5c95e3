"""A writer that meets SQLite's fence sees a pause; what it did before is never done twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.prepared import lift_fence, prepare, raise_fence

import dualdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fenced(database: Path) -> Path:
    """A prepared file with table `t`, fenced; the move is given up a fifth of a second after `lifting` is entered."""
    prepare(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t(a)")
    return database


class lifting:  # noqa: N801 - reads as a statement
    """Fence now, and lift the fence from another thread soon."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._thread = threading.Thread(target=self._lift)

    def _lift(self) -> None:
        time.sleep(0.2)
        lift_fence(self._database)

    def __enter__(self) -> None:
        raise_fence(self._database)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def rows(database: Path) -> list[Any]:
    """What the table holds, seen by plain sqlite3."""
    with closing(sqlite3.connect(database)) as connection:
        return [value for (value,) in connection.execute("SELECT a FROM t ORDER BY rowid")]


@pytest.mark.parametrize("level", ["", None, "IMMEDIATE"])
def test_a_single_write_waits(fenced: Path, level: Any) -> None:
    """It is executed once the move is given up, in the transaction that sqlite3 would have begun."""
    connection: Any = dualdb.connect(fenced, isolation_level=level)
    with lifting(fenced):
        cursor = connection.execute("INSERT INTO t VALUES (1)")
    assert cursor.lastrowid == 1
    assert connection.in_transaction is (level is not None)
    connection.commit()
    assert rows(fenced) == [1]
    connection.close()


def test_a_transaction_that_has_only_begun_is_begun_again(fenced: Path) -> None:
    """BEGIN and savepoints are replayed; rolling back to the savepoint works afterwards."""
    connection: Any = dualdb.connect(fenced, isolation_level=None)
    with lifting(fenced):
        connection.execute("BEGIN")
        connection.execute("SAVEPOINT outer")
        connection.execute("SAVEPOINT inner")
        connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("ROLLBACK TO inner")
    connection.execute("INSERT INTO t VALUES (2)")
    connection.execute("RELEASE outer")
    connection.execute("COMMIT")
    assert rows(fenced) == [2]
    connection.close()


@pytest.mark.parametrize("level", ["", None])
@pytest.mark.parametrize("source", [list, iter])
def test_executemany_goes_on_from_the_refused_row(fenced: Path, level: Any, source: Any) -> None:
    """Rows that were committed before the fence rose are not written again, and none is left out."""
    connection: Any = dualdb.connect(fenced, isolation_level=level)

    def slow() -> Iterator[tuple[int]]:
        for value in range(20):
            if value == 7 and level is None:
                with lifting(fenced):
                    yield (value,)
            else:
                yield (value,)

    if level is None:
        cursor = connection.executemany("INSERT INTO t VALUES (?)", slow())
    else:
        with lifting(fenced):
            cursor = connection.executemany("INSERT INTO t VALUES (?)", source([(value,) for value in range(20)]))
        connection.commit()
    assert rows(fenced) == list(range(20))
    assert cursor.rowcount == 20
    connection.close()


def test_a_cursor_that_waited_in_the_middle_of_many_is_one_like_any_other(fenced: Path) -> None:
    """Its count is that of all rows until it executes something else; nothing else of it differs from sqlite3's."""

    class Own(dualdb.Cursor):
        pass

    connection: Any = dualdb.connect(fenced, isolation_level=None)
    connection.executescript("CREATE UNIQUE INDEX t_a ON t(a); INSERT INTO t VALUES (3), (12)")

    def slow() -> Iterator[tuple[int]]:
        for value in range(20):
            if value in (7, 15):
                with lifting(fenced):
                    yield (value,)
            else:
                yield (value,)

    cursor = connection.cursor(Own)
    assert cursor.executemany("INSERT OR IGNORE INTO t VALUES (?)", slow()) is cursor
    assert (cursor.rowcount, cursor.lastrowid, cursor.description) == (18, None, None)
    assert cursor.fetchone() is None
    assert (cursor.fetchmany(), cursor.fetchall(), list(cursor)) == ([], [], [])
    assert isinstance(cursor, Own)
    assert cursor.execute("INSERT INTO t VALUES (100)").rowcount == 1
    assert cursor.lastrowid == 21
    assert cursor.execute("SELECT count(*) FROM t").fetchall() == [(21,)]
    assert cursor.rowcount == -1
    uncounted = cursor.executemany("WITH n(a) AS (SELECT ?) INSERT OR IGNORE INTO t SELECT a FROM n", slow())
    assert uncounted.rowcount == -1
    assert cursor.executemany("UPDATE t SET a = a + 1000 WHERE a < ?", [(3,), (5,)]).rowcount == 5
    cursor.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        cursor.fetchone()
    connection.close()


def test_rows_that_fail_after_the_wait_leave_no_count(fenced: Path) -> None:
    """As in sqlite3, where an executemany that fails has -1."""
    connection: Any = dualdb.connect(fenced, isolation_level=None)
    connection.execute("CREATE UNIQUE INDEX t_a ON t(a)")

    def slow() -> Iterator[tuple[int]]:
        yield (1,)
        with lifting(fenced):
            yield (2,)
        yield (2,)

    cursor = connection.cursor()
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        cursor.executemany("INSERT INTO t VALUES (?)", slow())
    assert cursor.rowcount == -1
    assert rows(fenced) == [1, 2]
    connection.close()


def test_a_script_goes_on_from_the_refused_statement(fenced: Path) -> None:
    """Statements before it are done, those behind it follow."""
    connection: Any = dualdb.connect(fenced)
    with lifting(fenced):
        connection.executescript(
            "CREATE TABLE u(a); INSERT INTO u VALUES (1); -- a ; in a comment\n INSERT INTO t VALUES (1), (';');"
            " BEGIN; INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (?)"
        )
    assert rows(fenced) == [1, ";", 2, None]
    assert not connection.in_transaction
    assert connection.isolation_level == ""
    connection.close()


def test_without_a_decision_the_database_is_locked(fenced: Path) -> None:
    """The time-out is the connection's own, and the implicit transaction stays open as after any SQLITE_BUSY."""
    connection: Any = dualdb.connect(fenced, timeout=0.1)
    raise_fence(fenced)
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$") as caught:
        connection.execute("INSERT INTO t VALUES (1)")
    assert (caught.value.sqlite_errorcode, caught.value.sqlite_errorname) == (5, "SQLITE_BUSY")
    assert connection.in_transaction
    lift_fence(fenced)
    connection.execute("INSERT INTO t VALUES (2)")
    connection.commit()
    assert rows(fenced) == [2]
    connection.close()
