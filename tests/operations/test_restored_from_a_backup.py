"""A side is restored from a backup, or another database stands where it was: found, told, and no row lost."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.stores.mirrored import leave_at

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import ControlRow, MoveState, Phase, Side, Step, restored
from dualdb.entrypoints.cli import main
from dualdb.errors import LineageError
from dualdb.operations import status as operation
from dualdb.operations.initialise import initialise
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback, rollback_to
from dualdb.operations.verify import verify
from dualdb.stores import journal, mirror
from dualdb.stores.control import Control, Order, settle
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned
from dualdb.stores.server_binaries import find_binaries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
CREATE TABLE points (run INTEGER REFERENCES runs(id), value REAL);
INSERT INTO runs(name) VALUES ('a'), ('b');
INSERT INTO points VALUES (1, 0.5);
"""

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def prepared(database: Path, target_dsn: str) -> str:
    """A small file, prepared."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    return str(database)


def copy(database: str, into: str) -> None:
    """What a user does who saves or restores a live file: SQLite's backup API."""
    with closing(sqlite3.connect(database)) as origin, closing(sqlite3.connect(into)) as other:
        origin.backup(other)


def log(database: str, name: str) -> None:
    """A row of the application's."""
    with closing(dualdb.connect(database)) as connection, connection:
        connection.execute("INSERT INTO runs(name) VALUES (?)", (name,))


def names(database: str, table: str = "runs") -> list[str]:
    """What the file holds, as a plain sqlite3 program sees it."""
    with closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute(f'SELECT name FROM "{table}" ORDER BY id')]


def run(program: str, *arguments: str) -> None:
    """One of PostgreSQL's own tools."""
    subprocess.run([find_binaries().program(program), *arguments], check=True, capture_output=True, timeout=60)


def saved_server(dsn: str, folder: Path) -> Callable[[], None]:
    """Save PostgreSQL as it is; what puts it back."""
    dump = folder / "saved.sql"
    run("pg_dump", "--clean", "--if-exists", f"--dbname={dsn}", f"--file={dump}")

    def restore() -> None:
        with psycopg.connect(dsn) as connection:  # what came later is not there afterwards
            connection.execute(END_ALL)
            for (schema,) in connection.execute(SCHEMAS).fetchall():
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public")
        run("psql", "--quiet", f"--dbname={dsn}", f"--file={dump}")
        with psycopg.connect(dsn) as connection:  # a server that is restored whole has been down
            connection.execute(END_ALL)

    return restore


def phase_of(database: str) -> str:
    """The phase in the file's control row."""
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT phase FROM _dualdb_control").fetchone()[0])


def test_a_file_of_before_the_switch_follows_again_and_keeps_its_rows(prepared: str, tmp_path: Path) -> None:
    """PostgreSQL stays the authority; what was written into the restored file lies beside the authority's rows."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    copy(str(tmp_path / "saved.db"), prepared)
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("INSERT INTO runs(name) VALUES ('in the restored file')")
    relay_until_aligned(prepared, unheard, 30)
    assert phase_of(prepared) == "postgres"
    assert names(prepared) == ["a", "b", "in postgres"]
    assert names(prepared, "_dualdb_aside_1_runs") == ["a", "b", "in the restored file"]
    with closing(sqlite3.connect(prepared)) as connection, pytest.raises(sqlite3.IntegrityError, match="dualdb:moved"):
        connection.execute("INSERT INTO runs(name) VALUES ('plain')")
    log(prepared, "later")
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE
    assert names(prepared) == ["a", "b", "in postgres", "later"]


def test_a_table_that_the_restored_file_numbered_anew_is_set_aside_once(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority knows one of that name by a lower number; a VACUUM later on is no news."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    create = "CREATE TABLE {} (id INTEGER PRIMARY KEY, name TEXT)"
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "first.db"))
    with closing(dualdb.connect(prepared)) as connection:
        connection.execute(create.format("other"))
        connection.execute(create.format("later"))
    relay_until_aligned(prepared, unheard, 30)
    copy(prepared, str(tmp_path / "second.db"))
    copy(str(tmp_path / "first.db"), prepared)
    command("recopy", prepared)
    with closing(dualdb.connect(prepared)) as connection:
        connection.execute(create.format("later"))
    advance(prepared, observer=unheard)
    copy(str(tmp_path / "second.db"), prepared)
    relay_until_aligned(prepared, unheard, 30)
    before = aside(prepared)
    assert before
    for _ in range(2):
        with closing(sqlite3.connect(prepared)) as plain:
            plain.execute("VACUUM")
        log(prepared, "later")
        relay_until_aligned(prepared, unheard, 30)
    assert aside(prepared) == before
    with Pair.open(prepared) as pair:
        assert verify(pair, full=True).agrees
    rollback(prepared, observer=unheard)
    assert names(prepared) == ["a", "b", "later", "later"]


def aside(database: str) -> list[str]:
    """The tables that were set aside in the file."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '\\_dualdb\\_aside%' ESCAPE '\\'")
        return sorted(name for (name,) in found)


