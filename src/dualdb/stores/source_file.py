"""Opening the application's SQLite file, and telling in one line why it cannot be used; never makes a file."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from contextlib import closing, contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.errors import BusyError, NotPreparedError, SourceError
from dualdb.stores.catalog import with_dummies
from dualdb.stores.hint import hint_path
from dualdb.stores.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALL = 2**31 - 1
_LINE = 200
_NULL = re.compile("NULL value in (.+)", re.DOTALL)
_RULE = re.compile(r"(non-\w+|NUMERIC|TEXT) value in ")
"""What quick_check says of a value that its column would not have taken so (sqlite3's src/pragma.c)."""
_FAULTS = (
    ("not a database", "is not a SQLite database, or an encrypted one ({}); give the path of the application's file"),
    ("malformed", "is damaged ({}); restore a backup, or recover it with the .recover command of sqlite3"),
    ("unable to open", "cannot be opened ({}); check that it is a file that this user may read and write"),
    ("readonly", "cannot be written ({}); check the permissions of the file and of its folder"),
    ("disk I/O error", "meets a {}; check the disk, and that its file system can share memory (WAL)"),
    ("disk is full", "has no room left ({}); make room, nothing was lost"),
    ("locking protocol", "is on a file system without working locks ({}); WAL needs them: move it to a local disk"),
)


def open_source(path: str, *, timeout_s: float = 5.0) -> sqlite3.Connection:
    """A connection of our own to an existing file, in autocommit. Raises what `faults` does, at once."""
    try:
        found = os.stat(path)
    except PermissionError as exc:
        message = f"{path} cannot be reached ({exc.strerror}); run dualdb as a user who may search its folders"
        raise SourceError(message) from exc
    except OSError as exc:
        raise SourceError(f"there is no file {path}; give the path of the application's SQLite file") from exc
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
        raise SourceError(f"{path} is {what}; give the path of the application's SQLite file")
    with faults(path):
        connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(query("source/relay.sql", "open")).fetchone()
        except sqlite3.Error:
            connection.close()
            raise
    return connection


@contextmanager
def connect_source(path: str, *, timeout_s: float = 10.0) -> Iterator[sqlite3.Connection]:
    """The same for the length of a block, in which whatever SQLite says becomes an error of ours."""
    with closing(open_source(path, timeout_s=timeout_s)) as connection:
        try:
            with faults(path):
                yield connection
        except sqlite3.DatabaseError as exc:
            message = f"{path} cannot be used ({exc}); check the file, its permissions and who has it open"
            raise SourceError(message) from exc


def check_sound(path: str, *, timeout_s: float = 10.0) -> None:
    """Raise SourceError when the file is damaged, or holds a NULL that its table forbids: it may be the row's key.

    Rows that break another rule of their table are carried, or kept apart, like any other. The connection is one of its
    own: dummies are left on it, for the functions that the application has.
    """
    with connect_source(path, timeout_s=timeout_s) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")  # they may call functions of the application's
        [(problem,), *_] = with_dummies(connection, "PRAGMA quick_check(1)")
        passed_over = _nulls_of_dummies(connection)
        if _RULE.match(problem) or problem in passed_over:  # there may be damage behind such rows, and many of them
            complaints = with_dummies(connection, f"PRAGMA quick_check({_ALL})")
            problem = next((text for (text,) in complaints if not _RULE.match(text) and text not in passed_over), "ok")
            complaints.close()
    null = _NULL.fullmatch(problem)
    if null is not None:
        message = (
            f"{path} has rows with NULL in {null[1]}, which their table forbids; give them a value"
            " (UPDATE … SET … WHERE typeof(…) = 'null') and try again"
        )
        raise SourceError(message)
    if problem != "ok":
        told = _in_a_line(problem)
        message = f"{path} is damaged ({told}); restore a backup, or recover it with the .recover command of sqlite3"
        raise SourceError(message)


def check_alone(path: str) -> None:
    """Raise SourceError when the file has another name, or something of another kind stands where the hint goes.

    SQLite keeps a file's log by its name: two programs that open it by two names damage it (howtocorrupt.html, 2.5).
    """
    links = os.stat(path).st_nlink
    if links > 1:
        message = (
            f"{path} has {links} names (hard links), and SQLite keeps a log for each of them, which damages the file;"
            " find them with find -samefile, and keep one"
        )
        raise SourceError(message)
    hint = hint_path(path)
    if os.path.lexists(hint) and not os.path.isfile(hint):
        message = f"{hint} is no ordinary file, and dualdb keeps one of that name beside the database; move it away"
        raise SourceError(message)


def _in_a_line(problem: str) -> str:
    """What quick_check says first: of pages it says one line each, below one for their database, in a single text."""
    line = next((line for line in problem.splitlines() if line and not line.startswith("***")), problem)
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"


def _nulls_of_dummies(connection: sqlite3.Connection) -> frozenset[str]:
    """What quick_check says of columns that hold no values, and may be computed by a dummy, which gives NULL."""
    found = connection.execute(
        "SELECT t.name, c.name FROM main.sqlite_master t, pragma_table_xinfo(t.name) c"
        " WHERE t.type = 'table' AND t.rootpage > 0 AND c.hidden = 2"
    )
    return frozenset(f"NULL value in {table}.{column}" for table, column in found)


@contextmanager
def faults(path: str) -> Iterator[None]:
    """Turn what SQLite says about a file into BusyError, NotPreparedError or SourceError; leave what it says about a
    statement.
    """
    try:
        yield
    except sqlite3.DatabaseError as exc:
        text = str(exc)
        if is_busy(exc):
            raise BusyError(f"{path} is locked by another process ({text}); try again, or stop that writer") from exc
        if "no such table: _dualdb_" in text:
            raise NotPreparedError(f"{path} is not prepared; run: dualdb init {quote(path)} --target …") from exc
        for symptom, meaning in _FAULTS:
            if symptom in text:
                raise SourceError(f"{path} {meaning.format(text)}") from exc
        raise


def is_busy(exc: sqlite3.DatabaseError) -> bool:
    """Whether somebody else has the file, or what is wanted of it, locked."""
    return isinstance(exc, sqlite3.OperationalError) and ("locked" in str(exc) or "busy" in str(exc))
