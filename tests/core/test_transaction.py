"""The table of sqlite3's transaction rules agrees with SQLite, whatever the order of the statements."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualdb.core.transaction import (
    REFUSALS,
    TRANSITIONS,
    Action,
    Event,
    State,
    Transaction,
    TransactionRefusedError,
)

STATEMENTS = {
    "BEGIN": (Event.BEGIN, ""),
    "BEGIN IMMEDIATE": (Event.BEGIN_LOCKED, ""),
    "COMMIT": (Event.COMMIT, ""),
    "ROLLBACK": (Event.ROLLBACK, ""),
    **{
        f"{words} {name}": (event, name)
        for words, event in (
            ("SAVEPOINT", Event.SAVEPOINT),
            ("RELEASE", Event.RELEASE),
            ("ROLLBACK TO", Event.ROLLBACK_TO),
        )
        for name in ("a", "A", "b")
    },
    "SELECT count(*) FROM t": (Event.READ, ""),
    "INSERT INTO t DEFAULT VALUES": (Event.WRITE, ""),
}


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(list(STATEMENTS)), max_size=25))
def test_errors_and_in_transaction_are_sqlites(statements: list[str]) -> None:
    """Each statement is refused exactly when SQLite refuses it, with its message, and leaves the same state open."""
    transaction = Transaction()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t(a)")
        for statement in statements:
            event, name = STATEMENTS[statement]
            expected = found = ""
            try:
                connection.execute(statement).fetchall()
            except sqlite3.OperationalError as error:
                expected = str(error)
            try:
                action, event = transaction.plan(event, name)
            except TransactionRefusedError as error:
                found = str(error)
            else:
                transaction.take(event, name)
                if action in (Action.SNAPSHOT, Action.LOCK):
                    transaction.settle()
            assert found == expected
            assert (transaction.state is not State.IDLE) == connection.in_transaction


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(list(STATEMENTS)), max_size=25))
def test_the_lock_is_held_exactly_from_its_taking_on(statements: list[str]) -> None:
    """A write is never planned to run inside a transaction without the lock, whatever savepoints were undone.

    The model is PostgreSQL's rule: a lock that was taken behind a savepoint goes with a ROLLBACK TO it.
    """
    transaction = Transaction()
    lock_depth: int | None = None
    for statement in statements:
        event, name = STATEMENTS[statement]
        with suppress(TransactionRefusedError):
            action, event = transaction.plan(event, name)
            if action is Action.RUN and event is Event.WRITE:
                assert lock_depth is not None
            fresh = action in (Action.LOCK, Action.SNAPSHOT)
            place = transaction.take(event, name)
            if fresh:
                transaction.settle()
            if action is Action.LOCK:
                lock_depth = -1
            elif action is Action.UPGRADE:
                lock_depth = transaction.depth - 1
            elif event is Event.ROLLBACK_TO and lock_depth is not None and lock_depth >= place:
                lock_depth = None
            elif event is Event.RELEASE and lock_depth is not None:
                lock_depth = min(lock_depth, transaction.depth - 1)
            elif transaction.state is State.IDLE:
                lock_depth = None


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_a_transition_or_a_refusal(state: State, event: Event) -> None:
    """Only a doomed transaction refuses without words of its own: it repeats the error that doomed it."""
    known = ((state, event) in TRANSITIONS) + ((state, event) in REFUSALS)
    assert known == (0 if state is State.DOOMED and event is not Event.ROLLBACK else 1)
