"""Whatever becomes of `dualdb init`, the file is free for the next one; only one that succeeded ties it to a target."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.errors import BusyError, DualdbError, PhaseError, TargetError, TargetLostError
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.stores import target_schema
from dualdb.stores.control import read_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dualdb.stores.control import SourceControl

DYING_COMMIT = """
CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_terminate_backend(pg_backend_pid());
    RETURN NULL;
END $$;
CREATE FUNCTION public.set_trap() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'dualdb.control') THEN
        CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON dualdb.control DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION public.die();
    END IF;
END $$;
CREATE EVENT TRIGGER trap ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.set_trap();
"""
"""Ends the backend that commits our control row, in the middle of its COMMIT."""


@pytest.fixture
def app(database: Path) -> str:
    """An application's file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO runs VALUES (1, 'a')"
        )
    return str(database)


@pytest.fixture
def other_dsn(server_dsn: str) -> Iterator[str]:
    """A second empty database."""
    name = sql.Identifier(f"dualdb_test_{uuid4().hex[:12]}")
    with closing(psycopg.connect(server_dsn, autocommit=True)) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        yield make_conninfo(server_dsn, dbname=name.as_string(server).strip('"'))
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def facts_of(app: str) -> SourceControl | None:
    """What the file knows."""
    with closing(sqlite3.connect(app)) as connection:
        return read_source(connection)


def served_by(dsn: str) -> str | None:
    """The lineage that a target serves."""
    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT to_regclass('dualdb.control')").fetchone() == (None,):
            return None
        found = connection.execute("SELECT source_id FROM dualdb.control").fetchone()
    return None if found is None else str(found[0])


def assert_paired(app: str, dsn: str, schema: str = "public") -> None:
    """Both sides belong together, and go on together."""
    facts = facts_of(app)
    assert facts is not None
    assert facts.row.source_id == served_by(dsn)
    assert conninfo_to_dict(facts.target)["dbname"] == conninfo_to_dict(dsn)["dbname"]
    assert facts.target_schema == schema
    assert [step.after for step in advance(app, Phase.POSTGRES, observer=unheard)] == [Phase.DUAL_WRITE, Phase.POSTGRES]
    with psycopg.connect(dsn) as connection:
        found = connection.execute(sql.SQL("SELECT * FROM {}.runs").format(sql.Identifier(schema))).fetchall()
    assert found == [(1, "a")]


def drop(server_dsn: str, dsn: str) -> None:
    """The database is gone."""
    with closing(psycopg.connect(server_dsn, autocommit=True)) as server:
        name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def half_prepared(app: str, target_dsn: str, target: psycopg.Connection[Any]) -> str:
    """The file says that it is prepared, and its target knows nothing: COMMIT was never answered."""
    target.execute(DYING_COMMIT)
    with pytest.raises(TargetLostError, match="try again"):
        initialise(app, target_dsn)
    target.execute("DROP EVENT TRIGGER trap")
    assert facts_of(app) is not None
    assert served_by(target_dsn) is None
    return app


def test_half_prepared_the_same_command_finishes(half_prepared: str, target_dsn: str) -> None:
    """As often as it is run."""
    initialise(half_prepared, target_dsn)
    with pytest.raises(PhaseError, match="already prepared and in phase sqlite"):
        initialise(half_prepared, target_dsn)
    assert_paired(half_prepared, target_dsn)


def test_half_prepared_another_schema_is_what_counts(half_prepared: str, target_dsn: str) -> None:
    """Of the two that were named the last one."""
    initialise(half_prepared, target_dsn, schema="application")
    assert_paired(half_prepared, target_dsn, "application")


def test_half_prepared_another_target_may_be_named(half_prepared: str, target_dsn: str, other_dsn: str) -> None:
    """The first one stays free as well."""
    initialise(half_prepared, other_dsn)
    assert served_by(target_dsn) is None
    assert_paired(half_prepared, other_dsn)


def test_a_target_that_is_no_more_ties_nobody(app: str, target_dsn: str, other_dsn: str, server_dsn: str) -> None:
    """It cannot be asked, and nothing was ever carried to it; the lineage is another one."""
    initialise(app, target_dsn)
    before = facts_of(app)
    drop(server_dsn, target_dsn)
    initialise(app, other_dsn)
    after = facts_of(app)
    assert before is not None
    assert after is not None
    assert before.row.source_id != after.row.source_id
    assert_paired(app, other_dsn)


