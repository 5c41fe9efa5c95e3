"""The corners of sqlite3's face in phase postgres: converters, transaction control of 3.12, what is refused, blobs."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.driver.twins import Twins, move

import dualdb
from dualdb.core.phase import Phase
from dualdb.operations.transition import advance, rollback

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
CREATE TABLE t(id INTEGER PRIMARY KEY, d UPPER, n UPPER(3), a TEXT);
INSERT INTO t(d, a) VALUES ('date', 'x'), (NULL, 'y');
"""
MODES: list[Any] = [-1, True, False] if sys.version_info >= (3, 12) else []


def test_converters(database: Path, target_dsn: str) -> None:
    """PARSE_DECLTYPES and PARSE_COLNAMES, and the description that the latter cuts."""
    sqlite3.register_converter("upper", lambda raw: raw.upper())
    detect_types = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    with closing(Twins(database, target_dsn, SCHEMA, detect_types=detect_types)) as twins:
        twins.all("SELECT id, d, a FROM t ORDER BY id", 'SELECT a AS "a [upper]" FROM t ORDER BY id')
        twins.execute("SELECT d FROM t WHERE a = ?", ("y",))


def steps(connection: Any) -> Any:
    """What a program of the new transaction control does."""
    seen = [connection.in_transaction]
    connection.execute("INSERT INTO t(a) VALUES ('1')")
    seen.append(connection.in_transaction)
    connection.commit()
    seen.append(connection.in_transaction)
    connection.execute("DELETE FROM t WHERE a = '1'")
    connection.rollback()
    seen += [connection.in_transaction, connection.execute("SELECT a FROM t ORDER BY id").fetchall()]
    with connection:
        connection.execute("INSERT INTO t(a) VALUES ('2')")
    return seen, connection.autocommit, connection.isolation_level


def test_autocommit(tmp_path: Path, target_dsn: str) -> None:
    """Every value of `autocommit` that this Python has, and changing it on an open connection."""
    path = tmp_path / "experiments.db"
    with closing(Twins(path, target_dsn, SCHEMA)) as twins:
        for mode in MODES:
            twins.plain.close()
            twins.ours.close()
            options: dict[str, Any] = {"autocommit": mode}
            twins.plain = sqlite3.connect(twins.plain_path, **options)
            twins.ours = dualdb.connect(path, **options)
            twins.both(lambda connection: connection.execute("SELECT count(*) FROM t").fetchall())
            twins.both(steps)
        for mode in MODES:
            twins.both(lambda connection, mode=mode: setattr(connection, "autocommit", mode))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("blobopen", ("t", "a", 1)),
        ("iterdump", ()),
        ("backup", (None,)),
        ("serialize", ()),
        ("deserialize", (b"",)),
        *((name, ("x",)) for name in ("load_extension", "enable_load_extension") if hasattr(sqlite3.Connection, name)),
        ("set_authorizer", (print,)),
    ],
)
def test_what_needs_sqlites_engine_is_refused_with_a_remedy(
    database: Path, target_dsn: str, name: str, arguments: tuple[Any, ...]
) -> None:
    """NotSupportedError; the cause, a semicolon, what to do."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn)
    connection: Any = dualdb.connect(database)
    connection.execute("SELECT 1").fetchall()
    with pytest.raises(sqlite3.NotSupportedError, match="; ") as caught:
        getattr(connection, name)(*arguments)
    connection.close()
    if name != "blobopen":
        assert str(caught.value).endswith(f"go back to SQLite: dualdb rollback {database} --to dual_write")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("blobopen", ("t", "a", 1)), ("iterdump", ()), ("backup", (None,)), ("serialize", ()), ("deserialize", (b"",))],
)
def test_the_follower_is_not_taken_for_the_authority(
    database: Path, target_dsn: str, name: str, arguments: tuple[Any, ...]
) -> None:
    """By the first call on a connection, as of a program that only makes a backup; not after the way back."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn)
    with closing(dualdb.connect(database)) as connection, pytest.raises(sqlite3.NotSupportedError, match="; "):
        getattr(connection, name)(*arguments)
    rollback(str(database), observer=lambda _: None)
    with closing(dualdb.connect(database)) as connection, closing(sqlite3.connect(":memory:")) as copy:
        connection.backup(copy)
        assert copy.execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_a_dump_that_a_move_overtakes_says_so(database: Path, target_dsn: str) -> None:
    """It does not go on with what PostgreSQL makes of its statements."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn, Phase.DUAL_WRITE)
    with closing(dualdb.connect(database)) as connection:
        dump = connection.iterdump()
        assert next(dump) == "BEGIN TRANSACTION;"
        advance(str(database), Phase.POSTGRES, observer=lambda _: None)
        with pytest.raises(sqlite3.NotSupportedError, match=r"^iterdump would dump"):
            list(dump)


def test_a_connection_with_an_authorizer_stays_with_sqlite(database: Path, target_dsn: str) -> None:
    """What it forbids is not done in PostgreSQL instead: its statements are refused there, until it is taken away."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    asked: list[str | None] = []

    def authorize(_action: int, first: str | None, *_: Any) -> int:
        asked.append(first)
        return sqlite3.SQLITE_OK

    open_before, open_after = dualdb.connect(database), dualdb.connect(database)
    open_before.set_authorizer(authorize)
    open_before.execute("SELECT a FROM t").fetchall()
    move(database, target_dsn)
    open_after.set_authorizer(authorize)
    del asked[:]
    for connection in open_before, open_after:
        for _ in range(2):
            with pytest.raises(sqlite3.NotSupportedError, match=r"an authorizer is not asked .*; .*dualdb rollback"):
                connection.execute("INSERT INTO t(a) VALUES ('x')")
    assert "t" not in asked
    open_after.set_authorizer(None)
    open_after.execute("INSERT INTO t(a) VALUES ('x')")
    open_after.commit()
    rollback(str(database), observer=lambda _: None)
    assert open_before.execute("SELECT a FROM t").fetchall() == [("x",), ("y",), ("x",)]
    assert "t" in asked
    for connection in open_before, open_after:
        connection.close()


