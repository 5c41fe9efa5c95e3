"""An open connection goes where the authority goes, in both directions, and loses nothing on the way."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from itertools import cycle
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.driver.moves import back, forward
from tests.driver.twins import move

import dualdb
from dualdb.core.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.once


def test_one_connection_through_all_phases(moving: Path, target_dsn: str) -> None:
    """What was written in each phase is read in the next; isinstance and identity stay."""

    class Own(dualdb.Connection):
        def texts(self) -> list[str]:
            return [text for (text,) in self.execute("SELECT a FROM t ORDER BY id")]

    connection: Any = dualdb.connect(moving, factory=Own)
    early = connection.cursor()
    connection.execute("INSERT INTO t(a) VALUES ('dual')")
    connection.commit()
    forward(moving)
    early.execute("INSERT INTO t(a) VALUES (?)", ("target",))
    assert early.lastrowid == 2
    connection.commit()
    assert connection.texts() == ["dual", "target"]
    assert isinstance(connection, Own)
    assert connection.in_transaction is False
    with psycopg.connect(target_dsn) as outside:
        assert outside.execute("SELECT a FROM t ORDER BY id").fetchall() == [("dual",), ("target",)]
    back(moving)
    connection.execute("INSERT INTO t(a) VALUES ('home')")
    connection.commit()
    assert connection.texts() == ["dual", "target", "home"]
    assert early.execute("SELECT count(*) FROM t").fetchone() == (3,)
    connection.close()
    with closing(sqlite3.connect(moving)) as plain:
        assert plain.execute("SELECT a FROM t ORDER BY id").fetchall() == [("dual",), ("target",), ("home",)]


def test_many_rows_are_counted_wherever_they_were_written(moving: Path) -> None:
    """An executemany that the authority's change meets in the middle, there and back, has the rows of both sides."""
    connection: Any = dualdb.connect(moving, isolation_level=None)
    connection.execute("INSERT INTO t VALUES (3, 'x'), (10, 'x')")

    def numbered(first: int, go: Callable[[Path], None]) -> Iterator[tuple[int]]:
        for number in range(first, first + 12):
            if number == first + 7:
                go(moving)
            yield (number,)

    for first, go in ((1, forward), (101, back), (201, forward), (301, back)):
        cursor = connection.cursor()
        cursor.executemany("INSERT OR IGNORE INTO t VALUES (?, 'a')", numbered(first, go))
        assert cursor.rowcount == (10 if first == 1 else 12)
        assert (cursor.lastrowid, cursor.description, cursor.fetchall()) == (None, None, [])
        assert cursor.execute("UPDATE t SET a = 'b' WHERE id >= ?", (first,)).rowcount >= 11
        assert cursor.executemany("UPDATE t SET a = 'c' WHERE id < ?", [(2,), (3,)]).rowcount == 3
    assert connection.execute("SELECT count(*), min(id), max(id) FROM t").fetchall() == [(48, 1, 312)]
    connection.close()


def test_a_cursor_that_is_reading_keeps_its_old_snapshot(moving: Path) -> None:
    """Rows fetched after the move are those of the SELECT that began before it."""
    connection: Any = dualdb.connect(moving)
    connection.executemany("INSERT INTO t(a) VALUES (?)", [("x",)] * 5)
    connection.commit()
    reading = connection.execute("SELECT id FROM t ORDER BY id")
    first = reading.fetchone()
    forward(moving)
    connection.execute("DELETE FROM t")
    connection.commit()
    assert [first, *reading.fetchall()] == [(1,), (2,), (3,), (4,), (5,)]
    connection.close()


def test_a_select_that_is_unfinished_there_and_back_is_told(moving: Path) -> None:
    """Its snapshot is of before; what the connection has committed on PostgreSQL meanwhile must not be hidden by it."""
    connection: Any = dualdb.connect(moving, isolation_level=None)
    connection.executemany("INSERT INTO t(a) VALUES (?)", [(str(number),) for number in range(500)])
    reading = connection.execute("SELECT a FROM t")
    assert reading.fetchone() == ("0",)
    forward(moving)
    connection.execute("INSERT INTO t(a) VALUES ('new')")
    back(moving)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="SELECT that this connection began before") as caught:
            connection.execute("SELECT count(*) FROM t")
        assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
    reading.close()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (501,)
    connection.close()


