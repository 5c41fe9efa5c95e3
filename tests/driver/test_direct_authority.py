"""PostgreSQL opened by its address while a SQLite file stands beside it: who has the say is obeyed, or told."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import traceback
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.direct import url_of
from tests.driver.moves import back, forward

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

connect: Any = dualdb.connect
FOLLOWS = r"follows a SQLite file, which is the authority \(phase {}\); open that file with dualdb, or lead it to phase"


@pytest.fixture
def url(target_dsn: str) -> str:
    """The address of the target."""
    return url_of(target_dsn)


@pytest.fixture
def moved(moving: Path) -> Path:
    """A file in phase postgres."""
    forward(moving)
    return moving


# --- what cannot be opened --------------------------------------------------------------------------------------------


def test_a_database_of_somebody_elses_is_left_alone(url: str, target: psycopg.Connection[Any]) -> None:
    """Its tables have no description in SQLite's words; the message names one of them, and what to do."""
    target.execute("CREATE TABLE theirs (a integer)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connect(url)
    assert "holds tables or views that dualdb has not made (public.theirs is one of 1)" in str(caught.value)
    assert str(caught.value).endswith("; name an empty database")
    assert target.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'dualdb'").fetchall() == [(0,)]


def test_a_target_that_follows_is_refused(database: Path, target_dsn: str, url: str) -> None:
    """What is written there would not count."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    initialise(str(database), target_dsn)
    with pytest.raises(sqlite3.OperationalError, match=FOLLOWS.format("sqlite")):
        connect(url)
    advance(str(database), Phase.DUAL_WRITE, observer=unheard)
    with pytest.raises(sqlite3.OperationalError, match=FOLLOWS.format("dual_write")) as caught:
        connect(url)
    assert caught.value.sqlite_errorname == "SQLITE_CANTOPEN"


def test_a_move_under_way_is_waited_for_and_then_refused(
    moved: Path, url: str, target: psycopg.Connection[Any]
) -> None:
    """For the time that the connection would wait for a lock."""
    assert moved.exists()
    target.execute("UPDATE dualdb.control SET move = 9, move_state = 'moving', move_to = 'dual_write'")
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="is on the way back to its SQLite file; try again when"):
        connect(url, timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 3
    ends = threading.Timer(0.3, lambda: target.execute("UPDATE dualdb.control SET move_state = 'rest'"))
    ends.start()
    with closing(connect(url)) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == []
    ends.join()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:unsayable@127.0.0.1:1/nothing",
        "postgres://me:unsay@ble@host/nothing",
        "postgresql://me:unsay/able@host/nothing",
        "postgresql://me:unsayable@127.0.0.1:port/nothing",
        "postgresql://",
    ],
)
def test_an_address_that_leads_nowhere_is_refused_without_its_password(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No message, nor a traceback, shows it."""
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connect(address)
    told = "".join(traceback.format_exception(caught.value))
    assert "unsay" not in told
    assert "; " in str(caught.value)


def test_it_is_the_address_that_is_obeyed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DUALDB_TARGET is for files, whose stored address it replaces."""
    monkeypatch.setenv("DUALDB_TARGET", "postgresql://nobody@127.0.0.1:1/nothing")
    with closing(connect(url)) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_no_file_is_made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a database nor a hint, wherever the program runs; DDL announces itself elsewhere."""
    monkeypatch.chdir(tmp_path)
    with closing(connect(url)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    assert os.listdir(tmp_path) == []


# --- a file that was moved --------------------------------------------------------------------------------------------


def test_a_file_that_takes_the_say_again_ends_it(moved: Path, url: str) -> None:
    """At the next statement, reading or writing, and what it would have written is nowhere."""
    with closing(connect(url)) as idle, closing(connect(url)) as reading:
        with idle:
            idle.execute("INSERT INTO t (a) VALUES ('before')")
        reading.execute("BEGIN")
        assert reading.execute("SELECT a FROM t").fetchall() == [("before",)]
        back(moved)
        for statement in (
            "SELECT * FROM t",
            "INSERT INTO t (a) VALUES ('lost')",
            "CREATE TABLE u (a)",
            "BEGIN IMMEDIATE",
        ):
            with pytest.raises(sqlite3.OperationalError, match=FOLLOWS.format("dual_write")):
                idle.execute(statement)
        assert reading.execute("SELECT a FROM t").fetchall() == [("before",)]
        with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
            reading.execute("INSERT INTO t (a) VALUES ('lost')")
        reading.rollback()
        with pytest.raises(sqlite3.OperationalError, match=FOLLOWS.format("dual_write")):
            reading.execute("INSERT INTO t (a) VALUES ('lost')")
    with pytest.raises(sqlite3.OperationalError, match=FOLLOWS.format("dual_write")):
        connect(url)
    with closing(sqlite3.connect(moved)) as plain:
        assert plain.execute("SELECT a FROM t").fetchall() == [("before",)]


def test_writers_are_told_while_the_data_move_back(moved: Path, url: str) -> None:
    """Each write that was acknowledged is in the file; each that was not, is not."""
    written: list[int] = []
    errors: list[sqlite3.Error] = []

    def write() -> None:
        with closing(connect(url, timeout=20)) as connection:
            for number in range(10_000):
                try:
                    with connection:
                        connection.execute("INSERT INTO t (a) VALUES (?)", (str(number),))
                except sqlite3.OperationalError as error:
                    errors.append(error)
                    return
                written.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    while len(written) < 20:
        time.sleep(0.01)
    back(moved)
    thread.join(30)
    assert len(errors) == 1
    assert "follows a SQLite file" in str(errors[0])
    with closing(sqlite3.connect(moved)) as plain:
        assert plain.execute("SELECT CAST(a AS INTEGER) FROM t ORDER BY id").fetchall() == [(one,) for one in written]


def test_a_fence_of_no_move_is_no_hang(moved: Path, url: str, target: psycopg.Connection[Any]) -> None:
    """Somebody has switched it on past us."""
    assert moved.exists()
    with closing(connect(url, timeout=0.3)) as connection:
        target.execute('ALTER TABLE t ENABLE ALWAYS TRIGGER "!dualdb_fence"')
        with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
            connection.execute("INSERT INTO t (a) VALUES ('x')")
        connection.rollback()
        target.execute('ALTER TABLE t DISABLE TRIGGER "!dualdb_fence"')
        with connection:
            connection.execute("INSERT INTO t (a) VALUES ('x')")


def test_another_database_in_its_place_is_told(url: str, target: psycopg.Connection[Any]) -> None:
    """The address leads to what somebody has emptied, or filled with another lineage."""
    with closing(connect(url)) as connection:
        connection.execute("CREATE TABLE t (a)")
        target.execute("UPDATE dualdb.control SET source_id = 'another'")
        with pytest.raises(sqlite3.OperationalError, match="leads to another database than before; open it again"):
            connection.execute("SELECT * FROM t")
        target.execute("DROP SCHEMA dualdb CASCADE")
        with pytest.raises(sqlite3.OperationalError, match="was emptied, or prepared by another version; open it"):
            connection.execute("SELECT * FROM t")


def test_what_sqlites_engine_does_is_refused_without_a_way_back(url: str) -> None:
    """There is no file to go back to."""
    with closing(connect(url)) as connection, closing(sqlite3.connect(":memory:")) as memory:
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        connection.create_function("own", 1, str)
        connection.create_collation("own", lambda left, right: (left > right) - (left < right))
        refused = [
            lambda: connection.backup(memory),
            connection.iterdump,
            connection.serialize,
            lambda: connection.deserialize(b""),
            lambda: connection.blobopen("t", "a", 1),
            lambda: connection.set_authorizer(lambda *_: 0),
            lambda: connection.execute("SELECT own(a) FROM t"),
            lambda: connection.execute("SELECT a FROM t ORDER BY b COLLATE own"),
            lambda: connection.execute("INSERT INTO t (a) VALUES (x'00')"),
            lambda: connection.execute("INSERT INTO t (a) VALUES (?)", (b"",)),
            lambda: connection.execute("ATTACH ':memory:' AS other"),
            lambda: connection.execute("CREATE TABLE v (a TEXT COLLATE own)"),
            lambda: connection.execute("PRAGMA case_sensitive_like = 1"),
        ]
        for call in refused:
            with pytest.raises(sqlite3.NotSupportedError) as caught:
                call()
            assert "dualdb" not in str(caught.value)
            assert "SQLite file" not in str(caught.value)
            assert "go back" not in str(caught.value)