def test_a_target_that_serves_the_file_keeps_it(
    app: str, target_dsn: str, other_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the stored one that is asked, whatever DUALDB_TARGET says."""
    initialise(app, target_dsn)
    before = facts_of(app)
    with pytest.raises(PhaseError, match="already prepared for another target"):
        initialise(app, other_dsn)
    monkeypatch.setenv("DUALDB_TARGET", other_dsn)
    with pytest.raises(PhaseError, match="already prepared for another target"):
        initialise(app, other_dsn)
    assert facts_of(app) == before
    assert served_by(other_dsn) is None


def test_a_file_that_was_ever_mirrored_keeps_its_target(
    app: str, target_dsn: str, other_dsn: str, server_dsn: str
) -> None:
    """Even back in phase sqlite, and though the target is gone."""
    initialise(app, target_dsn)
    advance(app, observer=unheard)
    rollback(app, observer=unheard)
    drop(server_dsn, target_dsn)
    before = facts_of(app)
    with pytest.raises(PhaseError, match="already prepared for another target"):
        initialise(app, other_dsn)
    assert facts_of(app) == before
    assert served_by(other_dsn) is None


def test_a_variable_that_leads_elsewhere_prepares_nothing(
    app: str, target_dsn: str, other_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One database would be prepared and the other's address stored."""
    monkeypatch.setenv("DUALDB_TARGET", other_dsn)
    with pytest.raises(TargetError, match="DUALDB_TARGET"):
        initialise(app, target_dsn)
    assert facts_of(app) is None
    assert [served_by(dsn) for dsn in (target_dsn, other_dsn)] == [None, None]


@pytest.mark.parametrize("statement", ["CREATE SCHEMA dualdb", "CREATE SCHEMA sqlite"])
def test_what_postgresql_refuses_leaves_the_file_as_it_was(
    app: str, target_dsn: str, target: psycopg.Connection[Any], statement: str
) -> None:
    """PostgreSQL has said yes to everything before the file is touched."""
    target.execute(statement.encode())
    with pytest.raises(TargetError):
        initialise(app, target_dsn)
    assert facts_of(app) is None
    with closing(sqlite3.connect(app)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("begin_half_prepared", [False, True])
def test_two_at_once_with_two_targets(
    app: str, target_dsn: str, other_dsn: str, target: psycopg.Connection[Any], begin_half_prepared: bool
) -> None:
    """One of them at most succeeds, and whoever is told of success has the file."""
    if begin_half_prepared:
        target.execute(DYING_COMMIT)
        with pytest.raises(TargetLostError):
            initialise(app, target_dsn)
        target.execute("DROP EVENT TRIGGER trap")
    barrier = Barrier(2)

    def attempt(dsn: str) -> bool:
        barrier.wait()
        try:
            initialise(app, dsn)
        except DualdbError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        won = dict(zip((target_dsn, other_dsn), pool.map(attempt, (target_dsn, other_dsn)), strict=True))
    assert sum(won.values()) <= 1
    for dsn, success in won.items():
        facts = facts_of(app)
        assert facts is not None
        assert (served_by(dsn) == facts.row.source_id) is success
        assert success or served_by(dsn) is None
    if not any(won.values()):
        initialise(app, other_dsn)
        won[other_dsn] = True
    assert_paired(app, next(dsn for dsn, success in won.items() if success))


def test_another_init_with_the_same_target_that_is_quicker_is_told_as_such(
    app: str, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same file that the target serves by then, not another one."""
    ask = target_schema.identity

    def quicker(connection: psycopg.Connection[Any]) -> str:
        monkeypatch.setattr(target_schema, "identity", ask)
        initialise(app, target_dsn)
        return ask(connection)

    monkeypatch.setattr(target_schema, "identity", quicker)
    with pytest.raises(BusyError, match=r"another init has prepared .*; see dualdb status"):
        initialise(app, target_dsn)
    advance(app, observer=unheard)
