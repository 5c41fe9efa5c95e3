"""Opening a connection to the target, and the errors that it can give, in our own classes.

The one place where a target's address becomes a psycopg connection; `target_address` reads the address.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.conninfo import make_conninfo

from dualdb.errors import TargetError, TargetLostError
from dualdb.stores import target_address
from dualdb.stores.target_address import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Iterator

Target: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

OLDEST_SERVER = 150000
_HINTS = {
    "password authentication failed": "put the right one into ~/.pgpass, PGPASSWORD or DUALDB_TARGET",
    "no password supplied": "put one into ~/.pgpass, PGPASSWORD or DUALDB_TARGET",
    "does not exist": "create it first, or name another one",
    "permission denied for database": "grant CONNECT on it to this user, or name another one",
}


def connect_target(
    target: str, database: str, *, autocommit: bool = True, timeout_s: int = 5, purpose: str = "dualdb"
) -> Target:
    """A connection to the target of a database file, or to what DUALDB_TARGET names instead; its time zone is UTC.

    An embedded server is started, and never made. Raises TargetError, naming host and database, never a password, when
    the server cannot be reached, refuses the login or is older than 15.
    """
    wanted, origin = target_address.chosen(target)
    parts = _embedded(database) if wanted == EMBEDDED else target_address.read(wanted, origin)
    return _connect(parts, autocommit=autocommit, timeout_s=timeout_s, purpose=purpose)


def connect_stored(target: str, database: str, *, timeout_s: int = 5, purpose: str = "dualdb") -> Target:
    """A connection to just that target, whatever DUALDB_TARGET says.

    Raises TargetError as `connect_target` does.
    """
    parts = _embedded(database) if target == EMBEDDED else target_address.read(target)
    return _connect(parts, autocommit=True, timeout_s=timeout_s, purpose=purpose)


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """One that may be forgotten, as an application forgets its own inside a transaction: libpq's part is closed then by
    the process that it belongs to, and by no fork of that.
    """

    def __del__(self, *_: object) -> None:
        """Psycopg would warn somebody who does not know of it."""


_LINE = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3", "tcp_user_timeout": "20000"}
"""A host that is gone without a word is noticed in half a minute, not in hours; what the address says wins."""


_ENDED = ("08", "57P", "25P03", "25P04")
"""With these the server ends a session: the line, an operator, a transaction that stood still or took too long."""


@contextmanager
def losses() -> Iterator[None]:
    """Turn the loss of a connection into TargetLostError; every other error passes."""
    try:
        yield
    except psycopg.InterfaceError as exc:
        raise TargetLostError(_lost(exc)) from exc
    except psycopg.Error as exc:
        unsaid = exc.sqlstate is None and isinstance(exc, psycopg.OperationalError)
        if unsaid or (exc.sqlstate or "").startswith(_ENDED):
            raise TargetLostError(_lost(exc)) from exc
        raise


def missing_server(database: str, folder: str) -> str:
    """What to tell where the data of a file's embedded server are not there."""
    return (
        f"{database} has no embedded server: there are no data in {folder}; put that folder, or the database file if"
        " it was moved, back where it was, or name the server that it was prepared for in DUALDB_TARGET"
    )


def _embedded(database: str) -> dict[str, str]:
    from dualdb.stores.server import EmbeddedServer, ServerState  # only this target needs the server's code

    server = EmbeddedServer.beside(database)
    if server.status().state is ServerState.ABSENT:
        raise TargetError(missing_server(database, str(server.folder)))
    server.ensure_running()
    # Given outright: PGPASSWORD, which is for another server, would go before the passfile.
    return target_address.read(server.conninfo) | {"password": server.password}


_USUAL = {"client_min_messages": "warning", "statement_timeout": "0"}
"""What the address, or PGOPTIONS, may set otherwise."""
_FIXED = {
    "bytea_output": "hex",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "timezone": "UTC",
    "transform_null_equals": "off",
}
"""What decides how a statement or a value is read, and what a transaction sees: whatever is set for the server, the
database or the role, it means what was translated (runtime-config-compatible.html, runtime-config-client.html).

Set when it is connected: a pooler may drop what is asked for before.
"""
_PATH = "pg_catalog.concat_ws(', ', 'pg_catalog', nullif(pg_catalog.current_setting('search_path'), ''))"
"""What is ours to call comes first, and then what is set: an empty path is no list that PostgreSQL reads."""
_FIX = f"SELECT pg_catalog.set_config('search_path', {_PATH}, false), " + ", ".join(
    f"pg_catalog.set_config('{name}', '{value}', false)" for name, value in _FIXED.items()
)
_ENCODING = "UTF8"


def _connect(parts: dict[str, str], *, autocommit: bool, timeout_s: int, purpose: str) -> Target:
    own = {
        "application_name": purpose,
        "client_encoding": _ENCODING,
        "connect_timeout": str(timeout_s),
        "options": _options(parts),
    }
    refusal = None
    try:
        connection = _Connection.connect(make_conninfo("", **(_LINE | parts | own)), autocommit=True)
    except psycopg.OperationalError as exc:
        refusal = _refusal(parts, exc)
    if refusal is not None:  # outside the `except`, so that a traceback shows our words alone
        raise TargetError(refusal)
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10000
        connection.close()
        message = f"the server runs PostgreSQL {version}; dualdb needs PostgreSQL 15 or newer"
        raise TargetError(message)
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != _ENCODING:
        name = connection.info.dbname
        connection.close()
        message = (
            f"the database {name} keeps text as {encoding}, which does not hold all that SQLite does; make one with"
            f" CREATE DATABASE … ENCODING '{_ENCODING}' TEMPLATE template0, and name that"
        )
        raise TargetError(message)
    try:
        with losses():
            connection.execute(_FIX.encode())
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def _options(parts: dict[str, str]) -> str:
    # What comes last wins.
    usual = [f"-c {name}={value}" for name, value in _USUAL.items()]
    return " ".join([*usual, parts.get("options") or os.environ.get("PGOPTIONS", "")]).strip()


def _lost(exc: Exception) -> str:
    first = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
    return f"the connection to PostgreSQL was lost ({first}); try again when the server answers"


def _refusal(parts: dict[str, str], exc: Exception) -> str:
    where = target_address.place_in(parts)
    text = " ".join(str(exc).split())
    for symptom, remedy in _HINTS.items():
        if symptom in text:
            return f"cannot connect to {where}: {text.rsplit('FATAL:', maxsplit=1)[-1].strip()}; {remedy}"
    return f"cannot connect to {where}: {text}; check that the server runs and that the address is right"
