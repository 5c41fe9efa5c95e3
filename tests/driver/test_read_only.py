"""A connection that may only read is refused a write in SQLite's words, whichever database is the authority."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.driver.prepared import change, prepare
from tests.driver.twins import Twins, move

import dualdb
from dualdb.core.phase import Phase
from dualdb.driver.target_connection import TargetConnection
from dualdb.operations.transition import advance, rollback
from dualdb.stores.queries import load

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = """
CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);
CREATE INDEX t_a ON t(a);
INSERT INTO t VALUES (1, 'x'), (2, 'y');
"""
STATEMENTS = [
    "SELECT a FROM t ORDER BY id",
    "INSERT INTO t(a) VALUES ('z')", "INSERT INTO t(a) VALUES ('z') RETURNING id",
    "INSERT OR IGNORE INTO t VALUES (1, 'x')", "REPLACE INTO t VALUES (1, 'z')", "UPDATE t SET a = 'z'",
    "UPDATE t SET a = 'z' WHERE 0", "DELETE FROM t",
    "DELETE FROM t WHERE 0", "WITH q(v) AS (SELECT 'z') INSERT INTO t(a) SELECT v FROM q",
    "SELECT count(*) FROM t",
    "INSERT INTO t(a) VALUES (?)", "INSERT INTO nowhere VALUES (1)", "SELEC 1",
    "CREATE TABLE u(a)", "CREATE TABLE IF NOT EXISTS t(a)", "CREATE TABLE t(a)", "CREATE TABLE u AS SELECT 1 AS a",
    "CREATE INDEX t_id ON t(id)", "CREATE VIEW v AS SELECT a FROM t", "ALTER TABLE t ADD COLUMN b",
    "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END",
    "DROP INDEX t_a", "DROP TABLE t", "DROP TABLE IF EXISTS nowhere", "DROP TABLE nowhere",
    "ANALYZE", "REINDEX", "VACUUM",
    "PRAGMA query_only",
    "COMMIT", "ROLLBACK", "BEGIN", "SELECT count(*) FROM t", "DELETE FROM t", "SELECT count(*) FROM t", "COMMIT",
    "BEGIN IMMEDIATE", "BEGIN IMMEDIATE", "UPDATE t SET a = 'z'", "SELECT count(*) FROM t", "COMMIT",
    "BEGIN EXCLUSIVE", "DELETE FROM t", "ROLLBACK",
    "SAVEPOINT s", "BEGIN EXCLUSIVE", "DELETE FROM t", "ROLLBACK TO s", "SELECT count(*) FROM t", "RELEASE s",
]  # fmt: skip
OFF = ("PRAGMA query_only = OFF", "pragma query_only(0)", "PRAGMA query_only = 'no'", "PRAGMA main.query_only = false")
ON = (
    "PRAGMA query_only = ON", "PRAGMA query_only = 1", "PRAGMA query_only(1)", "pragma QUERY_ONLY = yes",
    "PRAGMA main.query_only = true", 'PRAGMA "query_only" = 2', "PRAGMA temp.query_only = 'on'",
    "/* quiet */ PRAGMA query_only -- please\n = true;",
)  # fmt: skip
LEVELS = ["", None, "IMMEDIATE"]


@pytest.fixture
def dsn(target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The target, and no relay: the files are looked at between the statements."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    return target_dsn


@contextmanager
def reopened(twins: Twins, query: str, **options: Any) -> Iterator[Twins]:
    """Both connections closed and opened again by a URI with this query."""
    twins.close()
    twins.plain = sqlite3.connect(f"file:{twins.plain_path}?{query}", uri=True, **options)
    twins.ours = dualdb.connect(f"file:{twins.database}?{query}", uri=True, **options)
    yield twins
    twins.close()


def refusals(twins: Twins) -> None:
    """Everything an application may try, each statement with its outcome compared."""
    for statement in STATEMENTS:
        twins.execute(statement)
    for rows in ([], [("z",)], [("z",), ("z", 1)], [("z", 1)]):
        twins.executemany("INSERT INTO t(a) VALUES (?)", rows)
        twins.both(lambda connection: connection.rollback())
    for script in ("SELECT 1; INSERT INTO t(a) VALUES ('z')", "BEGIN IMMEDIATE; DELETE FROM t; COMMIT", "DROP TABLE t"):
        twins.both(lambda connection, script=script: connection.executescript(script) and None)
        twins.both(lambda connection: connection.rollback())


def kept(dsn: str) -> Any:
    """What PostgreSQL holds."""
    with psycopg.connect(dsn) as outside:
        return outside.execute("SELECT id, a FROM t ORDER BY id").fetchall()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("query", ["mode=ro", "immutable=1"])
def test_a_connection_opened_for_reading_writes_nothing_in_phase_postgres(
    database: Path, dsn: str, query: str, level: Any
) -> None:
    """Statement by statement as on a plain file opened in the same way."""
    with reopened(Twins(database, dsn, SCHEMA), query, isolation_level=level) as twins:
        refusals(twins)
        with pytest.raises(sqlite3.OperationalError, match=r"^attempt to write a readonly database$") as caught:
            twins.ours.execute("INSERT INTO t(a) VALUES ('z')")
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_READONLY
        assert caught.value.sqlite_errorname == "SQLITE_READONLY"
        twins.both(lambda connection: connection.rollback())
        twins.all("PRAGMA query_only = 1", "PRAGMA query_only")
        refusals(twins)
    assert kept(dsn) == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("level", LEVELS)
def test_query_only_forbids_writes_until_it_is_taken_back(database: Path, dsn: str, level: Any) -> None:
    """In every spelling, and read back as sqlite3 reads it back."""
    twins = Twins(database, dsn, SCHEMA, isolation_level=level)
    twins.execute("PRAGMA query_only")
    for place, on in enumerate(ON):
        off = OFF[place % len(OFF)]
        twins.all(
            on,
            "PRAGMA query_only",
            "DELETE FROM t",
            "BEGIN IMMEDIATE",
            "DROP TABLE t",
            "PRAGMA query_only(maybe)",
            "PRAGMA query_only",
        )
        twins.both(lambda connection: connection.rollback())
        twins.all(on, off, "PRAGMA query_only", "UPDATE t SET a = 'w' WHERE id = 2")
        twins.both(lambda connection: connection.commit())
    twins.execute("PRAGMA query_only = 1")
    refusals(twins)
    twins.both(
        lambda connection: connection.executescript("PRAGMA query_only = 0; DELETE FROM t WHERE id = 1") and None
    )
    twins.execute("SELECT id, a FROM t")
    twins.close()
    assert kept(dsn) == [(2, "w")]


def test_query_only_in_the_middle_of_a_transaction(database: Path, dsn: str) -> None:
    """What was written before is committed; what comes behind is refused."""
    twins = Twins(database, dsn, SCHEMA, isolation_level=None)
    twins.all(
        "BEGIN", "INSERT INTO t VALUES (3, 'kept')", "PRAGMA query_only = 1", "INSERT INTO t VALUES (4, 'refused')",
        "CREATE TABLE u(a)", "SELECT count(*) FROM t", "SAVEPOINT s", "DELETE FROM t", "ROLLBACK TO s", "COMMIT",
        "SELECT * FROM t ORDER BY id", "BEGIN IMMEDIATE", "COMMIT",
    )  # fmt: skip
    twins.close()
    assert kept(dsn) == [(1, "x"), (2, "y"), (3, "kept")]


@pytest.fixture
def moving(database: Path, dsn: str) -> Path:
    """A file in phase dual_write with one table."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    move(database, dsn, Phase.DUAL_WRITE)
    return database


