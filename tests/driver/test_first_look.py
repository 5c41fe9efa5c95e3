"""A connection finds out whether its file was prepared: whatever is done with it first, and at nobody's expense."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import move

import dualdb
from dualdb.core.phase import Phase
from dualdb.driver.target_connection import TargetConnection
from dualdb.operations.transition import advance
from dualdb.stores.hint import hint_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t(a) VALUES ('old')"
READ = "SELECT a FROM t ORDER BY id"


@pytest.fixture
def moved(database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose follower lacks a row: nobody carries it back."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn)
    with closing(dualdb.connect(database)) as connection, connection:
        connection.execute("INSERT INTO t(a) VALUES ('new')")
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute(READ).fetchall() == [("old",)]
    return database


def _on_to_postgres(database: Path) -> None:
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)


def test_threads_that_share_a_connection_look_together(moved: Path) -> None:
    """None of them reads the follower while another one looks, and all may follow the authority at once."""
    for _ in range(30):
        with closing(dualdb.connect(moved, check_same_thread=False)) as connection:
            found = _read_at_once(connection, 4)
            assert found == [[("old",), ("new",)]] * 4


def _read_at_once(connection: Any, threads: int) -> list[Any]:
    together = threading.Barrier(threads)

    def read() -> Any:
        together.wait()
        return connection.execute(READ).fetchall()

    with ThreadPoolExecutor(threads) as pool:
        return [one.result() for one in [pool.submit(read) for _ in range(threads)]]


def _left_by_a_crash(folder: Path) -> Path:
    """A file in WAL mode that was never prepared, with a log that nobody has open."""
    made, left = folder / "made.db", folder / "left.db"
    with closing(sqlite3.connect(made)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)")
        for suffix in ("", "-wal"):
            shutil.copy(f"{made}{suffix}", f"{left}{suffix}")
    return left


@pytest.mark.parametrize("how", ["", "?mode=ro", "?immutable=1"])
def test_nothing_is_written_or_removed_by_looking(tmp_path: Path, how: str) -> None:
    """Neither the file nor the log beside it, be the look the only thing that has them open."""
    said = []
    for module in (sqlite3, dualdb):
        (folder := tmp_path / module.__name__).mkdir()
        left = _left_by_a_crash(folder)
        connection: Any = module.connect(f"file:{left}{how}", uri=True)
        try:
            answer: Any = connection.execute("SELECT a FROM t").fetchall()
        except sqlite3.Error as error:
            answer = str(error)
        said.append((answer, {name: (folder / name).stat().st_size for name in os.listdir(folder) if "left" in name}))
        connection.close()
    assert said[0] == said[1]


HOLDER = """
import sqlite3, sys, time
holder = sqlite3.connect(sys.argv[1], isolation_level=None)
holder.execute("PRAGMA locking_mode = EXCLUSIVE")
holder.execute("BEGIN IMMEDIATE")
print(flush=True)
time.sleep(0.7)
"""


def test_who_cannot_know_yet_looks_again(moved: Path) -> None:
    """The hint is lost and another process keeps everybody out: what waited for it reads where the data is."""
    os.unlink(hint_path(str(moved)))
    with subprocess.Popen([sys.executable, "-c", HOLDER, moved], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with closing(dualdb.connect(moved, timeout=20)) as connection:
            assert connection.execute(READ).fetchall() == [("old",), ("new",)]
            connection.executemany("INSERT INTO t(a) VALUES (?)", [("mine",)])
            connection.commit()
            assert connection.execute(READ).fetchall() == [("old",), ("new",), ("mine",)]


@pytest.mark.parametrize(("level", "meanwhile"), [("", 0), ("IMMEDIATE", -1), (None, 0), (None, 1), (None, 2)])
def test_rows_that_are_written_while_the_file_is_prepared_and_moved(
    database: Path, target_dsn: str, level: Any, meanwhile: int
) -> None:
    """As happens to a long executemany that waits for the lock between its rows: each is written once, and counted."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)

    def rows() -> Iterator[tuple[str]]:
        for number in range(3):
            if number == meanwhile:
                move(database, target_dsn)
            yield (f"row {number}",)

    with closing(dualdb.connect(database, isolation_level=level)) as connection:
        cursor = connection.executemany("INSERT INTO t(a) VALUES (?)", rows())
        assert cursor.rowcount == 3
        connection.commit()
        if meanwhile == -1:
            move(database, target_dsn)
        assert connection.execute(READ).fetchall() == [("old",), ("row 0",), ("row 1",), ("row 2",)]
        assert isinstance(connection, TargetConnection)


