"""Two connections that get the same statements: sqlite3's on a plain file, ours on a file in phase postgres."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import dualdb
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def move(database: Path, dsn: str, to: Phase = Phase.POSTGRES) -> None:
    """Prepare a file and lead it to a phase."""
    initialise(str(database), dsn)
    advance(str(database), to, observer=lambda _event: None)


class Twins:
    """Executes on both and compares all that an application can see."""

    def __init__(self, database: Path, dsn: str, schema: str, *, phase: Phase = Phase.POSTGRES, **options: Any) -> None:
        self.plain_path = database.with_name("plain.db")
        for path in (self.plain_path, database):
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(schema)
        move(database, dsn, phase)
        self.database = database
        self.plain = sqlite3.connect(self.plain_path, **options)
        self.ours = dualdb.connect(database, **options)

    def close(self) -> None:
        """Close both."""
        self.plain.close()
        self.ours.close()

    def both(self, call: Any) -> Any:
        """Let `call` do something with each connection; its value or exception must be the same."""
        expected, found = _outcome(call, self.plain), _outcome(call, self.ours)
        assert found == expected, f"\nsqlite3: {expected}\n   ours: {found}"
        assert self.ours.in_transaction == self.plain.in_transaction
        return found

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """One statement, with everything that its cursor shows before and after fetching."""
        try:
            return self.both(lambda connection: _seen(connection.execute(sql, parameters)))
        except AssertionError as error:
            raise AssertionError(f"{sql} {parameters}: {error}") from None

    def executemany(self, sql: str, rows: Iterable[Any]) -> Any:
        """One statement for many rows."""
        rows = list(rows)
        return self.both(lambda connection: _seen(connection.executemany(sql, rows)))

    def all(self, *statements: str) -> None:
        """Many statements."""
        for statement in statements:
            self.execute(statement)


def _seen(cursor: Any) -> Any:
    before = (cursor.description, cursor.rowcount, cursor.lastrowid)
    factory, cursor.row_factory = cursor.row_factory, sqlite3.Row
    first = cursor.fetchone()
    cursor.row_factory = factory
    rows = [*([] if first is None else [first]), *cursor.fetchall()]
    keys = None if first is None else first.keys()
    return before, keys, [tuple((type(value).__name__, value) for value in row) for row in rows], cursor.rowcount


def _outcome(call: Any, connection: Any) -> Any:
    try:
        return "value", call(connection)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, TypeError) as error:
        code = getattr(error, "sqlite_errorname", None)
        return "error", type(error).__name__, str(error), code