def refused(connection: Any) -> bool:
    """Whether it may not write."""
    try:
        connection.execute("UPDATE t SET a = 'written' WHERE id = 2")
    except sqlite3.OperationalError as error:
        connection.rollback()
        return (str(error), error.sqlite_errorcode) == ("attempt to write a readonly database", 8)
    connection.commit()
    return False


def test_an_open_connection_stays_as_it_is_through_a_move_and_back(moving: Path) -> None:
    """Opened for reading, or told to only read, before the move; and told otherwise behind it."""
    for_reading: Any = dualdb.connect(f"file:{moving}?mode=ro", uri=True)
    told: Any = dualdb.connect(moving)
    told.execute("PRAGMA query_only = yes")
    assert refused(for_reading)
    assert refused(told)
    advance(str(moving), Phase.POSTGRES, observer=lambda _event: None)
    for connection in (for_reading, told):
        assert refused(connection)
        assert connection.execute("SELECT a FROM t ORDER BY id").fetchall() == [("x",), ("y",)]
        assert isinstance(connection, TargetConnection)
    assert told.execute("PRAGMA query_only").fetchall() == [(1,)]
    told.execute("PRAGMA query_only = 0")
    assert not refused(told)
    assert for_reading.execute("SELECT a FROM t WHERE id = 2").fetchone() == ("written",)
    told.execute("PRAGMA query_only = 1")
    rollback(str(moving), observer=lambda _event: None)
    assert refused(for_reading)
    assert refused(told)
    assert told.execute("PRAGMA query_only").fetchall() == [(1,)]
    for_reading.close()
    told.close()


