"""The two databases no longer belong together: told, and the follower is copied anew, with what it held kept."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner
from tests.operations.test_restored_from_a_backup import copy, log, names, phase_of, run

import dualdb
from dualdb.core.delivery import Pace
from dualdb.core.events import unheard
from dualdb.core.phase import Phase, Step
from dualdb.entrypoints.cli import main
from dualdb.errors import BusyError, LineageError, PhaseError, SourceError
from dualdb.operations.initialise import initialise
from dualdb.operations.recopy import begin_anew
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores import recopy as stores_recopy
from dualdb.stores import target_journal
from dualdb.stores.beside import make_beside
from dualdb.stores.control import Control, Order
from dualdb.stores.pair import Pair
from dualdb.stores.relay import Relay, relay_until_aligned
from dualdb.stores.relay_batch import Carrier

if TYPE_CHECKING:
    from click.testing import Result

SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
CREATE TABLE points (run INTEGER REFERENCES runs(id), value REAL);
CREATE INDEX points_run ON points (run);
INSERT INTO runs(name) VALUES ('a'), ('b');
INSERT INTO points VALUES (1, 0.5);
"""


@pytest.fixture
def prepared(tmp_path: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small file, at a path with a space in it, prepared; no relay but the commands' own."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    database = tmp_path / "app data.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    return str(database)


def recopied(database: str) -> Result:
    """`dualdb recopy`, which ends well."""
    done = CliRunner().invoke(main, ["recopy", database])
    assert done.exit_code == 0, done.output
    return done


def agree(database: str) -> bool:
    """Whether everything is equal, counts, ids and all."""
    with Pair.open(database) as pair:
        return verify(pair, full=True).agrees


def told(database: str) -> str:
    """What the one blocker of a pair that was torn apart says; the relay has stopped for it."""
    with pytest.raises(LineageError, match="dualdb recopy"):
        relay_until_aligned(database, unheard, 30)
    blockers = read_status(database).blockers
    assert len(blockers) == 1, blockers
    (blocker,) = blockers
    assert blocker.remedy == f"copy the follower anew with dualdb recopy '{database}'"
    return blocker.reason


def test_an_older_file_follows_again(prepared: str, tmp_path: Path) -> None:
    """In phase postgres, and PostgreSQL's journal does not reach back so far any more."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    for name in ("c", "d"):
        log(prepared, name)
    relay_until_aligned(prepared, unheard, 30)
    log(prepared, "e")
    relay_until_aligned(prepared, unheard, 30)
    with Pair.open(prepared) as pair:
        assert pair.target.prune(pair.source.watermark().position) > 0
    copy(str(tmp_path / "saved.db"), prepared)
    assert "PostgreSQL does not know the position" in told(prepared)

    output = recopied(prepared).output
    (saved,) = tmp_path.glob("app data.db-dualdb-before-recopy-*.db")
    assert f"they are kept in {saved}" in output
    assert "the SQLite file held these rows: runs 2, points 1" in output
    assert names(prepared) == ["a", "b", "c", "d", "e"]
    assert agree(prepared)
    assert read_status(prepared).blockers == ()
    with closing(sqlite3.connect(prepared)) as plain, pytest.raises(sqlite3.IntegrityError, match="dualdb:moved"):
        plain.execute("INSERT INTO runs(name) VALUES ('plain')")
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE
    log(prepared, "f")
    assert names(prepared) == ["a", "b", "c", "d", "e", "f"]


def test_rows_that_an_older_postgresql_lost_are_kept(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """In phase postgres the server was restored; only the follower still has what was written since."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    dump = tmp_path / "saved.sql"
    run("pg_dump", "--clean", "--if-exists", f"--dbname={target_dsn}", f"--file={dump}")
    log(prepared, "lost by the server")
    relay_until_aligned(prepared, unheard, 30)
    run("psql", "--quiet", f"--dbname={target_dsn}", f"--file={dump}")
    told(prepared)
    recopied(prepared)
    assert names(prepared) == ["a", "b"]
    assert agree(prepared)
    (saved,) = tmp_path.glob("app data.db-dualdb-before-recopy-*.db")
    assert names(str(saved)) == ["a", "b", "lost by the server"]
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE


def test_rows_that_an_older_authority_lost_are_kept_on_postgresql(
    prepared: str, tmp_path: Path, target_dsn: str
) -> None:
    """In phase dual_write the file was restored; PostgreSQL has what was written since."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    log(prepared, "lost by the file")
    relay_until_aligned(prepared, unheard, 30)
    copy(str(tmp_path / "saved.db"), prepared)
    assert "the SQLite file does not know the position" in told(prepared)
    log(prepared, "written since")
    assert "kept in schema dualdb_aside_1 of the target" in recopied(prepared).output
    assert agree(prepared)
    with psycopg.connect(target_dsn) as connection:
        found = connection.execute("SELECT name FROM runs ORDER BY id").fetchall()
        aside = connection.execute("SELECT name FROM dualdb_aside_1.runs ORDER BY id").fetchall()
    assert found == [("a",), ("b",), ("written since",)]
    assert aside == [("a",), ("b",), ("lost by the file",)]
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    relay_until_aligned(prepared, unheard, 30)
    assert agree(prepared)
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE
    assert names(prepared) == ["a", "b", "written since", "in postgres"]


def test_a_file_of_before_the_mirror_becomes_the_follower(prepared: str, tmp_path: Path) -> None:
    """Restored to phase sqlite while PostgreSQL is the authority: nobody but this command leads it back."""
    copy(prepared, str(tmp_path / "saved.db"))
    advance(prepared, Phase.POSTGRES, observer=unheard)
    log(prepared, "in postgres")
    copy(str(tmp_path / "saved.db"), prepared)
    with closing(sqlite3.connect(prepared)) as plain, plain:
        plain.execute("INSERT INTO runs(name) VALUES ('in the restored file')")
    with pytest.raises(LineageError, match="dualdb recopy"):
        advance(prepared, observer=unheard)
    assert "_dualdb_aside_" in recopied(prepared).output
    assert phase_of(prepared) == "postgres"
    assert names(prepared) == ["a", "b", "in postgres"]
    assert names(prepared, "_dualdb_aside_1_runs") == ["a", "b", "in the restored file"]
    assert agree(prepared)
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE


def test_the_saved_copy_is_an_ordinary_file(prepared: str) -> None:
    """Opened through dualdb it is nobody's follower; the application's triggers are in it, and none of our objects."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    kept = begin_anew(prepared).kept
    assert kept is not None
    with closing(dualdb.connect(kept)) as connection:
        connection.execute("INSERT INTO runs(name) VALUES ('mine')")
        connection.commit()
        assert connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%dualdb%'").fetchall() == []
    assert names(kept) == ["a", "b", "mine"]
    relay_until_aligned(prepared, unheard, 30)
    assert names(prepared) == ["a", "b"]


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.POSTGRES])
def test_a_copy_that_was_interrupted_goes_on(prepared: str, phase: Phase) -> None:
    """The second command saves nothing again; one on a pair that is whole begins anew, and harms nobody."""
    advance(prepared, phase, observer=unheard)
    first, second = begin_anew(prepared), begin_anew(prepared)
    assert first.kept is not None
    assert (second.follower, second.kept) == (first.follower, None)
    assert "goes on" in recopied(prepared).output
    assert agree(prepared)
    assert begin_anew(prepared).kept not in (None, first.kept)
    relay_until_aligned(prepared, unheard, 30)
    assert agree(prepared)


