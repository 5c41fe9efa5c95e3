"""The hint is deleted or replaced under open connections: they hear of the next change of authority all the same."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.driver.prepared import change, lift_fence, prepare, raise_fence

import dualdb
from dualdb.operations.initialise import initialise
from dualdb.stores.hint import hint_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

WITHIN_S = 1.0


def delete(hint: str) -> None:
    """As a clean-up would."""
    os.unlink(hint)


def replace(hint: str) -> None:
    """As a restored backup of the folder would."""
    shutil.copy(hint, hint + ".copy")
    os.replace(hint + ".copy", hint)


def replace_by_another(hint: str) -> None:
    """By something that is no hint at all."""
    with open(hint + ".other", "wb") as other:
        other.write(b"not a hint")
    os.replace(hint + ".other", hint)


LOSSES = [delete, replace, replace_by_another]


def dualdb_command(*words: str) -> None:
    """Run a command in a process of its own."""
    subprocess.run([sys.executable, "-m", "dualdb", *words], check=True, capture_output=True, timeout=60)


def until(condition: Callable[[], bool], within_s: float = WITHIN_S) -> float:
    """Wait for it; how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("lost_in", ["sqlite", "dual_write"])
def test_a_reader_goes_along(
    database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch, lost_in: str, lose: Callable[[str], None]
) -> None:
    """Rows that are written in PostgreSQL, and that nobody carries back, are read by a connection that was open before;
    its writes go there, and the way back is noticed too.
    """
    monkeypatch.setenv("DUALDB_RELAY", "off")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    initialise(str(database), target_dsn)
    if lost_in == "dual_write":
        dualdb_command("advance", str(database))
    open_before: Any = dualdb.connect(database)
    assert open_before.execute("SELECT count(*) FROM t").fetchone() == (0,)
    lose(hint_path(str(database)))
    dualdb_command("advance", "--to", "postgres", str(database))
    with psycopg.connect(target_dsn, autocommit=True) as outside:
        outside.execute("INSERT INTO t(a) VALUES ('there')")
        until(lambda: bool(open_before.execute("SELECT a FROM t").fetchall() == [("there",)]))
        open_before.execute("INSERT INTO t(a) VALUES ('mine')")
        open_before.commit()
        assert outside.execute("SELECT a FROM t ORDER BY id").fetchall() == [("there",), ("mine",)]
    lose(hint_path(str(database)))
    dualdb_command("rollback", str(database))
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("INSERT INTO t(a) VALUES ('home')")
        plain.commit()
        until(lambda: bool(open_before.execute("SELECT count(*) FROM t").fetchone() == (3,)))
    open_before.close()


def _read(connection: Any) -> Any:
    return connection.execute("SELECT a FROM t").fetchall()


def _read_in_a_transaction(connection: Any) -> Any:
    connection.execute("BEGIN")
    return _read(connection)


def _read_with_a_cursor_made_before(connection: Any) -> Any:
    return connection.cursor().execute("SELECT a FROM t").fetchall()


def _write(connection: Any) -> Any:
    connection.execute("INSERT INTO t(a) VALUES ('mine')")
    return _read(connection)


def _write_in_a_transaction(connection: Any) -> Any:
    connection.execute("BEGIN")
    return _write(connection)


def _write_many(connection: Any) -> Any:
    connection.executemany("INSERT INTO t(a) VALUES (?)", [("mine",)])
    return _read(connection)


def _write_by_a_script(connection: Any) -> Any:
    connection.executescript("BEGIN; INSERT INTO t(a) VALUES ('mine'); COMMIT")
    return _read(connection)


