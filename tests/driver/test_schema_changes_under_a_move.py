"""DDL by an application of ours meets a fence although SQLite's triggers cannot refuse it: no table is lost."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.stores.mirrored import leave_at

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase, Step
from dualdb.errors import OvertakenError
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance
from dualdb.stores.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.once


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> str:
    """A small file in phase dual_write."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO runs VALUES (1, 'a')"
        )
    initialise(str(database), target_dsn)
    advance(str(database), observer=unheard)
    return str(database)


@pytest.fixture
def open_before(mirrored: str) -> Iterator[dualdb.Connection]:
    """A connection that was opened before the fence, with a long patience."""
    with closing(dualdb.connect(mirrored, timeout=30, check_same_thread=False)) as connection:
        connection.execute("SELECT 1").fetchone()
        yield connection


class Text(str):
    """As some libraries have their statements."""

    __slots__ = ()


def unfinished(connection: Any, table: str) -> Any:
    """A cursor of a write that has rows to give yet; sqlite3 opens no transaction for a statement that begins so."""
    written = connection.execute(f"WITH v(x) AS (VALUES (1), (2)) INSERT INTO {table} SELECT x FROM v RETURNING x")
    assert written.fetchone() == (1,)
    assert not connection.in_transaction
    return written


FORMS: dict[str, Callable[[Any], object]] = {
    "by itself": lambda connection: connection.execute("  create table late (x INTEGER)"),
    "as a text of a class of its own": lambda connection: connection.execute(Text("CREATE TABLE late (x INTEGER)")),
    "in a transaction": lambda connection: [
        connection.execute("BEGIN"),
        connection.execute("CREATE TABLE late (x INTEGER)"),
    ],
    "in a script": lambda connection: connection.executescript(
        "-- two\nCREATE TABLE late (x INTEGER); CREATE TABLE more (x)"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_ddl_waits_for_the_decision_and_goes_where_the_data_went(
    mirrored: str, open_before: dualdb.Connection, target_dsn: str, form: str
) -> None:
    """The table is made on PostgreSQL, and is not left behind in the file."""
    leave_at(mirrored, Step.FENCE, Phase.POSTGRES)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(FORMS[form], open_before)
        with pytest.raises(TimeoutError):
            made.result(0.3)
        leave_at(mirrored, Step.SETTLE, Phase.POSTGRES)
        made.result(20)
    open_before.execute("INSERT INTO late VALUES (7)")
    open_before.commit()
    with psycopg.connect(target_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM late").fetchone() == (1,)


def test_ddl_beside_an_unfinished_write_waits_for_the_decision(mirrored: str, open_before: dualdb.Connection) -> None:
    """The write is one of a table for oneself, without which the connection does not go where the data went: it is told
    so, and no table is left behind in the file.
    """
    open_before.execute("CREATE TEMP TABLE own (x)")
    written = unfinished(open_before, "temp.own")
    leave_at(mirrored, Step.FENCE, Phase.POSTGRES)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(open_before.execute, "CREATE TABLE late (x INTEGER)")
        with pytest.raises(TimeoutError):
            made.result(0.3)
        leave_at(mirrored, Step.SETTLE, Phase.POSTGRES)
        with pytest.raises(sqlite3.NotSupportedError, match=r"^this connection has temporary tables.* \(own\)"):
            made.result(20)
    written.close()
    with closing(sqlite3.connect(mirrored)) as plain:
        assert plain.execute("SELECT name FROM sqlite_master WHERE name = 'late'").fetchall() == []


def test_ddl_goes_on_in_the_file_when_the_move_is_given_up(mirrored: str, open_before: dualdb.Connection) -> None:
    """An aborted move has lifted the fence: nothing was lost but time."""
    leave_at(mirrored, Step.FENCE, Phase.POSTGRES)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(open_before.execute, "CREATE TABLE late (x INTEGER)")
        with pytest.raises(TimeoutError):
            made.result(0.3)
        with Control.open(mirrored) as control:
            control.perform(Step.ABORT, control.judge())
            with suppress(OvertakenError):  # the one that waits may be quicker
                control.perform(Step.UNFENCE, control.judge())
        made.result(20)
    with closing(sqlite3.connect(mirrored)) as connection:
        assert connection.execute("SELECT count(*) FROM late").fetchone() == (0,)


def test_a_move_that_outlasts_the_time_out_is_a_locked_database(mirrored: str) -> None:
    """As any other write behind a fence; and nothing is open afterwards that was not open before."""
    with closing(dualdb.connect(mirrored, timeout=0.2)) as connection:
        connection.execute("SELECT 1").fetchone()
        leave_at(mirrored, Step.FENCE, Phase.POSTGRES)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            connection.execute("DROP TABLE runs")
        assert not connection.in_transaction
        assert connection.execute("SELECT name FROM runs").fetchall() == [("a",)]


@pytest.mark.parametrize("statement", ["CREATE TABLE runs (x)", "CREATE TABLE broken (", "DROP TABLE nothing"])
def test_what_sqlite_refuses_leaves_nothing_open(mirrored: str, statement: str) -> None:
    """The error is sqlite3's own, and the next statement begins afresh."""
    with closing(sqlite3.connect(mirrored)) as plain, closing(dualdb.connect(mirrored)) as connection:
        with pytest.raises(sqlite3.OperationalError) as expected:
            plain.execute(statement)
        with pytest.raises(sqlite3.OperationalError) as found:
            connection.execute(statement)
        assert str(found.value) == str(expected.value)
        assert not connection.in_transaction


def test_a_table_for_oneself_asks_nobody(mirrored: str) -> None:
    """A temporary table lies in no file: it takes no lock and meets no fence."""
    with closing(dualdb.connect(mirrored, timeout=0.1)) as connection, closing(sqlite3.connect(mirrored)) as other:
        other.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TEMP TABLE own (x)")
        connection.execute("CREATE TEMPORARY VIEW mine AS SELECT 1")
