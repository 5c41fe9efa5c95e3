"""What an application taught its connection is refused by name in phase postgres, never missed in silence."""

from __future__ import annotations

import sqlite3
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.driver.taught import Taught, check_shadowed
from dualdb.operations.transition import advance, rollback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, n INTEGER CHECK (abs(n) < 100));
CREATE VIEW v AS SELECT upper(a) AS b FROM t;
CREATE TABLE c(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE);
CREATE TABLE log(a INTEGER, b INTEGER);
CREATE TABLE count(a INTEGER, b INTEGER);
INSERT INTO t(a, n) VALUES ('b', 1), ('A', 2);
"""


class Total:
    """An aggregate, and a window function."""

    def __init__(self) -> None:
        self.sum = 0

    def step(self, value: int) -> None:
        """Take one more."""
        self.sum += value

    def inverse(self, value: int) -> None:
        """Take one less."""
        self.sum -= value

    def value(self) -> int:
        """What there is so far."""
        return self.sum

    finalize = value


def teach(connection: Any) -> None:
    """Some of everything."""
    connection.create_function("double", 1, lambda value: value * 2)
    connection.create_function("Regexp", 2, lambda pattern, text: pattern in text)
    connection.create_function("replace", 2, lambda text, old: text.strip(old))
    connection.create_aggregate("summed", 1, Total)
    connection.create_window_function("rolling", 1, Total)
    connection.create_collation("backwards", lambda left, right: (left < right) - (left > right))


USES = {
    "SELECT double(1)": "function double()",
    "SELECT DOUBLE(n) FROM t": "function DOUBLE()",
    "SELECT id FROM t WHERE a REGEXP 'b'": "function REGEXP()",
    "SELECT replace(a, 'b') FROM t": "function replace()",
    "SELECT summed(n) FROM t": "function summed()",
    "SELECT rolling(n) OVER (ORDER BY id) FROM t": "function rolling()",
    "SELECT a FROM t ORDER BY a COLLATE backwards": "collation backwards",
    "UPDATE t SET n = double(n)": "function double()",
    "CREATE TABLE u(a CHECK (double(a) > 1))": "function double()",
    "CREATE INDEX i ON t(a COLLATE backwards)": "collation backwards",
}


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """Both connections, the one to PostgreSQL in phase postgres."""
    with closing(Twins(database, target_dsn, SCHEMA, isolation_level=None)) as both:
        yield both


def refusal(connection: Any, sql: str) -> str:
    """What is said to the statement."""
    with pytest.raises(sqlite3.NotSupportedError) as caught:
        connection.execute(sql)
    return str(caught.value)


@pytest.mark.parametrize("sql", USES)
def test_a_use_is_refused_by_name_and_with_a_remedy(twins: Twins, sql: str) -> None:
    """Where nobody taught it the connection says what sqlite3 says."""
    twins.execute(sql)
    teach(twins.ours)
    assert refusal(twins.ours, sql).startswith(f"the {USES[sql]} is the application's own, and PostgreSQL does not")
    assert refusal(twins.ours, sql).endswith(
        f"; do its work in the application, or go back to SQLite: {way_back(twins)}"
    )
    twins.all("SELECT nobody(1)", "SELECT a FROM t ORDER BY a COLLATE nobodys", "SELECT * FROM t ORDER BY id")


def way_back(twins: Twins) -> str:
    """The command that leads to SQLite."""
    return f"dualdb rollback {twins.database} --to dual_write"


@pytest.mark.parametrize(
    ("name", "arguments", "function", "sql"),
    [
        ("lower", 1, str.casefold, "SELECT lower(a) FROM t"),
        ("LIKE", 2, lambda pattern, text: pattern == text, "SELECT id FROM t WHERE a LIKE 'b'"),
        ("coalesce", 2, lambda one, _other: one, "SELECT coalesce(a, 'x') FROM t"),
        ("upper", 1, str.title, "SELECT b FROM v"),
        ("abs", 1, lambda value: value, "INSERT INTO t(n) VALUES (7)"),
        ("coalesce", -1, lambda *_: 1, "SELECT t.id FROM t JOIN t AS u ON coalesce(t.id, 1) = u.id ORDER BY 1"),
        ("count", 0, Total, "SELECT count(*) FROM t"),
    ],
)
def test_one_in_the_place_of_sqlites_own_is_refused_too(
    twins: Twins, name: str, arguments: int, function: Callable[..., Any], sql: str
) -> None:
    """PostgreSQL would compute with SQLite's; also in a view, in a CHECK, and behind an operator."""
    twins.execute(sql)
    if function is Total:
        twins.ours.create_aggregate(name, arguments, function)
    else:
        twins.ours.create_function(name, arguments, function)
    assert f"the function {name.lower()}() is the application's own" in refusal(twins.ours, sql)
    twins.execute("SELECT id, trim(a) FROM t WHERE id = 1")


