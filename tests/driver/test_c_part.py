"""sqlite3 reads its own C part, and never what an application's class calls by the same name; so do we, everywhere."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from tests.driver.prepared import prepare, raise_fence
from tests.driver.twins import move

import dualdb
from dualdb.core.phase import Phase
from dualdb.operations.transition import advance, rollback

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t(a) VALUES ('old')"


class Level(sqlite3.Connection):
    """Begins transactions all the same."""

    isolation_level = None


class Texts(sqlite3.Connection):
    """Gives texts as `str` all the same."""

    text_factory = bytes


class SlottedTexts(sqlite3.Connection):
    """The same where nothing can be set."""

    __slots__ = ()
    text_factory = bytes


class Inside(sqlite3.Connection):
    """A method of that name."""

    def in_transaction(self) -> bool:  # type: ignore[override]
        """Not what sqlite3 means."""
        return False


class Strict(sqlite3.Connection):
    """Notes what is set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        object.__setattr__(self, "noted", [])
        super().__init__(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        self.noted.append(name)  # type: ignore[attr-defined]
        super().__setattr__(name, value)


class Homeless(sqlite3.Cursor):
    """Its connection is sqlite3's affair."""

    connection = None  # type: ignore[assignment]


class Angry(sqlite3.Cursor):
    """The same, asked in vain; and nothing can be set."""

    @property
    def connection(self) -> Any:
        """Nobody's affair."""
        raise RuntimeError

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(name)


class Sized(sqlite3.Cursor):
    """Fetches one by one, tuples."""

    arraysize = 2
    row_factory = sqlite3.Row


def _work(connection: Any, cursor: Any) -> list[Any]:
    """Whatever a class may have spoilt."""
    seen: list[Any] = []
    cursor.execute("INSERT INTO t(a) VALUES ('never')")
    seen.append(sqlite3.Connection.in_transaction.__get__(connection) or isinstance(connection, dualdb.Connection))
    connection.rollback()
    connection.executescript("INSERT INTO t(a) VALUES ('s'); INSERT INTO t(a) VALUES ('s')")
    connection.rollback()
    cursor.executemany("INSERT INTO t(a) VALUES (?)", [("x",), ("y",)])
    connection.commit()
    cursor.execute("SELECT a FROM t ORDER BY id")
    seen += [list(map(tuple, cursor.fetchmany())), list(map(type, cursor.fetchmany())), cursor.fetchall()]
    return seen


@pytest.mark.parametrize(
    ("factory", "rows"),
    [
        *((each, sqlite3.Cursor) for each in (Level, Texts, SlottedTexts, Inside, Strict)),
        *((sqlite3.Connection, each) for each in (Homeless, Angry, Sized)),
    ],
)
def test_through_all_phases(database: Path, tmp_path: Path, target_dsn: str, factory: Any, rows: Any) -> None:
    """Every answer is the one of sqlite3, and the rows come to be the same."""
    plain_path = tmp_path / "plain.db"
    for path in (plain_path, database):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SCHEMA)
    pairs = [(each, each.cursor(rows)) for each in (sqlite3.connect(plain_path, factory=factory),)]
    ours = dualdb.connect(database, factory=factory)
    pairs.append((ours, ours.cursor(rows)))

    def compare() -> None:
        expected, found = (_work(*pair) for pair in pairs)
        assert found == expected

    compare()
    move(database, target_dsn, Phase.DUAL_WRITE)
    compare()
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    compare()
    for connection, _ in pairs:  # one that is made there
        assert connection.cursor(rows).execute("SELECT count(*) FROM t").fetchone()[0] == 13
    rollback(str(database), observer=lambda _event: None)
    compare()
    for connection, _ in pairs:
        assert vars(connection).keys() <= {"noted"} if hasattr(connection, "__dict__") else True
        connection.close()


class Step:
    """An iterator that is no iterable, which sqlite3 takes."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __next__(self) -> Any:
        if not self._rows:
            raise StopIteration
        return self._rows.pop()


class Rest(sqlite3.Connection):
    """Takes its arguments as they come."""

    given: ClassVar[Any] = ()

    def __init__(self, *args: Any) -> None:
        Rest.given = args[1:5]
        super().__init__(*args)


def _iterators(connect: Callable[..., Any], path: Path) -> Any:
    with closing(connect(path)) as connection:
        rows: Any = Step([Vague(), ("x",), Vague()])
        return connection.executemany("INSERT INTO t(a) VALUES (?)", rows).rowcount


class Restarting:
    """An iterator whose `__iter__` begins anew, which sqlite3 does not call."""

    def __init__(self) -> None:
        self._place = 0

    def __iter__(self) -> Restarting:
        self._place = 0
        return self

    def __next__(self) -> tuple[int]:
        if self._place == 4:
            raise StopIteration
        self._place += 1
        return (self._place,)


class Vague:
    """A row that does not say whether it equals another, as arrays do not."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _place: int) -> str:
        return "x"

    def __eq__(self, _other: object) -> bool:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


