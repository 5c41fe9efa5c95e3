"""The application's schema as the target keeps it: SQLite's text, and how each table is stored. Reads only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dualdb.core.names import target_name
from dualdb.core.schema import TargetType
from dualdb.core.sqltext import fold
from dualdb.stores.catalog import schema_from_rows, version_of
from dualdb.stores.queries import query
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    from dualdb.core.schema import Schema
    from dualdb.stores.catalog import MasterRow, Numbering
    from dualdb.stores.target_connection import Target


def read_target_schema(connection: Target) -> Schema:
    """The application's schema as it is described here, in the connection's current snapshot."""
    return schema_from_rows(read_objects(connection), read_numbering(connection))


def read_version(connection: Target) -> str:
    """The version of that schema, which is much sooner told than the schema."""
    return version_of(read_objects(connection))


def read_objects(connection: Target) -> list[MasterRow]:
    """The application's rows of sqlite_master, in their order."""
    with losses():
        rows = connection.execute(query("target/catalog.sql", "objects")).fetchall()
    return [(kind, name, table, sql) for kind, name, table, sql in rows]


def read_numbering(connection: Target) -> Numbering:
    """The numbers and stored types of the tables."""
    with losses():
        rows = connection.execute(query("target/catalog.sql", "relations")).fetchall()
    return {
        fold(name): (number, {column: TargetType(value) for column, value in json.loads(stored).items()})
        for number, name, stored in rows
    }


def check_names(connection: Target, schema: str, table: str) -> list[str]:
    """The names of a table's CHECK constraints, in the order in which they were written."""
    with losses():
        asked = (target_name(schema), target_name(table))
        rows = connection.execute(query("target/catalog.sql", "checks"), asked).fetchall()
    return [name for (name,) in rows]
