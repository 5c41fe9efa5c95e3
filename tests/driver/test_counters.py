"""What a connection counts, and the id of its last row, go along with it: to PostgreSQL, and back."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.moves import back, forward
from tests.driver.twins import Twins

import dualdb

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

MODES: dict[str, dict[str, Any]] = {"legacy": {}, "no implicit transactions": {"isolation_level": None}}
if sys.version_info >= (3, 12):
    MODES |= {"autocommit=False": {"autocommit": False}, "autocommit=True": {"autocommit": True}}
SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)"
COUNTERS = "SELECT last_insert_rowid(), changes()"


def _rows(count: int) -> str:
    return "INSERT INTO t(a) VALUES " + ", ".join(["('x')"] * count)


WRITES = {
    "none": (),
    "no row": ("INSERT INTO t VALUES (5, 'x')", "DELETE FROM t WHERE 0"),
    "one row": ("INSERT INTO t VALUES (77, 'x')",),
    "many rows": ("INSERT INTO t VALUES (1000, 'x')", _rows(500)),
    "fewer rows than the id before": (_rows(3), "UPDATE t SET a = 'y' WHERE id < 3"),
    "more rows than the id": (_rows(20), "INSERT INTO t VALUES (-2, 'x')", "UPDATE t SET a = 'y'"),
    "a negative id": ("INSERT INTO t VALUES (-7, 'x')",),
    "the least id": (_rows(2), "INSERT INTO t VALUES (-9223372036854775808, 'x'), (-9223372036854775807, 'y')"),
    "the least id last": (_rows(2), "INSERT INTO t VALUES (5, 'x'), (-9223372036854775808, 'y')"),
    "the greatest id": (_rows(2), "INSERT INTO t VALUES (9223372036854775807, 'x')"),
}


@pytest.fixture
def plain() -> Any:
    """What sqlite3 counts, of the same table in memory."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(SCHEMA)
        connection.commit()
        yield connection


@pytest.mark.parametrize("writes", WRITES)
@pytest.mark.parametrize(("mode", "there"), [*((mode, True) for mode in MODES), ("legacy", False)])
def test_counters_are_the_same_behind_a_move(moving: Path, plain: Any, writes: str, mode: str, there: bool) -> None:
    """Whatever was written last, on PostgreSQL or before the file went there, and however transactions are begun."""
    connection: Any = dualdb.connect(moving, **MODES[mode])
    if there:
        forward(moving)
    for sql in WRITES[writes]:
        for each in (plain, connection):
            each.execute(sql)
            each.commit()
    expected = plain.execute(COUNTERS).fetchone()

    def check() -> None:
        assert connection.execute(COUNTERS).fetchone() == expected
        connection.commit()

    check()
    if not there:
        forward(moving)
        check()
    back(moving)
    check()
    whole = "SELECT id, a FROM t ORDER BY id"
    assert connection.execute(whole).fetchall() == plain.execute(whole).fetchall()
    connection.close()


def test_the_last_id_is_a_foreign_key_behind_the_way_back(moving: Path) -> None:
    """As programs have it that write a row and then those that belong to it."""
    connection: Any = dualdb.connect(moving)
    connection.execute("CREATE TABLE child(parent INTEGER REFERENCES t(id))")
    connection.execute("INSERT INTO t(a) VALUES ('first')")
    connection.commit()
    forward(moving)
    connection.execute("INSERT INTO t(a) VALUES ('second')")
    connection.commit()
    back(moving)
    connection.execute("INSERT INTO child VALUES (last_insert_rowid())")
    connection.commit()
    assert connection.execute("SELECT a FROM t JOIN child ON parent = id").fetchall() == [("second",)]
    connection.close()


def test_a_cursor_that_updates_behind_the_way_back_has_the_last_id(moving: Path) -> None:
    """sqlite3 leaves `lastrowid` as it was where nothing is inserted."""
    connection: Any = dualdb.connect(moving)
    forward(moving)
    cursor = connection.execute("INSERT INTO t VALUES (50, 'a')")
    connection.commit()
    assert cursor.lastrowid == 50
    back(moving)
    cursor.execute("UPDATE t SET a = 'b' WHERE id = 50")
    connection.commit()
    assert cursor.lastrowid == 50
    assert connection.execute(COUNTERS).fetchone() == (50, 1)
    connection.close()


