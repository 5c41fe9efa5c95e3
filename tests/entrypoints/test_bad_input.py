"""Whatever is wrong with what a command is given costs one line, exit status 1, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from dualdb.entrypoints.cli import main
from dualdb.operations.coordination import coordinating
from dualdb.stores import mounts, target_connection
from dualdb.stores.hint import hint_path
from dualdb.stores.layout import LAYOUT

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import psycopg

pytestmark = pytest.mark.once

PASSWORD = "open-sesame-4711"
SCHEMA = "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO runs(name) VALUES ('a'), ('b')"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An application's file, at a path with a space and a quote in it."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    path = folder / "app data.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own."""
    program = [sys.executable, "-m", "dualdb", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)


def done(*words: object) -> str:
    """What a command that succeeds prints, in no process of its own: it only leads to what is to be tried."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(*words: object, because: str) -> str:
    """The one line of a command that is refused."""
    result = run(*words)
    assert result.stdout == ""
    return one_line(result.returncode, result.stderr, because)


def one_line(status: int, stderr: str, because: str) -> str:
    """Cause, remedy, and no more."""
    assert status == 1, stderr
    assert stderr.startswith("dualdb: ")
    assert stderr.count("\n") == 1
    assert because in stderr
    assert "; " in stderr, "no remedy"
    assert PASSWORD not in stderr
    if "it's here" in stderr:
        # The path needs quotes in a shell, and so it has them in a command that is to be copied into one.
        assert not re.search(r"dualdb [a-z]+(?: --[a-z-]+)* /", stderr)
    return stderr


def objects(path: Path) -> list[str]:
    """The names of everything in a SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]


def assert_untouched(path: Path, target: psycopg.Connection[Any], names: list[str]) -> None:
    """Neither side knows anything of the attempt."""
    assert objects(path) == names
    assert not os.path.exists(hint_path(str(path)))
    assert target.execute("SELECT count(*) FROM pg_namespace WHERE nspname IN ('dualdb', 'sqlite')").fetchone() == (0,)


@pytest.mark.parametrize("command", ["status", "verify", "advance", "rollback", "relay", "recopy"])
def test_a_missing_file(tmp_path: Path, command: str) -> None:
    """It is not made."""
    path = tmp_path / "missing.db"
    assert "SQLite file" in refused(command, path, because=str(path))
    assert list(tmp_path.iterdir()) == []


