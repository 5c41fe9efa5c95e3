"""Tables of ours that another version of dualdb made are left alone, on either side."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.errors import LayoutError
from dualdb.operations.initialise import initialise
from dualdb.stores.control import read_source, read_target
from dualdb.stores.layout import LAYOUT

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import psycopg

ANOTHER = LAYOUT + 6
MADE = (6, "dd771b15a609")
"""The number, and a digest of the names of what `dualdb init` makes of ours."""
REMEDY = "install the version that prepared it, or a newer one"


@pytest.fixture
def prepared(database: Path, target_dsn: str) -> Path:
    """A file that was prepared."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    initialise(str(database), target_dsn)
    return database


def test_both_sides_are_prepared_in_the_layout_that_is_known(prepared: Path, target: psycopg.Connection[Any]) -> None:
    """What is written is what is read."""
    with closing(sqlite3.connect(prepared)) as connection:
        assert connection.execute("SELECT layout FROM _dualdb_control").fetchone() == (LAYOUT,)
        assert read_source(connection) is not None
    assert target.execute("SELECT layout FROM dualdb.control").fetchone() == (LAYOUT,)
    assert read_target(target) is not None


def test_what_is_made_is_what_the_number_stands_for(prepared: Path, target: psycopg.Connection[Any]) -> None:
    """Whoever adds or drops a table, column or function that is asked for raises the number, and writes both here."""
    ours = (
        "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
        " WHERE m.name LIKE '!_dualdb!_%' ESCAPE '!'"
    )
    with closing(sqlite3.connect(prepared)) as connection:
        found = sorted(connection.execute(ours))
    columns = (
        "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'dualdb'"
        " UNION SELECT pronamespace::regnamespace::text, proname::text FROM pg_proc"
        " WHERE pronamespace = 'dualdb'::regnamespace"
    )
    found += sorted(target.execute(columns.encode()).fetchall())
    assert (LAYOUT, hashlib.sha256(repr(found).encode()).hexdigest()[:12]) == MADE, found


@pytest.mark.parametrize(
    "change", ["UPDATE _dualdb_control SET phase = 'other'", "ALTER TABLE _dualdb_control DROP move"]
)
def test_a_file_of_another_layout_is_refused(prepared: Path, change: str) -> None:
    """Before anything else of its control row is looked at, which may have other columns."""
    with closing(sqlite3.connect(prepared)) as connection:
        connection.execute("UPDATE _dualdb_control SET layout = ?", (ANOTHER,))
        connection.execute(change)
        with pytest.raises(LayoutError) as caught:
            read_source(connection)
    assert str(caught.value) == (
        f"the file was prepared by another version of dualdb (layout {ANOTHER}, this one knows {LAYOUT}); {REMEDY}"
    )


@pytest.mark.parametrize(
    "change", ["UPDATE dualdb.control SET phase = 'other'", "ALTER TABLE dualdb.control DROP move"]
)
def test_a_target_of_another_layout_is_refused(prepared: Path, target: psycopg.Connection[Any], change: str) -> None:
    """In the same way."""
    assert prepared.exists()
    target.execute("UPDATE dualdb.control SET layout = %s", (ANOTHER,))
    target.execute(change)
    with pytest.raises(LayoutError) as caught:
        read_target(target)
    assert str(caught.value) == (
        f"the target was prepared by another version of dualdb (layout {ANOTHER}, this one knows {LAYOUT}); {REMEDY}"
    )


OLD_LIBRARY = "SQLite 3.34.1 is too old for dualdb, which needs 3.35; run a Python that is linked with a newer one"


@pytest.fixture
def old_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """What sqlite3 says of an older library than this one."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")


@pytest.mark.usefixtures("old_library")
def test_no_file_is_prepared_with_an_older_library(database: Path) -> None:
    """Neither the server is asked nor the file touched."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    before = database.read_bytes()
    with pytest.raises(LayoutError) as caught:
        initialise(str(database), "postgresql://nobody@127.0.0.1:1/nothing")
    assert str(caught.value) == OLD_LIBRARY
    assert database.read_bytes() == before


def test_a_prepared_file_is_refused_with_an_older_library(prepared: Path, request: pytest.FixtureRequest) -> None:
    """By every command."""
    request.getfixturevalue("old_library")
    with closing(sqlite3.connect(prepared)) as connection, pytest.raises(LayoutError) as caught:
        read_source(connection)
    assert str(caught.value) == OLD_LIBRARY