def carry_one_table(database: str) -> None:
    """A relay copies until the first table is done, and ends."""
    with Pair.open(database) as pair:
        carrier = Carrier(pair.authority, pair.follower, unheard)
        while not any(copy.done for copy in pair.follower.watermark().copies.values()):
            carrier.step()
        assert not pair.follower.watermark().aligned


def fill(database: str) -> None:
    """More than one batch copies."""
    with closing(dualdb.connect(database)) as connection, connection:
        connection.executemany("INSERT INTO points VALUES (1, ?)", [(float(number),) for number in range(3_000)])


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.POSTGRES])
def test_a_copy_that_was_interrupted_half_way_goes_on(
    prepared: str, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done stays done, and nothing is kept twice."""
    monkeypatch.setattr("dualdb.stores.relay_batch.Pace", lambda: Pace(copy_rows=64))
    fill(prepared)
    advance(prepared, phase, observer=unheard)
    assert begin_anew(prepared).kept is not None
    carry_one_table(prepared)
    assert begin_anew(prepared).kept is None
    assert "goes on" in recopied(prepared).output
    assert agree(prepared)


def test_where_there_is_no_follower(prepared: str) -> None:
    """In phase sqlite, and while it is not decided which side will follow."""
    with pytest.raises(PhaseError, match="nothing follows it; run: dualdb advance '"):
        begin_anew(prepared)
    advance(prepared, observer=unheard)
    with Control.open(prepared) as control:
        control.perform(Step.OPEN, control.judge(), Order(to=Phase.POSTGRES, allowed_s=60))
    with pytest.raises(PhaseError, match="under way"):
        begin_anew(prepared)


def test_tables_that_are_not_in_the_saved_copy_are_set_aside(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that knows nothing of us makes one, and remakes another, in the instant after the copy was made."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    save = stores_recopy.save_source

    def save_and_be_overtaken(database: str) -> str:
        saved = save(database)
        with closing(sqlite3.connect(database)) as plain:
            plain.executescript(
                "CREATE TABLE late (name TEXT); INSERT INTO late VALUES ('too late for the copy');"
                "DROP TABLE points; CREATE TABLE points (run INTEGER REFERENCES runs(id), value REAL);"
                "INSERT INTO points VALUES (1, 99.5)"
            )
        return saved

    monkeypatch.setattr(stores_recopy, "save_source", save_and_be_overtaken)
    recopied(prepared)
    assert agree(prepared)
    with closing(sqlite3.connect(prepared)) as plain:
        assert plain.execute("SELECT * FROM _dualdb_aside_1_late").fetchall() == [("too late for the copy",)]
        assert plain.execute("SELECT * FROM _dualdb_aside_1_points").fetchall() == [(1, 99.5)]
        assert plain.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE '%aside%runs'").fetchone() == (0,)
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE


def test_a_trigger_that_no_longer_compiles_stands_in_nobodys_way(prepared: str) -> None:
    """It was kept for the way back; the saved copy keeps it as it was kept, as text, beside those that compile."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    texts = {
        "lost": "CREATE TRIGGER lost AFTER INSERT ON gone BEGIN SELECT 1; END",
        "good": "CREATE TRIGGER good AFTER INSERT ON runs BEGIN SELECT 1; END",
    }
    with closing(sqlite3.connect(prepared)) as plain, plain:
        for ordinal, (name, text) in enumerate(texts.items()):
            plain.execute("INSERT INTO _dualdb_trigger(ordinal, name, sql) VALUES (?, ?, ?)", (ordinal, name, text))
    kept = begin_anew(prepared).kept
    assert kept is not None
    with closing(sqlite3.connect(kept)) as copy:
        assert copy.execute("SELECT name, sql FROM _dualdb_aside_1_trigger").fetchall() == [("lost", texts["lost"])]
        found = copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    assert found == [("good",)]


