"""A writer that meets a fence sees a pause and no error: what it asked for happens once, where the authority is then.

Each form of writing meets a fence of either database, and the move is decided or given up while it waits.
"""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.stores.mirrored import Mirrored, leave_at

import dualdb
from dualdb.core.phase import Phase, Step
from dualdb.errors import OvertakenError
from dualdb.stores.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEMA = "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT, seen INTEGER); INSERT INTO runs VALUES (1, 'old', 0);"
INSERT = "INSERT INTO runs (name) VALUES (?)"
MANY = [f"row {number}" for number in range(30)]
WAYS = {"to PostgreSQL": Phase.POSTGRES, "back to SQLite": Phase.DUAL_WRITE}
PATIENCE_S = 30.0
LOOK_S = 0.3
"""How long a writer is watched waiting."""


class Form(NamedTuple):
    """A way to write: what is done before the fence rises, what is refused by it, and the names that are new then."""

    level: str | None
    behind: Callable[[Any], object]
    rows: list[str]
    before: Callable[[Any], object] = lambda _connection: None
    seen: int = 0
    """How often the row that was there is counted up."""


def statements(*texts: str) -> Callable[[Any], object]:
    """Executes them one after the other."""
    return lambda connection: [connection.execute(text) for text in texts]


def returning(connection: Any) -> None:
    """A write that answers with what it wrote."""
    found = connection.execute("INSERT INTO runs (name) VALUES ('a'), ('b') RETURNING name, seen").fetchall()
    assert found == [("a", None), ("b", None)]
    assert connection.execute("UPDATE runs SET seen = seen + 1 WHERE id = 1 RETURNING name").fetchone() == ("old",)
    connection.commit()


def in_a_block(connection: Any) -> None:
    """The connection as its own context manager, around two writes."""
    with connection:
        connection.execute(INSERT, ("a",))
        connection.execute(INSERT, ("b",))


def counting(connection: Any) -> None:
    """A write that would show if it were executed twice."""
    assert connection.execute("UPDATE runs SET seen = seen + 1 WHERE id = 1").rowcount == 1
    connection.commit()


def many(rows: Callable[[list[tuple[str]]], Any]) -> Callable[[Any], object]:
    """Many rows at once: from a list, or from an iterator that can be read once."""

    def write(connection: Any) -> None:
        connection.executemany(INSERT, rows([(name,) for name in MANY]))
        connection.commit()

    return write


A, B = "INSERT INTO runs (name) VALUES ('a')", "INSERT INTO runs (name) VALUES ('b')"
UNDONE = "INSERT INTO runs (name) VALUES ('undone')"
FORMS = {
    "a statement by itself": Form(None, statements(A, B), ["a", "b"]),
    "an implicit transaction": Form("", statements(A, B, "COMMIT"), ["a", "b"]),
    "an implicit transaction that is locked": Form("IMMEDIATE", statements(A, B, "COMMIT"), ["a", "b"]),
    "an implicit transaction rolled back": Form("", statements(UNDONE, "ROLLBACK", A, "COMMIT"), ["a"]),
    "a with block": Form("", in_a_block, ["a", "b"]),
    "a transaction begun behind the fence": Form(None, statements("BEGIN", A, B, "COMMIT"), ["a", "b"]),
    "a transaction begun before it": Form(None, statements(A, B, "COMMIT"), ["a", "b"], statements("BEGIN")),
    "a locked transaction": Form(None, statements("BEGIN IMMEDIATE", A, B, "COMMIT"), ["a", "b"]),
    "savepoints in a transaction": Form(
        None,
        statements(UNDONE, "ROLLBACK TO inner", A, "RELEASE outer", B, "COMMIT"),
        ["a", "b"],
        statements("BEGIN", "SAVEPOINT outer", "SAVEPOINT inner"),
    ),
    "a savepoint by itself": Form(
        None, statements(UNDONE, "ROLLBACK TO s", A, "RELEASE s", B), ["a", "b"], statements("SAVEPOINT s")
    ),
    "executemany in a transaction": Form("", many(list), MANY),
    "executemany of an iterator": Form("", many(iter), MANY),
    "executemany by itself": Form(None, many(list), MANY),
    "executemany of an iterator by itself": Form(None, many(iter), MANY),
    "a script": Form("", lambda connection: connection.executescript(f"-- two; of them\n{A}; {B};"), ["a", "b"]),
    "a script with a transaction": Form(
        "",
        lambda connection: connection.executescript(f"{A}; BEGIN; {B}; COMMIT; BEGIN; {UNDONE}; ROLLBACK"),
        ["a", "b"],
    ),
    "RETURNING": Form("", returning, ["a", "b"], seen=1),
    "RETURNING by itself": Form(None, returning, ["a", "b"], seen=1),
    "an update": Form("", counting, [], seen=1),
    "an update by itself": Form(None, counting, [], seen=1),
}


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A small pair in phase dual_write, both sides equal."""
    pair = Mirrored(database, target_dsn, SCHEMA)
    pair.align()
    return pair


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Where writers wait."""
    with ThreadPoolExecutor(2) as threads:
        yield threads