def test_a_begun_transaction_of_a_reader_moves_and_holds_its_snapshot(moving: Path) -> None:
    """BEGIN IMMEDIATE on a file opened for reading is a snapshot, on both sides, and keeps no writer away."""
    reader: Any = dualdb.connect(f"file:{moving}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN IMMEDIATE")
    advance(str(moving), Phase.POSTGRES, observer=lambda _event: None)
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (2,)
    reader.execute("COMMIT")
    reader.execute("BEGIN IMMEDIATE")
    with closing(dualdb.connect(moving, isolation_level=None, timeout=1)) as writer:
        writer.execute("DELETE FROM t")
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (2,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
    reader.close()


_RELAYS = """
import sys, threading, dualdb
connection = dualdb.connect(sys.argv[1], uri=True)
assert connection.execute("SELECT phase FROM _dualdb_control").fetchone() == ("dual_write",)
print([thread.name for thread in threading.enumerate() if thread.name.startswith("dualdb")])
connection.close()
"""


@pytest.mark.parametrize(("query", "relays"), [("mode=rw", True), ("mode=ro", False), ("immutable=1", False)])
def test_a_connection_opened_for_reading_starts_no_relay(database: Path, query: str, relays: bool) -> None:
    """The relay writes into the file; who may write lends it a thread."""
    prepare(database)
    change(database, "UPDATE _dualdb_control SET phase = 'dual_write'")
    command = [sys.executable, "-c", _RELAYS, f"file:{database}?{query}"]
    environment = {name: value for name, value in os.environ.items() if name != "DUALDB_RELAY"}
    run = subprocess.run(command, check=True, capture_output=True, timeout=60, text=True, env=environment)
    assert ("dualdb-relay" in run.stdout) is relays


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may write everywhere; so root's test is somebody else's for a moment."""
    if os.geteuid() != 0:
        yield
        return
    _load_all()
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@cache
def _load_all() -> None:
    """Where root's package lies nobody else may be able to look, and much of it is loaded late."""
    for module in pkgutil.walk_packages(dualdb.__path__, "dualdb."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    package = Path(dualdb.__path__[0])
    place = next(place for place in (package / "sql", package.parents[1] / "sql") if place.is_dir())
    for file in place.rglob("*.sql"):
        load(file.relative_to(place).as_posix())


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that every user can look into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("folder_mode", [0o777, 0o555])
@pytest.mark.parametrize("query", ["mode=rw", "mode=ro", "immutable=1"])
def test_a_file_that_the_user_may_not_write(shelf: Path, query: str, folder_mode: int) -> None:
    """What sqlite3 can do with it we can, and no file appears that sqlite3 leaves out."""
    outcomes: list[Any] = []
    for name, module in (("plain.db", sqlite3), ("prepared.db", dualdb)):
        place = shelf / f"50% of #1? {name}"
        place.mkdir()
        database = place / name
        prepare(database)
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(SCHEMA)
        database.chmod(0o444)
        place.chmod(folder_mode)
        with as_an_ordinary_user():
            outcomes.append(_tried(module, f"{database.as_uri()}?{query}"))
        outcomes[-1].append(sorted(path.name.removeprefix(name) for path in place.iterdir()))
        place.chmod(0o755)
    assert outcomes[1] == outcomes[0]


def _tried(module: Any, uri: str) -> list[Any]:
    connection = module.connect(uri, uri=True)
    found: list[Any] = []
    for statement in ("SELECT a FROM t ORDER BY id", "INSERT INTO t(a) VALUES ('z')", "SELECT count(*) FROM t"):
        try:
            found.append(connection.execute(statement).fetchall())
        except sqlite3.OperationalError as error:
            found.append((str(error), error.sqlite_errorname))
    connection.close()
    return found


def test_a_file_that_the_user_may_not_write_moves_and_refuses(shelf: Path, dsn: str, monkeypatch: Any) -> None:
    """In phase postgres the file's permissions still count."""
    monkeypatch.setenv("DUALDB_TARGET", dsn)
    database = shelf / "app.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    move(database, dsn)
    database.chmod(0o444)
    with closing(dualdb.connect(database)) as owner:
        owner.execute("SELECT 1").fetchone()  # what is loaded late is loaded as who can
    with as_an_ordinary_user():
        connection = dualdb.connect(database)
        assert connection.execute("SELECT a FROM t ORDER BY id").fetchall() == [("x",), ("y",)]
        assert refused(connection)
        connection.close()
