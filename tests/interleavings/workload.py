"""The application of these tests: its tables, and what its writers do to them in every form that `sqlite3` offers.

Written for `sqlite3`, and given either that module's connections or dualdb's. No table has a unique key over what a
writer writes, so a row that was written twice is there twice.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = """
CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT, writer TEXT NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL,
    value REAL
);
CREATE TABLE tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE slot (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, number INTEGER NOT NULL);
CREATE TABLE remark (writer TEXT, number INTEGER, part INTEGER);
CREATE INDEX entry_writer ON entry (writer, number);
INSERT INTO tally VALUES ('all', 0);
"""
TABLES = ("entry", "tally", "slot", "remark")
BEGINNING = "beginning"
"""The writer of the rows that are there from the beginning."""
PARTS = {
    "rows": 3,
    "many": 3,
    "auto": 1,
    "explicit": 3,
    "script": 3,
    "tally": 2,
    "replace": 2,
    "remark": 2,
    "remove": 0,
}
"""How many rows of `entry` (of `remark` for that one) an operation writes: all of them or none."""
KINDS = tuple(PARTS)
_INSERT = "INSERT INTO entry (writer, number, part, value) VALUES (?, ?, ?, ?)"


def make_database(path: str, rows: int) -> None:
    """A file as the application has it before dualdb ever sees it."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    connection.executemany(_INSERT, [(BEGINNING, number, 0, number / 7) for number in range(rows)])
    connection.commit()
    connection.close()


@dataclass(slots=True)
class Application:
    """What one writer does, over connections that stay open or are opened for each operation."""

    connect: Callable[..., Any]
    path: str
    writer: str
    keeps: bool = True
    timeout_s: float = 5.0
    _open: dict[str | None, Any] = field(default_factory=dict)

    def perform(self, kind: str, number: int, removes: int | None) -> int | None:
        """Carry out one operation; gives the rowid of its first row where the application asks for it."""
        work: Callable[[int, int | None], int | None] = getattr(self, f"_do_{kind}")
        connections: list[Any] = []
        try:
            return work(number, removes)
        except BaseException:
            connections += self._open.values()
            for connection in connections:
                if connection.in_transaction:
                    connection.rollback()
            raise
        finally:
            if not self.keeps:
                self.close()

    def close(self) -> None:
        """Close what is open."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def connection(self, level: str | None = "") -> Any:  # noqa: ANN401 - either module's
        """The connection with that isolation level."""
        if level not in self._open:
            self._open[level] = self.connect(self.path, timeout=self.timeout_s, isolation_level=level)
        return self._open[level]

    def _row(self, number: int, part: int) -> tuple[str, int, int, float]:
        return self.writer, number, part, number + part / 8

    def _do_rows(self, number: int, _removes: int | None) -> int | None:
        connection = self.connection()
        first = None
        for part in range(3):
            cursor = connection.execute(_INSERT, self._row(number, part))
            first = first or cursor.lastrowid
        connection.commit()
        return first

    def _do_many(self, number: int, _removes: int | None) -> int | None:
        with self.connection() as connection:
            connection.executemany(_INSERT, (self._row(number, part) for part in range(3)))
        return None

    def _do_auto(self, number: int, _removes: int | None) -> int | None:
        rowid: int | None = self.connection(None).execute(_INSERT, self._row(number, 0)).lastrowid
        return rowid

    def _do_explicit(self, number: int, _removes: int | None) -> int | None:
        connection = self.connection(None)
        connection.execute("BEGIN IMMEDIATE")
        first: int | None = connection.execute(_INSERT, self._row(number, 0)).lastrowid
        connection.execute("SAVEPOINT inner_part")
        connection.execute(_INSERT, self._row(number, 7))
        connection.execute("ROLLBACK TO inner_part")
        connection.execute(_INSERT, self._row(number, 1))
        connection.execute("RELEASE inner_part")
        connection.execute(_INSERT, self._row(number, 2))
        connection.execute("COMMIT")
        return first

    def _do_script(self, number: int, _removes: int | None) -> int | None:
        inserts = ";\n".join(
            f"INSERT INTO entry (writer, number, part, value) VALUES ('{self.writer}', {number}, {part}, {number})"
            for part in range(3)
        )
        self.connection(None).executescript(f"BEGIN;\n{inserts};\nCOMMIT;")
        return None

    def _do_tally(self, number: int, _removes: int | None) -> int | None:
        with self.connection() as connection:
            connection.execute("UPDATE tally SET value = value + 1 WHERE name = 'all'")
            connection.execute(_INSERT, self._row(number, 0))
            connection.execute(_INSERT, self._row(number, 1))
        return None

    def _do_replace(self, number: int, _removes: int | None) -> int | None:
        connection = self.connection()
        connection.execute("INSERT OR REPLACE INTO slot (name, number) VALUES (?, ?)", (self.writer, number))
        connection.execute(_INSERT, self._row(number, 0))
        connection.execute(_INSERT, self._row(number, 1))
        connection.commit()
        return None

    def _do_remark(self, number: int, _removes: int | None) -> int | None:
        with self.connection() as connection:
            connection.execute("INSERT INTO remark VALUES (?, ?, 0)", (self.writer, number))
            connection.execute("INSERT INTO remark VALUES (?, ?, 1)", (self.writer, number))
        return None

    def _do_remove(self, _number: int, removes: int | None) -> int | None:
        with self.connection() as connection:
            connection.execute("DELETE FROM entry WHERE writer = ? AND number = ?", (self.writer, removes))
        return None
