"""CREATE, ALTER and DROP on a prepared file while nothing moves: they wait, fail and do nothing as in `sqlite3`."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.prepared import lift_fence, prepare, raise_fence

import dualdb
from dualdb.driver.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dualdb.driver.watch import Authority

pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE t(a);
CREATE INDEX t_a ON t(a);
CREATE VIEW v AS SELECT a FROM t;
CREATE TRIGGER r AFTER DELETE ON t BEGIN SELECT 1; END;
INSERT INTO t VALUES (1), (2);
"""
NOTHING_TO_DO = [
    "CREATE TABLE IF NOT EXISTS t(a)",
    "create index if not exists t_a ON t(a)",
    "CREATE VIEW IF NOT EXISTS v AS SELECT 1",
    "CREATE TRIGGER IF NOT EXISTS r AFTER DELETE ON t BEGIN SELECT 1; END",
    "DROP TABLE IF EXISTS nowhere",
    "DROP INDEX IF EXISTS nowhere",
    "DROP VIEW IF EXISTS nowhere",
    "DROP TRIGGER IF EXISTS nowhere",
]
SOMETHING_TO_DO = ["CREATE TABLE late(x)", "ALTER TABLE t ADD COLUMN b", "DROP INDEX t_a", "CREATE TABLE c AS SELECT 1"]
TRANSACTIONS: list[dict[str, Any]] = [{"isolation_level": level} for level in ("", None, "IMMEDIATE")]
if sys.version_info >= (3, 12):
    TRANSACTIONS += [{"autocommit": False}, {"autocommit": True}]
CONNECT: dict[str, Callable[..., Any]] = {"sqlite3": sqlite3.connect, "dualdb": dualdb.connect}


@pytest.fixture
def database(database: Path) -> Path:
    """A prepared file with a table, an index, a view and a trigger."""
    prepare(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    return database


@pytest.fixture(params=CONNECT)
def connect(request: pytest.FixtureRequest, database: Path) -> Callable[..., Any]:
    """How a connection to the file is opened: by sqlite3, which says what is right, and by us."""
    return lambda **options: closing(CONNECT[request.param](database, **options))


@contextmanager
def writing(database: Path, for_s: float) -> Iterator[None]:
    """Another connection holds the write lock for that long, and no longer than the block."""
    with closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(for_s, other.execute, ("COMMIT",))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def exists(database: Path, name: str) -> bool:
    """Whether the file has this object."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return bool(found[0])


@pytest.mark.parametrize("begin", ["", "BEGIN", "SAVEPOINT s"])
@pytest.mark.parametrize("statement", SOMETHING_TO_DO)
def test_a_writer_is_waited_for(database: Path, connect: Callable[..., Any], begin: str, statement: str) -> None:
    """The first statement of a transaction calls the busy handler."""
    with connect(timeout=10) as connection, writing(database, 0.4):
        began = time.monotonic()
        if begin:
            connection.execute(begin)
        connection.execute(statement)
        assert time.monotonic() - began > 0.2
        assert connection.in_transaction is bool(begin)


@pytest.mark.parametrize("options", TRANSACTIONS)
def test_a_writer_is_waited_for_whatever_opens_a_transaction(
    database: Path, connect: Callable[..., Any], options: dict[str, Any]
) -> None:
    """With `autocommit=False` no statement runs outside one."""
    with connect(timeout=10, **options) as connection, writing(database, 0.4):
        connection.execute("CREATE TABLE late(x)")
        connection.commit()
    assert exists(database, "late")


@pytest.mark.parametrize("begin", ["", "BEGIN"])
def test_a_writer_that_stays_is_a_locked_database(database: Path, connect: Callable[..., Any], begin: str) -> None:
    """What was open stays open, what was not is not."""
    with connect(timeout=0.1) as connection, writing(database, 60):
        if begin:
            connection.execute(begin)
        with pytest.raises(sqlite3.OperationalError, match="database is locked") as found:
            connection.execute("CREATE TABLE late(x)")
        assert found.value.sqlite_errorname == "SQLITE_BUSY"
        assert connection.in_transaction is bool(begin)


@pytest.mark.parametrize("begin", ["", "BEGIN"])
@pytest.mark.parametrize("statement", NOTHING_TO_DO)
def test_what_changes_nothing_needs_no_lock(
    database: Path, connect: Callable[..., Any], begin: str, statement: str
) -> None:
    """Neither a writer nor `query_only` is in its way."""
    with connect(timeout=0.1, isolation_level=None) as connection, writing(database, 60):
        connection.execute("PRAGMA query_only = ON")
        if begin:
            connection.execute(begin)
        connection.execute(statement)
        assert connection.in_transaction is bool(begin)


def test_what_changes_nothing_meets_no_fence(database: Path) -> None:
    """A transaction that has read goes on reading, and one that is not open does not wait."""
    with closing(dualdb.connect(database, timeout=0.1)) as connection:
        raise_fence(database)
        connection.execute("CREATE TABLE IF NOT EXISTS t(a)")
        connection.execute("BEGIN")
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]
        connection.execute("DROP TABLE IF EXISTS nowhere")
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("statement", SOMETHING_TO_DO)
def test_query_only_refuses_a_change(connect: Callable[..., Any], statement: str) -> None:
    """In SQLite's words."""
    with connect() as connection:
        connection.execute("PRAGMA query_only = ON")
        with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
            connection.execute(statement)
        assert not connection.in_transaction


def test_a_temporary_table_that_hides_another_asks_nobody(database: Path, connect: Callable[..., Any]) -> None:
    """DROP says not where the table lies."""
    with connect(timeout=0.1) as connection:
        connection.execute("CREATE TEMP TABLE t(mine)")
        with writing(database, 60):
            connection.execute("DROP TABLE t")
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]


