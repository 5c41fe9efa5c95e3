"""How a cursor executes on PostgreSQL: compiled and checked by the catalog database, begun as sqlite3 begins, answered.

The order is CPython's: compile, begin implicitly, bind, run. Knows sqlite3's rules for cursors; `driver.remote` knows
those for transactions.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import split_statements
from dualdb.core.statement import Kind
from dualdb.core.transaction import Event, State
from dualdb.core.translate.pragmas import CONNECTION, FILE
from dualdb.driver import schema_change
from dualdb.driver.answer import Answer, described, prime, shown_names
from dualdb.driver.binding import UnstorableError
from dualdb.driver.c_part import (
    LEGACY,
    autocommit,
    begins_by_itself,
    busy_timeout_s,
    in_transaction,
    isolation_level,
    set_isolation_level,
)
from dualdb.driver.catalogue import NOTHING
from dualdb.driver.each import run_each
from dualdb.driver.failure import OutOfRangeError, failure, or_back, read_only, refused
from dualdb.driver.handle import behaviour
from dualdb.driver.placeholders import Placeholders
from dualdb.driver.remote import MovedError, Outcome
from dualdb.driver.taught import check_replaced, check_shadowed, explained, taught_to
from dualdb.stores.target_session import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dualdb.core.statement import Plan
    from dualdb.driver.catalogue import Statement
    from dualdb.driver.handle import ConnectionState
    from dualdb.driver.remaining import Remaining
    from dualdb.driver.remote import Remote
    from dualdb.driver.target_connection import TargetConnection
    from dualdb.driver.target_cursor import TargetCursor
    from dualdb.stores.target_session import Message

    _Bound = tuple[Statement, Any, Any, Plan, list[Message]]
    """A row of parameters, as given and as bound, with its statement's plan and messages."""
    Run = Callable[[TargetConnection, Statement, Plan, Any], Answer]

_BATCH = 200
"""Executions that executemany sends in one round trip."""
_SESSION = frozenset({"changes()", "total_changes()", "last_insert_rowid()"})
"""Values that the statement before has left."""
_LOCKING = ("IMMEDIATE", "EXCLUSIVE")
_EVENTS = {"COMMIT": Event.COMMIT, "ROLLBACK": Event.ROLLBACK, "SAVEPOINT": Event.SAVEPOINT, "RELEASE": Event.RELEASE}


def execute(cursor: TargetCursor, connection: TargetConnection, sql: str, parameters: Any) -> None:
    """Execute one statement and leave its answer in the cursor. Raises sqlite3's exceptions, and MovedError."""
    remote = connection._dualdb.asked
    kept = cursor.lastrowid
    cursor._dualdb.result = Answer(lastrowid=kept)
    statement = _compiled(connection, remote, _text(sql))
    if remote.access.checked:
        _check_access(connection, remote, statement, [parameters])
    plan = _settled_plan(connection, remote, statement)
    _begin(connection, remote, statement)
    answer = (
        _RUNS[plan.kind](connection, statement, plan, parameters) if plan else _rows(connection, statement, parameters)
    )
    answer.lastrowid = kept if plan is NOTHING else remote.last_rowid
    if answer.description is not None:
        with suppress(sqlite3.Error):  # it is done; who makes a row of it may try again
            prime(cursor, answer)
    cursor._dualdb.result = answer


def executemany(cursor: TargetCursor, connection: TargetConnection, sql: str, rows: Remaining) -> None:
    """Execute one statement for each row of parameters. Raises sqlite3's exceptions, and MovedError."""
    remote = connection._dualdb.asked
    kept = cursor.lastrowid
    cursor._dualdb.result = Answer(lastrowid=kept)
    statement = _compiled(connection, remote, _text(sql))
    if remote.access.checked:
        _check_access(connection, remote, statement, rows)
    plan = _settled_plan(connection, remote, statement)
    if _only_reads(remote, statement, plan):
        raise sqlite3.ProgrammingError("executemany() can only execute DML statements.")
    _begin(connection, remote, statement)
    if plan is not None and plan.kind is not Kind.WRITE:
        for row in rows:
            _RUNS[plan.kind](connection, statement, plan, row)
    else:
        for row in rows:
            rows.written += _execute_row(remote, statement, row)
            if _in_batches(connection._dualdb, remote, statement, rows):
                break  # an iterator that has ended is not asked again
    cursor._dualdb.result = Answer(rowcount=rows.written if statement.is_dml else -1, lastrowid=kept)


