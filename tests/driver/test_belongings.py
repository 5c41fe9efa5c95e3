"""A connection that has what PostgreSQL has not stays where it is, and is told what it has and what to do."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.driver.moves import back, forward
from tests.driver.prepared import lift_fence, prepare, raise_fence

import dualdb

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


class Belonging(NamedTuple):
    """How a connection comes by it, what it is called in a message, and how SQLite shows that it is there."""

    given: tuple[str, ...]
    words: str
    asked: str
    answer: list[Any]


SHADOW = "CREATE TEMP TABLE t(id INTEGER PRIMARY KEY, a TEXT)"
TRIGGER = "CREATE TEMP TRIGGER watching AFTER INSERT ON main.t BEGIN INSERT INTO log VALUES (new.a); END"
BELONGINGS = {
    "a temporary table that hides one of the file": Belonging(
        (SHADOW, "INSERT INTO temp.t VALUES (7, 'mine')"),
        "temporary tables, views or triggers (t)",
        "SELECT id, a FROM t",
        [(7, "mine")],
    ),
    "temporary tables": Belonging(
        ("CREATE TEMP TABLE work(x)", "CREATE TABLE temp.more(x)", "INSERT INTO work VALUES (1)"),
        "temporary tables, views or triggers (more, work)",
        "SELECT x FROM work",
        [(1,)],
    ),
    "a temporary view": Belonging(
        ("CREATE TEMP VIEW log AS SELECT 'view' AS a",),
        "temporary tables, views or triggers (log)",
        "SELECT a FROM log",
        [("view",)],
    ),
    "a temporary trigger": Belonging(
        (TRIGGER, "INSERT INTO t(a) VALUES ('seen')", "DELETE FROM t"),
        "temporary tables, views or triggers (watching)",
        "SELECT a FROM log",
        [("seen",)],
    ),
    "attached databases": Belonging(
        ("ATTACH ':memory:' AS other", "ATTACH ':memory:' AS another", "CREATE TABLE other.q AS SELECT 1 AS x"),
        "attached databases (other, another)",
        "SELECT x FROM q",
        [(1,)],
    ),
    "PRAGMA count_changes": Belonging(
        ("PRAGMA count_changes = ON",), "PRAGMA count_changes set", "DELETE FROM t WHERE 0", [(0,)]
    ),
    "PRAGMA full_column_names": Belonging(
        ("PRAGMA short_column_names = OFF", "PRAGMA full_column_names = ON"),
        "PRAGMA full_column_names set",
        "SELECT 1",
        [(1,)],
    ),
    "PRAGMA short_column_names": Belonging(
        ("PRAGMA short_column_names = OFF",), "PRAGMA short_column_names set", "SELECT 1", [(1,)]
    ),
    "PRAGMA ignore_check_constraints": Belonging(
        ("PRAGMA ignore_check_constraints = ON",),
        "PRAGMA ignore_check_constraints set",
        "PRAGMA ignore_check_constraints",
        [(1,)],
    ),
}
STATEMENTS = ("SELECT a FROM t", "INSERT INTO t(a) VALUES ('x')", "CREATE TABLE late(x)", "BEGIN", "SELECT x FROM work")


@pytest.fixture
def moving(moving: Path) -> Path:
    """The file with one table more."""
    with closing(dualdb.connect(moving)) as connection:
        connection.execute("CREATE TABLE log(a TEXT)")
    return moving


@pytest.mark.parametrize("what", BELONGINGS)
@pytest.mark.parametrize("text_factory", [str, bytes])
def test_a_connection_with_belongings_is_not_answered_without_them(moving: Path, what: str, text_factory: Any) -> None:
    """Each of its statements is refused in phase postgres, with a message that names them, while another connection
    works; behind the way back it works again, and has what it had.
    """
    given, words, asked, answer = BELONGINGS[what]
    connection: Any = dualdb.connect(moving)
    for statement in given:
        connection.execute(statement)
    connection.commit()
    assert connection.execute(asked).fetchall() == answer
    connection.commit()
    connection.text_factory = text_factory
    forward(moving)
    message = (
        f"this connection has {words}, and PostgreSQL has answered since the file was moved; open a new connection, or"
        f" go back to SQLite: dualdb rollback {moving} --to dual_write"
    )
    for statement in STATEMENTS:
        with pytest.raises(sqlite3.NotSupportedError, match=f"^{re.escape(message)}$"):
            connection.execute(statement)
        assert not connection.in_transaction
        assert connection.text_factory is text_factory
    for method in (connection.executemany, connection.cursor().executemany):
        with pytest.raises(sqlite3.NotSupportedError, match=r"^this connection has "):
            method("INSERT INTO main.t(a) VALUES (?)", [("x",)])
    with closing(dualdb.connect(moving)) as fresh:
        fresh.execute("INSERT INTO t(a) VALUES ('fresh')")
        fresh.commit()
        assert fresh.execute("SELECT a FROM t").fetchall() == [("fresh",)]
    back(moving)
    connection.text_factory = str
    assert connection.execute(asked).fetchall() == answer
    assert connection.execute("SELECT a FROM main.t").fetchall() == [("fresh",)]
    connection.close()


@pytest.mark.parametrize(
    ("given", "taken_away"),
    [
        ("CREATE TEMP TABLE work(x)", "DROP TABLE work"),
        ("ATTACH ':memory:' AS other", "DETACH other"),
        ("PRAGMA count_changes = ON", "PRAGMA count_changes = OFF"),
        ("PRAGMA ignore_check_constraints = ON", "PRAGMA ignore_check_constraints = OFF"),
        ("PRAGMA short_column_names = OFF", "PRAGMA short_column_names = ON"),
        ("CREATE TEMP TABLE w(id INTEGER PRIMARY KEY AUTOINCREMENT)", "DROP TABLE w"),
    ],
)
def test_a_connection_that_has_them_no_more_goes_along(moving: Path, given: str, taken_away: str) -> None:
    """It is asked what it has, not what it had."""
    connection: Any = dualdb.connect(moving)
    for statement in (given, taken_away):
        connection.execute(statement)
    forward(moving)
    connection.execute("INSERT INTO t(a) VALUES ('x')")
    connection.commit()
    back(moving)
    assert connection.execute("SELECT a FROM t").fetchall() == [("x",)]
    connection.close()


def test_a_connection_goes_to_and_fro_as_often_as_the_file_does(moving: Path) -> None:
    """What the driver itself has made in it on the way back, for its counters, is nothing of the application's."""
    connection: Any = dualdb.connect(moving)
    for number in range(2):
        forward(moving)
        connection.execute("INSERT INTO t VALUES (?, 'there')", (10 * number + 1,))
        connection.commit()
        back(moving)
        connection.execute("INSERT INTO t VALUES (?, 'here')", (10 * number + 2,))
        connection.commit()
    assert connection.execute("SELECT id FROM t ORDER BY id").fetchall() == [(1,), (2,), (11,), (12,)]
    connection.close()


@pytest.mark.parametrize("given", ["SELECT 1", "CREATE TEMP TABLE w(x)", "ATTACH ':memory:' AS other", ""])
def test_a_move_that_is_given_up_is_a_lock_to_it_as_to_any_other(database: Path, given: str) -> None:
    """A transaction that has read cannot go along, whatever the connection has; it tries again where it is."""
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    prepare(database)
    connection: Any = dualdb.connect(database)
    if given:
        connection.execute(given)
    else:
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
    raise_fence(database)
    connection.execute("BEGIN")
    assert connection.execute("SELECT * FROM t").fetchall() == []
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
        connection.execute("INSERT INTO t(a) VALUES ('x')")
    lift_fence(database)
    # It goes on only when the application has ended it: half of it must not be committed.
    assert connection.in_transaction
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked"):
        connection.execute("INSERT INTO t(a) VALUES ('y')")
    connection.rollback()
    assert not connection.in_transaction
    connection.execute("INSERT INTO t(a) VALUES ('x')")
    connection.commit()
    assert connection.execute("SELECT a FROM t").fetchall() == [("x",)]
    connection.close()