@pytest.mark.parametrize("moment", ["_make_ordinary", "finish"])
def test_a_copy_that_is_interrupted_is_not_taken_for_one(
    prepared: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """What is not an ordinary file yet takes itself for the follower."""
    advance(prepared, Phase.POSTGRES, observer=unheard)

    def interrupt(*_: object) -> None:
        assert [path.stat().st_size for path in Path(prepared).parent.glob("*before-recopy*.db")] == [0]
        raise KeyboardInterrupt

    monkeypatch.setattr(stores_recopy, moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        begin_anew(prepared)
    assert list(Path(prepared).parent.glob("*before-recopy*")) == []


def test_what_a_command_that_was_killed_has_left_goes_with_the_next_one(prepared: str) -> None:
    """An empty file, and half a copy; a whole copy stays."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    whole = begin_anew(prepared).kept
    assert whole is not None
    relay_until_aligned(prepared, unheard, 30)
    killed = Path(make_beside(prepared, "before-recopy", ".db"))
    Path(f"{killed}.unfinished").write_bytes(b"half")
    kept = begin_anew(prepared).kept
    assert kept is not None
    left = {str(path) for path in Path(prepared).parent.glob("*before-recopy*")}
    assert left == {whole, kept}
    assert names(kept) == names(whole) == ["a", "b"]


def test_no_copy_stays_where_nothing_was_begun(prepared: str) -> None:
    """Somebody has the file's write lock."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with closing(sqlite3.connect(prepared)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match="write lock"):
            begin_anew(prepared)
    assert list(Path(prepared).parent.glob("*before-recopy*")) == []


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.POSTGRES])
def test_a_new_table_that_is_being_copied_is_no_reason_not_to(prepared: str, target_dsn: str, phase: Phase) -> None:
    """Rows of another table are wrong, and the command is there to put them right."""
    advance(prepared, phase, observer=unheard)
    wrong = "UPDATE points SET value = 99.5"
    with closing(dualdb.connect(prepared)) as connection, connection:
        connection.execute("CREATE TABLE later (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO later(name) VALUES (?)", [("x",)] * 200)
    if phase is Phase.DUAL_WRITE:
        with psycopg.connect(target_dsn) as server:
            server.execute("SET dualdb.applying = 'on'")
            server.execute(wrong)
            server.execute("UPDATE dualdb.watermark SET aligned = false")
            server.execute("INSERT INTO dualdb.copy VALUES (99, NULL, false, 0)")
    else:
        with closing(sqlite3.connect(prepared)) as plain, plain:
            plain.execute("UPDATE _dualdb_control SET applying = 1")
            plain.execute(wrong)
            plain.execute("UPDATE _dualdb_control SET applying = 0")
            plain.execute("UPDATE _dualdb_watermark SET aligned = 0")
            plain.execute("INSERT INTO _dualdb_copy VALUES (99, NULL, 0, 0)")
    assert "goes on" not in recopied(prepared).output
    assert agree(prepared)


