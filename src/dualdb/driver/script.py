"""`executescript` on a prepared file: the statements of `sqlite3.Cursor.executescript`, one after the other.

A script is executed outside sqlite3's implicit transactions: what is open is committed first, then nothing begins but
what the script says. Which database executes a statement is its cursor's affair, as for any other.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from dualdb.core.sqltext import split_statements
from dualdb.driver.c_part import (
    begins_by_itself,
    connection_of,
    isolation_level,
    set_isolation_level,
    set_text_factory,
    text_factory,
)
from dualdb.driver.handle import behaviour
from dualdb.driver.placeholders import Placeholders

if TYPE_CHECKING:
    from dualdb.driver.connection import SourceConnection, SourceCursor


def run(cursor: SourceCursor, script: str) -> None:
    """Execute a script on the cursor's connection."""
    # An empty script makes every check that sqlite3 makes, and its COMMIT.
    sqlite3.Cursor.executescript(cursor, "" if type(script) is str and "\0" not in script else script)
    connection: SourceConnection = connection_of(cursor)
    level = isolation_level(connection)
    begins = begins_by_itself(connection)
    if begins:
        set_isolation_level(connection, None)
    try:
        for statement in split_statements(script):
            runner = behaviour(connection).cursor(connection)
            runner.row_factory = None
            runner.execute(statement, Placeholders(statement).nulls())
            _step(connection, runner)
            runner.close()
    finally:
        if begins:
            set_isolation_level(connection, level)


def _step(connection: SourceConnection, runner: SourceCursor) -> None:
    """Go through the rows of a statement, none of which sqlite3 looks at here: no text is decoded, and none is kept."""
    state = connection._dualdb
    if state.remote is not None or runner.description is None:
        return
    factory = text_factory(connection)
    if not state.shared:  # else another thread would read by this one, and keep it for the application's
        # A callback of the application's that reads meanwhile finds str as it was.
        set_text_factory(connection, _leniently if factory is str else bytes)
    try:
        deque(iter(partial(sqlite3.Cursor.fetchone, runner), None), maxlen=0)
    finally:
        if not state.shared:
            set_text_factory(connection, factory)


def _leniently(raw: bytes) -> str | bytes:
    """The text, or its bytes where it is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