def _undecodable(connect: Callable[..., Any], path: Path) -> Any:
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO t(a) VALUES (CAST(x'ff' AS TEXT))")
        said = []
        for rows in (connection.execute("SELECT a FROM t"), (_raised() for _ in range(1))):
            with pytest.raises(sqlite3.OperationalError) as caught:
                connection.executemany("INSERT INTO t(a) VALUES (?)", rows)
            said.append(str(caught.value))
        return said


def _raised() -> Any:
    message = "the application's own"
    raise sqlite3.OperationalError(message)


def _restarted(connect: Callable[..., Any], path: Path) -> Any:
    found = []
    for level in ("", None):
        with closing(connect(path, isolation_level=level)) as connection:
            connection.execute("DELETE FROM t")
            rows = Restarting()
            next(rows)
            found.append(connection.executemany("INSERT INTO t(a) VALUES (?)", rows).rowcount)
            found.append(connection.execute("SELECT a FROM t ORDER BY id").fetchall())
            connection.commit()
    return found


def _positions(connect: Callable[..., Any], path: Path) -> Any:
    with closing(connect(path, 7.0, 0, "IMMEDIATE", True, Rest)) as connection:
        return Rest.given, connection.isolation_level, connection.execute("PRAGMA busy_timeout").fetchone()


def _closed(connect: Callable[..., Any], path: Path) -> Any:
    connection = connect(path)
    cursor = connection.cursor()
    cursor.close()
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        cursor.execute("SELECT 1")
    return str(caught.value)


def _registered(connect: Callable[..., Any], path: Path) -> Any:
    known: list[str] = []

    class Registered(sqlite3.Connection):
        """Derived classes are to be known by name."""

        def __init_subclass__(cls) -> None:
            if cls.__name__ in known:
                raise ValueError(cls.__name__)
            known.append(cls.__name__)

    class Named(Registered):
        """One of them."""

    with closing(connect(path, factory=Named)) as connection:
        return known, type(connection).__name__, type(connection).__doc__


@pytest.mark.filterwarnings("ignore:Passing more than 1 positional argument:DeprecationWarning")
@pytest.mark.parametrize("do", [_iterators, _undecodable, _restarted, _positions, _closed, _registered])
def test_on_a_file_that_was_never_prepared(database: Path, do: Callable[..., Any]) -> None:
    """As with sqlite3, to the letter."""
    plain = database.with_name("plain.db")
    for path in (database, plain):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SCHEMA)
    assert do(dualdb.connect, database) == do(sqlite3.connect, plain)


def test_an_old_class_that_opens_past_ours_keeps_its_time_out(database: Path) -> None:
    """`sqlite3.Connection.__init__`, called by name, has the last word on it."""

    class Old(sqlite3.Connection):
        """As they were written before `super`."""

        def __init__(self, path: Any, **_: Any) -> None:
            sqlite3.Connection.__init__(self, path, timeout=0.25)

    prepare(database)
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("CREATE TABLE t(a)")
    connection: Any = dualdb.connect(database, factory=Old)
    with closing(connection):
        connection.execute("SELECT 1")
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (250,)
        raise_fence(database)
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            connection.execute("INSERT INTO t VALUES (1)")
        assert 0.25 <= time.monotonic() - began < 4


def test_a_cursor_that_is_handed_out_again_is_one(database: Path, target_dsn: str) -> None:
    """A factory may keep one for itself."""

    class Thrifty(sqlite3.Connection):
        """Has one cursor."""

        one: Any = None

        def cursor(self, *_: Any) -> Any:
            """Always the same."""
            if self.one is None:
                self.one = super().cursor()
            return super().cursor(lambda _connection: self.one)

    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn)
    with closing(dualdb.connect(database, factory=Thrifty)) as connection:
        connection.execute("SELECT 1")
        for _ in range(2):
            assert connection.cursor().execute("SELECT a FROM t").fetchall() == [("old",)]
        rollback(str(database), observer=lambda _event: None)
        assert connection.cursor().execute("SELECT a FROM t").fetchall() == [("old",)]
