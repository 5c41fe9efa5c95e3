"""What an application makes of rows, texts and names in phase postgres: whatever sqlite3 lets it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCHEMA = """
CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO t(a) VALUES ('x'), (NULL), ('z');
"""
WHOLE = "SELECT id, a FROM t ORDER BY id"
TEXTS = "SELECT a FROM t ORDER BY id"


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """Three rows on both, one of them with a NULL."""
    pair = Twins(database, target_dsn, SCHEMA)
    yield pair
    pair.close()


FETCHES: dict[str, Callable[[Any], Any]] = {
    "fetchone": lambda cursor: [cursor.fetchone() for _ in range(4)],
    "fetchmany": lambda cursor: [cursor.fetchmany(2) for _ in range(3)],
    "fetchmany of all": lambda cursor: cursor.fetchmany(0),
    "fetchall": lambda cursor: (cursor.fetchall(), cursor.fetchall()),
    "iteration": list,
}


@pytest.mark.parametrize("fetch", FETCHES)
@pytest.mark.parametrize("factory", [lambda _cursor, row: row[0], lambda _cursor, _row: None])
def test_none_is_a_row_like_any_other(twins: Twins, fetch: str, factory: Any) -> None:
    """Where a factory makes it of one, as of a column's only NULL: the rows behind it are fetched too."""

    def rows(connection: Any) -> Any:
        connection.row_factory = factory
        return FETCHES[fetch](connection.execute(TEXTS))

    twins.both(rows)


def _made_in_a_function(connection: Any) -> Any:
    def made(cursor: Any, row: Any) -> Any:
        return sqlite3.Row(cursor, row)

    connection.row_factory = made
    return [(row.keys(), tuple(row)) for row in connection.execute(WHOLE)]


def _made_in_one_cursor_of_several_answers(connection: Any) -> Any:
    connection.row_factory = lambda cursor, row: dict(sqlite3.Row(cursor, row))
    cursor = connection.cursor()
    statements = (WHOLE, "SELECT a AS text, id FROM t ORDER BY id", "SELECT id AS number FROM t ORDER BY id")
    return [cursor.execute(sql).fetchall() for sql in statements]


class _Names:
    """A factory that is an object."""

    def __call__(self, cursor: Any, row: Any) -> Any:
        return sqlite3.Row(cursor, row)["A"]


def _made_by_an_object(connection: Any) -> Any:
    connection.row_factory = _Names()
    return connection.execute(WHOLE).fetchall()


def _made_when_all_were_fetched(connection: Any) -> Any:
    cursor = connection.execute(WHOLE)
    return [dict(sqlite3.Row(cursor, row)) for row in cursor.fetchall()]


def _made_of_no_row(connection: Any) -> Any:
    cursor = connection.execute("SELECT id AS number, a AS text FROM t WHERE 0")
    return dict(sqlite3.Row(cursor, (1, "x"))), cursor.fetchall()


@pytest.mark.parametrize(
    "make",
    [
        _made_in_a_function,
        _made_in_one_cursor_of_several_answers,
        _made_by_an_object,
        _made_when_all_were_fetched,
        _made_of_no_row,
    ],
)
def test_a_genuine_row_knows_its_names_wherever_it_is_made(twins: Twins, make: Callable[[Any], Any]) -> None:
    """Not only where `row_factory` is the class itself."""
    twins.both(make)


def test_a_text_factory_that_is_set_between_two_rows_makes_the_second(twins: Twins) -> None:
    """It is asked when a row is fetched, not when the statement is executed."""

    def texts(connection: Any) -> Any:
        cursor = connection.execute(TEXTS)
        connection.text_factory = bytes
        first = cursor.fetchone()
        connection.text_factory = str
        return first, cursor.fetchall()

    twins.both(texts)


def test_a_text_factory_that_fails_for_one_row_keeps_none_of_the_others(twins: Twins) -> None:
    """Those before it were fetched; it is asked again for the same row, and those behind it follow."""

    def fail(raw: bytes) -> str:
        if raw == b"z":
            raise ValueError(raw)
        return raw.decode()

    def texts(connection: Any) -> Any:
        connection.text_factory = fail
        cursor = connection.execute("SELECT a FROM t WHERE id <> 2 UNION ALL SELECT 'behind'")
        seen = [cursor.fetchone()]
        for _ in range(2):
            with pytest.raises(ValueError, match="z"):
                cursor.fetchone()
        connection.text_factory = str
        return seen, cursor.fetchall()

    twins.both(texts)


def test_a_converter_that_fails_for_one_row_keeps_none_of_the_others(
    database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of what PARSE_DECLTYPES calls."""
    monkeypatch.setitem(sqlite3.converters, "PICKY", _picky)
    schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, a PICKY); INSERT INTO t(a) VALUES ('x'), ('z'), ('behind')"

    def values(connection: Any) -> Any:
        cursor = connection.execute(TEXTS)
        seen = [cursor.fetchone()]
        with pytest.raises(ValueError, match="z"):
            cursor.fetchone()
        return seen

    with closing(Twins(database, target_dsn, schema, detect_types=sqlite3.PARSE_DECLTYPES)) as twins:
        twins.both(values)


def _picky(raw: bytes) -> str:
    if raw == b"z":
        raise ValueError(raw)
    return raw.decode()


@pytest.mark.parametrize("name", ["a[int]", "a [int]", "[int]", "a[x[int]", "a b [int] c", "a]b[int]", "a", "a [ int]"])
def test_a_type_in_a_columns_name_is_found_where_sqlite3_finds_it(
    database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With PARSE_COLNAMES: which converter is called, and what is left of the name."""
    monkeypatch.setitem(sqlite3.converters, "INT", lambda raw: ("converted", raw))
    with closing(Twins(database, target_dsn, SCHEMA, detect_types=sqlite3.PARSE_COLNAMES)) as twins:
        twins.execute(f'SELECT id AS "{name}" FROM t ORDER BY id')


@pytest.mark.parametrize("size", [2**40, 2**31, -(2**40), 2**70, 1.5, None, "1", -1, True])
def test_a_size_is_what_sqlite3_takes(twins: Twins, size: Any) -> None:
    """One that is no C integer is an OverflowError; whatever is refused leaves the rows where they are."""

    def rows(connection: Any) -> Any:
        cursor = connection.execute(WHOLE)
        try:
            found = cursor.fetchmany(size)
        except (OverflowError, TypeError) as error:
            return type(error), str(error), cursor.fetchall()
        return found, cursor.fetchall()

    _, seen = twins.both(rows)
    assert (seen[0] is OverflowError) is (type(size) is int and not -(2**31) <= size < 2**31)


def test_a_row_that_no_names_are_known_for_is_not_lost(twins: Twins) -> None:
    """sqlite3.Row is told its names by SQLite, which may be interrupted; the row comes the next time."""
    ours = twins.ours
    assert len(ours.execute("SELECT id FROM t").fetchall()) > 1
    ours.row_factory = sqlite3.Row
    interrupted = [True]
    ours.set_progress_handler(lambda: int(interrupted[0]), 1)
    cursor = ours.execute("SELECT id FROM t ORDER BY id")
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        cursor.fetchone()
    interrupted[0] = False
    found = [row["id"] for row in cursor]
    ours.set_progress_handler(None, 0)
    assert found == [row[0] for row in twins.plain.execute("SELECT id FROM t ORDER BY id")]
