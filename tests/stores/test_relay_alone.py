"""The relay by itself, no command at work: it ends what a dead coordinator left, and is patient with what fails."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.stores.mirrored import PATIENCE_S, Mirrored, leave_at

from dualdb.core import events
from dualdb.core.delivery import Action, retry_after_s
from dualdb.core.phase import Phase, Step
from dualdb.stores.relay import Relay
from dualdb.stores.relay_batch import Carrier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dualdb.core.events import Event

pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO run(name) VALUES ('a'), ('b');
"""
NOBODY = "postgresql://127.0.0.1:1/nobody?connect_timeout=2"
"""An address at which no server answers."""
HANG_UP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'dualdb relay' AND datname = current_database()"
)
BACK_OFFS = [retry_after_s(failures) for failures in (1, 2, 3)]


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A pair in phase dual_write, both sides equal."""
    pair = Mirrored(database, target_dsn, SCHEMA)
    pair.align()
    return pair


@contextmanager
def relaying(mirrored: Mirrored) -> Iterator[None]:
    """A relay in the background."""
    relay = Relay(mirrored.path, mirrored.events.append)
    relay.start()
    try:
        yield
    finally:
        relay.stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def standing(mirrored: Mirrored) -> list[tuple[str, str, int]]:
    """Both control rows: phase, state of the move, epoch."""
    ask = "SELECT phase, move_state, epoch FROM {}"
    with closing(sqlite3.connect(mirrored.path)) as connection:
        found = connection.execute(ask.format("_dualdb_control")).fetchone()
    return [found, *mirrored.target(ask.format("dualdb.control"))]


def waits(mirrored: Mirrored, kind: type[Event]) -> list[float]:
    """How long the relay was to wait after each failure of one kind so far."""
    return [event.retry_s for event in mirrored.seen(kind)]


@pytest.mark.parametrize(
    ("way", "settled"),
    [
        ([Phase.POSTGRES], [("postgres", "rest"), ("postgres", "taken")]),
        ([Phase.POSTGRES, Phase.DUAL_WRITE], [("dual_write", "taken"), ("dual_write", "rest")]),
    ],
    ids=["switch", "rollback"],
)
def test_a_decision_whose_end_was_never_written_is_settled(
    mirrored: Mirrored, way: list[Phase], settled: list[tuple[str, str]]
) -> None:
    """The coordinator died between the two, and nobody runs a command: the side that was left follows all the same."""
    if len(way) > 1:
        mirrored.to_postgres()
    leave_at(mirrored.path, Step.DECIDE, way[-1])
    assert [row[:2] for row in standing(mirrored)] != settled
    with relaying(mirrored):
        until(lambda: [row[:2] for row in standing(mirrored)] == settled)
        insert = "INSERT INTO run(name) VALUES ('later')"
        (mirrored.source if way[-1] is Phase.DUAL_WRITE else mirrored.target)(insert)
        until(lambda: mirrored.differences() == {})
    assert len({epoch for _, _, epoch in standing(mirrored)}) == 1
    assert mirrored.target("SELECT count(*) FROM run") == [(3,)]


def test_a_move_that_still_has_time_is_left_alone(mirrored: Mirrored) -> None:
    """Its coordinator may only be slow: the relay carries, and neither gives the move up nor decides it."""
    leave_at(mirrored.path, Step.FENCE, Phase.POSTGRES)
    before = standing(mirrored)
    with relaying(mirrored):
        time.sleep(1.5)
        assert standing(mirrored) == before


def test_looking_again_is_no_success(mirrored: Mirrored) -> None:
    """PostgreSQL answers, and refuses each batch: failures add up over the looks between, until a batch succeeds."""
    mirrored.source("INSERT INTO run(name) VALUES ('c')")
    mirrored.as_relay("ALTER TABLE run RENAME TO away")
    with mirrored.pair() as pair:
        carrier = Carrier(pair.authority, pair.follower, mirrored.events.append)
        failures: list[int] = []
        while len(failures) < 3:
            if carrier.step() is Action.BACK_OFF:
                failures.append(carrier.failures)
                assert carrier.error is not None
        assert failures == [1, 2, 3]
        mirrored.as_relay("ALTER TABLE away RENAME TO run")
        while carrier.step() is not Action.WAIT:
            pass
        assert (carrier.failures, carrier.error) == (0, None)
    assert mirrored.differences() == {}


def test_a_batch_that_keeps_failing_is_tried_less_and_less_often(mirrored: Mirrored) -> None:
    """The same seen from outside; after a success the next failure is the first one again."""
    with relaying(mirrored):
        for _ in range(2):
            mirrored.as_relay("ALTER TABLE run RENAME TO away")
            mirrored.source("INSERT INTO run(name) VALUES ('more')")
            until(lambda: len(waits(mirrored, events.RelayStumbled)) >= 3)
            mirrored.as_relay("ALTER TABLE away RENAME TO run")
            until(lambda: mirrored.differences() == {})
            assert waits(mirrored, events.RelayStumbled)[:3] == BACK_OFFS
            mirrored.events.clear()


def test_postgresql_is_away_and_is_asked_less_and_less_often(
    mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first try on, and again when it goes away later; in between it was there."""
    monkeypatch.setenv("DUALDB_TARGET", NOBODY)
    with relaying(mirrored):
        until(lambda: len(waits(mirrored, events.TargetLost)) >= 3)
        assert waits(mirrored, events.TargetLost)[:3] == BACK_OFFS
        mirrored.source("INSERT INTO run(name) VALUES ('while it was away')")
        monkeypatch.delenv("DUALDB_TARGET")
        until(lambda: mirrored.target("SELECT count(*) FROM run") == [(3,)])
        mirrored.events.clear()
        monkeypatch.setenv("DUALDB_TARGET", NOBODY)
        mirrored.target(HANG_UP)
        until(lambda: len(waits(mirrored, events.TargetLost)) >= 4)
        again = waits(mirrored, events.TargetLost)
        assert again[0] == BACK_OFFS[0]
        assert again[-1] > BACK_OFFS[1]
        assert again == sorted(again)


def test_what_nobody_has_foreseen_is_tried_less_and_less_often(mirrored: Mirrored) -> None:
    """A failure that ends the relay's run altogether adds up over its runs, until one of them has got somewhere."""
    with relaying(mirrored):
        for _ in range(2):
            mirrored.as_relay("ALTER TABLE dualdb.lease RENAME TO away")
            until(lambda: len(waits(mirrored, events.RelayStumbled)) >= 3)
            mirrored.as_relay("ALTER TABLE dualdb.away RENAME TO lease")
            mirrored.source("INSERT INTO run(name) VALUES ('more')")
            until(lambda: mirrored.differences() == {} and bool(mirrored.seen(events.BatchApplied)))
            assert waits(mirrored, events.RelayStumbled)[:3] == BACK_OFFS
            mirrored.events.clear()
