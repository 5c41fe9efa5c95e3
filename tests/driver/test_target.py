"""In phase postgres an application sees what it would see on SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = """
CREATE TABLE runs(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, score REAL, n NUMERIC, data BLOB,
    CHECK (score < 1000), CONSTRAINT named CHECK (n <> 13)
);
CREATE UNIQUE INDEX runs_name ON runs(name, score);
CREATE TABLE plain(a, b TEXT);
CREATE TABLE pairs(a TEXT, b INTEGER, c, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO runs(name, score, n, data) VALUES ('a', 1.5, 2, x'00ff'), ('b', NULL, 2.5, NULL);
INSERT INTO plain(a, b) VALUES ('x', 'y');
"""


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """Both connections, with sqlite3's default isolation level."""
    both = Twins(database, target_dsn, SCHEMA)
    yield both
    both.close()


@pytest.fixture
def free(database: Path, target_dsn: str) -> Iterator[Twins]:
    """Both connections, without implicit transactions."""
    both = Twins(database, target_dsn, SCHEMA, isolation_level=None)
    yield both
    both.close()


def test_queries(twins: Twins) -> None:
    """Values, types, description, rowcount, lastrowid."""
    twins.all(
        "SELECT * FROM runs ORDER BY id",
        "SELECT id, name AS who, score FROM runs WHERE id = 1",
        "SELECT * FROM plain",
        "SELECT 1 AS one, 'x', NULL, 2.5, x'ff'",
        "SELECT * FROM runs WHERE 0",
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%dualdb%' ORDER BY 1",
        "PRAGMA table_info(runs)",
        "SELECT count(*), max(score) FROM runs",
        "",
        "-- nothing",
        "; SELECT 1",
        " ;; -- nothing\n; SELECT name FROM runs ORDER BY id;;",
        ";",
    )


@pytest.mark.parametrize("write", ["INSERT INTO runs(name) VALUES ('q')", "UPDATE runs SET n = 1", "DELETE FROM runs"])
def test_a_write_behind_an_empty_statement_is_none_to_sqlite3(twins: Twins, write: str) -> None:
    """It begins no transaction for it, and counts no rows."""
    twins.execute(f"; {write}")
    twins.both(lambda connection: connection.rollback())
    twins.execute("SELECT name, score FROM runs ORDER BY id")


def test_writes(twins: Twins) -> None:
    """Counts, ids, implicit transactions, constraints in SQLite's words; a failing statement costs only itself."""
    twins.execute("INSERT INTO runs(name, score) VALUES (?, ?)", ("c", 3))
    twins.execute("INSERT INTO runs(id, name) VALUES (?, ?)", (100, "d"))
    twins.execute("INSERT INTO runs(id, name) VALUES (?, ?)", (100, "e"))
    twins.execute("INSERT INTO runs(name, score) VALUES (?, ?)", ("c", 3))
    twins.execute("INSERT INTO runs(name) VALUES (NULL)")
    twins.execute("INSERT INTO runs(name, score) VALUES ('z', 2000)")
    twins.execute("INSERT INTO runs(name, n) VALUES ('z', 13)")
    twins.execute("INSERT INTO pairs VALUES ('a', 1, 'x')")
    twins.execute("INSERT INTO pairs VALUES ('a', 1, 'y')")
    twins.execute("UPDATE runs SET n = 14 WHERE id < 100")
    twins.execute("DELETE FROM runs WHERE id = 2")
    twins.execute("DELETE FROM runs WHERE id = 2000")
    twins.execute("SELECT * FROM runs ORDER BY id")
    twins.both(lambda connection: connection.commit())
    twins.execute("SELECT * FROM runs ORDER BY id")


def test_what_was_not_executed_behind_a_refused_row_is_executed_later(twins: Twins) -> None:
    """However often it was before, for PostgreSQL is asked to prepare a statement only now and then."""
    for often in range(8):
        insert = f"INSERT INTO pairs(a, b, c) VALUES (?, ?, '{often}')"
        twins.execute(insert, (None, often))
        for turn in range(often):
            twins.execute(insert, (f"before {turn}", often))
        twins.executemany(insert, [("first", often), (None, often), ("last", often)])
        twins.execute(insert, ("after", often))
    twins.execute("SELECT * FROM pairs ORDER BY a, b")


STRICT = "CREATE TABLE s(id INTEGER PRIMARY KEY, a INT NOT NULL, b TEXT, c REAL, d BLOB, e ANY, CHECK (c < 9)) STRICT"


def test_a_strict_table_refuses_values_of_another_type(database: Path, target_dsn: str) -> None:
    """In SQLite's words, with its code, after what it checks before."""
    with contextlib.closing(Twins(database, target_dsn, STRICT)) as twins:
        insert = "INSERT INTO s(id, a, b, c, d, e) VALUES (?, ?, ?, ?, ?, ?)"
        fine = (1, "b", 1, b"", "e")
        wrong = [(0, "x"), (0, 1.5), (0, b""), (0, None), (1, b""), (2, "x"), (3, 1), (3, "x"), (0, "7")]
        for number, (place, value) in enumerate(wrong):
            row = (*fine[:place], value, *fine[place + 1 :])
            twins.execute(insert, (100 + number, *row))
            twins.executemany(insert, [(200 + number, *fine), (300 + number, *row), (400 + number, *fine)])
        twins.execute("INSERT INTO s(b, c) VALUES (?, ?)", ("b", "x"))
        twins.execute("INSERT INTO s(a, c) VALUES (:a, :c)", {"a": "x", "c": 10})
        twins.execute("SELECT * FROM s ORDER BY id")
        twins.both(lambda connection: connection.rollback())
        twins.all(
            "INSERT INTO s(a) VALUES ('x')",
            "INSERT INTO s(a, d) VALUES (1, 'x')",
            "SELECT count(*) FROM s",
        )
        for sql in (
            "INSERT OR IGNORE INTO s(id, a) VALUES (1, 'x')",
            "UPDATE s SET a = 'x'",
        ):
            with pytest.raises(sqlite3.NotSupportedError):
                twins.ours.execute(sql)


REFUSED = (
    "INSERT OR REPLACE INTO s(a, c) VALUES ('x', 1)",
    "REPLACE INTO s(a) VALUES (x'00')",
    "INSERT INTO s(id, a, b) VALUES (last_insert_rowid(), 'x', 1)",
    "INSERT INTO s(a, c) VALUES ('x', changes() + total_changes())",
)


@pytest.mark.parametrize("sql", REFUSED)
def test_sqlites_refusal_is_not_given_without_its_effect(database: Path, target_dsn: str, sql: str) -> None:
    """It would roll the transaction back, keep the rows before, or have computed with what it counts."""
    with contextlib.closing(Twins(database, target_dsn, STRICT)) as twins:
        twins.execute("INSERT INTO s(a) VALUES (1)")
        with pytest.raises(sqlite3.NotSupportedError):
            twins.ours.execute(sql)
        assert twins.ours.in_transaction
        twins.all("INSERT INTO s(a, c) VALUES (2, 10)", "SELECT * FROM s")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR ROLLBACK INTO s(a, c) VALUES (1, 10)",
        "INSERT OR FAIL INTO s(a, c) VALUES (1, 1), (1, 10), (1, 2)",
        "UPDATE OR FAIL s SET c = id * 4 + 1",
        "UPDATE OR ROLLBACK s SET c = 10",
        "INSERT OR IGNORE INTO s(id, a) SELECT id, a FROM s UNION ALL SELECT 50, 1 ORDER BY 1",
    ],
)
def test_a_conflict_clause_has_its_effect(database: Path, target_dsn: str, sql: str) -> None:
    """The rows before stay, or the transaction ends, or the row is passed over."""
    with contextlib.closing(Twins(database, target_dsn, STRICT)) as twins:
        twins.execute("INSERT INTO s(a) VALUES (1), (2), (3)")
        twins.both(lambda connection: connection.commit())
        twins.execute("INSERT INTO s(a) VALUES (4)")
        twins.execute(sql)
        assert twins.ours.in_transaction == twins.plain.in_transaction
        twins.execute("SELECT * FROM s ORDER BY id")


