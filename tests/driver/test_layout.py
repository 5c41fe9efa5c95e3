"""A file that another version of dualdb prepared is neither read nor written through this one."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.prepared import change, prepare

import dualdb
from dualdb.driver.watch import LOOK_EVERY_S
from dualdb.stores.hint import hint_path
from dualdb.stores.layout import LAYOUT

if TYPE_CHECKING:
    from pathlib import Path

ANOTHER = f"UPDATE _dualdb_control SET layout = {LAYOUT + 1}"
STATEMENTS = ["SELECT * FROM t", "INSERT INTO t VALUES (1)", "CREATE TABLE u (n)", "BEGIN"]


@pytest.fixture
def file(database: Path) -> Path:
    """A prepared file with a table."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (n)")
    prepare(database)
    return database


def refused(connection: sqlite3.Connection, statement: str) -> None:
    """With the cause and the remedy, in the class for what a library cannot do."""
    with pytest.raises(sqlite3.NotSupportedError, match=rf"layout {LAYOUT + 1}, this one knows {LAYOUT}\); install"):
        connection.execute(statement)


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("hinted", [True, False])
def test_the_first_statement_is_refused(file: Path, statement: str, hinted: bool) -> None:
    """And every other one; with the hint that the file was prepared, and where that was lost."""
    change(file, ANOTHER)
    with closing(sqlite3.connect(file)) as keeping:
        keeping.execute("SELECT * FROM t").fetchall()  # keeps the log
        if not hinted:
            os.unlink(hint_path(str(file)))
        with closing(dualdb.connect(file)) as connection:
            time.sleep(2 * LOOK_EVERY_S)  # without a hint it looks whether the file has been prepared now and then
            refused(connection, statement)
            refused(connection, statement)
        assert keeping.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_an_open_connection_is_refused_from_then_on(file: Path) -> None:
    """Somebody has led the tables to another layout meanwhile."""
    with closing(dualdb.connect(file)) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        change(file, ANOTHER)
        refused(connection, "INSERT INTO t VALUES (2)")


def test_a_library_that_is_too_old_is_refused(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file was prepared; any other one is between the application and SQLite."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    with closing(dualdb.connect(database)) as connection:
        connection.execute("CREATE TABLE t (n)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    prepare(database)
    with (
        closing(dualdb.connect(database)) as connection,
        pytest.raises(
            sqlite3.NotSupportedError, match=r"SQLite 3\.34\.1 is too old for dualdb, which needs 3\.35; run"
        ),
    ):
        connection.execute("SELECT * FROM t")
