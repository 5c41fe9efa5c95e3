"""What one connection may write: what its file was opened for, less what `PRAGMA query_only` forbids, and less what a
foreign key has a say in while `PRAGMA foreign_keys` is on: PostgreSQL has none of the application's.

SQLite itself is asked, by its byte code: for the connection's rights and for what a statement writes. Both have to hold
on PostgreSQL, whose own rights know nothing of how the application opened its file.
"""

from __future__ import annotations

import sqlite3

from dualdb.driver.c_part import set_text_factory, text_factory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Instructions = Iterable[tuple[Any, ...]]
    """The rows of EXPLAIN: address, opcode, p1, p2 …"""

_MAIN = 0
_CONSTANTS = frozenset({b"String8", b"String"})


def is_read_only(connection: sqlite3.Connection) -> bool:
    """Whether the main database was opened for reading only: by its URI, or for want of permission.

    BEGIN IMMEDIATE takes no write lock on such a database, and its byte code says so; no lock is taken to look.
    """
    factory = text_factory(connection)
    set_text_factory(connection, str)
    try:
        cursor = sqlite3.Connection.cursor(connection)
        cursor.row_factory = None
        instructions = cursor.execute("EXPLAIN BEGIN IMMEDIATE").fetchall()
    except sqlite3.ProgrammingError:  # closed, or another thread's: the statement will be told so
        raise
    except sqlite3.Error:
        return False
    finally:
        set_text_factory(connection, factory)
    return _MAIN not in written_databases(instructions)


def written_databases(instructions: Instructions) -> frozenset[int]:
    """Which databases a statement begins to write in; SQLite numbers `main` 0 and `temp` 1."""
    begun = ("Transaction", b"Transaction")
    return frozenset(first for _, opcode, first, second, *_ in instructions if opcode in begun and second)


def called_functions(instructions: Instructions) -> frozenset[tuple[str, int]]:
    """The functions that a statement calls, lower-cased, each with the number of arguments that it was made for (-1:
    any). SQLite has some computed without calling them.
    """
    calls = (b"Function", b"PureFunc", b"AggStep", b"AggInverse")
    signatures = [
        fourth.decode("utf-8", "replace").rpartition("(")
        for _, opcode, _, _, _, fourth, *_ in instructions
        if opcode in calls and fourth is not None
    ]
    return frozenset((name.lower(), int(number.rstrip(")"))) for name, _, number in signatures)


def used_collations(instructions: Instructions) -> frozenset[str]:
    """The collations that a statement compares by, or that an index which it reads or writes is sorted by, lower-cased.

    An instruction names one by itself (`NOCASE-8`) or for each column of a key (`k(2,-NOCASE,B)`, B being BINARY); see
    displayP4 in sqlite3's src/vdbeaux.c.
    """
    found: set[str] = set()
    for _, opcode, _, _, _, fourth, *_ in instructions:
        if fourth is None or opcode in _CONSTANTS:
            continue
        text = fourth.decode("utf-8", "replace").lower()
        if text.startswith("k("):
            named = {part.rpartition(".")[2].lstrip("-") for part in text[:-1].split(",")[1:]}
            found |= {"binary" if name == "b" else name for name in named}
        else:
            found.add(text.strip("()").partition("-")[0])
    return frozenset(found)


def foreign_key_steps(instructions: Instructions) -> int:
    """How many steps find a row without its parent, or do what a foreign key says (`Program`, a trigger's step too).

    Those that take such a finding back (`FkCounter` by -1) have nothing to do where none is made.
    """
    return sum(
        opcode in ("Program", b"Program")
        or (opcode in ("FkCounter", b"FkCounter") and second > 0)
        or (opcode in ("Halt", b"Halt") and first == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY)
        for _, opcode, first, second, *_ in instructions
    )


class WriteAccess:
    """The rights of one connection while PostgreSQL answers."""

    __slots__ = ("foreign_keys", "query_only", "read_only")

    def __init__(self, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self.read_only = read_only
        """Opened for reading."""
        self.query_only = False
        """Told to only read."""
        self.foreign_keys = False
        """Told to enforce them."""
        self.look_again(connection)

    def look_again(self, connection: sqlite3.Connection) -> None:
        """The PRAGMAs were executed by the connection's C part, which also keeps them for the way back."""
        self.query_only = bool(sqlite3.Cursor(connection).execute("PRAGMA query_only").fetchone()[0])
        self.foreign_keys = bool(sqlite3.Cursor(connection).execute("PRAGMA foreign_keys").fetchone()[0])

    @property
    def limited(self) -> bool:
        """Whether there is anything that it may never write."""
        return self.read_only or self.query_only

    @property
    def checked(self) -> bool:
        """Whether its statements are to be looked at before they run."""
        return self.read_only or self.query_only or self.foreign_keys

    def forbids(self, written: frozenset[int]) -> bool:
        """Whether one of these databases may not be written."""
        return (self.query_only and bool(written)) or (self.read_only and _MAIN in written)
