"""The corners of sqlite3's face in phase postgres: converters, transaction control of 3.12, what is refused, blobs."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins, move

import dualdb
from dualdb.core.phase import Phase

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
        ("load_extension", ("x",)),
        ("enable_load_extension", (True,)),
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
        assert str(caught.value).endswith(f"go back to SQLite first: dualdb rollback {database} --to dual_write")


def test_a_statement_without_translation_is_refused_and_changes_nothing(database: Path, target_dsn: str) -> None:
    """It says what it met and what to do, and does not open a transaction."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn)
    connection: Any = dualdb.connect(database)
    for statement in (
        "UPDATE OR REPLACE t SET a = 'x'",
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