def test_what_is_asked_of_the_file_meanwhile_holds_no_snapshot_of_it(moving: Path) -> None:
    """A PRAGMA, in phase postgres, while sqlite3 keeps a transaction open at all times."""
    options: dict[str, Any] = {"autocommit": False} if hasattr(sqlite3.Connection, "autocommit") else {}
    connection: Any = dualdb.connect(moving, **options)
    forward(moving)
    connection.execute("SELECT 1")
    connection.execute("PRAGMA user_version").fetchall()
    connection.commit()
    connection.execute("INSERT INTO t(a) VALUES ('new')")
    connection.commit()
    back(moving)
    assert connection.execute("SELECT a FROM t").fetchall() == [("new",)]
    connection.close()


def _switched(connection: Any) -> None:
    connection.autocommit = True
    connection.autocommit = False


def _committed(connection: Any) -> None:
    connection.commit()


@pytest.mark.parametrize("end", [_committed, _switched])
@pytest.mark.parametrize("prepared", [True, False])
def test_a_connection_at_rest_goes_along_though_a_transaction_is_always_open(
    database: Path, target_dsn: str, prepared: bool, end: Callable[[Any], None]
) -> None:
    """`autocommit=False`, of Python 3.12: after a commit nothing was done yet in the next one."""
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    if prepared:
        move(database, target_dsn, Phase.DUAL_WRITE)
    if not hasattr(sqlite3.Connection, "autocommit"):
        return
    options: dict[str, Any] = {"autocommit": False}
    connection: Any = dualdb.connect(database, **options)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    end(connection)
    if prepared:
        forward(database)
    else:
        move(database, target_dsn)
    with closing(dualdb.connect(database, isolation_level=None)) as other:
        other.execute("INSERT INTO t(a) VALUES ('new')")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.close()


def _reads(connection: Any) -> int:
    return int(connection.execute("SELECT a FROM t WHERE id = 1").fetchone()[0])


def _reads_a_blob(connection: Any) -> int:
    with connection.blobopen("t", "a", 1, readonly=True) as blob:
        return int(blob.read())


def _stays(_connection: Any) -> None:
    pass


def _leaves_legacy(connection: Any) -> None:
    connection.autocommit = False


@pytest.mark.parametrize("read", [_reads, _reads_a_blob])
@pytest.mark.parametrize("switch", [_stays, _leaves_legacy])
def test_a_transaction_that_has_read_does_not_write_over_what_came_meanwhile(
    moving: Path, read: Callable[[Any], int], switch: Callable[[Any], None]
) -> None:
    """Whatever it has read by, and however its transactions are begun from then on: it is told to begin again."""
    if switch is _leaves_legacy and not hasattr(sqlite3.Connection, "autocommit"):
        return
    connection: Any = dualdb.connect(moving)
    connection.execute("INSERT INTO t VALUES (1, '10')")
    connection.commit()
    connection.execute("BEGIN")
    found = read(connection)
    switch(connection)
    forward(moving)
    with closing(dualdb.connect(moving, isolation_level=None)) as other:
        other.execute("UPDATE t SET a = '15' WHERE id = 1")
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("UPDATE t SET a = ? WHERE id = 1", (str(found + 1),))
    connection.rollback()
    assert _reads(connection) == 15
    connection.close()


def _says_commit(connection: Any) -> None:
    connection.commit()  # nothing, with autocommit=True


def _shows_by_a_function(connection: Any) -> None:
    def fail(value: Any) -> None:
        raise ValueError(value)

    connection.create_function("fail", 1, fail)
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("SELECT fail(a) FROM t")


def _takes_an_image(connection: Any) -> None:
    assert connection.serialize()


