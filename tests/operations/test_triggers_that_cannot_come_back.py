"""The application's triggers on the way back to SQLite: those that SQLite no longer takes are kept, and told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.operations.test_restored_from_a_backup import copy
from tests.stores.mirrored import leave_at

import dualdb
from dualdb.core import events
from dualdb.core.events import unheard
from dualdb.core.phase import Phase, Step
from dualdb.entrypoints.cli import main
from dualdb.operations.initialise import initialise
from dualdb.operations.recopy import begin_anew
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback, rollback_to
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from pathlib import Path

    from dualdb.core.events import Event

FIRST = "CREATE TRIGGER first AFTER INSERT ON runs BEGIN INSERT INTO log VALUES ('first ' || NEW.name); END"
LOST = "CREATE TRIGGER lost AFTER INSERT ON runs BEGIN INSERT INTO log VALUES ('lost'); END"
LAST = "CREATE TRIGGER last AFTER INSERT ON runs BEGIN INSERT INTO log VALUES ('last ' || NEW.name); END"
OTHER = "CREATE TRIGGER LOST AFTER DELETE ON runs BEGIN INSERT INTO log VALUES ('another'); END"
ON_OTHER = "CREATE TRIGGER on_other AFTER INSERT ON other BEGIN SELECT 1; END"
OWN = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name NOT LIKE '\\_dualdb%' ESCAPE '\\' ORDER BY rowid"


@pytest.fixture
def moved(database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file in phase postgres with three triggers set aside, which a plain program made at the last moment; another
    program has made one of the same name since.
    """
    monkeypatch.setenv("DUALDB_RELAY", "off")
    make(database, target_dsn)
    run(str(database), OTHER)
    return str(database)


def make(database: Path, target_dsn: str) -> None:
    """Lead a file to postgres; it gets its triggers behind the fence, for they would be in the way before."""
    run(str(database), "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT)", "CREATE TABLE log (line TEXT)")
    run(str(database), "CREATE TABLE other (x)")
    initialise(str(database), target_dsn)
    advance(str(database), Phase.DUAL_WRITE, observer=unheard)
    leave_at(str(database), Step.FENCE, Phase.POSTGRES)
    run(str(database), FIRST, LOST, LAST, ON_OTHER)
    leave_at(str(database), Step.SETTLE, Phase.POSTGRES)
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute(OWN).fetchall() == []
    relay_until_aligned(str(database), unheard, 30)


def run(database: str, *statements: str) -> None:
    """What a program without dualdb does to the file."""
    with closing(sqlite3.connect(database)) as plain, plain:
        for statement in statements:
            plain.execute(statement)


def lines(database: str) -> list[str]:
    """What the triggers have written."""
    with closing(sqlite3.connect(database)) as plain:
        return [line for (line,) in plain.execute("SELECT line FROM log ORDER BY rowid")]


def test_the_others_come_back_and_it_is_told(moved: str) -> None:
    """The way back is open; the text of the one that SQLite refuses is not lost."""
    heard: list[Event] = []
    assert rollback(moved, observer=heard.append).after is Phase.DUAL_WRITE
    told = [event for event in heard if isinstance(event, events.TriggerNotRestored)]
    assert [(event.name, event.reason) for event in told] == [("LOST", "trigger LOST already exists")]
    with closing(sqlite3.connect(moved)) as plain:
        assert sorted(plain.execute(OWN)) == sorted([(FIRST,), (LOST,), (LAST,), (ON_OTHER,)])
        plain.execute("INSERT INTO runs(name) VALUES ('a')")
        plain.commit()
        kept = plain.execute("SELECT name, sql, problem FROM _dualdb_trigger").fetchall()
    assert sorted(lines(moved)) == ["first a", "last a", "lost"]
    assert kept == [("LOST", OTHER, "trigger LOST already exists")]


@pytest.mark.parametrize("last", [Step.FENCE, Step.DECIDE])
def test_a_run_that_ends_what_another_one_began_tells_it(moved: str, last: Step) -> None:
    """Whether the way back was decided by the run that died, or only begun."""
    leave_at(moved, last, Phase.DUAL_WRITE)
    heard: list[Event] = []
    rollback_to(moved, Phase.DUAL_WRITE, observer=heard.append)
    told = [event for event in heard if isinstance(event, events.TriggerNotRestored)]
    assert [(event.name, event.reason) for event in told] == [("LOST", "trigger LOST already exists")]


def test_the_command_and_status_name_it(moved: str) -> None:
    """A line each, with the reason and what to do; it blocks nothing."""
    done = CliRunner().invoke(main, ["rollback", moved])
    assert done.exit_code == 0, done.output
    assert "the trigger LOST could not be put back (trigger LOST already exists)" in done.output
    found = read_status(moved)
    assert all("LOST" not in blocker.reason for blocker in found.blockers)
    assert [(one.name, one.reason) for one in found.aside.triggers] == [("LOST", "trigger LOST already exists")]
    shown = CliRunner().invoke(main, ["status", moved]).output
    assert "DELETE FROM _dualdb_trigger WHERE name = 'LOST'" in shown


