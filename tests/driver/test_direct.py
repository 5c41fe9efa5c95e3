"""`connect("postgresql://…")`: PostgreSQL without a SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.direct import url_of

import dualdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

connect: Any = dualdb.connect
LOCKED = r"^database is locked$"


@pytest.fixture
def url(target_dsn: str) -> str:
    """The address of an empty database."""
    return url_of(target_dsn)


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    """A connection to it."""
    with closing(connect(url)) as opened:
        yield opened


# --- an empty database ------------------------------------------------------------------------------------------------


def test_an_empty_database_becomes_the_applications(connection: Any, target: psycopg.Connection[Any]) -> None:
    """Its own DDL makes its tables, and SQLite's words answer."""
    made = "CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT NOT NULL, score REAL)"
    connection.execute(made)
    with connection:
        cursor = connection.execute("INSERT INTO run (name, score) VALUES (?, ?)", ("a", 1))
        assert (cursor.lastrowid, cursor.rowcount) == (1, 1)
        connection.executemany("INSERT INTO run (name) VALUES (?)", [("b",), ("c",)])
    assert connection.execute("SELECT * FROM run ORDER BY id").fetchall() == [
        (1, "a", 1.0),
        (2, "b", None),
        (3, "c", None),
    ]
    assert connection.execute("SELECT name, sql FROM sqlite_master").fetchall() == [("run", made)]
    with pytest.raises(sqlite3.IntegrityError, match=r"^NOT NULL constraint failed: run\.name$"):
        connection.execute("INSERT INTO run (name) VALUES (NULL)")
    with pytest.raises(sqlite3.OperationalError, match=r"^no such table: walk$"):
        connection.execute("SELECT * FROM walk")
    assert target.execute("SELECT name, score FROM public.run ORDER BY id").fetchall()[0] == ("a", 1.0)
    assert target.execute("SELECT phase, move_state FROM dualdb.control").fetchall() == [("postgres", "rest")]


def test_what_is_there_is_found_again(url: str) -> None:
    """By the next connection, and by one whose process has forgotten everything."""
    with closing(connect(url)) as first, first:
        first.execute("CREATE TABLE t (a)")
        first.execute("INSERT INTO t VALUES (x'00')")
    with closing(connect(url.replace("postgresql:", "postgres:"))) as second:
        assert second.execute("SELECT a FROM t").fetchall() == [(b"\0",)]


def test_a_column_without_a_type_takes_values_of_every_class(connection: Any) -> None:
    """There is no data yet to look at; a declared one is stored by its affinity."""
    values = [1, 1.5, "x", b"\0", None, 2**62, "", 1.0]
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b DECIMAL, c DATE, d BLOB, e BOOLEAN, UNIQUE (a))")
    connection.executemany(
        "INSERT INTO t (a, b, c, d, e) VALUES (?, 1.5, '2024-01-01', x'01', 1)", [(v,) for v in values[:-1]]
    )
    rows = connection.execute("SELECT a, typeof(a) FROM t ORDER BY id").fetchall()
    assert rows == [
        (1, "integer"), (1.5, "real"), ("x", "text"), (b"\0", "blob"), (None, "null"), (2**62, "integer"), ("", "text")
    ]  # fmt: skip
    assert connection.execute("SELECT b, c, d, e FROM t WHERE a = 'x'").fetchall() == [(1.5, "2024-01-01", b"\1", 1)]
    with pytest.raises(sqlite3.IntegrityError, match=r"^UNIQUE constraint failed: t\.a$"):
        connection.execute("INSERT INTO t (a) VALUES (1.0)")


def test_those_who_come_at_once_find_one_database(url: str, target: psycopg.Connection[Any]) -> None:
    """One of them makes it ready, and the others wait for that."""
    gate, opened, failed = threading.Barrier(6), [], []

    def come() -> None:
        gate.wait()
        try:
            opened.append(connect(url, check_same_thread=False))
        except sqlite3.Error as error:
            failed.append(error)

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in opened:
        one.close()
    assert not failed
    assert target.execute("SELECT count(*) FROM dualdb.control").fetchall() == [(1,)]


