"""DDL by programs that know nothing of a move: SQLite has no way to forbid it, so nothing that it made may be lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.stores.mirrored import leave_at

from dualdb.core.events import unheard
from dualdb.core.phase import Phase, Step
from dualdb.core.sqltext import split_statements
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.stores import target_journal
from dualdb.stores.catalog import read_schema
from dualdb.stores.control import Control, Order, settle
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_pair_until_aligned, relay_until_aligned
from dualdb.stores.target_catalog import read_target_schema

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
CREATE TABLE points (run INTEGER REFERENCES runs(id), value REAL);
CREATE INDEX points_run ON points(run);
CREATE VIEW both AS SELECT name, value FROM runs JOIN points ON run = runs.id;
INSERT INTO runs(name) VALUES ('a'), ('b');
INSERT INTO points VALUES (1, 0.5), (2, 0.25);
"""


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> str:
    """A small file in phase dual_write."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    advance(str(database), observer=unheard)
    return str(database)


def plain(database: str, script: str) -> list[Any]:
    """A script run by a plain sqlite3 program; what its last query gave."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        found: list[Any] = []
        for statement in split_statements(script):
            found = connection.execute(statement).fetchall()
        return found


def aside(database: str) -> list[str]:
    """The tables that were set aside."""
    return [
        name
        for (name,) in plain(database, "SELECT name FROM sqlite_master WHERE name LIKE '!_dualdb!_aside%' ESCAPE '!'")
    ]


def up_to(step: Step, database: str, script: str) -> None:
    """Lead a move to postgres up to the step before this one, run a script as a plain program, and take the step."""
    leave_at(database, step, Phase.POSTGRES, before=lambda: plain(database, script))


@pytest.mark.parametrize("step", [Step.DECIDE, Step.SETTLE])
def test_a_table_made_in_the_last_instant_of_a_move_keeps_its_rows(mirrored: str, step: Step) -> None:
    """It came too late to be carried; it is found beside the others, and the file follows all the same."""
    up_to(step, mirrored, "CREATE TABLE late (x); CREATE INDEX late_x ON late(x); INSERT INTO late VALUES (1), (2)")
    advance(mirrored, Phase.POSTGRES, observer=unheard)
    relay_until_aligned(mirrored, unheard, 30)
    (name,) = aside(mirrored)
    assert plain(mirrored, f'SELECT x FROM "{name}" ORDER BY x') == [(1,), (2,)]
    assert rollback(mirrored, observer=unheard).after is Phase.DUAL_WRITE
    assert plain(mirrored, f'SELECT x FROM "{name}" ORDER BY x') == [(1,), (2,)]


@pytest.mark.parametrize("step", [Step.DECIDE, Step.SETTLE])
def test_a_table_remade_in_the_last_instant_of_a_move_keeps_its_rows(
    mirrored: str, target_dsn: str, step: Step
) -> None:
    """The rows of the remade one are kept apart; the file gets the authority's."""
    script = (
        "DROP VIEW both; CREATE TABLE anew (run INTEGER REFERENCES runs(id), value REAL);"
        " INSERT INTO anew VALUES (1, 9.0); DROP TABLE points; ALTER TABLE anew RENAME TO points"
    )
    up_to(step, mirrored, script)
    advance(mirrored, Phase.POSTGRES, observer=unheard)
    relay_until_aligned(mirrored, unheard, 30)
    kept = [plain(mirrored, f'SELECT run, value FROM "{name}"') for name in aside(mirrored)]
    assert kept == [[(1, 9.0)]]
    assert plain(mirrored, "SELECT name, value FROM both ORDER BY 1") == [("a", 0.5), ("b", 0.25)]
    with psycopg.connect(target_dsn) as connection:
        assert connection.execute("SELECT value FROM points ORDER BY 1").fetchall() == [(0.25,), (0.5,)]


