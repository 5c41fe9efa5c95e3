"""`PRAGMA foreign_keys = ON` in phase postgres, which enforces none: what needs that is refused, all else goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.twins import Twins, move

import dualdb
from dualdb.core.phase import Phase
from dualdb.operations.transition import advance, rollback

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE run(id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE step(id INTEGER PRIMARY KEY, run INTEGER REFERENCES run(id) ON DELETE CASCADE, value REAL);
CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO run VALUES (1, 'a'), (2, 'b');
INSERT INTO step VALUES (1, 1, 0.5), (2, 2, 0.25);
"""
ENFORCED = (
    "INSERT INTO step(run) VALUES (1)",
    "UPDATE step SET run = 2",
    "DELETE FROM run WHERE id = 1",
    "INSERT INTO step(run) SELECT id FROM run",
    "DELETE FROM run",
    "REPLACE INTO run VALUES (1, 'c')",
    "DROP TABLE run",
)
FREE = (
    "SELECT count(*) FROM step",
    "INSERT INTO run(name) VALUES ('c')",
    "INSERT INTO run(name) VALUES ('d'), ('e')",
    "INSERT OR IGNORE INTO run VALUES (1, 'f')",
    "UPDATE run SET name = 'd' WHERE id = 2",
    "UPDATE step SET value = 1.0 WHERE id = 2",
    "DELETE FROM step WHERE id = 2",
    "INSERT INTO note(text) VALUES ('n')",
    "CREATE INDEX by_text ON note(text)",
)


@pytest.fixture(autouse=True)
def _no_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALDB_RELAY", "off")


def refused(connection: sqlite3.Connection, statement: str) -> None:
    """With the cause and the remedy, in the class for what cannot be honoured."""
    with pytest.raises(sqlite3.NotSupportedError, match=r"foreign keys are on .* enforces none; .*foreign_keys = OFF"):
        connection.execute(statement)


def test_what_no_foreign_key_has_a_say_in_goes_on(database: Path, target_dsn: str) -> None:
    """Switched on and off and read back as sqlite3 does; within a transaction nothing comes of that."""
    twins = Twins(database, target_dsn, SCHEMA)
    twins.all("PRAGMA foreign_keys", "PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", *FREE)
    twins.all("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys(1)", "PRAGMA foreign_keys")
    twins.both(lambda connection: connection.commit())
    twins.all("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys", "DELETE FROM note")
    twins.all("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys")
    twins.both(lambda connection: connection.rollback())
    twins.all("PRAGMA main.foreign_keys = yes", "PRAGMA foreign_keys")
    twins.close()


@pytest.mark.parametrize("statement", ENFORCED)
def test_what_one_has_a_say_in_is_refused(database: Path, target_dsn: str, statement: str) -> None:
    """Nothing is guessed: neither a row without its parent is written nor a cascade left out."""
    twins = Twins(database, target_dsn, SCHEMA)
    twins.ours.execute("PRAGMA foreign_keys = ON")
    refused(twins.ours, statement)
    assert not twins.ours.in_transaction
    with pytest.raises(sqlite3.NotSupportedError):
        twins.ours.executemany(f"{statement} -- many", [()])
    twins.all("SELECT * FROM run ORDER BY id", "SELECT * FROM step ORDER BY id")
    twins.ours.execute("PRAGMA foreign_keys = OFF")
    twins.execute(statement)
    twins.close()


def test_a_connection_that_had_them_on_before_the_move(database: Path, target_dsn: str) -> None:
    """Is refused what it relied on, and has it again on the way back."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    move(database, target_dsn, Phase.DUAL_WRITE)
    with closing(dualdb.connect(database)) as ours:
        ours.execute("PRAGMA foreign_keys = ON")
        ours.execute("DELETE FROM run WHERE id = 1")
        ours.commit()
        advance(str(database), observer=lambda _event: None)
        assert ours.execute("PRAGMA foreign_keys").fetchall() == [(1,)]
        refused(ours, "DELETE FROM run WHERE id = 2")
        assert ours.execute("SELECT run FROM step").fetchall() == [(2,)]
        rollback(str(database), observer=lambda _event: None)
        ours.execute("DELETE FROM run WHERE id = 2")
        assert ours.execute("SELECT count(*) FROM step").fetchall() == [(0,)]