def test_a_connection_that_is_initialised_again_leaves_postgresql(database: Path, target_dsn: str) -> None:
    """Its transaction is rolled back, and the new one is of the file that was named, whatever its class adds."""

    class Own(dualdb.Connection):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self.row_factory = sqlite3.Row

    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn)
    connection: Any = dualdb.connect(database, factory=Own)
    connection.execute("INSERT INTO t(a) VALUES ('gone')")
    connection.__init__(database.with_name("another.db"))
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) AS found FROM sqlite_master").fetchone()["found"] == 0
    connection.__init__(database)
    assert connection.execute("SELECT count(*) AS found FROM t").fetchone()["found"] == 2
    connection.execute("INSERT INTO t(a) VALUES ('mine')")
    connection.commit()
    with psycopg.connect(target_dsn) as outside:
        assert outside.execute("SELECT a FROM t ORDER BY id").fetchall() == [("x",), ("y",), ("mine",)]
    connection.close()


def test_a_statement_without_translation_is_refused_and_changes_nothing(database: Path, target_dsn: str) -> None:
    """It says what it met and what to do, and does not open a transaction."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn)
    connection: Any = dualdb.connect(database)
    for statement in (
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "ATTACH 'other.db' AS other",
        "PRAGMA case_sensitive_like = 1",
    ):
        with pytest.raises(sqlite3.NotSupportedError, match=r"is not translated to PostgreSQL: .*; "):
            connection.execute(statement)
        assert not connection.in_transaction
    connection.close()


def test_a_blob_written_in_place_is_journaled(database: Path, target_dsn: str) -> None:
    """No trigger sees it, so the row is journaled in the same transaction; outside one it is refused."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript("CREATE TABLE b(id INTEGER PRIMARY KEY, data BLOB); INSERT INTO b VALUES (7, x'0000')")
    move(database, target_dsn, Phase.DUAL_WRITE)
    connection: Any = dualdb.connect(database, isolation_level=None)
    with pytest.raises(sqlite3.NotSupportedError, match="execute BEGIN first"):
        connection.blobopen("b", "data", 7)
    with connection.blobopen("b", "data", 7, readonly=True) as blob:
        assert blob.read() == b"\0\0"
    before = connection.execute("SELECT max(seq) FROM _dualdb_journal").fetchone()
    connection.execute("BEGIN")
    with connection.blobopen("b", "data", 7) as blob:
        blob.write(b"\1\2")
    connection.execute("COMMIT")
    written = connection.execute(
        "SELECT count(*) FROM _dualdb_journal WHERE k1 = 7 AND seq > coalesce(?, 0)", before
    ).fetchone()
    assert written == (1,)
    connection.close()
