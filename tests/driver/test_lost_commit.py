"""The answer to a COMMIT is lost in a crash of the server: what became of the transaction is told truly."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import dualdb
from dualdb.core.delivery import Action
from dualdb.core.phase import Phase
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_pair_until_aligned
from dualdb.stores.relay_batch import Carrier
from dualdb.stores.server import EmbeddedServer, StopMode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

ATTEMPTS = 20


@pytest.fixture
def crashing(database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, EmbeddedServer]]:
    """A file in phase postgres, and a server of its own that may crash."""
    monkeypatch.setenv("DUALDB_RELAY", "off")  # one in the background would start the server again
    server = EmbeddedServer.beside(database)
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT)")
        initialise(str(database), "embedded")
        advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
        yield str(database), server
    finally:
        server.remove()


def crash(server: EmbeddedServer) -> None:
    """Stop as power failure does, and recover."""
    server.stop(StopMode.IMMEDIATE)
    server.ensure_running()


def number_of(connection: Any) -> int:
    """The number that PostgreSQL gave to the connection's open transaction."""
    return int(connection._dualdb.remote._session.xid)


def use_up(server: EmbeddedServer, number: int) -> None:
    """Let the transaction with that number be the next one."""
    with closing(psycopg.connect(server.conninfo, autocommit=True)) as connection:
        last = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        while connection.execute(last).fetchall()[0][0] < number:
            connection.execute("SELECT pg_current_xact_id()")


def test_a_number_that_another_transaction_got_after_a_crash_proves_nothing(
    crashing: tuple[str, EmbeddedServer],
) -> None:
    """PostgreSQL gives the number of a transaction that a crash has swallowed again; its commit is not ours."""
    path, server = crashing
    reused = 0
    with closing(dualdb.connect(path, timeout=20)) as connection, closing(dualdb.connect(path, timeout=20)) as other:
        for attempt in range(ATTEMPTS):
            connection.execute("INSERT INTO runs(name) VALUES (?)", (f"lost {attempt}",))
            number = number_of(connection)
            crash(server)
            use_up(server, number)
            other.execute("INSERT INTO runs(name) VALUES (?)", (f"kept {attempt}",))
            reused += number_of(other) == number
            other.commit()
            with suppress(sqlite3.OperationalError):
                connection.commit()
                pytest.fail("a commit that never was is acknowledged")
            connection.rollback()
            if reused:
                break
        assert reused, "no number was given twice, so nothing was shown"
        found = other.execute("SELECT count(*) FROM runs WHERE name LIKE 'lost%'").fetchone()
        assert found == (0,)


def test_a_change_under_a_number_that_a_crash_has_swallowed_is_carried(crashing: tuple[str, EmbeddedServer]) -> None:
    """The follower's position knows the number as one that is over; its second owner's row is not taken for seen."""
    path, server = crashing
    with closing(psycopg.connect(server.conninfo, autocommit=True)) as connection:
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")
    with closing(dualdb.connect(path, timeout=20)) as connection, Pair.open(path) as pair:
        relay_pair_until_aligned(pair, lambda _event: None)
        connection.execute("INSERT INTO runs(name) VALUES ('first')")
        connection.commit()
        connection.execute("INSERT INTO runs(name) VALUES ('taken back')")
        number = number_of(connection)
        connection.rollback()
        carrier = Carrier(pair.authority, pair.follower, lambda _event: None)
        while carrier.step() is not Action.WAIT:
            pass
        crash(server)
        use_up(server, number)
        connection.execute("INSERT INTO runs(name) VALUES ('second')")
        connection.commit()
        relay_pair_until_aligned(pair, lambda _event: None)
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT name FROM runs ORDER BY id").fetchall() == [("first",), ("second",)]


def test_a_commit_that_happens_while_it_is_asked_for_is_found(database: Path, target_dsn: str) -> None:
    """Its backend may still be at work on it: what is seen a moment too early is not the answer."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT)")
    initialise(str(database), target_dsn)
    advance(str(database), Phase.POSTGRES, observer=lambda _event: None)
    with closing(dualdb.connect(str(database))) as connection, ThreadPoolExecutor(1) as elsewhere:
        for number in range(300):
            connection.execute("INSERT INTO runs(name) VALUES (?)", (str(number),))
            session = connection._dualdb.remote._session  # type: ignore[attr-defined]
            asked = elsewhere.submit(_outcome, session)
            connection.commit()
            assert asked.result(20), f"commit {number} was called lost"


def _outcome(session: Any) -> bool:
    """What is told of a transaction that may be committing."""
    while True:
        found, status = session._ask(session.xid, end=False)
        if status != "in progress":
            return bool(found)


def test_a_commit_that_a_crash_has_swallowed_is_told_at_once(crashing: tuple[str, EmbeddedServer]) -> None:
    """Nobody has its number yet: PostgreSQL does not know it, and that is an answer."""
    path, server = crashing
    with closing(dualdb.connect(path, timeout=5)) as connection:
        connection.execute("INSERT INTO runs(name) VALUES ('lost')")
        crash(server)
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError):
            connection.commit()
        assert time.monotonic() - began < 15
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