def executescript(cursor: TargetCursor, connection: TargetConnection, script: str) -> None:
    """Execute the statements of a script, what is open committed first."""
    level = isolation_level(connection)
    legacy = autocommit(connection) == LEGACY
    # SQLite's own part checks the script's type and has nothing else to do.
    sqlite3.Cursor.executescript(cursor, "" if type(script) is str and "\0" not in script else script)
    if legacy:
        _commit(connection)
        set_isolation_level(connection, None)
    try:
        for statement in split_statements(script):
            runner = behaviour(connection).cursor(connection)
            runner.row_factory = None
            runner.execute(statement, Placeholders(statement).nulls())
            runner.close()
    finally:
        if legacy and level is not None:
            set_isolation_level(connection, level)


def _commit(connection: TargetConnection) -> None:
    with connection._dualdb.turn:
        remote = connection._dualdb.remote
        if remote is None:  # another thread has brought it back
            behaviour(connection).commit(connection)
        elif remote.in_transaction:
            remote.control(Event.COMMIT, "COMMIT")


def _text(sql: Any) -> str:
    if not isinstance(sql, str):
        raise TypeError(f"execute() argument 1 must be str, not {type(sql).__name__}")
    return sql


def _compiled(connection: TargetConnection, remote: Remote, sql: str) -> Statement:
    """The statement; what uses a function or collation of the connection's own is refused."""
    known = remote.taught
    if known is None:
        known = remote.taught = taught_to(connection, connection._dualdb.replaced)
    try:
        statement = remote.catalogue.statement(sql)
    except sqlite3.OperationalError as error:
        raise explained(error, known, remote.way_back) from None
    if known.shadowing:
        check_shadowed(remote.catalogue.called_by(statement), known, remote.way_back)
    if known.replaced:
        check_replaced(remote.catalogue.collated_by(statement), known, remote.way_back)
    return statement


def _settled_plan(connection: TargetConnection, remote: Remote, statement: Statement) -> Plan | None:
    """The plan, None while it waits for the values' classes; raises NotSupportedError when no values can help."""
    if statement.plan is None and not statement.placeholders.keys:
        try:
            remote.planned(statement, {})
        except sqlite3.IntegrityError:  # SQLite says so while it executes, with the transaction begun
            _begin(connection, remote, statement)
            raise
    return statement.plan


def _check_access(
    connection: TargetConnection, remote: Remote, statement: Statement, executions: Iterable[Any]
) -> None:
    """Refuse what the connection may not write where SQLite does: when it runs, begun and bound. What PostgreSQL cannot
    do as it wants is refused before that.
    """
    written = remote.catalogue.written_by(statement)
    if not remote.access.forbids(written):
        if remote.access.foreign_keys and written and remote.catalogue.is_enforced(statement):
            raise refused(
                "foreign keys are on for this connection and PostgreSQL enforces none",
                or_back("send PRAGMA foreign_keys = OFF", remote.way_back),
            )
        return
    _begin(connection, remote, statement)
    for parameters in executions:
        remote.bound(statement, parameters)
        raise read_only()


def _begin(connection: TargetConnection, remote: Remote, statement: Statement) -> None:
    if not statement.is_dml or remote.transaction.state is not State.IDLE:
        return
    if not begins_by_itself(connection):
        return
    level = isolation_level(connection)
    remote.control(Event.BEGIN if level in ("", "DEFERRED") else Event.BEGIN_LOCKED, f"BEGIN {level}")


# --- the kinds of statements ------------------------------------------------------------------------------------------


def _planned_rows(connection: TargetConnection, statement: Statement, _plan: Plan, parameters: Any) -> Answer:
    return _rows(connection, statement, parameters)


def _rows(connection: TargetConnection, statement: Statement, parameters: Any) -> Answer:
    remote = connection._dualdb.asked
    bound = remote.bound(statement, parameters)
    plan, outcome = _run(remote, statement, bound, *remote.planned(statement, bound))
    rows = _noted(remote, plan, outcome)
    counted = statement.is_dml
    written = outcome.written if counted else -1
    if plan.columns is None:
        return Answer(rowcount=written)
    detect_types = connection._dualdb.detect_types
    return Answer(
        rows=rows,
        columns=plan.columns,
        detect_types=detect_types,
        description=described(shown_names(plan.columns, detect_types)),
        rowcount=0 if counted else -1,
        final=written,
    )


