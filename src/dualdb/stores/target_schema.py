"""What `init` asks of and makes on the target: its identity, that it is empty, our own schemas."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dualdb.errors import TargetError
from dualdb.stores.queries import load
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dualdb.stores.target_connection import Target


SCRIPTS = ("target/control.sql", "sqlite/functions.sql", "target/capture.sql")
"""What `prepared` runs, in this order."""


def identity(connection: Target) -> str:
    """Which server and database this is: the system identifier survives restarts and fail-over, not a new cluster."""
    try:
        with losses():
            cursor = connection.execute(
                "SELECT system_identifier::text || ':'"
                " || (SELECT oid FROM pg_database WHERE datname = current_database())"
                " FROM pg_catalog.pg_control_system()"
            )
    except psycopg.errors.InsufficientPrivilege as exc:  # PostgreSQL lets everybody; some who host it do not
        (user,) = _asked(connection, "SELECT quote_ident(current_user)")
        message = (
            f"the target's user {user} may not read the server's identity ({exc.diag.message_primary});"
            f" run there as a superuser: GRANT EXECUTE ON FUNCTION pg_control_system() TO {user}"
        )
        raise TargetError(message) from exc
    return "".join(str(value) for row in cursor for value in row)


@contextmanager
def ours() -> Iterator[None]:
    """Raise TargetError when what is read in the block is there and belongs to another of the server's users."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as exc:
        message = (
            f"the target was prepared by another user ({exc.diag.message_primary}); connect as that one,"
            " or give each file a database of its own"
        )
        raise TargetError(message) from exc


def check_rights(connection: Target, schema: str) -> None:
    """Raise TargetError, naming the grant, when the target's user may not make what is needed."""
    user, database, may_create, name, may_use = _asked(
        connection,
        "SELECT quote_ident(current_user), quote_ident(current_database()),"
        " has_database_privilege(current_database(), 'CREATE'), quote_ident(%s),"
        " (SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')"
        "  FROM pg_namespace WHERE nspname = %s)",
        schema,
        schema,
    )
    if not may_create:
        message = (
            f"the target's user {user} may not create schemas in database {database};"
            f" run there as its owner: GRANT CREATE ON DATABASE {database} TO {user}"
        )
        raise TargetError(message)
    if may_use is False:  # None: it is still to be made
        message = (
            f"the target's user {user} may not create tables in schema {name} of database {database};"
            f" run there as its owner: GRANT USAGE, CREATE ON SCHEMA {name} TO {user}"
        )
        raise TargetError(message)


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


@contextmanager
def prepared(connection: Target, *, layout: int, source_id: str, schema: str) -> Iterator[None]:
    """Make our own schemas, the application's one if it is missing, and the control row, in one transaction, which is
    committed after the block: whatever PostgreSQL refuses, it has refused before the block runs.
    """
    try:
        with losses(), connection.transaction():
            # The block may have to wait for the SQLite file for longer than a careful server lets a transaction idle.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            _make(connection, layout, source_id, schema)
            yield
    except psycopg.errors.InsufficientPrivilege as exc:
        message = f"the target's user may not make what is needed ({exc.diag.message_primary}); grant it, and try again"
        raise TargetError(message) from exc
    except (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation) as exc:
        message = (
            f"the target already holds a schema of that name, or another init was quicker ({exc.diag.message_primary});"
            " give each file a database of its own"
        )
        raise TargetError(message) from exc
    except psycopg.errors.ReadOnlySqlTransaction as exc:
        message = f"the target takes no changes ({exc.diag.message_primary}); name the primary server"
        raise TargetError(message) from exc


def _make(connection: Target, layout: int, source_id: str, schema: str) -> None:
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    for script in SCRIPTS:
        connection.execute(load(script))
    connection.execute(
        "INSERT INTO dualdb.control (id, layout, source_id, epoch, phase, target_schema)"
        " VALUES (1, %s, %s, 1, 'sqlite', %s)",
        (layout, source_id, schema),
    )


def _asked(connection: Target, question: str, *values: str) -> tuple[object, ...]:
    with losses():
        found = connection.execute(question.encode(), values).fetchone()
    return found or ()