def test_what_sqlite3_connects_with_keeps_its_meaning(url: str) -> None:
    """Every argument but the first, and what the connection is told later."""
    sqlite3.register_converter("louder", lambda raw: raw.decode() + "!")
    kinds = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    opened = connect(database=url, timeout=3, detect_types=kinds, isolation_level="IMMEDIATE", uri=True)
    with closing(opened) as one:
        one.execute("CREATE TABLE t (a LOUDER)")
        one.execute("INSERT INTO t VALUES ('x')")
        assert one.in_transaction
        one.commit()
        assert one.execute('SELECT a, upper(a) AS "b [louder]" FROM t').fetchall() == [("x!", "X!")]
        assert one.execute("PRAGMA busy_timeout").fetchone() == (3000,)
        one.row_factory = dualdb.Row
        assert one.execute("SELECT 1 AS b").fetchone().keys() == ["b"]
    with closing(connect(url, isolation_level=None)) as one:
        one.execute("INSERT INTO t VALUES ('y')")
        assert not one.in_transaction
        one.text_factory = bytes
        assert one.execute("SELECT a FROM t WHERE a = 'y'").fetchall() == [(b"y",)]
    with pytest.raises(one.ProgrammingError, match=r"^Cannot operate on a closed database\.$"):
        one.execute("SELECT 1")


def test_another_thread_is_refused_as_ever(connection: Any) -> None:
    """Unless the connection was opened to be shared."""
    errors = []

    def use() -> None:
        try:
            connection.execute("SELECT 1")
        except sqlite3.ProgrammingError as error:
            errors.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert errors[0].startswith("SQLite objects created in a thread can only be used in that same thread.")


# --- transactions -----------------------------------------------------------------------------------------------------


def test_transactions_are_sqlites(url: str, connection: Any) -> None:
    """What is not committed nobody else sees; who has read and finds that another has written is told so."""
    connection.execute("CREATE TABLE t (a INTEGER)")
    with closing(connect(url, timeout=0.2)) as other:
        connection.execute("INSERT INTO t VALUES (1)")
        assert other.execute("SELECT a FROM t").fetchall() == []
        with pytest.raises(sqlite3.OperationalError, match=LOCKED):
            other.execute("INSERT INTO t VALUES (2)")
        other.rollback()
        connection.commit()
        other.execute("BEGIN")
        assert other.execute("SELECT a FROM t").fetchall() == [(1,)]
        with connection:
            connection.execute("UPDATE t SET a = 3")
        assert other.execute("SELECT a FROM t").fetchall() == [(1,)]
        with pytest.raises(sqlite3.OperationalError, match=LOCKED):
            other.execute("UPDATE t SET a = a + 1")
        other.rollback()
        with other:
            other.execute("SAVEPOINT s")
            other.execute("DELETE FROM t")
            other.execute("ROLLBACK TO s")
            other.execute("UPDATE t SET a = a + 1")
        assert connection.execute("SELECT a FROM t").fetchall() == [(4,)]
    with suppress(ZeroDivisionError), connection:
        connection.execute("DELETE FROM t")
        1 / 0  # noqa: B018
    assert connection.execute("SELECT a FROM t").fetchall() == [(4,)]


def test_ddl_is_rolled_back_and_seen_inside(url: str, connection: Any) -> None:
    """As any change of SQLite's schema."""
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.execute("INSERT INTO t VALUES (1)")
    with closing(connect(url)) as other:
        with pytest.raises(sqlite3.OperationalError, match=r"^no such table: t$"):
            other.execute("SELECT * FROM t")
        connection.rollback()
        with pytest.raises(sqlite3.OperationalError, match=r"^no such table: t$"):
            connection.execute("SELECT * FROM t")
        connection.execute("CREATE TABLE t (b TEXT)")
        assert other.execute("SELECT * FROM t").description[0][0] == "b"


if hasattr(sqlite3.Connection, "autocommit"):

    def test_autocommit_is_obeyed(url: str, connection: Any) -> None:
        """Python 3.12's: a transaction is open from the beginning."""
        connection.execute("CREATE TABLE t (a INTEGER)")
        with closing(connect(url, autocommit=False)) as one:
            assert one.in_transaction
            one.execute("INSERT INTO t VALUES (1)")
            assert connection.execute("SELECT * FROM t").fetchall() == []
            one.commit()
            assert one.in_transaction
            assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]
        with closing(connect(url, autocommit=True)) as one:
            one.execute("DELETE FROM t")
            assert not one.in_transaction
        assert connection.execute("SELECT * FROM t").fetchall() == []