def test_rows_behind_the_first_are_refused_and_not_done_again(database: Path, target_dsn: str) -> None:
    """Their own iterator has ended the transaction that held the lock: nobody knows which row it was, and says so."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)

    def rows() -> Iterator[tuple[str]]:
        for number in range(4):
            if number == 2:
                connection.commit()
                move(database, target_dsn)
            yield (f"row {number}",)

    with closing(dualdb.connect(database)) as connection:
        connection.execute(READ)
        with pytest.raises(sqlite3.IntegrityError, match="dualdb:moved"):
            connection.executemany("INSERT INTO t(a) VALUES (?)", rows())
        assert connection.execute(READ).fetchall() == [("old",), ("row 0",), ("row 1",)]


def test_what_is_wrong_with_an_executemany_is_said_as_by_sqlite3(database: Path) -> None:
    """On a file that was never prepared too, where the first row is looked at."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)

    def failing() -> Iterator[tuple[str]]:
        yield ("kept",)
        raise ZeroDivisionError

    said: list[list[Any]] = []
    for connect in (sqlite3.connect, dualdb.connect):
        said.append([])
        for sql, rows in (
            (1, [(1,)]),
            ("INSERT INTO t(a) VALUES (?)", 5),
            ("INSERT INTO t(a) VALUES (?)", failing()),
            ("INSERT INTO t(a) VALUES (?)", []),
            ("INSERT INTO t(a) VALUES (?)", [()]),
            ("INSERT INTO t(a) VALUES (?)", [("x",), 7]),
            ("INSERT INTO t(a) VALUES (:a)", iter([{"a": 1}, {"b": 2}])),
            ("SELECT ?", [(1,)]),
            ("INSERT INTO none VALUES (?)", [(1,)]),
        ):
            with closing(connect(database)) as connection:
                cursor: Any = connection.cursor()
                try:
                    cursor.executemany(sql, rows)
                except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
                    said[-1].append(repr(error))
                said[-1].append((cursor.rowcount, cursor.lastrowid, connection.in_transaction))
    assert said[0] == said[1]


