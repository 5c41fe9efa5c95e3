"""What makes an executemany's rows takes its time, and the file moves meanwhile: each row goes where the data is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.moves import back, forward
from tests.stores.mirrored import leave_at

import dualdb
from dualdb.core.phase import Phase, Step
from dualdb.driver import outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

VERBS = (
    "UPDATE t SET a = 'done' WHERE id = ?",
    "DELETE FROM t WHERE id = ?",
    "INSERT INTO t(a) SELECT 'copy' FROM t WHERE id = ?",
)
"""What finds no row where the row is not; no fence sees that."""
CASES: dict[str, tuple[Any, bool]] = {
    "a row behind another": (None, False),
    "the first row": (None, True),
    "the only row of a transaction": ("", True),
}
"""The isolation level, and whether nothing comes before that row."""
INSERT = "INSERT INTO t(a) VALUES (?)"
WHOLE = "SELECT id, a FROM t ORDER BY id"
COUNT = "SELECT count(*) FROM t"


def _written(connection: Any, sql: str, made: Callable[[], None], first: bool) -> Any:
    """Execute it for the row that `made` makes, and before for one that is there unless it is to be the first."""

    def rows() -> Iterator[tuple[int]]:
        if not first:
            yield (1,)
        made()
        yield (99,)

    counted = connection.executemany(sql, rows()).rowcount
    connection.commit()
    return counted, connection.execute(WHOLE).fetchall()


def _made_by(connection: Any, before: Callable[[], None] = lambda: None) -> Callable[[], None]:
    def make() -> None:
        before()
        connection.execute("INSERT INTO t VALUES (99, 'new')")

    return make


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("away", [True, False])
def test_a_row_that_the_follower_has_no_match_for(moving: Path, verb: str, case: str, own: bool, away: bool) -> None:
    """It was written on the new authority while the row for it was made: by this connection, or by somebody else. In a
    transaction there is one row, for behind it nobody else writes.
    """
    level, first = CASES[case]
    with closing(sqlite3.connect(":memory:", isolation_level=level)) as plain:
        plain.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
        plain.execute("INSERT INTO t VALUES (1, 'old')")
        expected = _written(plain, verb, _made_by(plain), first)
    if not away:
        forward(moving)
    connection: Any = dualdb.connect(moving, isolation_level=level)
    connection.execute("INSERT INTO t VALUES (1, 'old')")
    connection.commit()

    def go() -> None:
        (forward if away else back)(moving)

    if own:
        found = _written(connection, verb, _made_by(connection, go), first)
    else:
        with closing(dualdb.connect(moving, isolation_level=None)) as other:
            found = _written(connection, verb, _made_by(other, go), first)
    assert found == expected
    connection.close()


def test_rows_that_arrive_from_elsewhere_one_by_one(moving: Path) -> None:
    """What makes them hears of each from another process; the file moves while it waits."""
    connection: Any = dualdb.connect(moving, isolation_level=None)
    other: Any = dualdb.connect(moving, isolation_level=None)

    def rows() -> Iterator[tuple[int]]:
        for number in range(6):
            if number in (2, 4):
                (forward if number == 2 else back)(moving)
            other.execute("INSERT INTO t VALUES (?, 'new')", (number,))
            yield (number,)

    assert connection.executemany(VERBS[0], rows()).rowcount == 6
    assert connection.execute(WHOLE).fetchall() == [(number, "done") for number in range(6)]
    connection.close()
    other.close()


def _many(connection: Any, rows: Iterator[tuple[int]]) -> None:
    connection.executemany("UPDATE t SET a = ? WHERE id = 1", rows)


def _one(connection: Any, rows: Iterator[tuple[int]]) -> None:
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET a = ? WHERE id = 1", next(rows))


@pytest.mark.parametrize("write", [_many, _one])
@pytest.mark.parametrize("decided", [True, False])
def test_a_row_that_was_computed_from_a_read_is_not_written_over_what_came_meanwhile(
    moving: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Any, Iterator[tuple[int]]], None],
    decided: bool,
) -> None:
    """What makes it has read, in the transaction that sqlite3 began for it, before a move was decided: it is told to
    begin again, as whoever has computed a parameter is. Else it might wait behind a fence and be served second.
    """
    connection: Any = dualdb.connect(moving)
    connection.execute("INSERT INTO t VALUES (1, '10')")
    connection.commit()
    others: list[str] = []
    await_outcome = outcome.await_outcome

    def settle() -> None:
        leave_at(str(moving), Step.SETTLE, Phase.POSTGRES)
        with closing(dualdb.connect(moving, isolation_level=None)) as other:
            other.execute("UPDATE t SET a = '15' WHERE id = 1")
        others.append("15")

    def served_second(*given: Any) -> bool:
        settle()
        return await_outcome(*given)

    def rows() -> Iterator[tuple[int]]:
        leave_at(str(moving), Step.FENCE, Phase.POSTGRES)
        found = _value(connection)
        assert connection.in_transaction
        if decided:
            settle()
        yield (found + 1,)

    monkeypatch.setattr("dualdb.driver.fence.await_outcome", served_second)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        write(connection, rows())
    connection.rollback()
    if not others:  # it did not even wait
        settle()
    _many(connection, ((_value(connection) + 1,) for _ in range(1)))
    connection.commit()
    assert _value(connection) == 16
    connection.close()


def _value(connection: Any) -> int:
    return int(connection.execute("SELECT a FROM t WHERE id = 1").fetchone()[0])


def _by_text(connection: Any) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT a FROM t").fetchall()
    connection.execute("COMMIT")


def _by_a_script(connection: Any) -> None:
    connection.execute(INSERT, ("before",))
    connection.execute("SELECT a FROM t").fetchall()
    connection.executescript("SELECT 1")


def _by_a_method(connection: Any) -> None:
    connection.execute(INSERT, ("before",))
    connection.execute("SELECT a FROM t").fetchall()
    connection.commit()


@pytest.mark.parametrize("end", [_by_text, _by_a_script, _by_a_method])
def test_rows_that_were_refused_the_lock_are_tried_again_elsewhere(moving: Path, end: Callable[[Any], None]) -> None:
    """They have done nothing, and the transaction before, however it was ended, is nothing to them: the usual loop
    around them succeeds at once.
    """
    connection: Any = dualdb.connect(moving, timeout=0.1)
    end(connection)
    assert not connection.in_transaction
    (before,) = connection.execute(COUNT).fetchone()
    with closing(sqlite3.connect(moving, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            connection.executemany(INSERT, [("1",), ("2",)])
    forward(moving)
    assert connection.executemany(INSERT, [("1",), ("2",)]).rowcount == 2
    connection.commit()
    assert connection.execute(COUNT).fetchone() == (before + 2,)
    connection.close()


@pytest.mark.parametrize("lead", ["", "/* x */ ", "-- x\n", " \n\t"])
@pytest.mark.parametrize("away", [True, False])
def test_whatever_makes_the_rows_commits_before_the_first_of_a_statement_with_a_comment(
    moving: Path, lead: str, away: bool
) -> None:
    """Then each row stands by itself, and is there though nobody commits any more."""
    if not away:
        forward(moving)
    connection: Any = dualdb.connect(moving)
    connection.execute("SELECT 1")

    def rows() -> Iterator[tuple[str]]:
        connection.commit()
        (forward if away else back)(moving)
        yield from zip("0123", strict=True)

    connection.executemany(lead + INSERT, rows())
    assert not connection.in_transaction
    connection.close()
    with closing(dualdb.connect(moving)) as other:
        assert [text for (text,) in other.execute("SELECT a FROM t ORDER BY id")] == list("0123")