def test_a_statement_that_is_still_writing_is_not_disturbed(connect: Callable[..., Any], database: Path) -> None:
    """Outside a transaction, with rows of RETURNING still to be fetched, both are committed in the end."""
    with connect(isolation_level=None) as connection:
        returned = connection.execute("INSERT INTO t VALUES (3), (4) RETURNING a")
        assert returned.fetchone() == (3,)
        connection.execute("CREATE TABLE late(x)")
        assert returned.fetchall() == [(4,)]
    assert exists(database, "late")
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute("SELECT count(*) FROM t").fetchone() == (4,)


@pytest.mark.parametrize("table", ["temp.own", "other.own"])
@pytest.mark.parametrize("lifted", [False, True])
def test_a_fence_is_met_beside_a_write_that_is_unfinished(database: Path, table: str, lifted: bool) -> None:
    """One that no fence concerns, in another database of the connection: it is not disturbed, and the DDL waits."""
    other = database.with_name("other.db")
    with closing(dualdb.connect(database, timeout=10 if lifted else 0.2, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS other", (str(other),))
        connection.execute(f"CREATE TABLE {table}(x)")
        written = connection.execute(f"INSERT INTO {table} VALUES (1), (2) RETURNING x")
        assert written.fetchone() == (1,)
        raise_fence(database)
        timer = threading.Timer(0.3, lift_fence, (database,))
        if lifted:
            timer.start()
            connection.execute("CREATE TABLE late(x)")
            timer.join()
        else:
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                connection.execute("CREATE TABLE late(x)")
        assert written.fetchall() == [(2,)]
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (2,)
    assert exists(database, "late") is lifted
    with closing(sqlite3.connect(other)) as plain:
        assert table == "temp.own" or plain.execute("SELECT count(*) FROM own").fetchone() == (2,)


def test_a_fence_that_rises_at_the_last_moment_is_met_too(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the write lock: nothing is made, and nothing of the other write is lost."""
    looked = Watch.authority

    def look_and_be_overtaken(self: Watch, seen: int) -> Authority | None:
        found = looked(self, seen)
        monkeypatch.undo()
        raise_fence(database)
        return found

    with closing(dualdb.connect(database, timeout=0.2, isolation_level=None)) as connection:
        connection.execute("CREATE TEMP TABLE own(x)")
        written = connection.execute("INSERT INTO own VALUES (1), (2) RETURNING x")
        monkeypatch.setattr(Watch, "authority", look_and_be_overtaken)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            connection.execute("CREATE TABLE late(x)")
        assert written.fetchall() == [(1,), (2,)]
        assert connection.execute("SELECT count(*) FROM own").fetchone() == (2,)
        lift_fence(database)
        connection.execute("CREATE TABLE late(x)")
    assert exists(database, "late")


@pytest.mark.parametrize("statement", ["CREATE TABLE t(a)", "CREATE TABLE broken(", "DROP TABLE nothing"])
def test_what_is_refused_beside_a_write_takes_no_lock(
    database: Path, connect: Callable[..., Any], statement: str
) -> None:
    """Others write on, as before."""
    with connect(isolation_level=None) as connection, closing(sqlite3.connect(database, timeout=0)) as other:
        connection.execute("CREATE TEMP TABLE own(x)")
        written = connection.execute("INSERT INTO own VALUES (1), (2) RETURNING x")
        assert written.fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError):
            connection.execute(statement)
        other.execute("BEGIN IMMEDIATE")
        other.rollback()
        assert written.fetchall() == [(2,)]


def test_a_writer_is_waited_for_beside_a_write(database: Path, connect: Callable[..., Any]) -> None:
    """The unfinished write is in another database; this one is locked by somebody else, for a while or for long."""
    for timeout_s, for_s in ((10, 0.4), (0.1, 60)):
        with connect(isolation_level=None, timeout=timeout_s) as connection, writing(database, for_s):
            connection.execute("CREATE TEMP TABLE own(x)")
            written = connection.execute("INSERT INTO own VALUES (1), (2) RETURNING x")
            assert written.fetchone() == (1,)
            if for_s < timeout_s:
                connection.execute("CREATE TABLE late(x)")
            else:
                with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                    connection.execute("CREATE TABLE later(x)")
            assert written.fetchall() == [(2,)]
    assert (exists(database, "late"), exists(database, "later")) == (True, False)


def test_rows_that_are_still_read_are_not_disturbed(connect: Callable[..., Any]) -> None:
    """A SELECT that is open goes on behind a statement that was refused, and behind one that was not."""
    with connect(isolation_level=None) as connection:
        reading = connection.execute("SELECT a FROM t ORDER BY rowid")
        assert reading.fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            connection.execute("CREATE TABLE t(a)")
        connection.execute("CREATE TABLE late(x)")
        assert reading.fetchall() == [(2,)]


@pytest.mark.parametrize("factory", [str, bytes, lambda value: value.decode().upper()])
def test_a_text_factory_hides_no_fence(database: Path, factory: Any) -> None:
    """What the application makes of its texts says nothing of ours."""
    with closing(dualdb.connect(database, timeout=0.1)) as connection:
        connection.text_factory = factory
        connection.execute("CREATE TABLE before(x)")
        raise_fence(database)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            connection.execute("CREATE TABLE late(x)")
    assert exists(database, "before")
    assert not exists(database, "late")


@pytest.mark.parametrize("begin", ["", "BEGIN"])
def test_rows_that_a_drop_would_delete_meet_the_fence_first(database: Path, begin: str) -> None:
    """With foreign keys DROP deletes the children's rows, whose triggers speak before we look: it waits too."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(
            "CREATE TABLE parent(id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1);"
            "CREATE TABLE child(p REFERENCES parent ON DELETE CASCADE); INSERT INTO child VALUES (1)"
        )
    with closing(dualdb.connect(database, timeout=10)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        raise_fence(database)
        with closing(sqlite3.connect(database)) as plain:
            plain.execute(
                "CREATE TRIGGER _dualdb_fence_c BEFORE DELETE ON child"
                " WHEN (SELECT move_state FROM _dualdb_control) = 'moving'"
                " BEGIN SELECT RAISE(ROLLBACK, 'dualdb:moved'); END"
            )
        timer = threading.Timer(0.3, lift_fence, (database,))
        timer.start()
        if begin:
            connection.execute(begin)
        connection.execute("DROP TABLE parent")
        timer.join()
        assert connection.in_transaction is bool(begin)
        connection.commit()
    assert not exists(database, "parent")