def test_a_connection_that_has_left_its_file_stays_away(database: Path, target_dsn: str) -> None:
    """`deserialize` gives it a database in memory, of which PostgreSQL knows nothing."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn, Phase.DUAL_WRITE)
    with closing(sqlite3.connect(":memory:")) as other, closing(dualdb.connect(database)) as connection:
        other.executescript("CREATE TABLE t(a); INSERT INTO t VALUES ('private')")
        connection.deserialize(other.serialize())
        _on_to_postgres(database)
        connection.execute("INSERT INTO t VALUES ('secret')")
        connection.commit()
        assert connection.execute("SELECT a FROM t").fetchall() == [("private",), ("secret",)]
    with closing(dualdb.connect(database)) as connection:
        assert connection.execute(READ).fetchall() == [("old",)]


def _shouting(value: bytes) -> str:
    return value.decode().upper()


def test_what_was_set_before_the_first_statement_changes_no_rights(moved: Path) -> None:
    """A text factory, a row factory or an authorizer: who may only read still may, and who may write too."""
    read_only = dualdb.connect(f"file:{moved}?mode=ro", uri=True)
    read_only.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == 22 else sqlite3.SQLITE_OK)
    read_only.set_authorizer(None)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        read_only.execute("INSERT INTO t(a) VALUES ('never')")
    read_only.close()
    for lost in (False, True):
        if lost:
            os.unlink(hint_path(str(moved)))
        connection: Any = dualdb.connect(moved)
        connection.text_factory = _shouting
        connection.row_factory = lambda _, row: {"first": row[0]}
        connection.execute("INSERT INTO t(a) VALUES ('mine')")
        connection.commit()
        assert {"first": "MINE"} in connection.execute(READ).fetchall()
        connection.close()


def test_factories_of_every_kind_go_along(moved: Path) -> None:
    """Those that make and open the object past our class too."""

    class Makes(sqlite3.Connection):
        def __new__(cls, *_: Any, **__: Any) -> Any:
            return sqlite3.Connection.__new__(cls)

    class Opens(sqlite3.Connection):
        def __init__(self, *args: Any, **named: Any) -> None:
            sqlite3.Connection.__init__(self, *args, **named)

    for factory in (Makes, Opens):
        with closing(dualdb.connect(moved, factory=factory, detect_types=sqlite3.PARSE_COLNAMES)) as connection:
            assert connection.execute(READ).fetchall() == [("old",), ("new",)]


def test_init_that_fails_on_its_arguments_leaves_the_connection_as_it_was(moved: Path) -> None:
    """As in sqlite3: open, and here where the data is, a transaction with it."""
    with closing(dualdb.connect(moved)) as connection:
        again: Any = connection
        for _ in range(2):
            with pytest.raises(TypeError):
                again.__init__()
            assert connection.execute(READ).fetchall() == [("old",), ("new",)]
        connection.execute("INSERT INTO t(a) VALUES ('mine')")
        with pytest.raises(TypeError):
            again.__init__()
        assert connection.in_transaction
        connection.commit()
        assert connection.execute(READ).fetchall() == [("old",), ("new",), ("mine",)]


def test_a_transaction_with_an_authorizer_keeps_its_snapshot(database: Path, target_dsn: str) -> None:
    """It has read before the move, and can be ended."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn, Phase.DUAL_WRITE)
    with closing(dualdb.connect(database)) as connection:
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
        connection.execute("BEGIN")
        assert connection.execute(READ).fetchall() == [("old",)]
        _on_to_postgres(database)
        assert connection.execute(READ).fetchall() == [("old",)]
        connection.execute("ROLLBACK")
        with pytest.raises(sqlite3.NotSupportedError, match="authorizer"):
            connection.execute(READ)


def test_a_large_schema_is_read_once(database: Path) -> None:
    """Who connects for each row to a file that was never prepared does not compile its schema each second."""
    tables = 2_000
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript("BEGIN;" + "".join(f"CREATE TABLE t{n}(a, b, c);" for n in range(tables)) + "COMMIT")
    program = (
        "import sys, time, dualdb\n"
        "def cost():\n"
        "    began = time.thread_time()\n"
        "    connection = dualdb.connect(sys.argv[1]); connection.execute('SELECT 1'); connection.close()\n"
        "    return time.thread_time() - began\n"
        "cost(); first = cost()\n"
        "seconds = []\n"
        "for _ in range(3):\n"
        "    time.sleep(1.01); seconds.append(cost())\n"
        "print(min(seconds))\n"
    )
    run = subprocess.run([sys.executable, "-c", program, database], capture_output=True, check=True, text=True)
    assert float(run.stdout) < 0.005


UNTOLD = """
import sys, dualdb
from dualdb.driver import lookout

lookout.LOOK_EVERY_S = 3600
with dualdb.connect(sys.argv[1], timeout=5) as connection:
    connection.execute("SELECT 1")
    print(flush=True)
    sys.stdin.readline()
    connection.execute("INSERT INTO t(a) VALUES ('mine')")
    print(connection.execute("SELECT a FROM t").fetchall())
"""


def test_a_writer_does_not_turn_in_circles_where_nobody_tells_that_the_hint_is_lost(
    database: Path, target_dsn: str
) -> None:
    """The fence's refusal is answered by the control row, whatever the counter says."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn, Phase.DUAL_WRITE)
    with subprocess.Popen(
        [sys.executable, "-c", UNTOLD, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        writer.stdout.readline()
        os.unlink(hint_path(str(database)))
        _on_to_postgres(database)
        out, _ = writer.communicate("\n", timeout=60)
    assert out == "[('old',), ('mine',)]\n"