def test_postgresql_learns_what_the_file_became_before_it_was_told_to_follow(mirrored: str, target_dsn: str) -> None:
    """A rollback is decided, the application goes on in SQLite with DDL, and only then the end of it is written: the
    target's tables are those of before, and are led from there.
    """
    advance(mirrored, Phase.POSTGRES, observer=unheard)
    leave_at(mirrored, Step.DECIDE, Phase.DUAL_WRITE)
    plain(
        mirrored,
        "ALTER TABLE runs ADD COLUMN note TEXT DEFAULT 'none'; CREATE TABLE late (x);"
        " INSERT INTO runs(name, note) VALUES ('c', 'new'); INSERT INTO late VALUES (1)",
    )
    settle(mirrored)
    with psycopg.connect(target_dsn) as connection, closing(sqlite3.connect(mirrored)) as file:
        (held,) = connection.execute("SELECT schema_version FROM dualdb.watermark").fetchone() or ("",)
        assert held == read_target_schema(connection).version != read_schema(file).version
    relay_until_aligned(mirrored, unheard, 20)
    with psycopg.connect(target_dsn) as connection:
        found = connection.execute("SELECT name, note FROM runs ORDER BY id").fetchall()
        assert found == [("a", "none"), ("b", "none"), ("c", "new")]
        assert connection.execute("SELECT count(*) FROM late").fetchone() == (1,)


def test_a_new_table_behind_the_fence_is_carried_and_fenced(mirrored: str) -> None:
    """While the move is undecided the relay still carries what it finds, and refuses what comes after that."""
    with Control.open(mirrored) as control, Pair.open(mirrored) as pair:
        for _ in range(2):
            control.perform(control.judge().step, control.judge(), Order(to=Phase.POSTGRES, allowed_s=60.0))
        plain(mirrored, "CREATE TABLE late (x); INSERT INTO late VALUES (1)")
        relay_pair_until_aligned(pair, unheard)
        with pytest.raises(sqlite3.IntegrityError, match="dualdb:moved"):
            plain(mirrored, "INSERT INTO late VALUES (2)")


def test_tables_made_while_the_file_follows_keep_their_rows(mirrored: str) -> None:
    """A name that PostgreSQL's application uses too, and one of its own; the authority's tables come all the same."""
    advance(mirrored, Phase.POSTGRES, observer=unheard)
    plain(
        mirrored,
        "CREATE TABLE own (x); INSERT INTO own VALUES ('mine'); CREATE TABLE late (id INTEGER PRIMARY KEY, x);"
        " CREATE UNIQUE INDEX late_x ON late(x); INSERT INTO late VALUES (7, 'theirs');"
        " CREATE TRIGGER spy AFTER INSERT ON runs BEGIN INSERT INTO own VALUES (NEW.name); END",
    )
    import dualdb

    with closing(dualdb.connect(mirrored)) as connection, connection:
        connection.execute("CREATE TABLE late (id INTEGER PRIMARY KEY, y TEXT)")
        connection.execute("INSERT INTO late(y) VALUES ('ours')")
        connection.execute("INSERT INTO runs(name) VALUES ('c')")
    relay_until_aligned(mirrored, unheard, 30)
    assert plain(mirrored, "SELECT * FROM late") == [(1, "ours")]
    kept = {name.rsplit("_", 1)[1]: plain(mirrored, f'SELECT x FROM "{name}"') for name in aside(mirrored)}
    assert kept == {"own": [("mine",)], "late": [("theirs",)]}
    assert rollback(mirrored, observer=unheard).after is Phase.DUAL_WRITE
    assert plain(mirrored, "SELECT name FROM runs ORDER BY id") == [("a",), ("b",), ("c",)]


def test_a_table_made_while_postgresqls_fence_goes_up_is_fenced(mirrored: str, target_dsn: str) -> None:
    """The fence waits for the transaction that makes the table, and then holds for it too."""
    advance(mirrored, Phase.POSTGRES, observer=unheard)
    import dualdb

    with closing(dualdb.connect(mirrored)) as writer, psycopg.connect(target_dsn) as fencing:
        writer.execute("BEGIN")
        writer.execute("CREATE TABLE late (x)")
        raised = Thread(target=target_journal.enable_fence, args=(fencing, 10.0))
        raised.start()
        raised.join(0.3)
        assert raised.is_alive()
        writer.execute("COMMIT")
        raised.join(10)
        fencing.commit()
        with psycopg.connect(target_dsn) as other, pytest.raises(psycopg.Error, match="dualdb:moved"):
            other.execute("INSERT INTO late VALUES (NULL)")
