"""While SQLite is the authority a connection is sqlite3's own."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.prepared import prepare

import dualdb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_file_that_was_never_prepared_gets_no_file_beside_it(database: Path) -> None:
    """Neither opening nor using it leaves anything but the database."""
    connection: Any = dualdb.connect(database)
    connection.execute("CREATE TABLE t(a)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    connection.close()
    assert os.listdir(database.parent) == [database.name]


def test_opening_takes_no_lock_and_waits_for_none(database: Path) -> None:
    """A file that another connection holds exclusively can be opened at once."""
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("CREATE TABLE t(a)")
    holder.execute("BEGIN EXCLUSIVE")
    connection: Any = dualdb.connect(database, timeout=60)
    assert not connection.in_transaction
    connection.close()
    holder.close()


def test_the_first_statement_of_an_unprepared_file_is_the_applications_own(database: Path) -> None:
    """Nothing else is executed on its connection, whatever the tracer looks at."""
    connection: Any = dualdb.connect(database)
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    connection.execute("SELECT 1")
    assert seen == ["SELECT 1"]
    connection.close()


def test_looking_lets_go_of_no_lock_of_this_process(database: Path) -> None:
    """POSIX locks go when any descriptor of the file is closed; whoever looks must not do that."""
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("CREATE TABLE t(a)")
    holder.execute("BEGIN IMMEDIATE")
    connection: Any = dualdb.connect(database)
    connection.execute("SELECT 1")
    other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    run = subprocess.run([sys.executable, "-c", other, database], capture_output=True, check=False, text=True)
    assert "database is locked" in run.stderr
    connection.close()
    holder.close()


def test_looking_waits_for_no_lock(database: Path) -> None:
    """Nor is it refused one: a statement that needs none is executed."""
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("CREATE TABLE t(a)")
    holder.execute("BEGIN EXCLUSIVE")
    connection: Any = dualdb.connect(database, timeout=60)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()
    holder.close()


def test_a_file_that_is_prepared_later_is_noticed(database: Path) -> None:
    """An open connection finds the hint within hundredths of a second, at its next statement."""
    connection: Any = dualdb.connect(database)
    connection.execute("CREATE TABLE t(a)")
    assert connection._dualdb.watch is None
    prepare(database)
    connection._dualdb.look_at = 0.0
    connection.execute("SELECT 1")
    assert str(database) == getattr(connection._dualdb.watch, "path", None)
    connection.close()


def test_a_lost_hint_is_made_again(database: Path) -> None:
    """A prepared file without its hint is recognised by its control row."""
    prepare(database)
    (database.parent / (database.name + "-dualdb")).unlink()
    first = sqlite3.connect(database)
    first.execute("SELECT * FROM _dualdb_control").fetchall()
    connection: Any = dualdb.connect(database)
    connection._dualdb.look_at = 0.0
    connection.execute("SELECT 1")
    assert (database.parent / (database.name + "-dualdb")).exists()
    connection.close()
    first.close()


def test_subclasses_of_the_application_keep_their_methods(database: Path) -> None:
    """A factory made from sqlite3's class or from ours is what the application gets, with our class in its bases."""

    class Plain(sqlite3.Connection):
        def answer(self) -> int:
            return int(self.execute("SELECT 42").fetchone()[0])

    class Rows(sqlite3.Cursor):
        def all(self) -> list[Any]:
            return self.fetchall()

    factories: list[Any] = [Plain, type("Own", (dualdb.Connection,), {"answer": Plain.answer})]
    for factory in factories:
        connection: Any = dualdb.connect(database, factory=factory)
        assert {factory, dualdb.Connection} <= set(type(connection).__mro__)
        assert connection.answer() == 42
        cursor: Any = connection.cursor(Rows)
        assert dualdb.Cursor in type(cursor).__mro__
        assert cursor.execute("SELECT 1").all() == [(1,)]
        assert connection.cursor(factory=Rows).connection is connection
        connection.close()


def test_stray_attributes_are_errors_as_in_sqlite3() -> None:
    """The objects have no dictionary."""
    connection: Any = dualdb.connect(":memory:")
    for target in (connection, connection.cursor()):
        with pytest.raises(AttributeError):
            target.stray = 1
    connection.close()


def test_memory_databases_pass_straight_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """':memory:', '' and URIs that name one have no file to watch."""
    monkeypatch.chdir(tmp_path)
    for name, uri in ((":memory:", False), ("", False), ("file:x?mode=memory&cache=shared", True)):
        connection: Any = dualdb.connect(name, uri=uri)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection._dualdb.path == ""
        connection.close()
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_uri_works_on_a_prepared_file(database: Path) -> None:
    """The control row is read over a connection that cannot write."""
    prepare(database)
    connection: Any = dualdb.connect(f"file:{database}?mode=ro", uri=True)
    assert connection.execute("SELECT phase FROM _dualdb_control").fetchone() == ("sqlite",)
    connection.close()


