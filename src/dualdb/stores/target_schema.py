"""What `init` asks of and makes on the target: its identity, that it is empty, our own schemas."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from dualdb.core.names import quoted, target_name
from dualdb.errors import TargetError
from dualdb.stores.layout import LAYOUT
from dualdb.stores.queries import load, query
from dualdb.stores.target_connection import losses
from dualdb.stores.target_functions import SCRIPTS as FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dualdb.stores.target_connection import Target

_ASK = "target/prepare.sql"
SCRIPTS = ("target/control.sql", "target/timeline.sql", *FUNCTIONS, "target/capture.sql")
"""What `prepared` runs, in this order."""


def identity(connection: Target) -> str:
    """Which server and database this is: the system identifier survives restarts and fail-over, not a new cluster."""
    try:
        with losses():
            cursor = connection.execute(query(_ASK, "identity").encode())
    except psycopg.errors.InsufficientPrivilege as exc:  # PostgreSQL lets everybody; some who host it do not
        (user,) = _asked(connection, "user")
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


_TAKEN = frozenset({"dualdb", "sqlite", "information_schema"})


def check_name(schema: str) -> None:
    """Raise TargetError for a schema that the application's tables cannot go to, whatever the target holds."""
    if not schema or schema in _TAKEN or schema.startswith("pg_"):
        message = f"--schema {schema!r} is a name that PostgreSQL or dualdb keeps for itself; choose another one"
        raise TargetError(message)


def check_rights(connection: Target, schema: str) -> None:
    """Raise TargetError, naming the grant, when the target's user may not make what is needed."""
    user, database, may_create, name, may_use = _asked(connection, "rights", {"schema": target_name(schema)})
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
        found = connection.execute(query(_ASK, "relations").encode(), (target_name(schema),)).fetchall()
    if found:
        message = (
            f"schema {schema} of the target already holds tables or views ({found[0][0]} is one of {len(found)});"
            " name an empty database, or another schema with --schema"
        )
        raise TargetError(message)


@contextmanager
def prepared(connection: Target, *, source_id: str, schema: str, claim: str = "claim") -> Iterator[None]:
    """Make our own schemas, the application's one if it is missing, and the control row, in one transaction, which is
    committed after the block: whatever PostgreSQL refuses, it has refused before the block runs.
    """
    try:
        with losses(), connection.transaction():
            connection.execute(query(_ASK, "stay_open").encode())
            _make(connection)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}".encode())
            connection.execute(query("target/authority.sql", claim).encode(), (LAYOUT, source_id, schema))
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


def _make(connection: Target) -> None:
    for (name,) in connection.execute(query(_ASK, "foreign").encode()):
        message = (
            f"the target already holds a schema {name}, which dualdb has not made and needs for its own; rename it"
            " there, or name another database"
        )
        raise TargetError(message)
    for script in SCRIPTS:
        connection.execute(load(script))


def _asked(connection: Target, name: str, values: dict[str, str] | None = None) -> tuple[object, ...]:
    with losses():
        found = connection.execute(query(_ASK, name).encode(), values).fetchone()
    return found or ()
