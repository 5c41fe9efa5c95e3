"""What SQLite does row by row (`Plan.each`): the rows are found, then executed with one after the other.

The statement stays one: a row that fails undoes those before it, leaves them or ends the transaction, as its conflict
clause says (lang_conflict.html).
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dualdb.core.schema import TargetType
from dualdb.core.statement import Decoder, row_parameter
from dualdb.core.transaction import Event
from dualdb.core.types import from_target
from dualdb.driver.binding import UnstorableError, values_of
from dualdb.driver.remote import MovedError, Outcome
from dualdb.stores.target_session import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dualdb.core.statement import Plan, ResultColumn
    from dualdb.driver.binding import Bound
    from dualdb.driver.remote import Remote
    from dualdb.stores.target_session import Message

_SAVEPOINT = "dualdb_rows"
_BATCH = 200
_STORED = {Decoder.NUMBER: TargetType.NUMBER, Decoder.ANY: TargetType.ANY}


def run_each(remote: Remote, plan: Plan, messages: Sequence[Message], bound: Bound) -> Outcome:
    """Execute a plan that has `each`. Raises sqlite3's exceptions, and MovedError."""
    assert plan.each is not None  # noqa: S101 - the caller has looked
    alone = not remote.in_transaction
    if alone:
        remote.control(Event.BEGIN_LOCKED, "BEGIN IMMEDIATE")
    else:
        remote.control(Event.SAVEPOINT, f"SAVEPOINT {_SAVEPOINT}", _SAVEPOINT)
    rows: list[tuple[Any, ...]] = []
    written = 0
    try:
        found = remote.run(replace(plan, each=None, rows_written=None), messages).rows
        at_once = 1 if plan.policy == "FAIL" else _BATCH  # a batch that fails has taken ids for the rows before
        for outcome in _outcomes(remote, plan.each, _values(found, plan.row_columns), bound, at_once):
            rows.extend(outcome.rows)
            written += outcome.written
            if plan.insert_id and plan.policy == "FAIL":  # these rows stay, whatever comes
                remote.last_rowid = next((row[-1] for row in outcome.rows if row[-1] is not None), remote.last_rowid)
    except (sqlite3.Error, UnstorableError):
        _give_up(remote, plan.policy, alone=alone)
        raise
    except MovedError:  # executed again where the data went, in a transaction of its own there
        if alone:
            remote.control(Event.ROLLBACK, "ROLLBACK")
        raise
    if alone:
        remote.control(Event.COMMIT, "COMMIT")
    else:
        remote.control(Event.RELEASE, f"RELEASE {_SAVEPOINT}", _SAVEPOINT)
    return Outcome(rows, written)


def _give_up(remote: Remote, policy: str, *, alone: bool) -> None:
    """Undo the rows before the one that failed, or leave them."""
    if alone:
        kept = policy == "FAIL"
        remote.control(Event.COMMIT if kept else Event.ROLLBACK, "COMMIT" if kept else "ROLLBACK")
    elif policy == "ROLLBACK":
        pass  # the caller ends the transaction
    else:
        if policy != "FAIL":
            remote.control(Event.ROLLBACK_TO, f"ROLLBACK TO {_SAVEPOINT}", _SAVEPOINT)
        remote.control(Event.RELEASE, f"RELEASE {_SAVEPOINT}", _SAVEPOINT)


def _values(rows: Sequence[tuple[Any, ...]], columns: Sequence[ResultColumn]) -> list[list[Any]]:
    """The rows as SQLite has them."""
    return [
        [
            value if column.decoder is Decoder.AS_IS else from_target(value, _STORED[column.decoder])
            for value, column in zip(row, columns, strict=True)
        ]
        for row in rows
    ]


def _outcomes(
    remote: Remote, each: Plan, rows: Sequence[Sequence[Any]], bound: Bound, at_once: int
) -> Iterator[Outcome]:
    """Execute each row, many in a round trip; where one is refused, one by one up to that."""
    for start in range(0, len(rows), at_once):
        ready = [_messages(each, row, bound) for row in rows[start : start + at_once]]
        if len(ready) == 1:
            yield remote.run(each, ready[0])
            continue
        try:
            answers = remote.run_batch(ready)
        except Rejected:
            for messages in ready:
                yield remote.run(each, messages)
        else:
            for answer in answers:
                yield Outcome(answer.rows, answer.written if each.rows_written is None else each.rows_written)


def _messages(each: Plan, row: Sequence[Any], bound: Bound) -> list[Message]:
    known: dict[Any, Any] = dict(bound)
    known.update((row_parameter(position), value) for position, value in enumerate(row))
    return [(step.sql, values_of(step, known)) for step in each.steps]
