"""Opening a connection to the target, and the errors that it can give, in our own classes.

The one place that knows how a target's address becomes a psycopg connection; a password never leaves it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dualdb.errors import TargetError, TargetLostError

if TYPE_CHECKING:
    from collections.abc import Iterator

Target: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

EMBEDDED = "embedded"
OLDEST_SERVER = 150000
_HINTS = {
    "password authentication failed": "put the right one into DUALDB_TARGET, PGPASSWORD or ~/.pgpass",
    "no password supplied": "put one into DUALDB_TARGET, PGPASSWORD or ~/.pgpass",
    "does not exist": "create it first, or name another one",
}


def address_of(target: str) -> str:
    """A DSN as it may be stored and shown: without its password. Raises TargetError for what libpq cannot read."""
    if target == EMBEDDED:
        return target
    try:
        parts = conninfo_to_dict(target)
    except psycopg.Error as exc:
        message = "the target is not a PostgreSQL connection string; write postgresql://user@host/database, or embedded"
        raise TargetError(message) from exc
    parts.pop("password", None)
    return make_conninfo("", **{key: str(value) for key, value in parts.items() if value is not None})


def conninfo(target: str, database: str) -> str:
    """What libpq is given for a stored target: DUALDB_TARGET first, the embedded server started when it is that."""
    chosen = os.environ.get("DUALDB_TARGET") or target
    if chosen != EMBEDDED:
        return chosen
    from dualdb.stores.server import EmbeddedServer  # only this target needs the server's code

    server = EmbeddedServer.beside(database)
    server.ensure_running()
    return server.conninfo


def connect_target(
    target: str, database: str, *, autocommit: bool = True, timeout_s: int = 5, purpose: str = "dualdb"
) -> Target:
    """A connection to the target of a database file, its time zone UTC.

    Raises TargetError, naming host and database, never a password, when the server cannot be reached, refuses the
    login or is older than 15.
    """
    info = conninfo(target, database)
    try:
        connection = psycopg.connect(
            info,
            autocommit=autocommit,
            application_name=purpose,
            connect_timeout=timeout_s,
            options=_options(info),
        )
    except psycopg.OperationalError as exc:
        raise TargetError(_refusal(info, exc)) from exc
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10000
        connection.close()
        message = f"the server runs PostgreSQL {version}; dualdb needs PostgreSQL 15 or newer"
        raise TargetError(message)
    return connection


@contextmanager
def losses() -> Iterator[None]:
    """Turn the loss of a connection into TargetLostError; every other error passes."""
    try:
        yield
    except (psycopg.errors.AdminShutdown, psycopg.errors.CrashShutdown, psycopg.InterfaceError) as exc:
        raise TargetLostError(_lost(exc)) from exc
    except psycopg.OperationalError as exc:
        if exc.sqlstate is None or exc.sqlstate.startswith(("08", "57P")):
            raise TargetLostError(_lost(exc)) from exc
        raise


def _options(info: str) -> str:
    # What the DSN itself asks for comes last and so wins.
    own = "-c timezone=UTC -c client_min_messages=warning"
    given = conninfo_to_dict(info).get("options")
    return f"{own} {given}" if given else own


def _lost(exc: Exception) -> str:
    first = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
    return f"the connection to PostgreSQL was lost ({first}); try again when the server answers"


def _refusal(info: str, exc: Exception) -> str:
    parts = conninfo_to_dict(info)
    where = f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"
    text = " ".join(str(exc).split())
    password = parts.get("password")
    if password:
        text = text.replace(str(password), "***")
    for symptom, remedy in _HINTS.items():
        if symptom in text:
            return f"cannot connect to {where}: {text.rsplit('FATAL:', maxsplit=1)[-1].strip()}; {remedy}"
    return f"cannot connect to {where}: {text}; check that the server runs and that the address is right"
