"""What somebody does to PostgreSQL's tables with psql, past dualdb: it is told, in one line, and stops every switch."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.entrypoints.cli import main
from dualdb.errors import DualdbError, PhaseError, SchemaError
from dualdb.operations.initialise import initialise
from dualdb.operations.recopy import begin_anew
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, score REAL, at TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE points (run INTEGER NOT NULL, step INTEGER NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE notes (body TEXT);
CREATE UNIQUE INDEX by_name ON runs(name);
CREATE INDEX by_score ON runs(score);
CREATE VIEW names AS SELECT lower(name) AS name FROM runs;
INSERT INTO runs(name, score) VALUES ('a', 0.5), ('b', NULL);
INSERT INTO points VALUES (1, 1);
INSERT INTO notes VALUES ('x');
"""
CHANGES = {
    "a column more": ("ALTER TABLE runs ADD COLUMN remark text", "table runs has a column remark"),
    "a column less": ("ALTER TABLE points DROP COLUMN step", "column step of points is gone"),
    "a column renamed": ("ALTER TABLE runs RENAME COLUMN score TO points", "column score of runs is gone"),
    "another type": (
        "ALTER TABLE runs ALTER COLUMN score TYPE numeric",
        "column score of runs is numeric, and was made as double precision",
    ),
    "another collation": (
        'ALTER TABLE notes ALTER COLUMN body TYPE text COLLATE "POSIX"',
        'column body of notes is text COLLATE "POSIX", and was made as text COLLATE "C"',
    ),
    "the rowid dropped": ("ALTER TABLE notes DROP COLUMN _dualdb_rowid", "column _dualdb_rowid of notes is gone"),
    "a table dropped": ("DROP TABLE runs CASCADE", "table runs is gone"),
    "a table moved": ("CREATE SCHEMA away; ALTER TABLE notes SET SCHEMA away", "table notes is gone"),
}
every_change = pytest.mark.parametrize(("statement", "told"), CHANGES.values(), ids=CHANGES)


