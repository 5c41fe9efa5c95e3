"""Connections and cursors of classes that the application wrote: they are its own, wherever the data is."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.prepared import prepare
from tests.driver.twins import move

import dualdb
from dualdb.core.phase import Phase
from dualdb.driver.connection import SourceConnection, SourceCursor
from dualdb.driver.handle import ConnectionHandle, CursorHandle, behaviour
from dualdb.driver.target_connection import TargetConnection
from dualdb.driver.target_cursor import TargetCursor
from dualdb.operations.transition import advance, rollback

if TYPE_CHECKING:
    from pathlib import Path

_TAKEN = (
    "counter",
    "execute_unwatched",
    "finish",
    "follow",
    "home",
    "learn",
    "look",
    "memory",
    "moved",
    "notice",
    "path",
    "refused",
    "remote",
    "replay",
    "result",
    "row",
    "seen",
    "settle",
    "state",
    "turn",
    "watch",
)
"""What somebody may well call something of a connection's own."""


class Plain(sqlite3.Connection):
    """With attributes of any name, and with methods that change what goes through them: once, as they should."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in _TAKEN:
            setattr(self, f"_{name}", f"the application's {name}")
        self.calls: list[str] = []
        super().__init__(*args, **kwargs)

    def cursor(self, *args: Any) -> Any:
        """Noted."""
        self.calls.append("cursor")
        return super().cursor(*args or (Rows,))

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Noted."""
        self.calls.append("execute")
        return super().execute(sql + " -- noted", parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Noted."""
        self.calls.append("executemany")
        return super().executemany(sql, (tuple(reversed(row)) for row in parameters))

    def executescript(self, sql_script: str, /) -> Any:
        """Noted."""
        self.calls.append("executescript")
        return super().executescript(sql_script + ";INSERT INTO t(a) VALUES ('end')")

    def commit(self) -> None:
        """Noted."""
        self.calls.append("commit")
        super().commit()

    def rollback(self) -> None:
        """Noted."""
        self.calls.append("rollback")
        super().rollback()

    def __exit__(self, *given: object) -> Any:
        self.calls.append("exit")
        return super().__exit__(*given)  # type: ignore[arg-type]


class Rows(sqlite3.Cursor):
    """The same of a cursor."""

    def __init__(self, connection: Any) -> None:
        for name in _TAKEN:
            setattr(self, f"_{name}", f"the application's {name}")
        super().__init__(connection)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Doubled."""
        return super().execute(sql, tuple(2 * value for value in parameters))

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Doubled."""
        return super().executemany(sql, [(2 * first, 2 * second) for first, second in parameters])

    def executescript(self, sql_script: str, /) -> Any:
        """Doubled."""
        return super().executescript(sql_script + ";INSERT INTO t(a) VALUES ('doubled')")


def _work(connection: Any, cursor: Any) -> Any:
    """What an application does, with all of its methods, and what it sees of it."""
    connection.calls.clear()
    seen: list[Any] = []
    with connection:
        seen.append(connection.execute("INSERT INTO t(a) VALUES (?)", ("w",)).rowcount)
        seen.append(cursor.execute("INSERT INTO t(a) VALUES (?)", ("x",)).lastrowid is not None)
    seen.append(connection.executemany("INSERT INTO t(a, b) VALUES (?, ?)", [("y", "z")]).rowcount)
    connection.rollback()
    seen.append(cursor.executemany("INSERT INTO t(a, b) VALUES (?, ?)", [("1", "2"), ("3", "4")]).rowcount)
    connection.commit()
    connection.executescript("INSERT INTO t(a) VALUES ('s')")
    cursor.executescript("INSERT INTO t(a) VALUES ('s')")
    with suppress(ZeroDivisionError), connection:
        connection.execute("DELETE FROM t")
        seen.append(1 / 0)
    other = connection.cursor()
    seen += [type(other).__name__, other.execute("SELECT a, b FROM t ORDER BY id").fetchall()]
    own = [[getattr(each, f"_{name}") for name in _TAKEN] for each in (connection, cursor)]
    return seen, list(connection.calls), own


def test_an_applications_names_and_methods_stay_its_own(database: Path, tmp_path: Path, target_dsn: str) -> None:
    """Its attributes are not ours, its methods are gone through once for each call, in each phase and at each move."""
    plain_path = tmp_path / "plain.db"
    for path in (plain_path, database):
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)")
        connection.close()
    pairs = [
        (each, each.cursor())
        for each in (sqlite3.connect(plain_path, factory=Plain), dualdb.connect(database, factory=Plain))
    ]

    def compare() -> None:
        expected, found = (_work(*pair) for pair in pairs)
        assert found == expected

    compare()
    move(database, target_dsn, Phase.DUAL_WRITE)
    compare()
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    assert [_work(*pair) for pair in pairs[:1]] == [_work(*pair) for pair in pairs[1:]]
    assert isinstance(pairs[1][0], TargetConnection)
    compare()
    rollback(str(database), observer=lambda _event: None)
    compare()
    for connection, _ in pairs:
        connection.close()


def test_methods_that_were_looked_up_before_a_move_go_along(database: Path, target_dsn: str) -> None:
    """`run = cursor.execute`, before the loop that calls it, is a usual thing."""
    with sqlite3.connect(database) as plain:
        plain.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    plain.close()
    connection: Any = dualdb.connect(database)
    cursor = connection.cursor()
    run, commit, undo = cursor.execute, connection.commit, connection.rollback

    def work(number: int) -> None:
        for _ in range(2):
            run("INSERT INTO t(a) VALUES (?)", (number,))
        commit()
        run("INSERT INTO t(a) VALUES (?)", (-1,))
        undo()

    work(1)
    move(database, target_dsn)
    work(2)
    late = connection.cursor().execute, connection.commit, connection.rollback
    rollback(str(database), observer=lambda _event: None)
    work(3)
    run, commit, undo = late
    work(4)
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    work(5)
    assert [value for (value,) in run("SELECT a FROM t ORDER BY a")] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    connection.close()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        *((each, sqlite3.Connection) for each in (ConnectionHandle, SourceConnection, TargetConnection)),
        *((each, sqlite3.Cursor) for each in (CursorHandle, SourceCursor, TargetCursor)),
        (dualdb.Connection, sqlite3.Connection),
        (dualdb.Cursor, sqlite3.Cursor),
    ],
)
def test_our_classes_have_one_name_that_is_not_of_sqlite3(ours: type, theirs: type) -> None:
    """So nothing of the application's can be called as something of ours is."""
    names = {name for name in vars(ours) if not (name.startswith("__") and name.endswith("__"))}
    assert names - set(dir(theirs)) <= {"_dualdb"}


class Slotted(sqlite3.Connection):
    """Slots of its own leave no room for a base with slots."""

    __slots__ = ("run",)


class SlottedRows(sqlite3.Cursor):
    """The same of a cursor."""

    __slots__ = ("run",)


def test_classes_with_slots_follow_too(database: Path, target_dsn: str) -> None:
    """There, back and there again, and a stray attribute is an error still."""
    connection: Any = dualdb.connect(database, factory=Slotted)
    connection.run = 7
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    cursor = connection.cursor(SlottedRows)
    cursor.run = 8
    move(database, target_dsn, Phase.DUAL_WRITE)
    for number in range(3):
        advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
        for execute in (connection.execute, cursor.execute):
            execute("INSERT INTO t(a) VALUES (?)", (str(number),))
            connection.commit()
        assert [behaviour(each).__name__ for each in (connection, cursor)] == ["TargetConnection", "TargetCursor"]
        rollback(str(database), observer=lambda _event: None)
        assert cursor.execute("SELECT count(*) FROM t").fetchone() == (2 * number + 2,)
        assert (connection.run, cursor.run) == (7, 8)
        assert isinstance(connection, Slotted)
        assert isinstance(cursor, SlottedRows)
    for each in (connection, cursor):
        with pytest.raises(AttributeError):
            each.stray = 1
    connection.close()


def test_classes_derived_from_ours_are_not_told_of_those_that_we_derive(database: Path, target_dsn: str) -> None:
    """What happens when a class is derived is for the application's own classes."""
    known: list[str] = []

    class Registered(dualdb.Connection):
        """Derived classes are to be named."""

        def __init_subclass__(cls, *, name: str) -> None:
            known.append(name)

    class App(Registered, name="app"):
        """One of them."""

    connection: Any = dualdb.connect(database, factory=App)
    connection.execute("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    move(database, target_dsn)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert isinstance(connection, App)
    assert isinstance(connection, TargetConnection)
    assert known == ["app"]
    connection.close()


class Sealed(type):
    """Classes that nothing can be derived from."""

    def __new__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any], **_: Any) -> Any:
        """A class, unless one of its bases is such a one."""
        if any(isinstance(base, Sealed) for base in bases):
            raise RuntimeError(name)
        return super().__new__(cls, name, bases, names)


