"""A prepared file stays in WAL mode and open to its relay: a PRAGMA that asks for another mode is told so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.transition import advance

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

_ASKED = (
    ("PRAGMA journal_mode=delete", "wal"),
    ("pragma main.journal_mode = TRUNCATE", "wal"),
    ("PRAGMA journal_mode('memory')", "wal"),
    ('/* as ever */ PRAGMA "main" . journal_mode = off;', "wal"),
    ("-- alone\n  PRAGMA locking_mode=EXCLUSIVE", "normal"),
)


@pytest.mark.parametrize(("sql", "kept"), _ASKED)
def test_another_mode_is_not_set(moving: Path, sql: str, kept: str) -> None:
    """The answer is what is true, and the warning names the application's line."""
    connection: Any = dualdb.connect(moving)
    ways = (connection.execute, connection.cursor().execute, connection.executescript)
    for way in ways:
        with pytest.warns(
            RuntimeWarning, match=f"is not obeyed on a file that dualdb mirrors; it stays {kept}"
        ) as told:
            answered = way(sql).fetchall()
        assert [warning.filename for warning in told] == [__file__]
        assert answered == ([] if way == connection.executescript else [(kept,)])
    connection.execute("INSERT INTO t(a) VALUES ('x')")
    connection.commit()
    with closing(sqlite3.connect(moving)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("SELECT a FROM t").fetchall() == [("x",)]
    connection.close()
    advance(str(moving), Phase.POSTGRES, observer=unheard)


@pytest.mark.filterwarnings("error")
def test_what_changes_nothing_is_sqlites_own(moving: Path) -> None:
    """Asking, and asking for what is so already; other databases are not dualdb's."""
    with closing(dualdb.connect(moving)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        assert connection.execute("PRAGMA journal_mode = WAL").fetchall() == [("wal",)]
        assert connection.execute("PRAGMA locking_mode = NORMAL").fetchall() == [("normal",)]
        assert connection.execute("PRAGMA temp.journal_mode = memory").fetchall() == [("memory",)]


@pytest.mark.filterwarnings("error")
def test_a_file_that_was_never_prepared_obeys(database: Path) -> None:
    """As with sqlite3."""
    with closing(dualdb.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode = truncate").fetchall() == [("truncate",)]
        assert connection.execute("PRAGMA locking_mode = exclusive").fetchall() == [("exclusive",)]


@pytest.mark.parametrize(
    "sql",
    [
        'PRAGMA "journal_mode" = delete',
        "PRAGMA [locking_mode] = exclusive",
        "PRAGMA/**/journal_mode/**/=/**/delete",
        "; PRAGMA `main`.`journal_mode`(off)",
    ],
)
def test_however_it_is_written(moving: Path, sql: str) -> None:
    """By the statement's words, not by its look; for many rows too."""
    with closing(dualdb.connect(moving)) as connection:
        with pytest.warns(RuntimeWarning, match="is not obeyed"):
            connection.execute(sql)
        with pytest.warns(RuntimeWarning, match="is not obeyed"):
            connection.executemany(sql, [(), ()])
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


def test_many_comments_are_passed_over_at_once(moving: Path) -> None:
    """A statement that is none of these costs nothing to tell apart."""
    with closing(dualdb.connect(moving)) as connection:
        assert connection.execute("/* a */\n" * 5000 + "SELECT 1").fetchone() == (1,)