FIRST = [
    _read, _read_in_a_transaction, _read_with_a_cursor_made_before,
    _write, _write_in_a_transaction, _write_many, _write_by_a_script,
]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "open_elsewhere"),
    [*((first, False) for first in FIRST), (_read_in_a_transaction, True), (_write_many, True)],
    ids=lambda value: value.__name__.strip("_").replace("_", " ") if callable(value) else f"open elsewhere {value}",
)
def test_a_connection_opened_after_the_loss_goes_where_the_data_is(
    database: Path,
    target_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    first: Callable[[Any], Any],
    *,
    open_elsewhere: bool,
) -> None:
    """One for each row, which does not live long enough to look twice: it knows before its first statement, and the
    hint is back.
    """
    monkeypatch.setenv("DUALDB_RELAY", "off")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    initialise(str(database), target_dsn)
    dualdb_command("advance", "--to", "postgres", str(database))
    with psycopg.connect(target_dsn, autocommit=True) as outside, closing(sqlite3.connect(database)) as plain:
        outside.execute("INSERT INTO t(a) VALUES ('there')")
        if open_elsewhere:
            plain.execute("SELECT count(*) FROM t").fetchall()
        os.unlink(hint_path(str(database)))
        with closing(dualdb.connect(database)) as row, row:
            found = first(row)
        there = outside.execute("SELECT a FROM t ORDER BY id").fetchall()
    assert found == there == ([("there",), ("mine",)] if "write" in first.__name__ else [("there",)])
    assert os.path.exists(hint_path(str(database)))


@pytest.mark.parametrize("lose", LOSSES)
def test_after_the_loss_nothing_is_slow(database: Path, lose: Callable[[str], None]) -> None:
    """The connection finds the new hint, and compares that one again."""
    prepare(database)
    connection: Any = dualdb.connect(database)
    connection.execute("CREATE TABLE t(a)")
    before = connection._dualdb.watch
    lose(hint_path(str(database)))

    def renewed() -> bool:
        connection.execute("SELECT 1")
        return connection._dualdb.watch is not before

    until(renewed)
    assert connection._dualdb.seen == connection._dualdb.counter[0]
    change(database, "UPDATE _dualdb_control SET epoch = 2")
    assert connection._dualdb.seen != connection._dualdb.counter[0]
    connection.close()


@pytest.mark.parametrize("lose", LOSSES)
def test_a_writer_meets_the_fence_at_once(database: Path, lose: Callable[[str], None]) -> None:
    """Before anybody has noticed the loss the fence says what the hint cannot."""
    prepare(database)
    connection: Any = dualdb.connect(database, timeout=0.2, isolation_level=None)
    connection.execute("CREATE TABLE t(a)")
    lose(hint_path(str(database)))
    raise_fence(database)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("INSERT INTO t VALUES (1)")
    lift_fence(database)
    connection.execute("INSERT INTO t VALUES (2)")
    assert connection.execute("SELECT a FROM t").fetchall() == [(2,)]
    connection.close()


def test_other_processes_are_told(database: Path) -> None:
    """All who have the lost hint mapped share its memory: one who notices is enough."""
    prepare(database)
    connection: Any = dualdb.connect(database)
    connection.execute("CREATE TABLE t(a)")
    program = (
        "import sys, time, dualdb\n"
        "from dualdb.driver import lookout\n"
        "lookout.LOOK_EVERY_S = 3600\n"
        "connection = dualdb.connect(sys.argv[1]); connection.execute('SELECT 1'); before = connection._dualdb.watch\n"
        "print('open', flush=True); sys.stdin.readline(); connection.execute('SELECT 1')\n"
        "print(connection._dualdb.watch is not before)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "open\n"
        watch = connection._dualdb.watch
        delete(hint_path(str(database)))
        until(lambda: watch.counter[0] != connection._dualdb.seen)
        out, _ = other.communicate("look\n", timeout=30)
    assert out == "True\n"
    connection.close()


def test_a_database_that_was_deleted_is_not_made_again(database: Path) -> None:
    """Its open connection goes on as sqlite3's does, and nothing appears in the folder."""
    prepare(database)
    connection: Any = dualdb.connect(database)
    connection.execute("CREATE TABLE t(a)")
    watch = connection._dualdb.watch
    for name in os.listdir(database.parent):
        if name.startswith(database.name):
            os.unlink(database.parent / name)
    until(lambda: watch.counter[0] != connection._dualdb.seen)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.close()
    assert not [name for name in os.listdir(database.parent) if name.startswith(database.name)]
