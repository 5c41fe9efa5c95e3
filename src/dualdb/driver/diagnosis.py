"""What PostgreSQL refused, in SQLite's words: class, message and code of the exception that sqlite3 would have raised.

Rules: the messages are those of sqlite3's src/insert.c, vdbeaux.c and of main.c's `sqlite3ErrStr`. Knows no connection;
what has to be asked of PostgreSQL is asked through `ask`.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, TypeVar

from dualdb.core.names import rowid_index, target_name
from dualdb.core.schema import KeyKind
from dualdb.core.translate.refusal import ANOTHER_WAY
from dualdb.driver.failure import OutOfRangeError, failure, locked, or_back, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dualdb.core.schema import Check, Column, Index, Schema, Table
    from dualdb.core.translate import Refused
    from dualdb.stores.target_session import Rejected

    Names = Callable[[str], Sequence[str]]
    """The names of a table's CHECK constraints, in the order in which they were written."""

T = TypeVar("T", "Table", "Column", "Index", "Check")
FENCE_STATE = "DD001"
STALE_STATES = frozenset({"42P01", "42703", "42704", "42883", "0A000"})
"""No such table, column, type, function, or another result than prepared: the schema may be another by now."""
_BUSY = frozenset({"55P03", "40001", "40P01", "57014"})
"""No lock in time, a conflict, a deadlock, a time-out."""
_OUT_OF_RANGE = "22003"
_BEYOND = frozenset({_OUT_OF_RANGE, "22P05", "22021", "22025", "0A000", ""})
"""A value that PostgreSQL cannot compute or hold where SQLite can; '' is psycopg's own refusal of one."""
_OURS: Mapping[str, Callable[[str, str], sqlite3.Error]] = {
    "DD003": lambda message, way_back: refused(message, or_back("correct the value", way_back)),
    "DD004": lambda message, _: failure(sqlite3.IntegrityError, message, "SQLITE_MISMATCH"),
    "DD100": lambda message, _: failure(sqlite3.OperationalError, message),
}
"""What functions of the schema `sqlite` raise: a value for a column of another class; an error of SQLite's own."""
_LIMIT_CLASS = "54"
"""A limit of PostgreSQL's: of an index's entries, of a row, of a query's columns (limits.html)."""
_PLAIN = {
    "53100": (sqlite3.OperationalError, "database or disk is full", "SQLITE_FULL"),
    "25006": (sqlite3.OperationalError, "attempt to write a readonly database", "SQLITE_READONLY"),
}


def diagnose(rejected: Rejected, schema: Schema, names: Names, way_back: str) -> sqlite3.Error:
    """The exception for a statement that PostgreSQL refused; `way_back` is the command that leads to SQLite."""
    state = rejected.sqlstate
    if state.startswith("23"):
        return _constraint(rejected, _named(schema.tables.values(), rejected.table), names)
    if state in _BUSY:
        return locked()
    if state in _BEYOND:
        cause = f"PostgreSQL cannot compute this as SQLite does ({rejected.message})"
        error = refused(cause, or_back("keep the values in range", way_back))
        return OutOfRangeError(str(error)) if state == _OUT_OF_RANGE else error
    if state in _OURS:
        return _OURS[state](rejected.message, way_back)
    if state.startswith(_LIMIT_CLASS):
        return refused(
            f"PostgreSQL has no room for this where SQLite has ({rejected.message})",
            or_back("make the value or the statement smaller", way_back),
        )
    plain = _PLAIN.get(state, (sqlite3.OperationalError, f"{rejected.message} (PostgreSQL {state})", "SQLITE_ERROR"))
    return failure(*plain)


def untranslated(refusal: Refused, way_back: str) -> sqlite3.Error:
    """The exception for a statement that has no translation."""
    message = str(refusal)
    return sqlite3.NotSupportedError(or_back(message, way_back) if refusal.remedy == ANOTHER_WAY else message)


def _named(objects: Iterable[T], name: str) -> T | None:
    """What PostgreSQL knows by that name."""
    return next((one for one in objects if target_name(one.name or "") == name), None)


def _constraint(rejected: Rejected, table: Table | None, names: Names) -> sqlite3.Error:
    if rejected.sqlstate == "23505":
        return _unique(rejected, table)
    if rejected.sqlstate == "23514":
        return _check(rejected, table, names)
    of = _named(table.columns, rejected.column) if table is not None else None
    column = f"{table.name if table else rejected.table}.{of.name if of else rejected.column}"
    return failure(sqlite3.IntegrityError, f"NOT NULL constraint failed: {column}", "SQLITE_CONSTRAINT_NOTNULL")


def _unique(rejected: Rejected, table: Table | None) -> sqlite3.Error:
    if table is None:
        return failure(
            sqlite3.IntegrityError, f"UNIQUE constraint failed: {rejected.table}", "SQLITE_CONSTRAINT_UNIQUE"
        )
    index = _named(table.indexes, rejected.constraint)
    if index is not None:
        name = "SQLITE_CONSTRAINT_PRIMARYKEY" if index.origin == "pk" else "SQLITE_CONSTRAINT_UNIQUE"
        return failure(sqlite3.IntegrityError, f"UNIQUE constraint failed: {_terms(table, index)}", name)
    if table.key.kind is KeyKind.ROWID or rejected.constraint == target_name(rowid_index(table.name)):
        return failure(
            sqlite3.IntegrityError, f"UNIQUE constraint failed: {table.name}.rowid", "SQLITE_CONSTRAINT_ROWID"
        )
    listed = ", ".join(f"{table.name}.{column}" for column in table.key.columns)
    return failure(sqlite3.IntegrityError, f"UNIQUE constraint failed: {listed}", "SQLITE_CONSTRAINT_PRIMARYKEY")


def _terms(table: Table, index: Index) -> str:
    if any(term.column is None for term in index.terms):
        return f"index '{index.name}'"
    return ", ".join(f"{table.name}.{term.column}" for term in index.terms)


def _check(rejected: Rejected, table: Table | None, names: Names) -> sqlite3.Error:
    what = rejected.constraint
    check = _named(table.checks, what) if table is not None else None
    if check is not None:
        what = check.name or what
    elif table is not None:
        placed = names(table.name)
        # A CHECK that has no translation is not on the list; such a file does not reach phase postgres.
        if what in placed and len(placed) == len(table.checks):
            what = table.checks[placed.index(what)].expression
    return failure(sqlite3.IntegrityError, f"CHECK constraint failed: {what}", "SQLITE_CONSTRAINT_CHECK")