def test_it_is_still_there_after_another_round(moved: str) -> None:
    """To postgres and back again sets aside and restores the others, and forgets nothing."""
    rollback(moved, observer=unheard)
    with closing(sqlite3.connect(moved)) as plain:
        before = plain.execute(OWN).fetchall()
    with closing(sqlite3.connect(moved)) as plain:
        names = [sql.split()[2] for (sql,) in before]
        for name in names:
            plain.execute(f"DROP TRIGGER {name}")
        leave_at(moved, Step.FENCE, Phase.POSTGRES)
        for (sql,) in before:
            plain.execute(sql)
    leave_at(moved, Step.SETTLE, Phase.POSTGRES)
    heard: list[Event] = []
    rollback(moved, observer=heard.append)
    assert [event for event in heard if isinstance(event, events.TriggerNotRestored)] == []  # it was told before
    with closing(sqlite3.connect(moved)) as plain:
        assert sorted(plain.execute(OWN)) == sorted(before)
        assert plain.execute("SELECT name, sql FROM _dualdb_trigger").fetchall() == [("LOST", OTHER)]


def test_a_table_that_was_dropped_takes_its_trigger_along(database: Path, target_dsn: str) -> None:
    """PostgreSQL is the authority, and knows nothing of the trigger; the others come back in their order."""
    make(database, target_dsn)
    with closing(dualdb.connect(database)) as connection:
        connection.execute("DROP TABLE other")
        connection.commit()
    heard: list[Event] = []
    assert rollback(str(database), observer=heard.append).after is Phase.DUAL_WRITE
    (told,) = [event for event in heard if isinstance(event, events.TriggerNotRestored)]
    assert (told.name, told.reason) == ("on_other", "no such table: main.other")
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute(OWN).fetchall() == [(FIRST,), (LOST,), (LAST,)]
        assert plain.execute("SELECT sql FROM _dualdb_trigger").fetchall() == [(ON_OTHER,)]


def test_one_that_was_made_again_is_not_told_any_more(moved: str) -> None:
    """Its name was freed, and it was created as it was."""
    rollback(moved, observer=unheard)
    run(moved, "DROP TRIGGER lost", OTHER)
    assert read_status(moved).aside.triggers == ()


def test_a_trigger_made_in_the_file_that_follows_is_kept(database: Path, target_dsn: str) -> None:
    """It would fire when the relay writes, so the relay takes it out when it next leads the file to a schema."""
    make(database, target_dsn)
    run(str(database), OTHER.replace("LOST", "late"))
    with closing(dualdb.connect(database)) as connection:
        connection.execute("CREATE TABLE another (x)")
        connection.commit()
    relay_until_aligned(str(database), unheard, 30)
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute(OWN).fetchall() == []
    rollback(str(database), observer=unheard)
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute(OWN).fetchall() == [
            (FIRST,),
            (LOST,),
            (LAST,),
            (ON_OTHER,),
            (OTHER.replace("LOST", "late"),),
        ]


def test_a_trigger_of_a_restored_file_is_set_aside_with_its_tables(
    database: Path, target_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application has dropped it since; what a program makes under its name behind the fence comes back."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    run(str(database), "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT)", "CREATE TABLE log (line TEXT)", LOST)
    run(str(database), FIRST)
    initialise(str(database), target_dsn)
    advance(str(database), Phase.DUAL_WRITE, observer=unheard)
    copy(str(database), str(tmp_path / "saved.db"))
    run(str(database), "DROP TRIGGER lost", "DROP TRIGGER first")
    advance(str(database), Phase.POSTGRES, observer=unheard)
    copy(str(tmp_path / "saved.db"), str(database))
    begin_anew(str(database))
    run(str(database), OTHER)
    with closing(dualdb.connect(database)) as connection:
        connection.execute("CREATE TABLE another (x)")
        connection.commit()
    relay_until_aligned(str(database), unheard, 30)
    heard: list[Event] = []
    rollback(str(database), observer=heard.append)
    assert [event for event in heard if isinstance(event, events.TriggerNotRestored)] == []
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute(OWN).fetchall() == [(OTHER,)]
    shown = read_status(str(database)).aside.triggers
    assert [one.name for one in shown] == ["lost", "first"]
    assert all("when a backup was restored" in one.reason for one in shown)


def test_a_trigger_kept_by_a_file_of_an_earlier_switch_is_set_aside(
    database: Path, target_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came back with the way back that was taken since, and the application has dropped it."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    make(database, target_dsn)
    copy(str(database), str(tmp_path / "saved.db"))
    rollback(str(database), observer=unheard)
    run(str(database), "DROP TRIGGER first", "DROP TRIGGER lost", "DROP TRIGGER last", "DROP TRIGGER on_other")
    advance(str(database), Phase.POSTGRES, observer=unheard)
    copy(str(tmp_path / "saved.db"), str(database))
    begin_anew(str(database))
    relay_until_aligned(str(database), unheard, 30)
    rollback(str(database), observer=unheard)
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute(OWN).fetchall() == []
    assert [one.name for one in read_status(str(database)).aside.triggers] == ["first", "lost", "last", "on_other"]
