"""What `init` asks of and makes on the target: its identity, that it is empty, our own schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dualdb.errors import TargetError
from dualdb.stores.queries import load
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    from dualdb.stores.target_connection import Target


SCRIPTS = ("target/control.sql", "sqlite/functions.sql", "target/capture.sql")
"""What `prepare` runs, in this order."""


def identity(connection: Target) -> str:
    """Which server and database this is: the system identifier survives restarts and fail-over, not a new cluster."""
    with losses():
        cursor = connection.execute(
            "SELECT system_identifier::text || ':' || (SELECT oid FROM pg_database WHERE datname = current_database())"
            " FROM pg_control_system()"
        )
    return "".join(str(value) for row in cursor for value in row)


def check_empty(connection: Target, schema: str) -> None:
    """Raise TargetError when the schema that the application's tables go to already holds tables or views."""
    with losses():
        found = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY 1",
            (schema,),
        ).fetchall()
    if found:
        message = (
            f"schema {schema} of the target already holds {len(found)} relations, {found[0][0]} among them;"
            " name an empty database, or another schema with --schema"
        )
        raise TargetError(message)


def prepare(connection: Target, *, layout: int, source_id: str, schema: str) -> None:
    """Make our own schemas, the application's one if it is missing, and the control row, in one transaction."""
    try:
        with losses(), connection.transaction():
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            for script in SCRIPTS:
                connection.execute(load(script))
            connection.execute(
                "INSERT INTO dualdb.control (id, layout, source_id, epoch, phase, target_schema)"
                " VALUES (1, %s, %s, 1, 'sqlite', %s)",
                (layout, source_id, schema),
            )
    except psycopg.errors.InsufficientPrivilege as exc:
        message = f"the target's user may not create schemas ({exc.diag.message_primary}); grant CREATE on the database"
        raise TargetError(message) from exc