@pytest.mark.parametrize("do", [_says_commit, _shows_by_a_function, _takes_an_image])
def test_a_transaction_that_has_seen_the_file_keeps_to_it(moving: Path, do: Callable[[Any], None]) -> None:
    """Whatever it has seen it by; it must not write over what came meanwhile."""
    if do is _says_commit and not hasattr(sqlite3.Connection, "autocommit"):
        return
    options: dict[str, Any] = {"autocommit": True} if do is _says_commit else {"isolation_level": None}
    connection: Any = dualdb.connect(moving, **options)
    connection.execute("INSERT INTO t VALUES (1, '10')")
    connection.execute("BEGIN")
    if do is _says_commit:
        connection.execute("SELECT a FROM t").fetchall()
    do(connection)
    forward(moving)
    with closing(dualdb.connect(moving, isolation_level=None)) as other:
        other.execute("UPDATE t SET a = '15' WHERE id = 1")
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("UPDATE t SET a = '11' WHERE id = 1")
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize(
    "sql", ["INSERT INTO aux.log SELECT a || ? FROM main.t", "CREATE TABLE aux.copied AS SELECT a FROM main.t"]
)
def test_a_transaction_that_has_written_beside_the_file_is_not_torn(moving: Path, tmp_path: Path, sql: str) -> None:
    """Into an attached database, which stays where it is; though the statement failed behind its first rows."""
    connection: Any = dualdb.connect(moving, isolation_level=None)
    connection.execute("INSERT INTO t VALUES (1, '10')")
    connection.execute("ATTACH ? AS aux", (str(tmp_path / "beside.db"),))
    connection.execute("CREATE TABLE aux.log(a)")
    connection.execute("BEGIN")

    def rows() -> Iterator[tuple[str]]:
        yield ("x",)
        raise ZeroDivisionError

    if sql.startswith("INSERT"):
        with pytest.raises(ZeroDivisionError):
            connection.executemany(sql, rows())
    else:
        connection.execute(sql)
    forward(moving)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("INSERT INTO t(a) VALUES ('11')")
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize("away", [True, False])
def test_whatever_makes_the_rows_has_the_connection_as_it_was(moving: Path, away: bool) -> None:
    """Behind its own commit and a move: its writes begin a transaction as ever, and the level is as it sets it."""
    if not away:
        forward(moving)
    connection: Any = dualdb.connect(moving)
    connection.execute("CREATE TABLE log(a TEXT)")
    connection.commit()
    seen: list[Any] = []

    def rows() -> Iterator[dict[str, str]]:
        for number in range(6):
            if number == 2:
                connection.commit()
                (forward if away else back)(moving)
            if number == 4:
                connection.execute("INSERT INTO log VALUES ('never')")
                seen.append((connection.isolation_level, connection.in_transaction))
                connection.isolation_level = "IMMEDIATE"
            yield {"a": str(number)}

    connection.executemany("INSERT INTO t(a) VALUES (:a)", rows())
    assert seen == [("", True)]
    assert (connection.isolation_level, connection.in_transaction) == ("IMMEDIATE", True)
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM log").fetchone() == (0,)
    assert [text for (text,) in connection.execute("SELECT a FROM t ORDER BY id")] == list("0123")
    connection.close()


@pytest.mark.parametrize("away", [True, False])
def test_whatever_makes_the_rows_commits_before_the_first(moving: Path, away: bool) -> None:
    """Then each row stands by itself, and is there though nobody commits any more."""
    if not away:
        forward(moving)
    connection: Any = dualdb.connect(moving)
    connection.execute("SELECT 1")

    def rows() -> Iterator[tuple[str]]:
        for number in range(4):
            if number == 0:
                connection.commit()
                (forward if away else back)(moving)
            yield (str(number),)

    connection.executemany("INSERT INTO t(a) VALUES (?)", rows())
    assert not connection.in_transaction
    connection.close()
    with closing(dualdb.connect(moving)) as other:
        assert [text for (text,) in other.execute("SELECT a FROM t ORDER BY id")] == list("0123")


@pytest.mark.filterwarnings("ignore:Binding 1:DeprecationWarning")
def test_rows_by_place_for_named_parameters_go_back_whole(moving: Path) -> None:
    """sqlite3 takes a sequence for any mixture of placeholders."""
    forward(moving)
    connection: Any = dualdb.connect(moving)
    connection.execute("SELECT 1")

    def rows() -> Iterator[tuple[int, str]]:
        for number in range(8):
            if number == 4:
                connection.commit()
                back(moving)
            yield number, f"row {number}"

    connection.executemany("INSERT INTO t(id, a) VALUES (:id, ?)", rows())
    connection.commit()
    assert connection.execute("SELECT id, a FROM t ORDER BY id").fetchall() == [(n, f"row {n}") for n in range(8)]
    connection.close()


