"""A SQLite file with a control row, made without a server: what a coordinator writes, written by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from dualdb.stores.hint import announced, make_hint
from dualdb.stores.layout import LAYOUT
from dualdb.stores.queries import load

if TYPE_CHECKING:
    from pathlib import Path

UNREACHABLE = "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1"
FENCE = (
    "CREATE TRIGGER _dualdb_fence_t BEFORE INSERT ON t WHEN (SELECT applying FROM _dualdb_control) = 0"
    " BEGIN SELECT RAISE(ROLLBACK, 'dualdb:moved'); END"
)


def prepare(database: Path, *, target: str = UNREACHABLE) -> None:
    """Give the file a control row in phase sqlite, and its hint."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(load("source/control.sql"))
        connection.execute(
            "INSERT INTO _dualdb_control(id, layout, source_id, epoch, phase, target, target_schema, target_identity)"
            " VALUES (1, ?, 'test', 1, 'sqlite', ?, 'public', '')",
            (LAYOUT, target),
        )
    make_hint(str(database))


def change(database: Path, *statements: str) -> None:
    """Run these in one transaction of the kind that changes the control row."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with announced(str(database)):
            for statement in statements:
                connection.execute(statement)
            connection.execute("COMMIT")


def raise_fence(database: Path) -> None:
    """Fence table `t` and say that a move is under way."""
    change(database, FENCE, "UPDATE _dualdb_control SET move = 1, move_state = 'moving', move_to = 'postgres'")


def lift_fence(database: Path) -> None:
    """The move was given up: SQLite is the authority still."""
    change(database, "DROP TRIGGER _dualdb_fence_t", "UPDATE _dualdb_control SET move_state = 'rest'")