def test_errors(twins: Twins) -> None:
    """Classes and messages are sqlite3's own."""
    twins.all(
        "SELEC 1", "SELECT * FROM nowhere", "SELECT nothing FROM runs", "SELECT 1; SELECT 2", "COMMIT", "ROLLBACK"
    )
    for parameters in ((), (1, 2), {"a": 1}, 5, [2**63], ["\ud800"], [object()]):
        twins.execute("SELECT id FROM runs WHERE id = ?", parameters)
        twins.execute("INSERT INTO runs(name) VALUES (?)", parameters)
    twins.execute("SELECT id FROM runs WHERE id = :id", {"no": 1})
    twins.execute("SELECT id FROM runs WHERE id = :id", {"id": True})
    twins.both(lambda connection: connection.executemany("SELECT 1", [()]))


def test_transactions(free: Twins) -> None:
    """BEGIN, SAVEPOINT, RELEASE, ROLLBACK TO, COMMIT and the errors of each in every state."""
    free.all(
        "SAVEPOINT a", "INSERT INTO pairs VALUES ('1', 1, 'a')", "SAVEPOINT A",
        "INSERT INTO pairs VALUES ('2', 1, 'b')",
        "ROLLBACK TO a",
        "SELECT * FROM pairs ORDER BY a", "RELEASE a", "RELEASE nothing", "RELEASE a", "RELEASE a",
        "BEGIN", "BEGIN", "SAVEPOINT s", "SELECT count(*) FROM plain",
        "INSERT INTO pairs VALUES ('3', 1, 'c')", "ROLLBACK TO s",
        "INSERT INTO pairs VALUES ('4', 1, 'd')", "INSERT INTO runs(id, name) VALUES (1, 'x')", "COMMIT",
        "BEGIN IMMEDIATE", "DELETE FROM plain", "SELECT count(*) FROM plain", "ROLLBACK",
        "SELECT * FROM pairs ORDER BY a",
        "BEGIN EXCLUSIVE", "END", "BEGIN", "ROLLBACK TO x", "ROLLBACK",
    )  # fmt: skip


