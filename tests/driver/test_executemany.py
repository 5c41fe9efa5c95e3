"""`executemany` on PostgreSQL, where many executions go in one round trip: nobody can tell, whatever makes the rows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins

import dualdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

INSERT = "INSERT INTO t(a) VALUES (?)"
WHOLE = "SELECT a FROM t ORDER BY id"


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """A table of integers on both."""
    pair = Twins(database, target_dsn, "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER UNIQUE)")
    yield pair
    pair.close()


def _reads(connection: Any) -> Any:
    rows = ((connection.execute("SELECT count(*) FROM t").fetchone()[0],) for _ in range(5))
    return connection.executemany(INSERT, rows).rowcount


def _gives_out_ids(connection: Any) -> Any:
    def rows() -> Iterator[tuple[int, int]]:
        for number in range(5):
            yield connection.execute("SELECT coalesce(max(id), 0) + 1 FROM t").fetchone()[0], number

    return connection.executemany("INSERT INTO t(id, a) VALUES (?, ?)", rows()).rowcount


def _last_rowid(connection: Any) -> Any:
    return connection.executemany("INSERT INTO t(a) VALUES (last_insert_rowid() + ?)", [(0,)] * 5).rowcount


def _total_changes(connection: Any) -> Any:
    return connection.executemany("INSERT INTO t(a) VALUES (total_changes() + ?)", [(0,)] * 5).rowcount


def _counts(connection: Any) -> Any:
    seen: list[Any] = []

    def rows() -> Iterator[tuple[int]]:
        for number in range(3):
            seen.append((connection.total_changes, connection.in_transaction))
            yield (number,)

    connection.executemany(INSERT, rows())
    return [(changes - seen[0][0], inside) for changes, inside in seen]


def _rolls_back(connection: Any) -> Any:
    def rows() -> Iterator[tuple[int]]:
        for number in range(5):
            if number == 3:
                connection.rollback()
            yield (number,)

    written = connection.executemany(INSERT, rows()).rowcount
    connection.rollback()
    return written


def _writes_another(connection: Any) -> Any:
    def rows() -> Iterator[tuple[int]]:
        for number in range(5):
            connection.execute(INSERT, (100 + number,))
            yield (number,)

    return connection.executemany(INSERT, rows()).rowcount


def _nests(connection: Any) -> Any:
    def rows(base: int, depth: int) -> Iterator[tuple[int]]:
        for number in range(base, base + 3):
            if depth:
                connection.executemany(INSERT, rows(10 * number + 10, depth - 1))
            yield (number,)

    return connection.executemany(INSERT, rows(1, 2)).rowcount


def _uses_its_own_cursor(connection: Any) -> Any:
    cursor = connection.cursor()

    def rows() -> Iterator[tuple[int]]:
        for number in range(3):
            yield (number,)
            cursor.execute("SELECT 1")

    return cursor.executemany(INSERT, rows())


def _fails_between(connection: Any) -> Any:
    """The row before has failed by the time that the next one is made."""
    seen: list[Any] = []

    def rows() -> Iterator[tuple[int]]:
        for number in (1, 2, 2, 3):
            seen.append(number)
            connection.execute("SELECT 1")
            yield (number,)

    try:
        connection.executemany(INSERT, rows())
    except Exception as error:  # noqa: BLE001 - the same on both
        return type(error), str(error)
    return seen


def _raises(connection: Any) -> Any:
    def rows() -> Iterator[tuple[int]]:
        for number in range(3):
            yield (number,)
        raise ZeroDivisionError

    try:
        connection.executemany(INSERT, rows())
    except ZeroDivisionError:
        return connection.in_transaction
    return None


def _is_interrupted(connection: Any) -> Any:
    def rows() -> Iterator[tuple[int]]:
        for number in range(3):
            yield (number,)
        raise KeyboardInterrupt

    try:
        connection.executemany(INSERT, rows())
    except KeyboardInterrupt:
        return connection.in_transaction
    return None


def _fills_one_list_anew(connection: Any) -> Any:
    def rows() -> Iterator[list[int]]:
        row = [0]
        for number in range(6):
            if number == 3:
                connection.commit()
            row[0] = number
            yield row

    return connection.executemany(INSERT, rows()).rowcount


class Chunks:
    """An iterator that ends more than once, which sqlite3 asks no further."""

    def __init__(self) -> None:
        self.number = 0

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> tuple[int]:
        self.number += 1
        if self.number % 4 == 0:
            raise StopIteration
        return (self.number,)


def _comes_in_chunks(connection: Any) -> Any:
    rows = Chunks()
    return [connection.executemany(INSERT, rows).rowcount for _ in range(2)], rows.number


WAYS = (
    _comes_in_chunks,
    _is_interrupted,
    _fills_one_list_anew,
    _reads,
    _gives_out_ids,
    _last_rowid,
    _total_changes,
    _counts,
    _rolls_back,
    _writes_another,
    _nests,
    _uses_its_own_cursor,
    _fails_between,
    _raises,
)


def test_rows_behind_a_commit_of_their_maker_stand_at_once(twins: Twins) -> None:
    """Each by itself: others see it before the next is made."""
    with closing(dualdb.connect(twins.database)) as other:
        seen: list[int] = []

        def rows() -> Iterator[tuple[int]]:
            for number in range(6):
                if number == 2:
                    twins.ours.commit()
                seen.append(other.execute("SELECT count(*) FROM t").fetchone()[0])
                yield (number,)

        twins.ours.executemany(INSERT, rows())
        assert seen == [0, 0, 2, 3, 4, 5]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("level", ["", None])
def test_rows_are_executed_when_they_are_made(twins: Twins, way: Callable[[Any], Any], level: Any) -> None:
    """As far as the application can see."""
    for connection in (twins.plain, twins.ours):
        connection.isolation_level = level
    twins.both(way)
    twins.both(lambda connection: connection.execute(WHOLE).fetchall())
    twins.both(lambda connection: connection.commit())
    twins.both(lambda connection: connection.execute(WHOLE).fetchall())


WRITE_NOTHING = (
    "BEGIN",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT s",
    "RELEASE s",
    "",
    "-- c",
    ";",
    "SELECT 1",
    "VALUES (1)",
    "EXPLAIN SELECT 1",
    "PRAGMA user_version",
    "PRAGMA table_info(t)",
    "PRAGMA foreign_keys",
)


@pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE TRANSACTION"])
def test_a_begin_that_locks_is_executed_for_each_row(twins: Twins, mode: str) -> None:
    """SQLite takes it for a write (c3ref/stmt_readonly.html)."""
    twins.executemany(f"BEGIN {mode}", [()])
    assert twins.ours.in_transaction
    twins.executemany(f"BEGIN {mode}", [(), ()])


@pytest.mark.parametrize("inside", [True, False])
def test_what_writes_nothing_is_refused(twins: Twins, inside: bool) -> None:
    """As in sqlite3: a transaction that is open stays so, and none is begun, also where there is no row."""
    if inside:
        twins.execute("BEGIN")
    said = "error", "ProgrammingError", "executemany() can only execute DML statements.", None
    for sql in WRITE_NOTHING:
        for rows in ([()], []):
            assert (sql, twins.executemany(sql, rows)) == (sql, said)
            assert twins.ours.in_transaction is inside