class Aloof(sqlite3.Connection, metaclass=Sealed):
    """A connection that cannot get another base."""


class AloofRows(sqlite3.Cursor, metaclass=Sealed):
    """A cursor that cannot."""


_REFUSED_CURSOR = r"cursor of .*\.AloofRows cannot follow .*derive its class from dualdb"


def _made_past_us(*args: Any, **kwargs: Any) -> Aloof:
    return Aloof(*args, **{name: value for name, value in kwargs.items() if name != "factory"})


@pytest.mark.parametrize("factory", [Aloof, _made_past_us])
def test_a_connection_that_cannot_follow_is_refused_a_prepared_file(database: Path, factory: Any) -> None:
    """It would read what PostgreSQL has long overwritten, and nobody would know. Any other file it gets."""
    for name in (database, ":memory:"):
        connection: Any = dualdb.connect(name, factory=factory)
        assert isinstance(connection, Aloof)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()
    prepare(database)
    with pytest.raises(
        sqlite3.NotSupportedError, match=r"connection of .*\.Aloof cannot follow .*derive its class from dualdb"
    ):
        dualdb.connect(database, factory=factory)


def test_a_cursor_that_cannot_follow_is_refused_on_a_prepared_file(database: Path, target_dsn: str) -> None:
    """In each phase; one that was made before keeps its connection from PostgreSQL, rather than read the follower."""
    before: Any = dualdb.connect(database)
    before.execute("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    old = before.cursor(AloofRows)
    assert old.execute("SELECT count(*) FROM t").fetchone() == (0,)
    late: Any = dualdb.connect(database)
    late.execute("SELECT 1")
    move(database, target_dsn, Phase.DUAL_WRITE)
    connection: Any = dualdb.connect(database)
    for each in (connection, late):
        with pytest.raises(sqlite3.NotSupportedError, match=_REFUSED_CURSOR):
            each.cursor(AloofRows)
    assert before.execute("SELECT count(*) FROM t").fetchone() == (0,)
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    with pytest.raises(sqlite3.NotSupportedError, match=_REFUSED_CURSOR):
        connection.cursor(AloofRows)
    with pytest.raises(sqlite3.NotSupportedError, match=_REFUSED_CURSOR):
        before.execute("SELECT 1")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    for each in (before, late, connection):
        each.close()
