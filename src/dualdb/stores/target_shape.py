"""Whether what dualdb made on PostgreSQL is still there as it was made: nothing there tells of another's ALTER or DROP.

While PostgreSQL follows, all of it can be made anew. While it is the authority a column of somebody else's has nowhere
to go, and a table that is gone is the application's loss: both are for people to undo.
"""

from __future__ import annotations

import re
from collections import defaultdict
from enum import Enum
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.names import quoted, target_name
from dualdb.core.phase import Phase
from dualdb.core.schema import HIDDEN_ROWID, ROWID_COLUMN, TargetType
from dualdb.core.types import PG_TYPE
from dualdb.stores.queries import query
from dualdb.stores.target_catalog import read_target_schema
from dualdb.stores.target_connection import losses
from dualdb.stores.target_functions import find_missing
from dualdb.stores.target_journal import CAPTURE, FENCE, ddl_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dualdb.core.schema import Schema, Table
    from dualdb.core.translate.ddl import Ddl
    from dualdb.stores.target_connection import Target

    Shape = dict[str, tuple[str, str]]
    """By column its type and collation."""

_ASK = "target/shape.sql"
_NAMED = re.compile(r'(?:CONSTRAINT|INDEX) ("(?:[^"]|"")+") (?:PRIMARY KEY|UNIQUE|ON) ')
"""What has an index of its own in the statements that make a table."""


class Extent(Enum):
    """How much is looked at."""

    COLUMNS = 1
    """What verification does not name by itself."""
    NEEDED = 2
    """Also what keeps the rows as SQLite has them: keys, triggers. All that the way back needs."""
    WHOLE = 3
    """Also what PostgreSQL only answers with: plain indexes and views."""


def find_changes(connection: Target, database: str, extent: Extent) -> list[str]:
    """What somebody has changed there, each with its remedy; over a connection outside a transaction.

    Raises TargetLostError.
    """
    with losses(), connection.transaction():
        connection.execute(query(_ASK, "at_once").encode())
        found = connection.execute(query(_ASK, "standing").encode()).fetchone()
        if found is None or found[1] == Phase.SQLITE.value:  # there are none yet
            return []
        return list(
            _told(connection, found[0], follows=found[1] != Phase.POSTGRES.value, database=database, extent=extent)
        )


def _told(connection: Target, target_schema: str, *, follows: bool, database: str, extent: Extent) -> Iterator[str]:
    remedy = "undo it there, for a change that is to stay is made in SQLite, after a rollback"
    if follows:
        remedy = f"copy PostgreSQL anew with dualdb recopy {quote(database)}"
    schema = read_target_schema(connection)
    changes = list(_of_columns(connection, schema, target_schema))
    absent = []
    if extent is not Extent.COLUMNS:
        ddl = ddl_of(schema, target_schema)
        asked = (target_name(target_schema),)
        there: dict[str, bool] = dict(connection.execute(query(_ASK, "relations").encode(), asked).fetchall())
        changes += _of_objects(schema, ddl, there, extent)
        if follows:  # else the relay puts them back
            changes += _of_triggers(connection, schema, target_schema)
        if extent is Extent.WHOLE:
            views = [schema.views[name].name for name in ddl.views]
            absent = [view for view in views if target_name(view) not in there]
    for change in changes:
        yield f"somebody has changed PostgreSQL's tables past dualdb: {change}; {remedy}"
    for view in absent:
        again = ", or drop the view in SQLite where it refuses it again" if follows else ""
        yield f"PostgreSQL has no view {view}: it refused it, or somebody has dropped it; {remedy}{again}"
    missing = find_missing(connection)
    if missing:
        relay = f"dualdb relay --until-aligned {quote(database)} makes them anew"
        yield f"dualdb's functions are missing on PostgreSQL: sqlite.{missing[0]} for one; {relay}"


def _of_columns(connection: Target, schema: Schema, target_schema: str) -> Iterator[str]:
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


def _of_objects(schema: Schema, ddl: Ddl, there: dict[str, bool], extent: Extent) -> Iterator[str]:
    """What stands beside a table's columns: its keys and indexes, its sequence, and no rule."""
    for name, table in schema.tables.items():
        if there.get(target_name(table.name)):
            yield f"a rule rewrites statements on table {table.name}"
        made = ddl.tables[name]
        needed = [text for text in made.indexes if extent is Extent.WHOLE or not text.startswith("CREATE INDEX ")]
        wanted = [index for text in (made.create, *needed) for index in _NAMED.findall(f"{text} ")]
        if table.rowid is not None:
            wanted.append(quoted(f"sqlite_sequence_{table.name}"))
        for text in wanted:
            other = text[1:-1].replace('""', '"')
            if other not in there:
                yield f"{other} of table {table.name} is gone"


def _of_triggers(connection: Target, schema: Schema, target_schema: str) -> Iterator[str]:
    asked = (FENCE, target_name(target_schema), [FENCE, *CAPTURE])
    rows = connection.execute(query(_ASK, "triggers").encode(), asked).fetchall()
    found = {name: (count, fenced) for name, count, fenced in rows}
    for table in schema.tables.values():
        if found.get(target_name(table.name)) != (1 + len(CAPTURE), True):
            yield f"a trigger of dualdb's on table {table.name} is gone, or off"


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
