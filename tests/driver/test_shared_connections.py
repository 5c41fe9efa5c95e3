"""Threads that share a connection (`check_same_thread=False`), each statement one step, while the data moves."""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import move

import dualdb
from dualdb.core.phase import Phase
from dualdb.driver import connection as source
from dualdb.driver import execution
from dualdb.operations.transition import advance, rollback
from dualdb.stores.hint import Hint, hint_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 20


@pytest.fixture
def shared(database: Path, target_dsn: str) -> Any:
    """A connection in phase dual_write, for all threads."""
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    move(database, target_dsn, Phase.DUAL_WRITE)
    connection: Any = dualdb.connect(database, isolation_level=None, check_same_thread=False, timeout=60)
    connection.execute("SELECT 1")
    yield connection
    connection.close()


def _elsewhere(do: Callable[[], object]) -> None:
    """In another thread, to its end."""
    thread = threading.Thread(target=do)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def _count(connection: Any) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_rows_that_another_thread_gives_may_need_the_connection(shared: Any, database: Path) -> None:
    """Nobody waits for the one who makes the next row, or he would wait for ever."""
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    rows: queue.Queue[tuple[int] | None] = queue.Queue()
    for level in (None, "DEFERRED"):
        shared.isolation_level = level
        writer = threading.Thread(
            target=lambda: shared.executemany("INSERT INTO t(a) VALUES (?)", iter(rows.get, None)), daemon=True
        )
        writer.start()
        for number in range(5):
            rows.put(tuple(map(str, shared.execute("SELECT ? + 1", (number,)).fetchone())))  # type: ignore[arg-type]
        rows.put(None)
        writer.join(PATIENCE_S)
        assert not writer.is_alive()
        shared.commit()
    assert _count(shared) == 10


@pytest.mark.parametrize("level", [None, "DEFERRED"])
def test_another_thread_ends_the_transaction_and_goes_back_amid_the_rows(
    shared: Any, database: Path, level: Any
) -> None:
    """No row is lost, doubled or counted twice, wherever it was written."""
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    shared.isolation_level = level

    def rows() -> Iterator[tuple[str]]:
        for number in range(20):
            if number == 10:
                _elsewhere(shared.commit)
                rollback(str(database), observer=lambda _event: None)
                _elsewhere(lambda: _count(shared))
            yield (str(number),)

    cursor = shared.executemany("INSERT INTO t(a) VALUES (?)", rows())
    assert cursor.rowcount == 20
    shared.commit()
    assert [int(text) for (text,) in shared.execute("SELECT a FROM t ORDER BY id")] == list(range(20))