@pytest.fixture
def app(database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An application's file in phase dual_write; no relay but the commands' own."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    advance(str(database), observer=unheard)
    return str(database)


def blockers(app: str) -> list[tuple[str, str]]:
    """What `dualdb status` names."""
    return [(blocker.reason, blocker.remedy) for blocker in read_status(app).blockers]


def compare(app: str) -> None:
    """As `dualdb verify` does."""
    with Pair.open(app) as pair:
        assert verify(pair, full=True, observer=unheard).agrees


@every_change
def test_the_follower_is_made_anew(app: str, target: psycopg.Connection[Any], statement: str, told: str) -> None:
    """In phase dual_write SQLite has everything."""
    target.execute(statement.encode())
    (reason, remedy), *_ = blockers(app)
    assert told in reason
    assert remedy == f"copy PostgreSQL anew with dualdb recopy {app}"
    with pytest.raises(PhaseError, match="phase postgres is blocked: somebody has changed"):
        advance(app, Phase.POSTGRES, observer=unheard)
    with pytest.raises(SchemaError, match="somebody has changed PostgreSQL's tables past dualdb"):
        compare(app)
    begin_anew(app)
    relay_until_aligned(app)
    assert blockers(app) == []
    advance(app, Phase.POSTGRES, observer=unheard)
    with closing(dualdb.connect(app)) as connection:
        assert connection.execute("SELECT name FROM names ORDER BY name").fetchall() == [("a",), ("b",)]
    compare(app)


@every_change
def test_the_authority_is_for_people_to_mend(
    app: str, target: psycopg.Connection[Any], statement: str, told: str
) -> None:
    """In phase postgres nothing goes back without what was there, and nothing of SQLite is lost by trying."""
    advance(app, Phase.POSTGRES, observer=unheard)
    target.execute(statement.encode())
    (reason, remedy), *_ = blockers(app)
    assert told in reason
    assert remedy == "undo it there, for a change that is to stay is made in SQLite, after a rollback"
    with pytest.raises(DualdbError, match="somebody has changed PostgreSQL's tables past dualdb"):
        rollback(app, observer=unheard)
    with closing(sqlite3.connect(app)) as file:
        assert file.execute("SELECT name, score FROM runs ORDER BY id").fetchall() == [("a", 0.5), ("b", None)]
    assert read_status(app).phase == "postgres"


def test_what_was_undone_is_no_longer_in_the_way(app: str, target: psycopg.Connection[Any]) -> None:
    advance(app, Phase.POSTGRES, observer=unheard)
    target.execute("ALTER TABLE runs ADD COLUMN remark text")
    assert blockers(app) != []
    target.execute("ALTER TABLE runs DROP COLUMN remark")
    assert blockers(app) == []
    rollback(app, observer=unheard)
    compare(app)


def test_a_relay_says_what_is_in_its_way(app: str, target: psycopg.Connection[Any]) -> None:
    """Not what PostgreSQL says of a statement that nobody knows."""
    target.execute("ALTER TABLE runs RENAME COLUMN score TO points")
    with closing(sqlite3.connect(app)) as connection:
        connection.execute("INSERT INTO runs(name) VALUES ('c')")
        connection.commit()
    found = CliRunner().invoke(main, ["relay", app, "--until-aligned"])
    assert found.exit_code == 1
    assert "column score of runs is gone" in found.output
    assert "LINE 1" not in found.output
    with pytest.raises(SchemaError, match=r"column score of runs is gone.*dualdb recopy"):
        relay_until_aligned(app)


def test_our_own_functions_are_made_again(app: str, target: psycopg.Connection[Any]) -> None:
    """With what stood on them: defaults, indexes, views."""
    target.execute("DROP SCHEMA sqlite CASCADE")
    told = [reason for reason, _ in blockers(app)]
    assert any("dualdb's functions are missing on PostgreSQL" in reason for reason in told)
    assert any("by_name of table runs is gone" in reason for reason in told)
    with pytest.raises(PhaseError, match="phase postgres is blocked"):
        advance(app, Phase.POSTGRES, observer=unheard)
    begin_anew(app)
    relay_until_aligned(app)
    assert blockers(app) == []
    advance(app, Phase.POSTGRES, observer=unheard)
    compare(app)
    with closing(dualdb.connect(app)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: runs\.name"):
            connection.execute("INSERT INTO runs(name) VALUES ('A')")
        connection.rollback()
        connection.execute("INSERT INTO runs(name) VALUES ('d')")
        assert connection.execute("SELECT at IS NOT NULL FROM runs WHERE name = 'D'").fetchone() == (1,)


def test_what_others_keep_beside_it_is_theirs(app: str, target: psycopg.Connection[Any]) -> None:
    """Tables, views and indexes of their own are in nobody's way."""
    target.execute("CREATE TABLE theirs (a integer); CREATE VIEW top AS SELECT max(score) FROM runs")
    target.execute("CREATE INDEX theirs_on_runs ON runs(score)")
    assert blockers(app) == []
    advance(app, Phase.POSTGRES, observer=unheard)
    rollback(app, observer=unheard)
    compare(app)


def test_a_schema_of_somebody_elses_is_not_taken(
    database: Path, target: psycopg.Connection[Any], target_dsn: str
) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (a)")
    target.execute("CREATE SCHEMA sqlite; CREATE FUNCTION sqlite.glob(text, text) RETURNS boolean RETURN true")
    with pytest.raises(DualdbError, match="already holds a schema sqlite, which dualdb has not made"):
        initialise(str(database), target_dsn)
    assert target.execute("SELECT sqlite.glob('a', 'b')").fetchone() == (True,)


BESIDE = {
    "an index dropped": ("DROP INDEX by_name", "by_name of table runs is gone"),
    "a key dropped": (
        "ALTER TABLE points DROP CONSTRAINT sqlite_key_points",
        "sqlite_key_points of table points is gone",
    ),
    "no identity": ("ALTER TABLE runs ALTER COLUMN id DROP IDENTITY", "sqlite_sequence_runs of table runs is gone"),
    "a rule": ("CREATE RULE no AS ON UPDATE TO notes DO INSTEAD NOTHING", "a rule rewrites statements on table notes"),
}


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.POSTGRES])
@pytest.mark.parametrize(("statement", "told"), BESIDE.values(), ids=BESIDE)
def test_what_stands_beside_the_columns(
    app: str, target: psycopg.Connection[Any], phase: Phase, statement: str, told: str
) -> None:
    """Without it PostgreSQL would take, or answer, what SQLite does not."""
    if phase is Phase.POSTGRES:
        advance(app, phase, observer=unheard)
    target.execute(statement.encode())
    (reason, _), *_ = blockers(app)
    assert told in reason
    step = partial(rollback, app) if phase is Phase.POSTGRES else partial(advance, app, Phase.POSTGRES)
    with pytest.raises(PhaseError, match="is blocked"):
        step(observer=unheard)


