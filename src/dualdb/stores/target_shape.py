"""Whether what dualdb made on PostgreSQL is still there as it was made: nothing there tells of another's ALTER or DROP.

While PostgreSQL follows, all of it can be made anew. While it is the authority a column of somebody else's has nowhere
to go, and a table that is gone is the application's loss: both are for people to undo.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.names import target_name
from dualdb.core.phase import Phase
from dualdb.core.schema import HIDDEN_ROWID, ROWID_COLUMN, TargetType
from dualdb.core.types import PG_TYPE
from dualdb.stores.queries import load, query
from dualdb.stores.target_catalog import read_target_schema
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dualdb.core.schema import Schema, Table
    from dualdb.stores.target_connection import Target

    Shape = dict[str, tuple[str, str]]
    """By column its type and collation."""

_ASK = "target/shape.sql"
_FUNCTIONS = "sqlite/functions.sql"
_MADE = re.compile(r"^CREATE OR REPLACE FUNCTION sqlite\.(\w+)", re.MULTILINE)


def find_changes(connection: Target, database: str) -> list[str]:
    """What somebody has changed there, each with its remedy; over a connection outside a transaction.

    Raises TargetLostError.
    """
    with losses(), connection.transaction():
        connection.execute(query(_ASK, "at_once").encode())
        found = connection.execute(query(_ASK, "standing").encode()).fetchone()
        if found is None or found[1] == Phase.SQLITE.value:  # there are none yet
            return []
        follows = found[1] != Phase.POSTGRES.value
        return list(_told(connection, found[0], follows=follows, database=database))


def _told(connection: Target, target_schema: str, *, follows: bool, database: str) -> Iterator[str]:
    remedy = "undo it there, for a change that is to stay is made in SQLite, after a rollback"
    if follows:
        remedy = f"copy PostgreSQL anew with dualdb recopy {quote(database)}"
    for change in _changes(connection, read_target_schema(connection), target_schema):
        yield f"somebody has changed PostgreSQL's tables past dualdb: {change}; {remedy}"
    there = {name for (name,) in connection.execute(query(_ASK, "functions").encode())}
    missing = sorted(_made() - there)
    if missing:
        yield f"somebody has dropped dualdb's functions from PostgreSQL: sqlite.{missing[0]} for one; {remedy}"


def _changes(connection: Target, schema: Schema, target_schema: str) -> Iterator[str]:
    names = [target_name(table.name) for table in schema.tables.values()]
    found: dict[str, Shape] = defaultdict(dict)
    asked = (target_name(target_schema), names)
    for table, column, kind, collation in connection.execute(query(_ASK, "columns").encode(), asked):
        found[table][column] = kind, collation
    for table in schema.tables.values():
        there, wanted = found[target_name(table.name)], _shape(table)
        if not there:
            yield f"table {table.name} is gone"
            continue
        for name in wanted.keys() - there.keys():
            yield f"column {name} of {table.name} is gone"
        for name in there.keys() - wanted.keys():
            yield f"table {table.name} has a column {name}"
        for name in sorted(there.keys() & wanted.keys()):
            if there[name] != wanted[name]:
                yield f"column {name} of {table.name} is {_named(there[name])}, and was made as {_named(wanted[name])}"


def _shape(table: Table) -> Shape:
    shape = {target_name(column.name): _type(column.stored) for column in table.columns}
    if table.rowid is HIDDEN_ROWID:
        shape[target_name(ROWID_COLUMN)] = _type(TargetType.BIGINT)
    return shape


def _type(stored: TargetType) -> tuple[str, str]:
    kind, _, collation = PG_TYPE[stored].partition(" COLLATE ")
    return kind, collation.strip('"')


def _named(shape: tuple[str, str]) -> str:
    kind, collation = shape
    return f'{kind} COLLATE "{collation}"' if collation else kind


@cache
def _made() -> frozenset[str]:
    return frozenset(_MADE.findall(load(_FUNCTIONS)))
