"""The address of a target: the one door through which a connection string is read. What is secret never leaves it.

libpq misreads a URL whose password holds an unescaped `/` or `@` without a word: a part of the password becomes the
host, the port or the database, which every message would name. So whatever can be read in two ways is refused, and what
is refused is not shown, libpq's own complaint included, for that quotes it. Opens no connection.
"""

from __future__ import annotations

import os
from functools import cache

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dualdb.errors import TargetError

EMBEDDED = "embedded"
VARIABLE = "DUALDB_TARGET"
_SCHEMES = ("postgresql://", "postgres://")
_HIDDEN = (b"*", b"D")
"""How libpq marks an option whose value is not for display: a secret, or what only debugging is for, such as the
keys that SCRAM makes of a password."""
_PORT = "5432"
_REMEDY = (
    "write postgresql://user@host/database, or embedded; in a URL write %2F for a / in the password, %40 for @,"
    " %3F for ?, %20 for a space and %25 for %, or leave the password to ~/.pgpass or PGPASSWORD"
)


def address_of(target: str) -> str:
    """A target as it may be stored and shown: without what is secret. Raises TargetError, which does not quote it."""
    if target == EMBEDDED:
        return target
    return make_conninfo("", **{key: value for key, value in read(target).items() if key not in secret_options()})


def read(target: str, origin: str = "the target") -> dict[str, str]:
    """The options of a connection string, the secret ones among them: for connecting only.

    Raises TargetError for what libpq refuses, or does not certainly read as it is meant; it says where that came from
    and not what it is.
    """
    if not target.strip():
        message = f"{origin} is empty; {_REMEDY}"
        raise TargetError(message)
    parts = _parsed(target)
    # Raised outside every `except`: what libpq says quotes the string, and a traceback would show it as the context.
    if parts is None:
        message = (
            f"{origin} is not a PostgreSQL connection string (it is not shown, for it may hold a password); {_REMEDY}"
        )
        raise TargetError(message)
    if _ambiguous(target) or _misplaced(parts):
        message = f"{origin} can be read in two ways (it is not shown, for it may hold a password); {_REMEDY}"
        raise TargetError(message)
    return parts


def chosen(target: str) -> tuple[str, str]:
    """What is connected to for a stored target, DUALDB_TARGET before the target itself, and how to call it."""
    override = os.environ.get(VARIABLE)
    return (override, f"the target in {VARIABLE}") if override else (target, "the target")


def check_chosen(target: str) -> None:
    """Raise TargetError when DUALDB_TARGET leads to another database than this target.

    The one would be prepared and the address of the other stored.
    """
    override, origin = chosen(target)
    if _place(override, origin) != _place(target, "the target"):
        message = (
            f"{VARIABLE} leads to {place_of(override)} and the target named to {place_of(target)};"
            f" unset {VARIABLE}, or name the same host, port and database in both"
        )
        raise TargetError(message)


def place_of(target: str) -> str:
    """Host, port and database of a target, for messages. Raises TargetError."""
    return target if target == EMBEDDED else place_in(read(target))


def place_in(parts: dict[str, str]) -> str:
    """The same of options that were read."""
    host = parts.get("host") or parts.get("hostaddr") or parts.get("service") or "localhost"
    return f"{host}:{parts.get('port') or _PORT}" + (f"/{parts['dbname']}" if parts.get("dbname") else "")


@cache
def secret_options() -> frozenset[str]:
    """The options that hold a secret, as libpq itself marks them."""
    # Asked of libpq: it gains secrets with its versions (`sslpassword` in 13, `oauth_client_secret` in 18).
    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.dispchar in _HIDDEN) | {
        "password"
    }


def _parsed(target: str) -> dict[str, str] | None:
    try:
        return {key: str(value) for key, value in conninfo_to_dict(target).items() if value is not None}
    except (psycopg.Error, UnicodeError):
        return None


def _ambiguous(target: str) -> bool:
    """Whether a URL has an `@` but the one that ends user and password, or anything before it that ends them sooner."""
    for scheme in _SCHEMES:
        if target.startswith(scheme):
            before, at, behind = target.removeprefix(scheme).partition("@")
            return bool(at) and ("@" in behind or "/" in before or "?" in before)
    return False


def _misplaced(parts: dict[str, str]) -> bool:
    """Whether an option that messages name holds what cannot be meant: a piece of a password, or a whole address."""
    ports = parts.get("port", "").split(",")
    hosts = [host for host in parts.get("host", "").split(",") if not host.startswith(("/", "@"))]  # not a socket's
    database = parts.get("dbname", "")
    return (
        any(port and not (port.isascii() and port.isdigit()) for port in ports)
        or any(mark in host for host in hosts for mark in "@/ ")
        or "://" in database
        or "=" in database
    )


def _place(target: str, origin: str) -> tuple[str, ...]:
    if target == EMBEDDED:
        return (EMBEDDED,)
    parts = {"port": _PORT} | read(target, origin)
    return tuple(parts.get(key, "") for key in ("service", "host", "hostaddr", "port", "dbname"))