def test_every_public_name_of_sqlite3_is_there() -> None:
    """`import dualdb as sqlite3` finds all of them."""
    assert [name for name in dir(sqlite3) if not name.startswith("_") and not hasattr(dualdb, name)] == []
    assert dualdb.connect is not sqlite3.connect
    assert dualdb.dbapi2.connect is dualdb.connect


def test_misuse_is_answered_by_sqlite3_itself() -> None:
    """A connection or cursor without its base's __init__, and a closed one."""

    class Bare(dualdb.Cursor):
        def __init__(self, connection: sqlite3.Connection) -> None:
            pass

    connection: Any = dualdb.connect(":memory:")
    closed = connection.cursor()
    closed.close()
    cases: list[tuple[Any, str]] = [
        (lambda: Bare(connection).execute("SELECT 1"), "Base Cursor.__init__ not called."),
        (lambda: closed.execute("SELECT 1"), "Cannot operate on a closed cursor."),
        (lambda: connection.execute("SELECT ?"), "The current statement uses 1, and there are 0 supplied."),
    ]
    for call, message in cases:
        with pytest.raises(sqlite3.ProgrammingError, match=re.escape(message)):
            call()
    connection.close()


def test_a_connection_without_its_bases_init_is_answered_by_sqlite3() -> None:
    """Whatever is done with it, as by `sqlite3`; its `with` block too."""

    def enter(connection: Any) -> None:
        with connection:
            pass

    calls: list[Callable[[Any], object]] = [
        lambda connection: connection.execute("SELECT 1"),
        lambda connection: connection.executemany("SELECT 1", []),
        lambda connection: connection.executescript("SELECT 1"),
        lambda connection: connection.cursor(),
        lambda connection: connection.commit(),
        lambda connection: connection.rollback(),
        lambda connection: connection.close(),
        lambda connection: connection.blobopen("t", "a", 1),
        lambda connection: connection.backup(connection),
        lambda connection: list(connection.iterdump()),
        lambda connection: connection.serialize(),
        lambda connection: connection.deserialize(b""),
        lambda connection: connection.create_collation("nocase", None),
        lambda connection: connection.set_authorizer(None),
        lambda connection: connection.in_transaction,
        lambda connection: connection.total_changes,
        lambda connection: connection.isolation_level,
        enter,
    ]
    for call in calls:
        said = []
        for base in (sqlite3.Connection, dualdb.Connection):
            bare = type("Bare", (base,), {"__init__": object.__init__})
            try:
                said.append(repr(call(bare())))
            except Exception as exc:  # noqa: BLE001 - compared
                said.append(repr(exc))
        assert said[0] == said[1]


def test_a_connection_whose_init_is_called_again_is_another_one(database: Path, tmp_path: Path) -> None:
    """As in sqlite3: what was open is closed, what was not committed is gone."""
    said = []
    for module in (sqlite3, dualdb):
        connection: Any = module.connect(database.with_name(f"{module.__name__}-first.db"))
        connection.execute("CREATE TABLE t(a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.__init__(tmp_path / f"{module.__name__}-second.db")
        answers = [connection.in_transaction, connection.execute("SELECT count(*) FROM sqlite_master").fetchone()]
        with pytest.raises((sqlite3.Error, TypeError)) as caught:
            connection.__init__(tmp_path / "nowhere" / "third.db")
        for name, arguments in (("execute", ("SELECT 1",)), ("commit", ()), ("close", ())):
            try:
                answers.append(repr(getattr(connection, name)(*arguments)))
            except sqlite3.Error as exc:
                answers.append(repr(exc))
        said.append((answers, type(caught.value)))
    assert said[0] == said[1]


def test_an_error_of_ours_is_not_taken_for_a_foreign_connection(database: Path) -> None:
    """Nothing is executed when the look at the authority fails, whatever it fails with."""
    prepare(database)
    connection: Any = dualdb.connect(database, isolation_level=None)
    connection.execute("CREATE TABLE t(a)")
    cursor: Any = connection.cursor()
    calls: tuple[Any, ...] = (
        lambda: cursor.execute("INSERT INTO t VALUES (1)"),
        lambda: cursor.executemany("INSERT INTO t VALUES (?)", [(1,)]),
        lambda: cursor.executescript("INSERT INTO t VALUES (1)"),
    )
    for call in calls:
        connection._dualdb.watch, connection._dualdb.seen = object(), -1
        with pytest.raises(AttributeError):
            call()
    connection.close()
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute("SELECT count(*) FROM t").fetchone() == (0,)