def test_a_script_that_another_thread_overtakes(shared: Any, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has taken the connection back to SQLite, and the script goes on there."""
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    assert _count(shared) == 0
    run = execution.executescript

    def paused(*given: Any) -> None:
        rollback(str(database), observer=lambda _event: None)
        _elsewhere(lambda: _count(shared))
        run(*given)

    monkeypatch.setattr(execution, "executescript", paused)
    shared.executescript("INSERT INTO t(a) VALUES ('s')")
    assert _count(shared) == 1


@pytest.fixture
def late(shared: Any, database: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bool], None]:
    """Let the move come just when a statement has been executed, or refused, on SQLite, before anybody knows of it."""
    execute: Any = sqlite3.Cursor.execute

    def arrange(beginning: str, moves_first: bool) -> None:
        def go() -> None:
            monkeypatch.setattr(source, "_execute", execute)
            advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
            if not moves_first:
                _elsewhere(lambda: _count(shared))

        def paused(cursor: Any, text: str, *given: Any) -> Any:
            if not text.startswith(beginning):
                return execute(cursor, text, *given)
            if moves_first:
                go()
                # As where sqlite3 loses the refusal to another thread's call: no error, and nothing written.
                return execute(cursor, "DELETE FROM t WHERE 0")
            try:
                return execute(cursor, text, *given)
            finally:
                go()

        monkeypatch.setattr(source, "_execute", paused)

    return arrange


def test_a_write_that_was_committed_before_the_others_left_is_done_once(
    shared: Any, late: Callable[[str, bool], None]
) -> None:
    """It was carried; it must not be executed again."""
    late("INSERT", False)
    shared.execute("INSERT INTO t(a) VALUES ('once')")
    assert _count(shared) == 1


def test_a_refusal_that_sqlite3_loses_is_known_all_the_same(shared: Any, late: Callable[[str, bool], None]) -> None:
    """Else a row would be taken for written that a fence has refused."""
    late("INSERT", True)
    shared.execute("INSERT INTO t(a) VALUES ('once')")
    assert _count(shared) == 1


@pytest.mark.parametrize("sql", ["INSERT INTO t(a) VALUES ('once') RETURNING id", "INSERT INTO v VALUES ('once')"])
def test_a_write_that_counts_none_is_not_done_again(
    shared: Any, database: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """sqlite3 counts none where a trigger writes, and none yet where rows are still to be fetched."""
    shared.executescript(
        "CREATE VIEW v AS SELECT a FROM t;"
        "CREATE TRIGGER w INSTEAD OF INSERT ON v BEGIN INSERT INTO t(a) VALUES (new.a); END"
    )
    execute: Any = sqlite3.Cursor.execute

    def paused(cursor: Any, text: str, *given: Any) -> Any:
        if text == sql:
            monkeypatch.setattr(source, "_execute", execute)
            rollback(str(database), observer=lambda _event: None)
            advance(str(database), observer=lambda _event: None)
        return execute(cursor, text, *given)

    monkeypatch.setattr(source, "_execute", paused)
    shared.execute(sql).fetchall()
    assert _count(shared) == 1


def test_a_change_of_the_hint_that_never_ends_holds_nobody_up(shared: Any, database: Path) -> None:
    """Its writer was killed in the midst of it."""
    hint = Hint(hint_path(str(database)), writable=True)
    hint.begin_change()
    shared.execute("UPDATE t SET a = 'none' WHERE 0")
    shared.execute("INSERT INTO t(a) VALUES ('once') RETURNING id").fetchall()
    assert _count(shared) == 1


def test_two_threads_that_meet_one_fence(shared: Any, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction of the one is gone, and it is told so; the other goes on."""
    execute: Any = sqlite3.Cursor.execute

    def paused(*given: Any) -> Any:
        try:
            return execute(*given)
        except sqlite3.IntegrityError:
            monkeypatch.setattr(source, "_execute", execute)
            _elsewhere(lambda: _count(shared))
            raise

    shared.execute("BEGIN")
    shared.execute("SELECT count(*) FROM sqlite_master").fetchall()
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    monkeypatch.setattr(source, "_execute", paused)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        shared.execute("INSERT INTO t(a) VALUES ('x')")
    shared.rollback()
    assert _count(shared) == 0


@pytest.mark.parametrize("sql", ["BEGIN", "SELECT count(*) FROM t"])
def test_a_statement_that_another_thread_overtakes(
    shared: Any, database: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """Between its look and its execution the connection has left: it is executed where the data went."""
    execute: Any = sqlite3.Cursor.execute

    def paused(cursor: Any, text: str, *given: Any) -> Any:
        if text == sql:
            monkeypatch.setattr(source, "_execute", execute)
            advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
            _elsewhere(lambda: shared.execute("INSERT INTO t(a) VALUES ('theirs')"))
        return execute(cursor, text, *given)

    monkeypatch.setattr(source, "_execute", paused)
    rows = shared.execute(sql).fetchall()
    assert rows == ([(1,)] if sql != "BEGIN" else [])
    if sql == "BEGIN":
        assert shared.in_transaction
        shared.execute("INSERT INTO t(a) VALUES ('never')")
        shared.rollback()
    assert _count(shared) == 1


def test_threads_that_share_a_cursor_share_its_rows(database: Path, target_dsn: str) -> None:
    """Each row goes to one of them, also where it is converted on the way."""
    count = 5000
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, n NUMERIC)")
        plain.executemany("INSERT INTO t VALUES (?, ?)", [(number, number + 0.5) for number in range(count)])
        plain.execute("INSERT INTO t VALUES (?, 7)", (count,))
        plain.commit()
    move(database, target_dsn)
    connection: Any = dualdb.connect(database, check_same_thread=False)
    cursor = connection.execute("SELECT id, n FROM t")
    found: list[int] = []

    def fetch() -> None:
        while (row := cursor.fetchone()) is not None:
            found.append(row[0])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(found) == list(range(count + 1))
    connection.close()


def test_scripts_of_several_threads_leave_the_text_factory_alone(shared: Any) -> None:
    """What one of them reads by is never taken for the application's own."""
    shared.executemany("INSERT INTO t(a) VALUES (?)", [(f"text {number}",) for number in range(300)])
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                shared.executescript("SELECT a FROM t; SELECT a FROM t;")
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (failed, shared.text_factory) == ([], str)