def _run(remote: Remote, statement: Statement, bound: Any, plan: Plan, messages: list[Message]) -> tuple[Plan, Outcome]:
    """Execute a plan; in its wide form when PostgreSQL's numbers end where SQLite's go on, for nothing has happened."""
    try:
        return plan, _run_as_planned(remote, bound, plan, messages)
    except OutOfRangeError as error:
        wide, others = remote.planned(statement, bound, wide=True)
        if wide.steps == plan.steps:
            raise sqlite3.NotSupportedError(str(error)) from None
    return wide, _run_as_planned(remote, bound, wide, others)


def _run_as_planned(remote: Remote, bound: Any, plan: Plan, messages: list[Message]) -> Outcome:
    try:
        return remote.run(plan, messages) if plan.each is None else run_each(remote, plan, messages, bound)
    except sqlite3.IntegrityError:
        if plan.policy == "ROLLBACK" and remote.in_transaction:
            remote.control(Event.ROLLBACK, "ROLLBACK")
        raise
    except UnstorableError as refusal:
        raise refused(str(refusal), f"correct the value, or go back to SQLite: {remote.way_back}") from None


def _noted(remote: Remote, plan: Plan, outcome: Outcome) -> Any:
    """Remember what the session knows of its last write; the rows without the column that was for that."""
    if plan.kind is Kind.WRITE:
        remote.changes = outcome.written
        remote.total_changes += outcome.written
    if not plan.insert_id:
        return outcome.rows
    remote.last_rowid = next((row[-1] for row in reversed(outcome.rows) if row[-1] is not None), remote.last_rowid)
    return [row[:-1] for row in outcome.rows]


def _control(connection: TargetConnection, statement: Statement, plan: Plan, parameters: Any) -> Answer:
    remote = connection._dualdb.asked
    remote.bound(statement, parameters)
    if plan.verb == "BEGIN":
        event = Event.BEGIN_LOCKED if plan.name in _LOCKING else Event.BEGIN
    elif plan.verb == "ROLLBACK" and plan.name is not None:
        event = Event.ROLLBACK_TO
    else:
        event = _EVENTS[plan.verb]
    remote.control(event, statement.sql, plan.name or "")
    return Answer()


def _catalog(connection: TargetConnection, statement: Statement, plan: Plan, parameters: Any) -> Answer:
    remote = connection._dualdb.asked
    if plan.pragma in CONNECTION | FILE:  # its C part has both
        own = sqlite3.Cursor(connection)
        enforcing = remote.access.foreign_keys
        found_rows, description = own.execute(statement.sql, parameters).fetchall(), own.description
        if plan.pragma == "foreign_keys" and remote.in_transaction:
            # "a no-op within a transaction" (pragma.html), and the C part knows nothing of this one
            own.execute(f"PRAGMA foreign_keys = {int(enforcing)}")
        remote.access.look_again(connection)
        remote.timeout_s = busy_timeout_s(connection)
        if in_transaction(connection):  # with autocommit=False: it would keep the file as it is now in sight
            sqlite3.Connection.rollback(connection)
        return Answer(rows=found_rows, description=description)
    found = remote.catalogue.ask(statement.sql, parameters)
    return Answer(rows=found.rows, description=found.description)


def _pragma(connection: TargetConnection, statement: Statement, plan: Plan, parameters: Any) -> Answer:
    remote = connection._dualdb.asked
    remote.bound(statement, parameters)
    if plan.pragma == "vacuum":
        _check_vacuum(remote)
    if plan.columns is None:
        return Answer()
    return Answer(rows=plan.rows, columns=plan.columns, description=described([column.name for column in plan.columns]))


def _check_vacuum(remote: Remote) -> None:
    """SQLite's own conditions for what nobody has to do here; VACUUM begins no transaction in its byte code."""
    if remote.in_transaction:
        raise failure(sqlite3.OperationalError, "cannot VACUUM from within a transaction")
    if remote.access.limited:
        raise read_only()


def _ddl(connection: TargetConnection, statement: Statement, _plan: Plan, parameters: Any) -> Answer:
    remote = connection._dualdb.asked
    remote.bound(statement, parameters)
    schema_change.change(remote, statement.sql)
    return Answer()


_RUNS: dict[Kind, Run] = {
    Kind.READ: _planned_rows,
    Kind.WRITE: _planned_rows,
    Kind.TRANSACTION: _control,
    Kind.CATALOG: _catalog,
    Kind.PRAGMA: _pragma,
    Kind.DDL: _ddl,
}