def test_what_only_looks_like_a_use_goes_on(twins: Twins) -> None:
    """Tables of a function's name with a list of columns, and calls with another number of arguments."""
    twins.ours.create_function("log", 1, lambda _value: 0)
    twins.ours.create_function("replace", 2, lambda text, old: text.strip(old))
    twins.ours.create_aggregate("count", -1, Total)
    twins.all(
        "INSERT INTO log(a, b) VALUES (1, 2)",
        "INSERT INTO main.count (a, b) VALUES (1, 2)",
        "WITH t(a) AS (SELECT 1), count(a) AS (SELECT a FROM t) SELECT a FROM count",
        "CREATE INDEX by_count ON count(a)",
        "CREATE TABLE IF NOT EXISTS count(a, b)",
        "SELECT replace(a, 'A', 'z') FROM t ORDER BY id",
        "SELECT count.a, log.b FROM count, log",
    )
    assert "function count()" in refusal(twins.ours, "SELECT count(*) FROM count")


@pytest.mark.parametrize(("called", "refused"), [(2, True), (-1, True), (3, False)])
def test_a_call_counts_by_the_number_of_its_arguments(called: int, refused: bool) -> None:
    """What SQLite's own function takes any number for may have been called with any."""
    with pytest.raises(sqlite3.NotSupportedError) if refused else nullcontext():
        check_shadowed(
            frozenset({("max", called)}), Taught(frozenset(), frozenset(), frozenset({("max", 2)}), frozenset()), ""
        )


def alphabetic(left: str, right: str) -> int:
    """An order of the application's own: umlauts among the other letters, for one."""
    return (left.casefold() > right.casefold()) - (left.casefold() < right.casefold())


OWN_NOCASE = {
    "SELECT id FROM t WHERE a = 'B' COLLATE NOCASE",
    "SELECT id FROM t ORDER BY a COLLATE nocase, id",
    "SELECT id FROM c WHERE a = 'x'",
    "SELECT DISTINCT a FROM c",
    "SELECT count(*) FROM c GROUP BY a",
    "INSERT INTO c(a) VALUES ('x')",
    "INSERT INTO t(a, n) VALUES ('y', 5) RETURNING a = 'Y' COLLATE NOCASE",
}


@pytest.mark.parametrize("sql", sorted(OWN_NOCASE))
@pytest.mark.parametrize("early", [True, False], ids=["before the move", "after it"])
def test_a_collation_in_the_place_of_sqlites_own_is_refused_too(twins: Twins, sql: str, *, early: bool) -> None:
    """SQLite lists it under the same name; the connection remembers that it was told."""
    if early:
        rollback(str(twins.database), observer=unheard)
    twins.ours.create_collation("NoCase", alphabetic)
    twins.ours.execute("SELECT id FROM c").fetchall()
    if early:
        advance(str(twins.database), Phase.POSTGRES, observer=unheard)
    assert refusal(twins.ours, sql).startswith("the collation NOCASE is the application's own, and PostgreSQL does not")
    twins.all("SELECT id, a FROM t WHERE a = 'b'", "INSERT INTO t(a) VALUES ('NOCASE')", "SELECT 'nocase-8', a FROM t")


def test_what_was_taught_before_the_move_is_known_after_it_and_works_on_the_way_back(twins: Twins) -> None:
    """The connection keeps it, whatever it makes of texts."""
    rollback(str(twins.database), observer=unheard)
    teach(twins.ours)
    twins.ours.text_factory = bytes
    assert twins.ours.execute("SELECT double(2)").fetchall() == [(4,)]
    advance(str(twins.database), Phase.POSTGRES, observer=unheard)
    assert "function double()" in refusal(twins.ours, "SELECT double(2)")
    assert twins.ours.execute("SELECT a FROM t WHERE id = 1").fetchall() == [(b"b",)]
    rollback(str(twins.database), observer=unheard)
    assert twins.ours.execute("SELECT double(2)").fetchall() == [(4,)]
