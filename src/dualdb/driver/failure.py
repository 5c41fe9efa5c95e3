"""sqlite3's own exceptions, made by us: class, message, error code and name as SQLite would have set them.

Knows no database.
"""

from __future__ import annotations

import sqlite3

FENCE = "dualdb:moved"
"""How the refusal of a fence begins, on both sides."""


def failure(kind: type[sqlite3.Error], message: str, name: str = "SQLITE_ERROR") -> sqlite3.Error:
    """An exception of that class with SQLite's error code and its name."""
    error = kind(message)
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    return error


def again(error: sqlite3.Error) -> sqlite3.Error:
    """The same once more."""
    return failure(type(error), str(error), error.sqlite_errorname)


class OutOfRangeError(sqlite3.NotSupportedError):
    """PostgreSQL's numbers end where SQLite goes on in floats: the statement may be planned anew for those."""


def locked(name: str = "SQLITE_BUSY") -> sqlite3.Error:
    """`database is locked`, which applications already retry."""
    return failure(sqlite3.OperationalError, "database is locked", name)


def read_only() -> sqlite3.Error:
    """What SQLite says to a write where only reading is allowed."""
    return failure(sqlite3.OperationalError, "attempt to write a readonly database", "SQLITE_READONLY")


def overtaken() -> sqlite3.Error:
    """What SQLite says to a transaction that has read a snapshot and finds that the world has moved on since."""
    return locked("SQLITE_BUSY_SNAPSHOT")


def or_back(remedy: str, way_back: str) -> str:
    """The remedy, and the other one where a command leads back to SQLite; '' where there is no file to go back to."""
    return f"{remedy}, or go back to SQLite: {way_back}" if way_back else remedy


def refused(cause: str, remedy: str) -> sqlite3.Error:
    """What cannot be honoured, with its cause and what to do."""
    return sqlite3.NotSupportedError(f"{cause}; {remedy}")


def unasked_authorizer(way_back: str) -> sqlite3.Error:
    """What an application is told that has its statements authorized one by one; `way_back` leads to SQLite."""
    return refused(
        "an authorizer is not asked about statements on PostgreSQL",
        or_back("do without (set_authorizer(None)) and use GRANT", way_back),
    )


def stuck(kind: str, cls: type) -> sqlite3.Error:
    """What an application is told whose connection or cursor would stay with SQLite, and read what is out of date."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    return refused(
        f"a {kind} of {name} cannot follow a file that was prepared with dualdb init",
        f"derive its class from dualdb.{kind.capitalize()}, with dualdb imported in sqlite3's place where it is made",
    )


def is_busy(error: BaseException) -> bool:
    """Whether SQLite did not get a lock, and did nothing."""
    code: int = getattr(error, "sqlite_errorcode", 0)  # none where sqlite3 itself, or the application, has raised it
    return isinstance(error, sqlite3.OperationalError) and code & 0xFF == sqlite3.SQLITE_BUSY


def is_fence(error: BaseException) -> bool:
    """Whether a fence of ours refused the statement: the transaction is rolled back then."""
    return isinstance(error, sqlite3.IntegrityError) and str(error).startswith(FENCE)