def test_a_lock_of_another_file_says_nothing_of_this_one(moving: Path, tmp_path: Path) -> None:
    """What makes the rows has read, and then met it: the transaction has read all the same."""
    holder = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    holder.execute("CREATE TABLE q(a)")
    holder.execute("BEGIN IMMEDIATE")
    other: Any = sqlite3.connect(tmp_path / "other.db", timeout=0, isolation_level=None)
    connection: Any = dualdb.connect(moving)
    connection.execute("INSERT INTO t VALUES (1, '10')")
    connection.commit()

    def rows() -> Iterator[tuple[int]]:
        found = _reads(connection)
        other.execute("INSERT INTO q VALUES (1)")
        yield (found + 1,)

    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.executemany("UPDATE t SET a = ? WHERE id = 1", rows())
    forward(moving)
    with closing(dualdb.connect(moving, isolation_level=None)) as late:
        late.execute("UPDATE t SET a = '15' WHERE id = 1")
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("UPDATE t SET a = '11' WHERE id = 1")
    connection.rollback()
    assert _reads(connection) == 15
    for each in (connection, other, holder):
        each.close()


def test_a_write_that_was_refused_the_lock_is_tried_again_elsewhere(moving: Path) -> None:
    """It has done nothing: the usual loop around it succeeds where the data went."""
    holder = sqlite3.connect(moving, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    connection: Any = dualdb.connect(moving, timeout=0.05)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("INSERT INTO t(a) VALUES ('x')")
    holder.execute("COMMIT")
    holder.close()
    forward(moving)
    connection.execute("INSERT INTO t(a) VALUES ('x')")
    connection.commit()
    assert connection.execute("SELECT a FROM t").fetchall() == [("x",)]
    connection.close()


def _commits(connection: Any) -> None:
    connection.commit()


def _commits_by_text(connection: Any) -> None:
    connection.execute("COMMIT")


def _commits_by_a_script(connection: Any) -> None:
    connection.executescript("")


@pytest.mark.parametrize("end", [_commits, _commits_by_text, _commits_by_a_script])
@pytest.mark.parametrize("away", [True, False])
@pytest.mark.parametrize("level", [None, "DEFERRED"])
@pytest.mark.parametrize("again", [True, False])
def test_rows_whose_maker_ends_one_transaction_and_begins_another(
    moving: Path, end: Callable[[Any], None], away: bool, level: Any, again: bool
) -> None:
    """As loaders do for each thousand rows: what is open behind the move is what the application has opened."""
    if not away:
        forward(moving)
    connection: Any = dualdb.connect(moving, isolation_level=level)
    connection.execute("BEGIN")

    def rows() -> Iterator[list[str]]:
        row = [""]
        for number in range(6):
            if number == 3:
                end(connection)
                if again:
                    connection.execute("BEGIN")
                (forward if away else back)(moving)
            row[0] = str(number)
            yield row

    assert connection.executemany("INSERT INTO t(a) VALUES (?)", rows()).rowcount == 6
    assert connection.in_transaction == again
    connection.rollback()
    assert [text for (text,) in connection.execute("SELECT a FROM t ORDER BY id")] == list("012" if again else "012345")
    connection.close()


def test_a_with_block_that_cannot_commit_leaves_nothing_behind(database: Path, target_dsn: str) -> None:
    """It is rolled back, and the next transaction, which `autocommit=False` has begun, goes along."""
    if not hasattr(sqlite3.Connection, "autocommit"):
        return
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(
            "CREATE TABLE t(id INTEGER PRIMARY KEY);CREATE TABLE k(t REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)"
        )
    move(database, target_dsn, Phase.DUAL_WRITE)
    connection: Any = dualdb.connect(database)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.autocommit = False
    with pytest.raises(sqlite3.IntegrityError), connection:
        connection.execute("INSERT INTO k VALUES (77)")
    forward(database)
    with closing(dualdb.connect(database, isolation_level=None)) as other:
        other.execute("INSERT INTO t DEFAULT VALUES")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("begin", ["", "BEGIN"])
@pytest.mark.parametrize("away", [True, False])
def test_rows_whose_maker_commits_stand_by_themselves(moving: Path, begin: str, away: bool) -> None:
    """Also behind a move that comes just then: nothing is left open that the application did not open."""
    go, ready = (forward, back) if away else (back, forward)
    if not away:
        ready(moving)
    connection: Any = dualdb.connect(moving)
    connection.execute(begin)

    def rows() -> Iterator[tuple[str]]:
        for number in range(6):
            if number == 3:
                connection.commit()
                go(moving)
            yield (str(number),)

    assert connection.executemany("INSERT INTO t(a) VALUES (?)", rows()).rowcount == 6
    assert not connection.in_transaction
    connection.close()
    with closing(dualdb.connect(moving)) as other:
        assert [text for (text,) in other.execute("SELECT a FROM t ORDER BY id")] == list("012345")


def test_rows_that_go_back_in_their_midst_are_all_counted(moving: Path) -> None:
    """Some were written on PostgreSQL, the others in the file."""
    forward(moving)
    connection: Any = dualdb.connect(moving, isolation_level=None)
    connection.execute("SELECT 1")

    def rows() -> Iterator[tuple[str]]:
        for number in range(8):
            if number == 4:
                back(moving)
            yield (str(number),)

    cursor = connection.executemany("INSERT INTO t(a) VALUES (?)", rows())
    assert cursor.rowcount == 8
    assert [text for (text,) in connection.execute("SELECT a FROM t ORDER BY id")] == list("01234567")
    connection.close()


def test_methods_from_before_the_way_back_work_behind_it(moving: Path) -> None:
    """Looked up in phase postgres, or called before any statement has noticed: nothing is refused any more."""
    forward(moving)
    connection: Any = dualdb.connect(moving)
    connection.execute("SELECT 1")
    late = {
        name: getattr(connection, name)
        for name in ("execute", "cursor", "executemany", "executescript", "create_function", "set_authorizer")
    }
    dump, whole = connection.iterdump, connection.serialize
    back(moving)
    assert connection.serialize()[:15] == b"SQLite format 3"
    assert late["execute"]("SELECT 1").fetchone() == (1,)
    assert late["cursor"]().execute("SELECT 2").fetchone() == (2,)
    late["executemany"]("INSERT INTO t(a) VALUES (?)", [("x",)])
    late["executescript"]("INSERT INTO t(a) VALUES ('y')")
    late["create_function"]("twice", 1, lambda value: 2 * value)
    assert connection.execute("SELECT twice(a) FROM t ORDER BY id").fetchall() == [("xx",), ("yy",)]
    assert any("'x'" in line for line in dump())
    assert whole()[:15] == b"SQLite format 3"
    late["set_authorizer"](lambda *_: sqlite3.SQLITE_DENY)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        connection.execute("SELECT a FROM t")
    connection.close()


def test_methods_from_before_the_move_are_heeded_behind_it(moving: Path) -> None:
    """What only SQLite's engine asks, set by a method that was looked up while that was in charge."""
    connection: Any = dualdb.connect(moving)
    teach, authorize = connection.create_function, connection.set_authorizer
    forward(moving)
    assert connection.execute("SELECT lower('A')").fetchone() == ("a",)
    teach("lower", 1, lambda _: "mine")
    with pytest.raises(sqlite3.NotSupportedError, match="lower"):
        connection.execute("SELECT lower('A')")
    with pytest.raises(sqlite3.NotSupportedError, match="authorizer"):
        authorize(lambda *_: sqlite3.SQLITE_DENY)
    connection.close()


def test_a_begun_transaction_moves_with_its_savepoints(moving: Path) -> None:
    """BEGIN and SAVEPOINT said before the move count after it."""
    connection: Any = dualdb.connect(moving, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SAVEPOINT s")
    forward(moving)
    connection.execute("INSERT INTO t(a) VALUES ('undone')")
    assert connection.in_transaction
    connection.execute("ROLLBACK TO s")
    connection.execute("INSERT INTO t(a) VALUES ('kept')")
    connection.execute("COMMIT")
    assert connection.execute("SELECT a FROM t").fetchall() == [("kept",)]
    connection.execute("BEGIN")
    back(moving)
    connection.execute("INSERT INTO t(a) VALUES ('home')")
    connection.execute("COMMIT")
    assert connection.execute("SELECT a FROM t ORDER BY id").fetchall() == [("kept",), ("home",)]
    connection.close()


def test_a_transaction_that_has_read_is_told_to_begin_again(moving: Path) -> None:
    """Its write after the move is refused as SQLite refuses a stale snapshot; it stays open until it is rolled back."""
    connection: Any = dualdb.connect(moving, isolation_level=None)
    connection.execute("BEGIN")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    forward(moving)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$") as caught:
            connection.execute("INSERT INTO t(a) VALUES ('stale')")
        assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
        assert connection.in_transaction
    connection.execute("ROLLBACK")
    assert not connection.in_transaction
    connection.execute("INSERT INTO t(a) VALUES ('fresh')")
    assert connection.execute("SELECT a FROM t").fetchall() == [("fresh",)]
    connection.close()


def test_a_reader_on_postgres_that_writes_after_another_is_told_to_begin_again(moving: Path) -> None:
    """SQLITE_BUSY_SNAPSHOT when somebody has committed since the transaction read; otherwise the write goes through."""
    forward(moving)
    one: Any = dualdb.connect(moving, isolation_level=None)
    other: Any = dualdb.connect(moving, isolation_level=None)
    one.execute("BEGIN")
    one.execute("SELECT count(*) FROM t")
    one.execute("INSERT INTO t(a) VALUES ('alone')")
    one.execute("COMMIT")
    one.execute("BEGIN")
    one.execute("SELECT count(*) FROM t")
    other.execute("INSERT INTO t(a) VALUES ('other')")
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$") as caught:
        one.execute("UPDATE t SET a = 'lost'")
    assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
    assert one.execute("SELECT a FROM t").fetchall() == [("alone",)]
    one.execute("ROLLBACK")
    assert one.execute("SELECT count(*) FROM t").fetchone() == (2,)
    one.close()
    other.close()


def test_write_transactions_wait_for_each_other(moving: Path) -> None:
    """The writers' lock is waited for as long as `timeout` says."""
    forward(moving)
    holder = dualdb.connect(moving, isolation_level=None)
    waiter = dualdb.connect(moving, isolation_level=None, timeout=0.2)
    holder.execute("BEGIN IMMEDIATE")
    for statement in ("INSERT INTO t(a) VALUES ('x')", "BEGIN IMMEDIATE"):
        with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$") as caught:
            waiter.execute(statement)
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_BUSY
        assert not waiter.in_transaction
    assert waiter.execute("SELECT count(*) FROM t").fetchone() == (0,)
    holder.execute("ROLLBACK")
    waiter.execute("INSERT INTO t(a) VALUES ('x')")
    holder.close()
    waiter.close()


@pytest.mark.parametrize("begins", [(), ("",), ("", "BEGIN"), ("", "BEGIN IMMEDIATE", "SAVEPOINT s")])
def test_writers_see_a_pause_and_no_error(moving: Path, begins: tuple[str, ...]) -> None:
    """Threads that write and count without a break while the authority goes there and back: in sqlite3's transactions,
    by themselves, and by turns so and in transactions that they begin.
    """
    stop = threading.Event()
    errors: list[Exception] = []
    written: list[int] = []

    def work() -> None:
        count = 0
        connection: Any = dualdb.connect(moving, timeout=20, isolation_level=None if begins else "DEFERRED")
        try:
            for begin in cycle(begins or ("",)):
                if stop.is_set():
                    break
                connection.execute(begin)
                connection.execute("INSERT INTO t(a) VALUES ('w')")
                connection.commit()
                count += 1
        except Exception as error:  # noqa: BLE001 - whatever a writer meets is the finding
            errors.append(error)
        finally:
            written.append(count)
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        forward(moving)
        back(moving)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    with closing(sqlite3.connect(moving)) as plain:
        assert plain.execute("SELECT count(*) FROM t").fetchone() == (sum(written),)