def test_a_table_that_somebody_dropped_on_postgresql_is_made_again(prepared: str, target_dsn: str) -> None:
    """All the others are set aside."""
    advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn) as server:
        server.execute("DROP TABLE points CASCADE")
    assert "PostgreSQL held these rows: runs 2\n" in recopied(prepared).output
    assert agree(prepared)
    with psycopg.connect(target_dsn) as server:
        assert server.execute("SELECT count(*) FROM dualdb_aside_1.runs").fetchone() == (2,)


def test_a_table_whose_name_postgresql_cannot_have_is_told_by_its_comment(prepared: str, target_dsn: str) -> None:
    """It lies there under a form of its name that nobody knows."""
    name = "measurements " * 6
    with closing(sqlite3.connect(prepared)) as plain, plain:
        plain.execute(f'CREATE TABLE "{name}" (id INTEGER PRIMARY KEY)')
        plain.execute(f'INSERT INTO "{name}" VALUES (7)')
    advance(prepared, observer=unheard)
    recopied(prepared)
    with psycopg.connect(target_dsn) as server:
        asked = "SELECT obj_description(oid) FROM pg_class WHERE relnamespace = 'dualdb_aside_1'::regnamespace"
        assert (f"The table {name}",) in server.execute(asked).fetchall()


def test_where_no_file_can_be_made_nothing_is_changed(tmp_path: Path) -> None:
    """One line, with the folder."""
    with pytest.raises(
        SourceError, match=rf"no file can be made in {tmp_path}/gone .*nothing was changed; run dualdb as"
    ):
        make_beside(str(tmp_path / "gone" / "app.db"), "before-recopy", ".db")