def test_init_of_a_missing_file(tmp_path: Path, target_dsn: str) -> None:
    """It is not made either."""
    refused("init", tmp_path / "missing.db", "--target", target_dsn, because="there is no file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["init --target embedded", "status", "verify", "advance", "rollback", "relay"])
def test_an_application_with_a_table_of_our_name(app: Path, command: str) -> None:
    """It is the application's, and is left alone."""
    with closing(sqlite3.connect(app)) as connection:
        connection.execute("CREATE TABLE _dualdb_control (mine)")
    refused(*command.split(), app, because="the table _dualdb_control has a name that dualdb keeps for itself; rename")
    assert objects(app) == ["_dualdb_control", "runs"]


def test_an_empty_address(app: Path) -> None:
    """It is not taken for libpq's default."""
    refused("init", app, "--target", "", because="the target is empty")
    assert objects(app) == ["runs"]


@pytest.mark.parametrize("command", ["status", "verify", "advance", "rollback", "relay", "recopy"])
def test_a_file_that_was_never_prepared(app: Path, command: str) -> None:
    """The line says which command comes first."""
    assert "dualdb init" in refused(command, app, because="not prepared")
    assert objects(app) == ["runs"]


@pytest.mark.parametrize("command", ["init", "status", "verify", "advance", "rollback", "relay", "recopy"])
def test_a_file_that_another_version_prepared(app: Path, target_dsn: str, command: str) -> None:
    """What its tables mean is not known, so that nothing is done."""
    done("init", app, "--target", target_dsn)
    with closing(sqlite3.connect(app)) as connection, connection:
        connection.execute("UPDATE _dualdb_control SET layout = 7")
    words = [command, app, *(["--target", target_dsn] if command == "init" else [])]
    assert "install the version that prepared it" in refused(*words, because=f"layout 7, this one knows {LAYOUT}")


def test_a_locked_file(app: Path, target_dsn: str, target: psycopg.Connection[Any]) -> None:
    """Another program's open transaction."""
    with closing(sqlite3.connect(app, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused("init", app, "--target", target_dsn, because="locked")
        other.execute("ROLLBACK")
    assert_untouched(app, target, ["runs"])


@pytest.mark.parametrize("command", ["init", "status", "advance"])
def test_a_file_that_is_no_database(tmp_path: Path, target_dsn: str, command: str) -> None:
    """It keeps its bytes."""
    path = tmp_path / "notes.txt"
    path.write_text("nothing but text\n" * 100)
    words = [command, path, *(["--target", target_dsn] if command == "init" else [])]
    refused(*words, because="not a database" if command != "init" else "not a SQLite database")
    assert path.read_text() == "nothing but text\n" * 100


def test_a_corrupt_file(app: Path, target_dsn: str, target: psycopg.Connection[Any]) -> None:
    """Found before anything is written."""
    with closing(sqlite3.connect(app)) as connection, connection:
        connection.executemany("INSERT INTO runs(name) VALUES (?)", [("x" * 500,)] * 200)
    with app.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    refused("init", app, "--target", target_dsn, because="damaged")
    assert target.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'dualdb'").fetchone() == (0,)


def test_a_folder(tmp_path: Path, target_dsn: str) -> None:
    """Not a file at all."""
    refused("init", tmp_path, "--target", target_dsn, because="is a folder")


def test_an_unreachable_server(app: Path) -> None:
    """Host and port are named, the password is not."""
    line = refused("init", app, "--target", f"postgresql://me:{PASSWORD}@localhost:1/nowhere", because="localhost:1")
    assert "check that the server runs" in line
    assert objects(app) == ["runs"]


@pytest.mark.parametrize("command", ["advance", "verify", "rollback", "recopy", "relay --until-aligned"])
def test_a_server_that_went_away(app: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Each command says so at once; none waits for a server that may never come."""
    done("init", app, "--target", target_dsn)
    done("advance", app, "--to", "postgres" if command in ("rollback", "recopy") else "dual_write")
    monkeypatch.setenv("DUALDB_TARGET", f"postgresql://me:{PASSWORD}@localhost:1/nowhere")
    refused(*command.split(), app, because="localhost:1")


def test_a_target_that_is_no_address(app: Path) -> None:
    """Not even when it holds a password."""
    refused("init", app, "--target", f"postgresql://me:{PASSWORD}@[", because="not a PostgreSQL connection string")
    assert objects(app) == ["runs"]


@pytest.mark.parametrize(
    "password", [f"{PASSWORD}/x", f"x/{PASSWORD}", f"x@{PASSWORD}", f"{PASSWORD} x", f"{PASSWORD}%x"]
)
@pytest.mark.parametrize("through", ["argument", "variable", "traceback"])
def test_a_password_that_is_not_escaped(
    app: Path, monkeypatch: pytest.MonkeyPatch, password: str, through: str
) -> None:
    """Libpq would take a part of it for the host, the port or the database, and complain of it by name."""
    address = f"postgresql://me:{password}@localhost:1/nowhere"
    if through == "variable":
        monkeypatch.setenv("DUALDB_TARGET", address)
    if through == "traceback":
        monkeypatch.setenv("DUALDB_TRACEBACK", "1")
    result = run("init", app, *(() if through == "variable" else ("--target", address)))
    assert result.returncode == 1
    assert "not shown" in result.stderr
    assert PASSWORD not in result.stdout + result.stderr
    assert objects(app) == ["runs"]


def test_an_address_without_quotes(app: Path) -> None:
    """The shell made two words of it; the second one is not repeated."""
    result = run("init", app, "--target", "postgresql://me:open", f"{PASSWORD}@localhost/name")
    assert result.returncode == 2
    assert "quotes around" in result.stderr
    assert PASSWORD not in result.stderr


def test_the_target_may_come_from_the_variable(app: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone; not against an argument that leads elsewhere."""
    monkeypatch.setenv("DUALDB_TARGET", target_dsn)
    refused("init", app, "--target", "postgresql://me@localhost:1/nowhere", because="unset DUALDB_TARGET")
    assert objects(app) == ["runs"]
    done("init", app)
    monkeypatch.delenv("DUALDB_TARGET")
    assert "sqlite" in done("status", app)


def test_a_wrong_password(app: Path, target_dsn: str) -> None:
    """The line names the ways to give the right one."""
    wrong = make_conninfo(target_dsn, password=PASSWORD, passfile=os.devnull)
    assert "DUALDB_TARGET" in refused("init", app, "--target", wrong, because="password authentication failed")
    assert objects(app) == ["runs"]


def test_a_password_is_not_stored(app: Path, target_dsn: str, target: psycopg.Connection[Any]) -> None:
    """Neither in the file, nor shown by status."""
    password = target.info.password
    assert len(password) > 10
    done("init", app, "--target", make_conninfo(target_dsn, password=password))
    assert password not in done("status", app) + done("status", app, "--json")
    assert not [path for path in app.parent.iterdir() if password.encode() in path.read_bytes()]


def test_a_server_that_is_too_old(app: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by its number; here by raising what is asked for, since nobody has PostgreSQL 14 at hand."""
    monkeypatch.setattr(target_connection, "OLDEST_SERVER", 990000)
    result = CliRunner().invoke(main, ["init", str(app), "--target", target_dsn])
    one_line(result.exit_code, result.stderr, "needs PostgreSQL 15 or newer")
    assert objects(app) == ["runs"]


def test_a_target_schema_that_holds_tables(app: Path, target_dsn: str, target: psycopg.Connection[Any]) -> None:
    """Tables that are not ours are never touched."""
    target.execute("CREATE TABLE mine (n integer)")
    refused("init", app, "--target", target_dsn, because="mine")
    assert_untouched(app, target, ["runs"])


def test_a_file_system_without_wal(
    app: Path, target_dsn: str, target: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind of file system is named; the file stays in its journal mode."""
    monkeypatch.setattr(mounts, "without_shared_memory", lambda _path: "nfs4")
    result = CliRunner().invoke(main, ["init", str(app), "--target", target_dsn])
    one_line(result.exit_code, result.stderr, "nfs4")
    assert_untouched(app, target, ["runs"])
    with closing(sqlite3.connect(app)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize(
    ("schema", "because"),
    [
        ("CREATE VIRTUAL TABLE notes USING fts5(body)", "notes"),
        ("CREATE VIRTUAL TABLE places USING rtree(id, x0, x1)", "places"),
        ("CREATE TABLE nameless (rowid TEXT, oid TEXT, _rowid_ TEXT)", "nameless"),
        (f"CREATE TABLE wide ({', '.join(f'c{place}' for place in range(1600))})", "wide has 1600 columns"),
    ],
)
def test_a_table_that_cannot_be_carried(
    app: Path, target_dsn: str, target: psycopg.Connection[Any], schema: str, because: str
) -> None:
    """A virtual table, one whose rows nothing tells apart, and one that PostgreSQL cannot make."""
    with closing(sqlite3.connect(app)) as connection:
        connection.execute(schema)
    names = objects(app)
    refused("init", app, "--target", target_dsn, because=because)
    assert_untouched(app, target, names)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("VIRTUAL TABLE notes USING fts5(body)", "virtual table notes"),
        ("TABLE notes (rowid TEXT, oid TEXT, _rowid_ TEXT)", "notes"),
        (f"TABLE notes ({', '.join(f'c{place}' for place in range(1600))})", "notes has 1600 columns"),
    ],
    ids=["virtual", "not to be keyed", "too wide"],
)
def test_a_table_that_cannot_be_carried_and_a_plain_program_makes_later(
    app: Path, target_dsn: str, table: str, told: str
) -> None:
    """Everything says so, nothing waits for ever, and without it all is well again."""
    done("init", app, "--target", target_dsn)
    done("advance", app)
    with closing(sqlite3.connect(app)) as connection, connection:
        connection.execute(f"CREATE {table}")
        connection.execute("INSERT INTO runs(name) VALUES ('c')")
    assert told in done("status", app)
    assert told in done("status", app, "--json")
    result = run("relay", app, "--until-aligned")
    one_line(result.returncode, result.stderr, told)
    assert "again" not in result.stdout
    with closing(sqlite3.connect(app)) as connection:
        connection.execute("DROP TABLE notes")
    done("relay", app, "--until-aligned")
    assert "no difference" in done("verify", app)


@pytest.mark.parametrize("key", ["CREATE UNIQUE INDEX long", "PRIMARY KEY", "UNIQUE"])
def test_an_index_that_postgresql_cannot_make(app: Path, target_dsn: str, key: str) -> None:
    """It is left out over there and keeps the file from phase postgres; everything else flows."""
    names = ", ".join(f"c{place}" for place in range(33))
    made = f"{key} ON notes ({names})" if key.startswith("CREATE") else ""
    done("init", app, "--target", target_dsn)
    done("advance", app)
    with closing(sqlite3.connect(app)) as connection, connection:
        connection.execute(f"CREATE TABLE notes ({names}{'' if made else f', {key} ({names})'})")
        connection.execute(made or "SELECT 1")
        connection.execute("INSERT INTO notes(c0) VALUES ('x')")
    done("relay", app, "--until-aligned")
    assert "no difference" in done("verify", app)
    told = "it has 33 columns and PostgreSQL's have at most 32"
    assert told in " ".join(done("status", app).split())
    refused("advance", app, because=told)


@pytest.mark.parametrize(
    "kind", ["TABLE public.runs (x integer)", "DOMAIN public.runs AS text", "SEQUENCE public.sqlite_sequence_runs"]
)
def test_somebody_elses_object_that_came_after_init(
    app: Path, target_dsn: str, target: psycopg.Connection[Any], kind: str
) -> None:
    """It is named and left alone; when it is gone the step is taken."""
    done("init", app, "--target", target_dsn)
    target.execute(f"CREATE {kind}".encode())
    refused("advance", app, because="rename or drop it there")
    what, name, *_ = kind.split()
    target.execute(f"DROP {what} {name}".encode())
    done("advance", app)


@pytest.mark.parametrize("schema", ["", "pg_mine", "dualdb", "sqlite", "information_schema"])
def test_a_schema_that_is_kept_for_others(
    app: Path, target_dsn: str, target: psycopg.Connection[Any], schema: str
) -> None:
    """Before anything is made."""
    refused("init", app, "--target", target_dsn, "--schema", schema, because="choose another one")
    assert_untouched(app, target, ["runs"])


def test_a_second_init(app: Path, target_dsn: str, server_dsn: str) -> None:
    """For the same target, and for another one; what is there stays."""
    done("init", app, "--target", target_dsn)
    refused("init", app, "--target", target_dsn, because="already prepared")
    refused("init", app, "--target", server_dsn, because="already prepared")
    assert "sqlite" in done("status", app)
    done("advance", app)
    refused("init", app, "--target", "postgresql://nobody@127.0.0.1:1/nothing", because="already prepared")


def test_a_target_that_serves_another_file(app: Path, tmp_path: Path, target_dsn: str) -> None:
    """One PostgreSQL database serves one file."""
    done("init", app, "--target", target_dsn)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.executescript(SCHEMA)
    refused("init", other, "--target", target_dsn, because="another SQLite file")
    assert objects(other) == ["runs"]


def test_a_phase_that_cannot_follow(app: Path, target_dsn: str) -> None:
    """Back from the first, on from the last, and a goal that lies behind."""
    done("init", app, "--target", target_dsn)
    refused("rollback", app, because="phase sqlite")
    refused("verify", app, because="phase sqlite")
    refused("relay", "--until-aligned", app, because="phase sqlite")
    refused("recopy", app, because="phase sqlite")
    done("advance", app, "--to", "postgres")
    refused("advance", app, because="phase postgres")
    refused("advance", app, "--to", "dual_write", because="phase postgres")
    assert "already" in done("advance", app, "--to", "postgres")


def test_two_coordinators(app: Path, target_dsn: str) -> None:
    """The second one is told of the first, whichever commands they are."""
    done("init", app, "--target", target_dsn)
    with coordinating(str(app)):
        refused("advance", app, because="another command leads")
        refused("rollback", app, because="another command leads")
    done("advance", app)


def test_a_folder_where_our_own_file_goes(app: Path, target: psycopg.Connection[Any], target_dsn: str) -> None:
    """Found before anything is written."""
    hint = hint_path(str(app))
    os.mkdir(hint)
    refused("init", app, "--target", target_dsn, because="no ordinary file, and dualdb keeps one of that name")
    os.rmdir(hint)
    assert_untouched(app, target, ["runs"])
    with closing(sqlite3.connect(app)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_file_with_two_names(app: Path, target: psycopg.Connection[Any], target_dsn: str) -> None:
    """SQLite's log goes by the name."""
    other = app.with_name("other.db")
    os.link(app, other)
    refused("init", app, "--target", target_dsn, because="has 2 names (hard links)")
    other.unlink()
    assert_untouched(app, target, ["runs"])


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, os.devnull):
        for command in ("status", "verify", "advance", "server status", "server start", "server stop"):
            refused(*command.split(), path, because="is no ordinary file; give the path")


@pytest.mark.parametrize("command", ["status", "start", "stop"])
def test_a_folder_has_no_server(tmp_path: Path, command: str) -> None:
    refused("server", command, tmp_path, because="is a folder; give the path")


@pytest.mark.parametrize("command", ["status", "start", "stop"])
def test_a_missing_file_has_no_server(tmp_path: Path, command: str) -> None:
    """Nobody is told to prepare it."""
    refused("server", command, tmp_path / "missing.db", because="there is no file")


@pytest.mark.parametrize("command", ["status", "start", "stop"])
def test_a_server_of_somebody_elses_is_not_ours_to_stop(app: Path, target_dsn: str, command: str) -> None:
    done("init", app, "--target", target_dsn)
    refused("server", command, app, because="which others start and stop; dualdb status")


def test_a_terminal_without_the_names_letters(app: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are shown in ASCII."""
    strange = app.with_name("ünï ✓.db")
    app.rename(strange)
    done("init", strange, "--target", target_dsn)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = run("status", strange)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\xfcn\\xef \\u2713.db" in result.stdout


def test_no_room_for_the_output(app: Path, target_dsn: str) -> None:
    done("init", app, "--target", target_dsn)
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "dualdb", "status", str(app)]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert "the system says: No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.returncode != 0


def test_what_postgresql_refuses_is_postgresqls_word(
    app: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody has set it to give up."""
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1")
    line = refused("init", app, "--target", target_dsn, because="PostgreSQL says: canceling statement due to statement")
    assert "unexpected" not in line
    assert objects(app) == ["runs"]