def test_many_rows(twins: Twins) -> None:
    """Executemany sums, keeps the rows before a failing one, and goes on afterwards."""
    twins.executemany("INSERT INTO plain(a, b) VALUES (?, ?)", [("t", str(value)) for value in range(450)])
    twins.executemany("INSERT INTO runs(id, name) VALUES (?, ?)", [(value, "m") for value in (10, 11, 12, 10, 13)])
    twins.executemany("INSERT INTO runs(id, name) VALUES (?, ?)", [(20, "m"), (21,), (22, "m")])
    twins.executemany("INSERT INTO plain(a, b) VALUES (:a, :b)", [{"a": "x", "b": "n"}])
    twins.execute("SELECT id, name FROM runs ORDER BY id")
    twins.execute("SELECT b, count(*) FROM plain GROUP BY b ORDER BY b")
    twins.both(lambda connection: connection.total_changes)


def test_returning_and_ids(twins: Twins) -> None:
    """RETURNING's rows, its rowcount before and after fetching, last_insert_rowid() and changes()."""
    twins.execute("INSERT INTO runs(name) VALUES ('r') RETURNING id, name")
    twins.execute("UPDATE runs SET n = 7 RETURNING id, n")
    twins.execute("DELETE FROM runs WHERE id > 100 RETURNING id")
    twins.execute("SELECT last_insert_rowid(), changes()")
    twins.execute("INSERT INTO plain(a) VALUES ('q') RETURNING *")
    twins.execute("SELECT 1")


def test_row_factories(twins: Twins) -> None:
    """sqlite3.Row is genuine; a callable gets the cursor and its description; text_factory is honoured."""

    def rows(connection: Any) -> Any:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT id, name AS who FROM runs ORDER BY id").fetchone()
        return type(row), row.keys(), row["WHO"], tuple(row)

    def dictionaries(connection: Any) -> Any:
        connection.row_factory = lambda cursor, row: {
            column[0]: value for column, value in zip(cursor.description, row, strict=True)
        }
        return connection.execute("SELECT id, name FROM runs ORDER BY id").fetchall()

    def texts(connection: Any) -> Any:
        connection.row_factory = None
        connection.text_factory = bytes
        return connection.execute("SELECT name, id FROM runs ORDER BY id").fetchall()

    for call in (rows, dictionaries, texts):
        twins.both(call)


def test_fetching(twins: Twins) -> None:
    """fetchone, fetchmany, fetchall and iteration, and what a closed cursor or connection says."""

    def some(connection: Any) -> Any:
        cursor = connection.cursor()
        nothing = cursor.fetchone(), cursor.fetchall(), cursor.description, cursor.rowcount, cursor.lastrowid
        cursor.execute("SELECT value.id FROM runs AS value ORDER BY 1")
        cursor.arraysize = 1
        return (
            nothing,
            cursor.fetchmany(),
            cursor.fetchmany(size=5),
            cursor.fetchone(),
            list(cursor),
            cursor.fetchmany(0),
        )

    def closed(connection: Any) -> Any:
        cursor = connection.execute("SELECT id FROM runs")
        cursor.close()
        return cursor.fetchone()

    twins.both(some)
    twins.both(closed)


def test_parameters_that_differ_by_their_sign_alone_are_refused(twins: Twins) -> None:
    """To SQLite they are two."""
    with pytest.raises(sqlite3.NotSupportedError, match=r"^the parameter :a has the name of another one"):
        twins.ours.execute("SELECT count(*) FROM plain WHERE a = :a OR a = @a", {"a": "x"})
    twins.execute("SELECT count(*) FROM plain WHERE a = :a OR a = @b OR a = :a", {"a": "x", "b": "y"})


