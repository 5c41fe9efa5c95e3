"""What an application has taught its own connection: functions and collations, which PostgreSQL has not learned.

SQLite itself is asked which these are: the connection's C part keeps them for the way back. One that was taken away
again counts still, as SQLite goes on listing it.
"""

from __future__ import annotations

import re
import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from dualdb.core.sqltext import fold
from dualdb.driver.c_part import set_text_factory, text_factory
from dualdb.driver.failure import or_back, refused
from dualdb.stores.private_database import private_database

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNKNOWN = re.compile(
    r"no such (?P<kind>function|collation sequence): (?P<name>.+)"
    r"|wrong number of arguments to function (?P<other>.+)\(\)",
    re.DOTALL,
)
"""What SQLite says where it was not taught."""


class Taught(NamedTuple):
    """Names, lower-cased."""

    functions: frozenset[str]
    collations: frozenset[str]
    shadowing: frozenset[tuple[str, int]]
    """Those functions whose names SQLite has as well, so that it would compute with its own; with how many arguments
    they take, -1 being any number.
    """
    replaced: frozenset[str]
    """SQLite's own collations that the application has put its own in the place of."""


def taught_to(connection: sqlite3.Connection, replaced: frozenset[str]) -> Taught:
    """What SQLite lists for this connection and not for every other one, and those of SQLite's own collations that were
    `replaced`, which no list tells; reads and locks nothing.
    """
    factory = text_factory(connection)
    set_text_factory(connection, str)
    try:
        # Selecting from pragma_function_list takes half the time, and reads the file's schema first: with its locks.
        functions = _listed(connection, "PRAGMA function_list")
        collations = _listed(connection, "PRAGMA collation_list")
    finally:
        set_text_factory(connection, factory)
    own = _untaught()
    functions -= own.functions
    shadowing = frozenset((fold(name), number) for name, _, _, _, number, _ in functions if fold(name) in own.names)
    known = frozenset(fold(name) for _, name in collations) - own.collations
    return Taught(_names(functions), known, shadowing, replaced)


class _Own(NamedTuple):
    """What every connection has."""

    functions: frozenset[tuple[Any, ...]]
    names: frozenset[str]
    collations: frozenset[str]


@lru_cache(maxsize=1)
def _untaught() -> _Own:
    database = private_database()
    functions = _listed(database, "PRAGMA function_list")
    collations = _listed(database, "PRAGMA collation_list")
    return _Own(functions, _names(functions), frozenset(fold(name) for _, name in collations))


def _listed(connection: sqlite3.Connection, sql: str) -> frozenset[tuple[Any, ...]]:
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    return frozenset(cursor.execute(sql))


def _names(rows: Iterable[tuple[Any, ...]]) -> frozenset[str]:
    return frozenset(fold(row[0]) for row in rows)


def explained(error: sqlite3.Error, taught: Taught, way_back: str) -> sqlite3.Error:
    """The error of a statement that SQLite could not compile, or a refusal where only the teaching was missed."""
    found = _UNKNOWN.fullmatch(str(error))
    if found is None:
        return error
    name = found["name"] or found["other"]
    if found["kind"] == "collation sequence":
        return _refusal(f"the collation {name}", way_back) if fold(name) in taught.collations else error
    return _refusal(f"the function {name}()", way_back) if fold(name) in taught.functions else error


def check_shadowed(called: frozenset[tuple[str, int]], taught: Taught, way_back: str) -> None:
    """Raise when a statement calls a function that the application has put in the place of SQLite's own.

    SQLite takes the application's where that has the number of arguments of the call, or takes any (FuncDef in
    sqlite3's src/callback.c).
    """
    for name, number in sorted(called):
        if {(name, number), (name, -1)} & taught.shadowing or (number == -1 and name in _names(taught.shadowing)):
            raise _refusal(f"the function {name}()", way_back)


def check_replaced(collated: frozenset[str], taught: Taught, way_back: str) -> None:
    """The same for a collation."""
    for name in sorted(collated & taught.replaced):
        raise _refusal(f"the collation {name.upper()}", way_back)


def _refusal(what: str, way_back: str) -> sqlite3.Error:
    remedy = or_back("do its work in the application", way_back)
    return refused(f"{what} is the application's own, and PostgreSQL does not have it", remedy)