@pytest.mark.parametrize("call", ["open", "replace"])
def test_a_full_disk_is_told_with_its_remedy(prepared: str, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Before the copy is made, and when it gets its name."""
    advance(prepared, Phase.POSTGRES, observer=unheard)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"dualdb.stores.beside.os.{call}", refuse)
        with pytest.raises(SourceError, match=f"nothing was changed; make room in {Path(prepared).parent}"):
            stores_recopy.save_source(prepared)
    assert list(Path(prepared).parent.glob("*before-recopy*")) == []


@pytest.mark.parametrize("read", ["runs", "one"])
def test_what_is_in_use_is_not_waited_for_without_end(
    prepared: str, target_dsn: str, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """A dashboard reads a table, or a view that reads none: nothing is changed, and the remedy is told."""
    with closing(sqlite3.connect(prepared)) as plain:
        plain.execute("CREATE VIEW one AS SELECT 1 AS x")
    advance(prepared, observer=unheard)
    monkeypatch.setattr(target_journal, "_ASIDE_LOCK_S", 0.3)
    with psycopg.connect(target_dsn) as reader:
        reader.execute(f"SELECT count(*) FROM {read}".encode())
        with pytest.raises(BusyError, match="stop the long transaction and try again"):
            begin_anew(prepared)
    relay_until_aligned(prepared, unheard, 30)
    assert agree(prepared)
    assert begin_anew(prepared).follower == "target"


def test_what_somebody_has_made_on_a_view_stays_on_it(prepared: str, target_dsn: str) -> None:
    """A dashboard's view goes on reading what was set aside."""
    with closing(sqlite3.connect(prepared)) as plain:
        plain.execute("CREATE VIEW named AS SELECT name FROM runs")
    advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn) as server:
        server.execute("CREATE VIEW dashboard AS SELECT count(*) FROM named")
    recopied(prepared)
    with psycopg.connect(target_dsn) as server:
        assert server.execute("SELECT * FROM dashboard").fetchone() == (2,)
        assert server.execute("SELECT count(*) FROM named").fetchone() == (2,)
    assert agree(prepared)


def test_a_column_that_somebody_renamed_on_postgresql_is_no_obstacle(prepared: str, target_dsn: str) -> None:
    """It is what the command is there for."""
    advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn) as server:
        server.execute("ALTER TABLE runs RENAME COLUMN id TO number")
    recopied(prepared)
    assert agree(prepared)


def test_a_relay_that_carries_does_not_stand_in_the_way(prepared: str) -> None:
    """Its batches and the command want the same rows and tables, each time in one order."""
    advance(prepared, observer=unheard)
    relay = Relay(prepared)
    relay.start()
    try:
        with closing(sqlite3.connect(prepared, timeout=20)) as plain:
            for number in range(6):
                with plain:
                    plain.executemany("INSERT INTO points VALUES (1, ?)", [(float(number),)] * 500)
                    plain.execute("INSERT INTO runs(name) VALUES ('x')")
                assert begin_anew(prepared).follower == "target"
    finally:
        relay.stop()
    relay_until_aligned(prepared, unheard, 30)
    assert agree(prepared)


def test_no_id_of_a_row_that_was_set_aside_is_given_again(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """The file was restored; who brings the rows back from beside the copy finds their ids free."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    log(prepared, "lost by the file")
    relay_until_aligned(prepared, unheard, 30)
    copy(str(tmp_path / "saved.db"), prepared)
    recopied(prepared)
    with closing(sqlite3.connect(prepared)) as plain, plain:
        assert plain.execute("INSERT INTO runs(name) VALUES ('new') RETURNING id").fetchone() == (4,)
        with psycopg.connect(target_dsn) as server:
            rows = server.execute("SELECT id, name FROM dualdb_aside_1.runs WHERE name LIKE 'lost%'").fetchall()
        plain.executemany("INSERT INTO runs(id, name) VALUES (?, ?)", rows)
    relay_until_aligned(prepared, unheard, 30)
    assert agree(prepared)


def test_only_a_full_disk_is_told_to_need_room(prepared: str) -> None:
    """What else keeps the file from being copied is SQLite's to name, and leaves no half copy behind."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with closing(sqlite3.connect(prepared)) as plain:
        plain.execute("PRAGMA writable_schema = ON")
        plain.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE broken' WHERE name = 'points'")
        plain.commit()
    with pytest.raises(SourceError, match="malformed database schema") as found:
        stores_recopy.save_source(prepared)
    assert "make room" not in str(found.value)
    assert f"run dualdb recopy '{prepared}' again" in str(found.value)
    assert list(Path(prepared).parent.glob("*before-recopy*")) == []
    with closing(sqlite3.connect(":memory:")) as small:
        small.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError, match="disk is full") as full:
            small.execute("CREATE TABLE t (x)")
    assert stores_recopy.remedy(prepared, full.value) == (
        f"make room in {Path(prepared).parent}, then run dualdb recopy '{prepared}' again"
    )