def test_a_program_that_has_such_a_file_open_goes_to_postgresql(prepared: str, tmp_path: Path) -> None:
    """Its own relay finds out, and its writes go where everybody else's go."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    copy(str(tmp_path / "saved.db"), prepared)
    with closing(dualdb.connect(prepared, timeout=20)) as connection:
        for _ in range(2000):
            connection.execute("INSERT INTO runs(name) VALUES ('x')")
            connection.commit()
            if phase_of(prepared) == "postgres":
                break
        else:
            pytest.fail("nobody found out")
        connection.execute("INSERT INTO runs(name) VALUES ('found')")
        connection.commit()
        assert connection.execute("SELECT count(*) FROM runs WHERE name = 'found'").fetchone() == (1,)
        relay_until_aligned(prepared, unheard, 30)
    assert "found" in names(prepared)


def test_a_file_of_before_the_mirror_is_told_and_nothing_is_dropped(
    prepared: str, tmp_path: Path, target_dsn: str
) -> None:
    """In phase sqlite nobody asks PostgreSQL; the next command does, and PostgreSQL's rows stay where they are."""
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, Phase.POSTGRES, observer=unheard)
    log(prepared, "in postgres")
    copy(str(tmp_path / "saved.db"), prepared)
    with pytest.raises(LineageError, match="restored from a backup, and PostgreSQL holds later rows"):
        advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn) as connection:
        assert connection.execute("SELECT name FROM runs ORDER BY id").fetchall() == [("a",), ("b",), ("in postgres",)]
        connection.execute("DROP SCHEMA public, dualdb, sqlite CASCADE")  # the user has chosen the file's rows
    initialise(prepared, target_dsn)
    assert [step.after for step in advance(prepared, observer=unheard)] == [Phase.DUAL_WRITE]


