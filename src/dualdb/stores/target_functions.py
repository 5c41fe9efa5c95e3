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
    """Make all of them anew where one is missing. Raises TargetError where that cannot be done."""
    if find_missing(connection):
        make_functions(connection)


def make_functions(connection: Target) -> None:
    """Make all of them anew, as this version has them. Raises TargetError where one is missing and cannot be made."""
    try:
        with connection.transaction():
            connection.execute(_ONE_AT_A_TIME)
            connection.execute(functions_sql().encode())
    except psycopg.errors.InsufficientPrivilege as exc:
        if not find_missing(connection):
            return  # they are another role's to change
        message = (
            f"dualdb's functions are missing on PostgreSQL and cannot be made ({exc.diag.message_primary}); grant the"
            " role CREATE on the database, or run dualdb as the one that prepared it"
        )
        raise TargetError(message) from exc
    except psycopg.errors.InvalidFunctionDefinition as exc:
        message = (
            f"a function in the schema sqlite is not as dualdb makes it ({exc.diag.message_primary});"
            " drop it there (CASCADE where others call it), and try again"
        )
        raise TargetError(message) from exc


_ONE_AT_A_TIME = b"SELECT pg_advisory_xact_lock('pg_proc'::regclass::oid::integer, hashtext('dualdb functions'))"
"""Two that make them at once would each find the other's row there (CREATE OR REPLACE takes no lock for it)."""


@cache
def _made() -> frozenset[str]:
    return frozenset(_MADE.findall(functions_sql()))