# --- executemany ------------------------------------------------------------------------------------------------------


def _only_reads(remote: Remote, statement: Statement, plan: Plan | None) -> bool:
    """Whether SQLite takes it for a statement that writes nothing (sqlite.org/c3ref/stmt_readonly.html)."""
    if plan is None:
        return not remote.catalogue.written_by(statement)
    if plan.kind is Kind.TRANSACTION:
        return plan.verb != "BEGIN" or plan.name not in _LOCKING
    return plan is NOTHING or plan.kind in (Kind.READ, Kind.CATALOG)


def _execute_row(remote: Remote, statement: Statement, row: Any) -> int:
    bound = remote.bound(statement, row)
    plan, outcome = _run(remote, statement, bound, *remote.planned(statement, bound))
    _noted(remote, plan, outcome)
    return outcome.written


def _in_batches(state: ConnectionState, remote: Remote, statement: Statement, rows: Remaining) -> bool:
    """Execute rows inside a transaction that holds the lock, many in a round trip, while it lasts; whether all are."""
    over = False
    while not over and remote.transaction.state is State.WRITING:
        batch = _Batch(remote, rows)
        state.flushes.append(batch.flush)
        try:
            over = batch.fill(statement)
        finally:
            state.flushes.remove(batch.flush)
    return over


class _Batch:
    """Executions that are made ready to go in one round trip, as if each had been done when its row was made: whoever
    enters the connection meanwhile has them done first.
    """

    def __init__(self, remote: Remote, rows: Remaining) -> None:
        self._remote = remote
        self._rows = rows
        self._ready: list[_Bound] = []
        self._failed: Exception | None = None
        """What a row gave that somebody else had executed."""

    def fill(self, statement: Statement) -> bool:
        """Make the next rows ready and execute them; whether these were the last ones. Raises what the first row that
        fails gives, when those before it are done.
        """
        taken = 0
        try:
            for row in islice(self._rows, _BATCH):
                taken += 1
                self._check()
                bound = self._remote.bound(statement, row)
                plan, messages = self._remote.planned(statement, bound)
                if plan.each is not None or plan.policy != "ABORT":  # no statement of PostgreSQL's alone
                    self._run()
                    executed, outcome = _run(self._remote, statement, bound, plan, messages)
                    _noted(self._remote, executed, outcome)
                    self._rows.written += outcome.written
                    continue
                # Not the row itself, which may be another one by then.
                self._ready.append((statement, statement.placeholders.given(bound), bound, plan, messages))
                if self._remote.transaction.state is not State.WRITING:  # it was ended while the row was made
                    self._run()
                    return False
                if _asks_what_was_before(plan):
                    self._run()
        except MovedError:
            self._rows.give_back([*(row for _, row, *_ in self._ready), *self._rows.last])
            raise
        except BaseException:  # of this row, or of the application's that makes them
            self._check()
            self._run()
            raise
        self._check()
        self._run()
        return taken < _BATCH

    def flush(self) -> None:
        """For who comes by while a row is made; what goes wrong is not his affair."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - `fill` raises it
            self._failed = error

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        ready, self._ready = self._ready, []
        if ready:
            _run_batch(self._remote, ready, self._rows)


def _asks_what_was_before(plan: Plan) -> bool:
    return any(parameter.source in _SESSION for step in plan.steps for parameter in step.parameters)


def _run_batch(remote: Remote, batch: Sequence[_Bound], rows: Remaining) -> None:
    ends: Sequence[Any] = ()
    if remote.transaction.state is State.WRITING:  # else it was ended while rows were made, and each stands by itself
        with suppress(Rejected):
            ends = remote.run_batch([messages for *_, messages in batch])
    for (*_, plan, _), answer in zip(batch, ends, strict=False):
        count = answer.written if plan.rows_written is None else plan.rows_written
        _noted(remote, plan, Outcome(answer.rows, count))
        rows.written += count
    if ends:
        return
    # Of a rejected batch nothing has happened; one by one the rows before the refused one do, as sqlite3 leaves them.
    for place, (statement, _, bound, plan, messages) in enumerate(batch):
        try:
            executed, outcome = _run(remote, statement, bound, plan, messages)
        except MovedError:
            rows.give_back(row for _, row, *_ in batch[place:])
            raise
        _noted(remote, executed, outcome)
        rows.written += outcome.written
