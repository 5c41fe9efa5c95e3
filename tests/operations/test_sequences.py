"""Which id the next row gets, right after each switch and each way back.

The rule: an id that AUTOINCREMENT ever gave, on either side, is never given out again. Of any other table SQLite
remembers nothing: there the next id is one more than the highest row's that is there, as it always was. PostgreSQL
gives none again that it gave out or held itself, whoever wrote the row and whether or not it is still there.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import psycopg
import pytest

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)"
AUTOMATIC = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)"
HIDDEN = "CREATE TABLE t (id TEXT, name TEXT)"
NEXT = "INSERT INTO t (name) VALUES ('next')"
THREE = "INSERT INTO t (name) VALUES ('a'), ('b'), ('c')"
FAR = "INSERT INTO t (id, name) VALUES (1000, 'far')"
FAR_HIDDEN = "INSERT INTO t (rowid, name) VALUES (:id, 'far')"


SLOW_SETVAL = """
CREATE SCHEMA slow;
CREATE FUNCTION slow.setval(regclass, bigint) RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_sleep(1); SELECT pg_catalog.setval($1, $2)
$$
"""


class Case(NamedTuple):
    """A history in SQLite, another one on PostgreSQL, and the ids that follow each."""

    ddl: str
    history: Sequence[str]
    first: int
    """The id of the first row on PostgreSQL."""
    there: Sequence[str]
    """What happens there after it."""
    home: int
    """The id of the first row in SQLite after the rollback."""
    again: int
    """The id of the first row on PostgreSQL after that row was deleted and the switch made once more."""


TOP_GOES = "DELETE FROM t WHERE id = (SELECT max(id) FROM t)"
TOP_GOES_HIDDEN = "DELETE FROM t WHERE rowid = (SELECT max(rowid) FROM t)"
ALL_GO = "DELETE FROM t"
CASES = {
    "plain, empty": Case(PLAIN, [], 1, [], 2, 2),
    "plain, one row": Case(PLAIN, [NEXT], 2, [], 3, 3),
    "plain, highest deleted before": Case(PLAIN, [THREE, TOP_GOES], 3, [], 4, 4),
    "plain, highest deleted there": Case(PLAIN, [THREE], 4, [NEXT, TOP_GOES], 5, 6),
    "plain, all deleted before": Case(PLAIN, [THREE, ALL_GO], 1, [], 2, 2),
    "plain, all deleted there": Case(PLAIN, [THREE], 4, [ALL_GO], 1, 5),
    "plain, explicit far above": Case(PLAIN, [NEXT, FAR], 1001, [], 1002, 1002),
    "plain, explicit far above there": Case(PLAIN, [NEXT], 2, [FAR, NEXT], 1002, 1002),
    "plain, explicit and deleted there": Case(PLAIN, [NEXT], 2, [FAR, TOP_GOES, NEXT, TOP_GOES], 3, 1002),
    "plain, negative": Case(PLAIN, ["INSERT INTO t VALUES (-5, 'below')"], 1, [], 2, 2),
    "automatic, empty": Case(AUTOMATIC, [], 1, [], 2, 3),
    "automatic, one row": Case(AUTOMATIC, [NEXT], 2, [], 3, 4),
    "automatic, highest deleted before": Case(AUTOMATIC, [THREE, TOP_GOES], 4, [], 5, 6),
    "automatic, highest deleted there": Case(AUTOMATIC, [THREE], 4, [NEXT, TOP_GOES], 6, 7),
    "automatic, all deleted before": Case(AUTOMATIC, [THREE, ALL_GO], 4, [], 5, 6),
    "automatic, all deleted there": Case(AUTOMATIC, [THREE], 4, [ALL_GO], 5, 6),
    "automatic, explicit far above": Case(AUTOMATIC, [NEXT, FAR], 1001, [], 1002, 1003),
    "automatic, explicit far above there": Case(AUTOMATIC, [NEXT], 2, [FAR, NEXT], 1002, 1003),
    "automatic, explicit and deleted there": Case(AUTOMATIC, [], 1, [FAR, TOP_GOES, NEXT, TOP_GOES], 1002, 1003),
    "hidden, empty": Case(HIDDEN, [], 1, [], 2, 2),
    "hidden, highest deleted before": Case(HIDDEN, [THREE, TOP_GOES_HIDDEN], 3, [], 4, 4),
    "hidden, explicit far above there": Case(HIDDEN, [NEXT], 2, [FAR_HIDDEN, NEXT], 1002, 1002),
}


def written(database: Path, *statements: str) -> int | None:
    """Executes these through dualdb; the id of the last row."""
    with closing(dualdb.connect(database)) as connection, connection:
        for statement in statements:
            last: int | None = connection.execute(statement, {"id": 1000}).lastrowid
        number, stored = last, connection.execute("SELECT max(rowid) FROM t").fetchone()[0]
    assert number == stored or statements[-1] != NEXT
    return number


def check_sides(database: Path) -> None:
    """Both sides hold the same rows, and nothing about ids is told."""
    with Pair.open(str(database)) as pair:
        assert verify(pair, full=True).agrees


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_next_id(database: Path, target_dsn: str, case: Case) -> None:
    """It is the one that the rule says, lastrowid tells it, and it is nobody else's."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in (case.ddl, *case.history):
            connection.execute(statement)
    initialise(str(database), target_dsn)
    advance(str(database), Phase.POSTGRES, observer=unheard)
    assert written(database, NEXT) == case.first
    if case.there:
        written(database, *case.there)
    check_sides(database)
    rollback(str(database), observer=unheard)
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(NEXT).lastrowid == case.home
        connection.execute("DELETE FROM t WHERE rowid = ?", (case.home,))
    advance(str(database), Phase.POSTGRES, observer=unheard)
    assert written(database, NEXT) == case.again
    check_sides(database)