def lead_to_the_beginning(mirrored: Mirrored, to: Phase) -> Phase:
    """Bring the pair to the phase where a move to that one begins."""
    if to is Phase.POSTGRES:
        return Phase.DUAL_WRITE
    mirrored.to_postgres()
    return Phase.POSTGRES


@contextmanager
def opened(mirrored: Mirrored, level: Any) -> Iterator[Any]:
    """A connection of the application, one that was in use before the fence."""
    patient: Any = dualdb.connect(mirrored.path, timeout=PATIENCE_S, isolation_level=level, check_same_thread=False)
    with closing(patient) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        yield connection


def give_up(mirrored: Mirrored) -> None:
    """Abort the move under way, as its coordinator would."""
    with Control.open(mirrored.path) as control:
        control.perform(Step.ABORT, control.judge())
        with suppress(OvertakenError):  # the one that waits may be quicker
            control.perform(Step.UNFENCE, control.judge())


def waits(written: Future[Any]) -> bool:
    """Whether the writer is still at it after a while."""
    return not wait([written], LOOK_S).done


def on_authority(mirrored: Mirrored, to: Phase) -> tuple[list[str], int]:
    """The names that were written, in order, and the old row's count, as a plain client of that phase sees them."""
    names, count = "SELECT name FROM runs WHERE id > 1 ORDER BY id", "SELECT seen FROM runs WHERE id = 1"
    if to is Phase.POSTGRES:
        return [name for (name,) in mirrored.target(names)], mirrored.target(count)[0][0]
    with closing(sqlite3.connect(mirrored.path)) as plain:
        return [name for (name,) in plain.execute(names)], plain.execute(count).fetchone()[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_what_a_fence_refused_is_done_once_where_the_data_is(
    mirrored: Mirrored, pool: ThreadPoolExecutor, way: str, form: str
) -> None:
    """The first move is given up, the next one decided: each time every row is on the authority, once and in order, and
    on the follower soon after.
    """
    to, (level, behind, rows, before, seen) = WAYS[way], FORMS[form]
    stays = lead_to_the_beginning(mirrored, to)
    with opened(mirrored, level) as connection:
        before(connection)
        leave_at(mirrored.path, Step.FENCE, to)
        written = pool.submit(behind, connection)
        assert waits(written)
        give_up(mirrored)
        written.result(PATIENCE_S)
        assert not connection.in_transaction
        assert on_authority(mirrored, stays) == (rows, seen)

        before(connection)
        leave_at(mirrored.path, Step.FENCE, to)
        written = pool.submit(behind, connection)
        assert waits(written)
        leave_at(mirrored.path, Step.SETTLE, to)
        written.result(PATIENCE_S)
        assert not connection.in_transaction
    assert on_authority(mirrored, to) == (rows * 2, seen * 2)
    mirrored.align()
    assert mirrored.differences() == {}


@pytest.mark.parametrize("way", WAYS)
def test_a_fence_that_rises_between_two_rows_of_executemany(
    mirrored: Mirrored, pool: ThreadPoolExecutor, way: str
) -> None:
    """Rows that were committed one by one before it rose are not written again; those behind it follow."""
    to = WAYS[way]
    lead_to_the_beginning(mirrored, to)
    risen = Event()

    def rows() -> Iterator[tuple[str]]:
        for number, name in enumerate(MANY):
            if number == 7:
                leave_at(mirrored.path, Step.FENCE, to)
                risen.set()
            yield (name,)

    with opened(mirrored, None) as connection:
        written = pool.submit(connection.executemany, INSERT, rows())
        assert risen.wait(PATIENCE_S)
        assert waits(written)
        leave_at(mirrored.path, Step.SETTLE, to)
        written.result(PATIENCE_S)
    assert on_authority(mirrored, to) == (MANY, 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("level", ["", None])
def test_a_transaction_that_has_written_holds_the_fence_off(
    mirrored: Mirrored, pool: ThreadPoolExecutor, way: str, level: str | None
) -> None:
    """It is committed whole before the fence rises, and what comes after it goes where the data went."""
    to = WAYS[way]
    stays = lead_to_the_beginning(mirrored, to)
    with opened(mirrored, level) as connection:
        statements(*(() if level is not None else ("BEGIN",)), A)(connection)
        fenced = pool.submit(leave_at, mirrored.path, Step.FENCE, to)
        assert waits(fenced)
        statements("SAVEPOINT s", UNDONE, "ROLLBACK TO s", B, "COMMIT")(connection)
        fenced.result(PATIENCE_S)
        assert on_authority(mirrored, stays) == (["a", "b"], 0)
        written = pool.submit(in_a_block, connection)
        assert waits(written)
        leave_at(mirrored.path, Step.SETTLE, to)
        written.result(PATIENCE_S)
        connection.commit()
    assert on_authority(mirrored, to) == (["a", "b"] * 2, 0)


@pytest.mark.parametrize("level", ["", None])
def test_a_write_beside_an_unfinished_select_of_sqlite_is_told_to_begin_again(
    mirrored: Mirrored, pool: ThreadPoolExecutor, level: str | None
) -> None:
    """SQLITE_BUSY_SNAPSHOT at once, as after anybody else's commit: the SELECT's snapshot is older than the fence. Once
    the cursor is at its end, and the transaction that sqlite3 began is rolled back, the same write waits and succeeds.
    """
    with opened(mirrored, level) as connection:
        connection.executemany(INSERT, [(name,) for name in MANY])
        connection.commit()
        reading = connection.execute("SELECT name FROM runs ORDER BY id")
        assert reading.fetchone() == ("old",)
        leave_at(mirrored.path, Step.FENCE, Phase.POSTGRES)
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$") as caught:
                connection.execute(INSERT, ("new",))
            assert time.monotonic() - began < 1
            assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
            assert connection.in_transaction is (level is not None)
        assert [name for (name,) in reading] == MANY
        connection.rollback()
        written = pool.submit(connection.execute, INSERT, ("new",))
        assert waits(written)
        leave_at(mirrored.path, Step.SETTLE, Phase.POSTGRES)
        written.result(PATIENCE_S)
        connection.commit()
    assert on_authority(mirrored, Phase.POSTGRES) == ([*MANY, "new"], 0)


@pytest.mark.parametrize("level", ["", None])
def test_a_write_beside_an_unfinished_select_of_postgresql_waits(
    mirrored: Mirrored, pool: ThreadPoolExecutor, level: str | None
) -> None:
    """The SELECT's rows have all arrived with its answer: they can be fetched to the last one after the move."""
    lead_to_the_beginning(mirrored, Phase.DUAL_WRITE)
    with opened(mirrored, level) as connection:
        connection.executemany(INSERT, [(name,) for name in MANY])
        connection.commit()
        reading = connection.execute("SELECT name FROM runs ORDER BY id")
        assert reading.fetchone() == ("old",)
        leave_at(mirrored.path, Step.FENCE, Phase.DUAL_WRITE)
        written = pool.submit(connection.execute, INSERT, ("new",))
        assert waits(written)
        leave_at(mirrored.path, Step.SETTLE, Phase.DUAL_WRITE)
        written.result(PATIENCE_S)
        connection.commit()
        assert [name for (name,) in reading] == MANY
    assert on_authority(mirrored, Phase.DUAL_WRITE) == ([*MANY, "new"], 0)