def test_a_file_that_went_back_alone_is_still_known_as_old(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """While PostgreSQL is away the restored file may leave the mirror, and its epoch ties with PostgreSQL's."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    copy(str(tmp_path / "saved.db"), prepared)
    with closing(sqlite3.connect(prepared, isolation_level=None)) as connection:
        mirror.stop_capturing(prepared, connection)  # what a rollback does while PostgreSQL does not answer
    with pytest.raises(LineageError, match="restored from a backup, and PostgreSQL holds later rows"):
        advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn) as connection:
        assert connection.execute("SELECT name FROM runs ORDER BY id").fetchall() == [("a",), ("b",), ("in postgres",)]
    found = read_status(prepared)
    assert found.authority == "target"
    assert "restored from a backup" in found.blockers[0].reason


def test_a_target_that_was_dropped_is_left_alone_and_then_left(prepared: str, target_dsn: str) -> None:
    """Where the database stood is another one, empty: status says so, and the way back needs no PostgreSQL."""
    advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn) as connection:
        connection.execute("DROP SCHEMA public, dualdb, sqlite CASCADE")
        connection.execute("CREATE SCHEMA public")
    found = read_status(prepared)
    assert not found.target.reachable
    assert "half prepared" in found.blockers[0].reason
    assert rollback(prepared, observer=unheard).after is Phase.SQLITE
    initialise(prepared, target_dsn)
    assert [step.after for step in advance(prepared, observer=unheard)] == [Phase.DUAL_WRITE]


def test_a_fail_over_that_forgot_the_move_lifts_the_fence(prepared: str, target_dsn: str) -> None:
    """The incoming side was opened and its standby never heard of it: nobody can decide, so the move is given up."""
    advance(prepared, observer=unheard)
    with Control.open(prepared) as control:
        for _ in range(2):
            control.perform(control.judge().step, control.judge(), Order(to=Phase.POSTGRES, allowed_s=60.0))
    with psycopg.connect(target_dsn) as connection:
        connection.execute("UPDATE dualdb.control SET move = 0, move_state = 'rest', move_to = NULL, deadline = NULL")
    with closing(dualdb.connect(prepared, timeout=20)) as connection:
        connection.execute("INSERT INTO runs(name) VALUES ('goes on')")
        connection.commit()
    assert names(prepared)[-1] == "goes on"
    assert [step.after for step in advance(prepared, observer=unheard)] == [Phase.POSTGRES]


def test_a_way_back_that_the_restored_file_has_forgotten_is_given_up(prepared: str, tmp_path: Path) -> None:
    """PostgreSQL was fenced for the way back when the file was replaced by an older one: PostgreSQL goes on."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    with Control.open(prepared) as control:
        for _ in range(2):
            control.perform(control.judge().step, control.judge(), Order(to=Phase.DUAL_WRITE, allowed_s=60.0))
    copy(str(tmp_path / "saved.db"), prepared)
    assert settle(prepared) in (None, Phase.POSTGRES)
    log(prepared, "goes on")
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE
    assert names(prepared) == ["a", "b", "goes on"]


def test_a_file_of_an_earlier_mirror_begins_anew_and_postgresqls_rows_are_kept(
    prepared: str, tmp_path: Path, target_dsn: str
) -> None:
    """The file is the authority, whatever state it is in; what only PostgreSQL holds is set aside there."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    rollback(prepared, observer=unheard)
    copy(str(tmp_path / "saved.db"), prepared)
    with pytest.raises(LineageError, match="restored from a backup"):
        advance(prepared, observer=unheard)
    assert rollback(prepared, observer=unheard).after is Phase.SQLITE
    (step,) = advance(prepared, observer=unheard)
    assert step.after is Phase.DUAL_WRITE
    with psycopg.connect(target_dsn) as connection:
        assert connection.execute("SELECT name FROM runs ORDER BY id").fetchall() == [("a",), ("b",)]
        aside = connection.execute("SELECT name FROM dualdb_aside_1.runs ORDER BY id").fetchall()
    assert aside == [("a",), ("b",), ("in postgres",)]


def test_a_postgresql_of_behind_its_fence_is_not_taken_for_equal(
    prepared: str, target_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still waits for the end of its move. That was decided, and is not the file's last word: it has left the mirror
    since, was written to, and has begun another one.
    """
    monkeypatch.setenv("DUALDB_RELAY", "off")
    advance(prepared, Phase.POSTGRES, observer=unheard)
    log(prepared, "in postgres")
    leave_at(prepared, Step.FENCE, Phase.DUAL_WRITE)
    restore = saved_server(target_dsn, tmp_path)
    leave_at(prepared, Step.SETTLE, Phase.DUAL_WRITE)
    assert rollback(prepared, observer=unheard).after is Phase.SQLITE
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("INSERT INTO runs(name) VALUES ('that nobody captured')")
    advance(prepared, observer=unheard)
    restore()
    relay_until_aligned(prepared, unheard, 30)
    with Pair.open(prepared) as pair:
        assert verify(pair, full=True).agrees
    with psycopg.connect(target_dsn) as server:
        found = server.execute("SELECT name FROM runs ORDER BY id").fetchall()
        aside = server.execute("SELECT name FROM dualdb_aside_1.runs ORDER BY id").fetchall()
    assert found == [("a",), ("b",), ("in postgres",), ("that nobody captured",)]
    assert aside == [("a",), ("b",), ("in postgres",)]
    assert [step.after for step in advance(prepared, observer=unheard)] == [Phase.POSTGRES]


def test_no_id_of_rows_that_the_next_mirror_sets_aside_is_given_again(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of PostgreSQL's, on the way that is advised for an older file."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    for number in range(5):
        log(prepared, f"in postgres {number}")
    rollback(prepared, observer=unheard)
    copy(str(tmp_path / "saved.db"), prepared)
    command("rollback", prepared, "--to", "sqlite")
    command("advance", prepared, "--to", "dual_write")
    with closing(sqlite3.connect(prepared)) as plain, plain:
        assert plain.execute("INSERT INTO runs(name) VALUES ('new') RETURNING id").fetchone() == (8,)


def test_no_id_of_rows_that_are_set_aside_in_the_file_is_given_again(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file follows PostgreSQL, which gives the next one."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    copy(str(tmp_path / "saved.db"), prepared)
    with closing(sqlite3.connect(prepared)) as plain, plain:
        plain.executemany("INSERT INTO runs(name) VALUES (?)", [("in the file",)] * 5)
    command("recopy", prepared)
    with closing(dualdb.connect(prepared)) as connection, connection:
        assert connection.execute("INSERT INTO runs(name) VALUES ('new')").lastrowid == 8


def test_status_tells_of_a_fence_whose_move_was_forgotten(prepared: str, target_dsn: str, tmp_path: Path) -> None:
    """PostgreSQL was restored during the switch."""
    advance(prepared, observer=unheard)
    restore = saved_server(target_dsn, tmp_path)
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    restore()
    found = read_status(prepared)
    assert found.move is not None
    assert "forgotten" in found.move.stands
    assert "forgotten" in found.blockers[0].reason
    command("rollback", prepared, "--to", "dual_write")
    assert read_status(prepared).blockers == ()


def test_status_does_not_call_a_switch_a_backup(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process takes it between the readings of the two rows."""
    advance(prepared, observer=unheard)
    reach = operation._reach_target

    def be_overtaken(*asked: Any) -> Any:  # noqa: ANN401 - whatever it is asked and gives
        found = reach(*asked)
        monkeypatch.setattr(operation, "_reach_target", reach)
        advance(prepared, observer=unheard)
        return found

    monkeypatch.setattr(operation, "_reach_target", be_overtaken)
    found = read_status(prepared)
    assert (found.phase, found.blockers) == ("postgres", ())


@pytest.fixture(params=["sqlite", "dual_write", "postgres", "its fence", "a move given up since", "an earlier mirror"])
def older_target(
    prepared: str, target_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """The file is the authority again, and PostgreSQL that of an earlier phase, or of behind its fence."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    restore = saved_server(target_dsn, tmp_path)
    for phase in (Phase.DUAL_WRITE, Phase.POSTGRES):
        advance(prepared, phase, observer=unheard)
        log(prepared, f"in {phase.value}")
        relay_until_aligned(prepared, unheard, 30)
        if request.param == phase.value:
            restore = saved_server(target_dsn, tmp_path)
        if request.param == "an earlier mirror" and phase is Phase.DUAL_WRITE:
            restore = saved_server(target_dsn, tmp_path)
            rollback(prepared, observer=unheard)
            with closing(sqlite3.connect(prepared)) as plain, plain:
                plain.execute("UPDATE runs SET name = 'B' WHERE name = 'b'")  # which nobody captures
            advance(prepared, phase, observer=unheard)
            break
        if request.param == "a move given up since" and phase is Phase.DUAL_WRITE:
            restore = saved_server(target_dsn, tmp_path)
    if request.param == "its fence":
        leave_at(prepared, Step.FENCE, Phase.DUAL_WRITE)
        restore = saved_server(target_dsn, tmp_path)
    rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard)
    if request.param == "a move given up since":
        leave_at(prepared, Step.FENCE, Phase.POSTGRES)
        rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard)
    log(prepared, "in sqlite again")
    relay_until_aligned(prepared, unheard, 30)
    restore()
    return prepared


def command(*words: str) -> str:
    """What `dualdb` says, which ends well."""
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.output


def check_whole(database: str, logged: list[str]) -> None:
    """Nothing is lost, both sides agree, and every later step can be taken."""
    relay_until_aligned(database, unheard, 30)
    assert names(database) == logged
    with Pair.open(database) as pair:
        assert verify(pair, full=True).agrees
    assert read_status(database).blockers == ()
    advance(database, Phase.POSTGRES, observer=unheard)
    log(database, "later")
    rollback(database, observer=unheard)
    assert names(database) == [*logged, "later"]


def test_an_older_postgresql_under_a_file_with_the_say_is_told(older_target: str) -> None:
    """By every command, with the one that leads out of it, and nothing is taken for copied."""
    (blocker,) = read_status(older_target).blockers
    assert "PostgreSQL was restored from a backup" in blocker.reason
    assert f"run dualdb recopy {older_target}" in blocker.remedy
    with pytest.raises(LineageError, match="dualdb recopy"):
        advance(older_target, observer=unheard)
    with pytest.raises(LineageError, match="dualdb recopy"):
        relay_until_aligned(older_target, unheard, 30)
    with pytest.raises(LineageError, match="dualdb recopy"), Pair.open(older_target) as pair:
        verify(pair, full=True)
    log(older_target, "goes on")
    assert names(older_target)[-1] == "goes on"


def test_an_older_postgresql_is_copied_anew(older_target: str) -> None:
    """What it holds is kept beside the copy."""
    logged = names(older_target)
    assert "dualdb_aside_1" in command("recopy", older_target)
    check_whole(older_target, logged)


def test_an_older_postgresql_is_left_and_mirrored_again(older_target: str, target_dsn: str) -> None:
    """The way through phase sqlite does the same."""
    logged = names(older_target)
    command("rollback", older_target, "--to", "sqlite")
    assert f"run dualdb advance {older_target}" in read_status(older_target).blockers[0].remedy
    command("advance", older_target, "--to", "dual_write")
    with psycopg.connect(target_dsn) as server:
        assert server.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'dualdb_aside_1'").fetchone() == (1,)
    check_whole(older_target, logged)


def test_a_postgresql_that_was_replaced_after_a_move_was_given_up_is_mirrored_again(
    prepared: str, target_dsn: str
) -> None:
    """No backup was restored: it was dropped, and init run again."""
    advance(prepared, observer=unheard)
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    command("rollback", prepared, "--to", "dual_write")
    with psycopg.connect(target_dsn) as server:
        server.execute("DROP SCHEMA public, dualdb, sqlite CASCADE")
        server.execute("CREATE SCHEMA public")
    said = command("init", prepared, "--target", target_dsn)
    assert f"in phase dual_write; next: dualdb status {prepared}" in said
    command("advance", prepared, "--to", "dual_write")
    relay_until_aligned(prepared, unheard, 30)
    with Pair.open(prepared) as pair:
        assert verify(pair, full=True).agrees


def test_a_fenced_file_whose_older_postgresql_was_told_of_the_end_is_led_out(
    prepared: str, tmp_path: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The move that it never heard of is given up in its row, which then knows as many moves as the file."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    advance(prepared, observer=unheard)
    restore = saved_server(target_dsn, tmp_path)
    advance(prepared, observer=unheard)
    rollback(prepared, observer=unheard)
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    restore()
    CliRunner().invoke(main, ["rollback", prepared, "--to", "dual_write"])
    command("recopy", prepared)
    check_whole(prepared, ["a", "b"])


def test_a_fenced_file_whose_postgresql_was_restored_is_freed(
    prepared: str, target_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was about to leave for a PostgreSQL that has the say by its own row, of long ago."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    advance(prepared, Phase.POSTGRES, observer=unheard)
    restore = saved_server(target_dsn, tmp_path)
    rollback(prepared, observer=unheard)
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    restore()
    command("recopy", prepared)
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("INSERT INTO runs(name) VALUES ('not fenced')")
    relay_until_aligned(prepared, unheard, 30)
    with Pair.open(prepared) as pair:
        assert verify(pair, full=True).agrees


@pytest.mark.parametrize("first", ["rollback", "status", "a writer"])
def test_a_file_of_behind_its_fence_can_be_led_out(
    prepared: str, target_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Its move was decided, and the way back taken since: it is the authority, in whatever state, and not fenced."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    advance(prepared, observer=unheard)
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, Phase.POSTGRES, observer=unheard)
    log(prepared, "in postgres")
    rollback(prepared, observer=unheard)
    copy(str(tmp_path / "saved.db"), prepared)
    if first == "status":
        (blocker,) = read_status(prepared).blockers
        assert "restored from a backup, and PostgreSQL holds later rows" in blocker.reason
        assert "dualdb rollback" in blocker.remedy
    elif first == "a writer":
        for _ in range(2):  # the first one finds the fence, and lifts it
            with (
                suppress(sqlite3.OperationalError),
                closing(dualdb.connect(prepared, timeout=5)) as connection,
                connection,
            ):
                connection.execute("INSERT INTO points VALUES (1, 1.5)")
        with closing(sqlite3.connect(prepared)) as connection:
            assert connection.execute("SELECT count(*) FROM points WHERE value = 1.5").fetchone()[0] >= 1
    rollback_to(prepared, Phase.SQLITE, observer=unheard)
    advance(prepared, Phase.DUAL_WRITE, observer=unheard)
    with psycopg.connect(target_dsn) as server:
        aside = server.execute("SELECT name FROM dualdb_aside_1.runs ORDER BY id").fetchall()
    assert aside == [("a",), ("b",), ("in postgres",)]
    log(prepared, "goes on")
    relay_until_aligned(prepared, unheard, 30)
    with Pair.open(prepared) as pair:
        assert verify(pair, full=True).agrees


@pytest.mark.parametrize("first", ["rollback", "a writer"])
def test_a_file_of_behind_an_earlier_fence_follows(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """PostgreSQL has the say again since: nobody may write into the file for an instant."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    advance(prepared, observer=unheard)
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, Phase.POSTGRES, observer=unheard)
    rollback(prepared, observer=unheard)
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    copy(str(tmp_path / "saved.db"), prepared)
    unfenced: list[object] = []
    monkeypatch.setattr(journal, "remove_fence", unfenced.append)
    if first == "a writer":
        log(prepared, "through dualdb")
    relay_until_aligned(prepared, unheard, 30)
    assert unfenced == []
    monkeypatch.undo()
    assert names(prepared, "_dualdb_aside_1_runs") == ["a", "b"]
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE
    assert names(prepared)[:3] == ["a", "b", "in postgres"]
    assert names(prepared)[3:] == (["through dualdb"] if first == "a writer" else [])


def test_a_postgresql_of_before_the_switch_is_refused(prepared: str, target_dsn: str, tmp_path: Path) -> None:
    """An older state must not answer, and must not take writes: the error says what happened."""
    advance(prepared, observer=unheard)
    restore = saved_server(target_dsn, tmp_path)
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    restore()
    with closing(dualdb.connect(prepared, timeout=1)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="restored from a backup"):
            connection.execute("SELECT name FROM runs").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="restored from a backup"):
            connection.execute("INSERT INTO runs(name) VALUES ('x')")
    with pytest.raises(LineageError, match="restored from a backup"):
        rollback(prepared, observer=unheard)


def test_a_copy_of_the_target_is_not_the_target(
    prepared: str, target_dsn: str, server_dsn: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Two processes with two addresses would be two authorities: an address that leads to a copy is refused."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    name = conninfo_to_dict(target_dsn)["dbname"]

    def on_server(statement: str) -> None:
        with closing(psycopg.connect(server_dsn, autocommit=True)) as connection:
            connection.execute(statement.encode())

    on_server(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    request.addfinalizer(lambda: on_server(f"DROP DATABASE {name}_copy WITH (FORCE)"))
    monkeypatch.setenv("DUALDB_TARGET", make_conninfo(target_dsn, dbname=f"{name}_copy"))
    with (
        closing(dualdb.connect(prepared, timeout=1)) as connection,
        pytest.raises(sqlite3.OperationalError, match="another database"),
    ):
        connection.execute("INSERT INTO runs(name) VALUES ('x')")
    with pytest.raises(LineageError, match="another database"):
        settle(prepared)


def row(epoch: int, phase: Phase, state: MoveState = MoveState.REST, move: int = 0) -> ControlRow:
    """A control row."""
    return ControlRow(source_id="s", epoch=epoch, phase=phase, move=move, move_state=state)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (row(2, Phase.DUAL_WRITE), row(2, Phase.DUAL_WRITE), None),
        (row(2, Phase.DUAL_WRITE), row(1, Phase.SQLITE), None),
        (row(3, Phase.SQLITE), row(2, Phase.DUAL_WRITE), None),
        (row(2, Phase.DUAL_WRITE, MoveState.MOVING, 1), row(3, Phase.POSTGRES, MoveState.TAKEN, 1), None),
        (row(4, Phase.DUAL_WRITE, MoveState.TAKEN, 2), row(3, Phase.POSTGRES, MoveState.MOVING, 2), None),
        (row(2, Phase.DUAL_WRITE, MoveState.MOVING, 1), row(5, Phase.POSTGRES, MoveState.TAKEN, 3), Side.SOURCE),
        (row(2, Phase.DUAL_WRITE), row(3, Phase.POSTGRES, MoveState.TAKEN, 1), Side.SOURCE),
        (row(1, Phase.SQLITE), row(3, Phase.POSTGRES), Side.SOURCE),
        (row(3, Phase.POSTGRES), row(2, Phase.DUAL_WRITE), Side.TARGET),
        (row(4, Phase.DUAL_WRITE), row(2, Phase.DUAL_WRITE), Side.TARGET),
        (row(4, Phase.DUAL_WRITE), row(1, Phase.SQLITE), Side.TARGET),
        (row(3, Phase.SQLITE), row(3, Phase.POSTGRES), Side.SOURCE),
        (row(4, Phase.DUAL_WRITE, MoveState.TAKEN, 2), row(3, Phase.POSTGRES, MoveState.TAKEN, 1), Side.TARGET),
    ],
)
def test_the_epochs_tell_which_side_is_old(source: ControlRow, target: ControlRow, expected: Side | None) -> None:
    """An epoch apart is a move on its way to its end, or a backup."""
    assert restored(source, target) is expected
