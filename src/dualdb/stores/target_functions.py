"""Our own functions on PostgreSQL: whether they are all there, and making them anew.

One may be missing because somebody has dropped it, or because it came with this version of ours. What stood on it, and
was dropped with it, does not come back by making it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import psycopg

from dualdb.errors import TargetError
from dualdb.stores.queries import load, query

if TYPE_CHECKING:
    from dualdb.stores.target_connection import Target

_NAMES = ("schema", "numbers", "values", "text", "scalars", "dates", "json", "writing")
SCRIPTS = tuple(f"sqlite/{name}.sql" for name in _NAMES)
"""What makes them, in this order."""
_MADE = re.compile(r"^CREATE OR REPLACE (?:FUNCTION|AGGREGATE) sqlite\.(\w+\([^)]*\))", re.MULTILINE)


def functions_sql() -> str:
    """The statements that make all of them."""
    return "\n".join(map(load, SCRIPTS))


def find_missing(connection: Target) -> list[str]:
    """The functions that are not there, each with its parameters."""
    there = {text for (text,) in connection.execute(query("target/shape.sql", "functions").encode())}
    return sorted(_made() - there)


def mend_functions(connection: Target) -> None:
    """Make all of them anew where one is missing. Raises TargetError where the role may not."""
    if not find_missing(connection):
        return
    try:
        with connection.transaction():
            connection.execute(functions_sql().encode())
    except psycopg.errors.InsufficientPrivilege as exc:
        message = (
            f"dualdb's functions are missing on PostgreSQL and cannot be made ({exc.diag.message_primary}); grant the"
            " role CREATE on the database, or run dualdb as the one that prepared it"
        )
        raise TargetError(message) from exc


@cache
def _made() -> frozenset[str]:
    return frozenset(_MADE.findall(functions_sql()))