def test_the_number_of_all_changes_never_goes_back(moving: Path) -> None:
    """What is written on PostgreSQL counts once; on SQLite there are the rows of the journal besides."""
    connection: Any = dualdb.connect(moving)
    counted: list[int] = [connection.total_changes]

    def count() -> int:
        connection.execute("SELECT 1")
        counted.append(connection.total_changes)
        return counted[-1] - counted[-2]

    for _ in range(2):
        forward(moving)
        assert count() == 0
        connection.execute(_rows(3))
        connection.commit()
        assert count() == 3
        back(moving)
        assert count() == 0
        connection.execute(_rows(3))
        connection.commit()
        assert count() >= 3
    connection.close()


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_a_select_that_is_unfinished_on_the_way_back_is_not_ended(moving: Path, rows: int) -> None:
    """It began on SQLite before the file left, and gives the rows that it saw; the counters are right beside it."""
    connection: Any = dualdb.connect(moving, isolation_level=None)
    connection.execute("CREATE TABLE u(a INTEGER)")
    connection.executemany("INSERT INTO u VALUES (?)", [(number,) for number in range(300)])
    reading = connection.execute("WITH n(i) AS (VALUES (1), (2), (3)) SELECT i FROM n")
    assert reading.fetchone() == (1,)
    forward(moving)
    connection.execute("INSERT INTO t VALUES (77, 'x')")
    connection.execute(f"UPDATE u SET a = a + 1 WHERE a < {rows}")
    back(moving)
    assert connection.execute(COUNTERS).fetchone() == (77, rows)
    assert reading.fetchall() == [(2,), (3,)]
    assert connection.execute("SELECT changes()").fetchone() == (rows,)
    connection.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_connection_that_only_reads_has_its_counters(moving: Path, mode: str) -> None:
    """PRAGMA query_only forbids writing on the way back, too, and is in force behind it."""
    connection: Any = dualdb.connect(moving, **MODES[mode])
    forward(moving)
    connection.execute("INSERT INTO t VALUES (77, 'x'), (78, 'y')")
    connection.commit()
    connection.execute("PRAGMA query_only = ON")
    connection.commit()
    back(moving)
    assert connection.execute(COUNTERS).fetchone() == (78, 2)
    connection.rollback()
    with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        connection.execute("DELETE FROM t")
    assert connection.execute("PRAGMA query_only").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    "write",
    [
        lambda connection: connection.execute("INSERT INTO t VALUES (1, 'again')"),
        lambda connection: connection.executemany("INSERT INTO t VALUES (?, 'again')", [(11,), (12,), (1,), (13,)]),
        lambda connection: connection.executemany("INSERT INTO t VALUES (?, 'again')", iter([(1,)])),
        lambda connection: connection.executescript("INSERT INTO t VALUES (1, 'again')"),
    ],
)
def test_a_statement_that_fails_has_changed_nothing(database: Path, target_dsn: str, write: Any) -> None:
    """SQLite counts 0 behind it, and not what was written before."""

    def count(connection: Any) -> Any:
        connection.execute("UPDATE t SET a = 'y'")
        with pytest.raises(sqlite3.IntegrityError):
            write(connection)
        return connection.execute(COUNTERS).fetchall(), connection.total_changes

    with closing(Twins(database, target_dsn, f"{SCHEMA}; INSERT INTO t VALUES (1, 'x'), (2, 'x')")) as twins:
        twins.both(count)


def test_a_handler_that_ends_long_work_keeps_no_connection_away(moving: Path) -> None:
    """The id of the last row goes along, and the connection in any case."""
    connection: Any = dualdb.connect(moving)
    forward(moving)
    connection.execute(_rows(5000))
    connection.commit()
    connection.set_progress_handler(lambda: 1, 10_000)
    back(moving)
    assert connection.execute("SELECT last_insert_rowid()").fetchone() == (5000,)
    connection.execute("INSERT INTO t(a) VALUES ('y')")
    connection.commit()
    connection.close()


def test_an_error_of_the_applications_own_undoes_no_count(moving: Path, plain: Any) -> None:
    """The rows before it stay written, and counted, whatever class of error its maker of rows has raised."""

    def rows() -> Any:
        yield ("x",)
        yield ("y",)
        raise sqlite3.IntegrityError

    forward(moving)
    with closing(dualdb.connect(moving)) as connection:
        for each in (connection, plain):
            each.executemany("UPDATE t SET a = ?", [("w",)])
            each.execute("INSERT INTO t(a) VALUES ('v')")
            with pytest.raises(sqlite3.IntegrityError):
                each.executemany("INSERT INTO t(a) VALUES (?)", rows())
            assert each.execute("SELECT changes(), count(*) FROM t").fetchone() == (1, 3)