def test_with_blocks_and_close(twins: Twins) -> None:
    """`with` commits or rolls back; a closed connection says so; what was not committed is gone."""

    def block(connection: Any) -> Any:
        with connection:
            connection.execute("INSERT INTO plain(a) VALUES ('kept')")
        with contextlib.suppress(ZeroDivisionError), connection:
            connection.execute("INSERT INTO plain(a) VALUES ('gone')")
            return 1 // 0
        return connection.execute("SELECT a FROM plain ORDER BY a").fetchall()

    twins.both(block)
    twins.execute("INSERT INTO pairs VALUES ('never', 1, 'x')")
    for connection in (twins.plain, twins.ours):
        cursor = connection.cursor()
        connection.close()
        for call, arguments in (
            (connection.execute, ("SELECT 1",)),
            (connection.commit, ()),
            (cursor.fetchone, ()),
            (connection.blobopen, ("plain", "a", 1)),
            (connection.backup, (twins.plain,)),
            (connection.serialize, ()),
            (connection.deserialize, (b"",)),
            (connection.set_authorizer, (repr,)),
            (connection.create_function, ("f", 0, repr)),
            (connection.create_collation, ("nocase", repr)),
            (getattr, (connection, "in_transaction")),
            (getattr, (connection, "total_changes")),
        ):
            with pytest.raises(sqlite3.ProgrammingError, match=r"^Cannot operate on a closed database\.$"):
                call(*arguments)


def test_scripts(twins: Twins) -> None:
    """Executescript commits what is open and runs one statement after the other."""
    twins.execute("INSERT INTO plain(a) VALUES ('before')")
    twins.both(
        lambda c: c.executescript("INSERT INTO plain(a) VALUES ('s'); BEGIN; DELETE FROM plain; ROLLBACK;") and None
    )
    twins.both(lambda c: c.executescript("INSERT INTO plain(a) VALUES ('t'); SELECT nonsense; SELECT 1"))
    twins.both(lambda c: c.isolation_level)
    twins.execute("SELECT a FROM plain ORDER BY a")


def test_schema_changes(twins: Twins) -> None:
    """CREATE and DROP; in a transaction they are rolled back with it."""
    twins.all(
        "CREATE TABLE IF NOT EXISTS runs(a)", "CREATE TABLE runs(a)",
        "CREATE TABLE fresh(id INTEGER PRIMARY KEY, a TEXT UNIQUE)", "INSERT INTO fresh(a) VALUES ('x')",
        "INSERT INTO fresh(a) VALUES ('x')", "CREATE INDEX fresh_a ON fresh(a, id)", "SELECT * FROM fresh",
        "SELECT name, sql FROM sqlite_master WHERE name LIKE 'fresh%' ORDER BY name",
    )  # fmt: skip
    twins.both(lambda connection: connection.commit())
    twins.all(
        "BEGIN", "CREATE TABLE passing(a TEXT)", "INSERT INTO passing VALUES ('p')",
        "SELECT * FROM passing", "ROLLBACK",
        "SELECT * FROM passing", "CREATE VIEW seen AS SELECT a FROM fresh", "SELECT * FROM seen", "DROP VIEW seen",
        "SELECT * FROM seen", "DROP INDEX fresh_a", "DROP TABLE fresh", "DROP TABLE fresh",
        "DROP TABLE IF EXISTS fresh",
        "SELECT * FROM fresh",
    )  # fmt: skip


def test_a_unique_index_over_what_is_not_unique(twins: Twins) -> None:
    """It is refused with the names of the columns, and is not there; once the rows are gone it is made, and obeyed."""
    twins.all("INSERT INTO plain VALUES ('x', 'z'), ('x', 'y')")
    twins.both(lambda connection: connection.commit())
    for index in ("plain_a ON plain(a)", "plain_ab ON plain(a, b)"):
        kind, *said = twins.execute(f"CREATE UNIQUE INDEX {index}")
        assert (kind, said[0]) == ("error", "IntegrityError")
        assert said[1].startswith("UNIQUE constraint failed: plain.a")
    twins.all(
        "INSERT INTO plain VALUES ('x', 'y')",
        "DELETE FROM plain WHERE a = 'x' AND rowid > 1",
        "CREATE UNIQUE INDEX plain_a ON plain(a)",
        "INSERT INTO plain VALUES ('x', 'y')",
        "SELECT a, b FROM plain",
    )