SLOWER = {
    "an index dropped": ("DROP INDEX by_score", "by_score of table runs is gone"),
    "a view dropped": ("DROP VIEW names", "PostgreSQL has no view names"),
}


@pytest.mark.parametrize(("statement", "told"), SLOWER.values(), ids=SLOWER)
def test_what_only_makes_answers_slower_keeps_nobody_there(
    app: str, target: psycopg.Connection[Any], statement: str, told: str
) -> None:
    """It is told, and stops the way to PostgreSQL; the way back is open."""
    target.execute(statement.encode())
    (reason, remedy), *_ = blockers(app)
    assert told in reason
    assert "dualdb recopy" in remedy
    with pytest.raises(PhaseError, match="is blocked"):
        advance(app, Phase.POSTGRES, observer=unheard)
    begin_anew(app)
    relay_until_aligned(app)
    advance(app, Phase.POSTGRES, observer=unheard)
    target.execute(statement.encode())
    assert told in blockers(app)[0][0]
    rollback(app, observer=unheard)


def test_a_trigger_of_ours_is_missed_where_postgresql_follows(app: str, target: psycopg.Connection[Any]) -> None:
    """Without the fence anybody could write there."""
    target.execute('ALTER TABLE runs DISABLE TRIGGER "!dualdb_fence"')
    (reason, remedy), *_ = blockers(app)
    assert "a trigger of dualdb's on table runs is gone, or off" in reason
    assert remedy == f"copy PostgreSQL anew with dualdb recopy {app}"


@pytest.mark.parametrize("name", ["!dualdb_fence", "!dualdb_capture_u"])
def test_a_trigger_of_ours_is_made_again_where_it_has_the_say(
    app: str, target: psycopg.Connection[Any], name: str
) -> None:
    """By whoever relays; the way back is open then."""
    advance(app, Phase.POSTGRES, observer=unheard)
    target.execute(f'DROP TRIGGER "{name}" ON runs'.encode())
    target.execute("UPDATE runs SET score = 7 WHERE id = 1")
    rollback(app, observer=unheard)
    with closing(sqlite3.connect(app)) as file:
        assert file.execute("SELECT score FROM runs WHERE id = 1").fetchone() == (7.0,)
    with pytest.raises(psycopg.Error, match="dualdb:moved"):
        target.execute("UPDATE runs SET score = 8 WHERE id = 1")
    compare(app)


def test_nothing_is_asked_of_tables_that_are_made_anew(app: str, target: psycopg.Connection[Any]) -> None:
    """In phase sqlite they are nobody's, whatever PostgreSQL has heard of that."""
    rollback(app, observer=unheard)
    target.execute("UPDATE dualdb.control SET phase = 'dual_write'")
    target.execute("DROP TABLE runs CASCADE; DROP SCHEMA sqlite CASCADE")
    assert blockers(app) == []
    advance(app, Phase.POSTGRES, observer=unheard)
    compare(app)