@pytest.mark.parametrize(("ddl", "column"), [(PLAIN, "id"), (AUTOMATIC, "id"), (HIDDEN, "_dualdb_rowid")])
@pytest.mark.parametrize("how", ["INSERT INTO t ({}, name) VALUES (50, 'x'), (7, 'y')", "UPDATE t SET {} = 50"])
def test_an_id_that_came_past_the_driver_is_passed_over(
    database: Path, target_dsn: str, ddl: str, column: str, how: str
) -> None:
    """Psql may write any id on PostgreSQL: the next one that is given out lies above it, there and at home."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(ddl)
        connection.execute(NEXT)
    initialise(str(database), target_dsn)
    advance(str(database), Phase.POSTGRES, observer=unheard)
    with psycopg.connect(target_dsn) as psql:
        psql.execute(how.format(column).encode())
    assert written(database, NEXT) == 51
    with psycopg.connect(target_dsn) as psql:
        psql.execute("INSERT INTO t (name) VALUES ('given')")
        psql.execute(f"INSERT INTO t ({column}, name) VALUES (20, 'below')".encode())
    assert written(database, NEXT) == 53
    rollback(str(database), observer=unheard)
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(NEXT).lastrowid == 54


@pytest.mark.parametrize("claimed", ["{}", "sqlite.claim_id('public.t', 'id', {})"], ids=["psql", "the driver"])
@pytest.mark.parametrize(
    ("id_", "meanwhile", "following"),
    [
        (5000, "INSERT INTO t (id, name) VALUES (6000, 'large')", 6001),
        (20, "INSERT INTO t (name) SELECT 'next' FROM generate_series(1, 10)", 21),
        (20, "SELECT nextval('sqlite_sequence_t') FROM generate_series(1, 50)", 51),
    ],
    ids=["two who pass it", "one who takes the next", "many who take the next"],
)
def test_a_sequence_is_never_turned_back(  # noqa: PLR0917 - pytest's
    database: Path, target_dsn: str, claimed: str, id_: int, meanwhile: str, following: int
) -> None:
    """Somebody writes an id, and is slow between the look at the sequence and its change; others go on meanwhile."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(PLAIN)
    initialise(str(database), target_dsn)
    advance(str(database), Phase.POSTGRES, observer=unheard)
    with (
        psycopg.connect(target_dsn, autocommit=True) as slow,
        psycopg.connect(target_dsn, autocommit=True) as quick,
        ThreadPoolExecutor(1) as pool,
    ):
        slow.execute(SLOW_SETVAL)
        slow.execute("SET search_path = slow, public, pg_catalog")
        done = pool.submit(slow.execute, f"INSERT INTO t (id, name) VALUES ({claimed.format(id_)}, 'slow')".encode())
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not done.done() and quick.execute(sleeping).fetchone() is None:
            pass
        with suppress(psycopg.errors.UniqueViolation):  # the slow one's id was the next one, and is there already
            quick.execute(meanwhile.encode())
        done.result(20)
    assert (written(database, NEXT) or 0) >= following


def test_a_role_that_may_not_use_the_sequence_still_inserts(database: Path, target_dsn: str) -> None:
    """PostgreSQL asks no right to the sequence of whoever inserts a row: nor does capture."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(PLAIN)
    initialise(str(database), target_dsn)
    advance(str(database), Phase.POSTGRES, observer=unheard)
    role = f"guest_{uuid4().hex[:8]}"
    with psycopg.connect(target_dsn, autocommit=True) as psql:
        psql.execute(f"CREATE ROLE {role}".encode())
        try:
            psql.execute(f"GRANT USAGE ON SCHEMA dualdb, public TO {role}".encode())
            psql.execute(f"GRANT INSERT, SELECT ON dualdb.journal, t TO {role}".encode())
            psql.execute(f"SET ROLE {role}".encode())
            psql.execute("INSERT INTO t (name) VALUES ('guest')")
            psql.execute("INSERT INTO t (id, name) VALUES (9, 'guest')")
        finally:
            psql.execute("RESET ROLE")
            psql.execute(f"DROP OWNED BY {role}".encode())
            psql.execute(f"DROP ROLE {role}".encode())
    assert written(database, "SELECT 1", "INSERT INTO t (id, name) VALUES (10, 'ours')") == 10
