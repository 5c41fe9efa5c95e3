"""One connection's side of PostgreSQL while that is the authority: it obeys `core.transaction`, statement by statement.

It knows plans and transactions; cursors, rows and the face of sqlite3 are its callers'. A fence and a change of phase
are raised as `MovedError`: the caller goes where the authority is and executes the statement there.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dualdb.core.statement import Kind, Plan
from dualdb.core.transaction import Action, Event, State, Transaction, TransactionRefusedError
from dualdb.core.translate import Refused
from dualdb.driver.binding import Binder, UnstorableError, classes_of, values_of
from dualdb.driver.catalogue import Catalogue
from dualdb.driver.diagnosis import FENCE_STATE, STALE_STATES, diagnose, untranslated
from dualdb.driver.failure import again, failure, locked, or_back, overtaken, read_only, refused
from dualdb.driver.outcome import await_outcome
from dualdb.driver.target_kept import TargetKept
from dualdb.errors import DualdbError, TargetError, TargetLostError
from dualdb.stores.hint import announced
from dualdb.stores.target_catalog import check_names, read_numbering, read_objects
from dualdb.stores.target_change import FencedError
from dualdb.stores.target_pairing import Pairing
from dualdb.stores.target_session import OutcomeUnknownError, Rejected, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dualdb.core.schema import Schema
    from dualdb.driver.binding import Bound
    from dualdb.driver.catalogue import Statement
    from dualdb.driver.taught import Taught
    from dualdb.driver.transaction_memory import TransactionMemory
    from dualdb.driver.watch import Watch
    from dualdb.driver.write_access import WriteAccess
    from dualdb.stores.target_pool import Pool
    from dualdb.stores.target_session import Answer, Message

T = TypeVar("T")

_OWN = "dualdb_statement"
_UPGRADE = "dualdb_upgrade"


class MovedError(Exception):
    """The statement was not executed: go to the authority, and execute it there."""


class Outcome(NamedTuple):
    """What a plan's last step returned."""

    rows: Sequence[tuple[Any, ...]]
    written: int


class Remote:
    """PostgreSQL, for one connection of the application."""

    KEPT = TargetKept

    def __init__(self, watch: Watch, timeout_s: float, memory: TransactionMemory, access: WriteAccess) -> None:
        """Nothing is asked of PostgreSQL yet."""
        facts = watch.authority(watch.seen())
        if facts is None:
            raise failure(sqlite3.OperationalError, f"{watch.path} is no longer prepared; open it again")
        self._watch = watch
        self._target_schema = facts.target_schema
        self.timeout_s = timeout_s
        self.transaction = Transaction()
        self.access = access
        self._memory = memory
        self.last_rowid = 0
        self.changes = 0
        self.total_changes = 0
        self.taught: Taught | None = None
        """The functions and collations of the connection's own; None: look."""
        self.binder = Binder()
        self._kept = self.KEPT(watch, Pairing(*facts.pairing))
        self._session: Session | None = None
        self._pending: list[Message] = []
        self._doom: sqlite3.Error | None = None
        self.seen = watch.seen()
        """The hint's counter as of when the control row was last read; -1: read it before the next statement."""
        self._catalogue: Catalogue | None = None
        self._schema_changed = False

    @property
    def pool(self) -> Pool:
        """This process's connections to the target."""
        return self._kept.pool

    @property
    def catalogue(self) -> Catalogue:
        """The schema in force."""
        if self._catalogue is None:
            self._catalogue = self._learn(self.seen)
        return self._catalogue

    @property
    def way_back(self) -> str:
        """The command that makes SQLite the authority again."""
        return self._watch.way_back

    @property
    def in_transaction(self) -> bool:
        """Whether the application has one open."""
        return self.transaction.state is not State.IDLE

    def refresh(self, seen: int) -> None:
        """The control row may have changed, and the schema with it."""
        self.seen, self._catalogue = seen, None

    def close(self) -> None:
        """Roll back and give everything back."""
        self._end()
        self.binder.close()

    # --- transactions ----------------------------------------------------------------------------------------------

    def control(self, event: Event, text: str, name: str = "") -> None:
        """BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, ROLLBACK TO."""
        if event is Event.BEGIN_LOCKED and self.access.limited:
            self._begin_reading(text)
            return
        was_open = self.in_transaction
        action, event = self._planned(event, name)
        if action is Action.LOCK:
            self._attempt(lambda session: session.begin_locked(()))
        elif action is Action.COMMIT:
            self._commit()
        elif action is Action.ROLLBACK:
            self._end()
        place = self.transaction.take(event, name)
        if self._schema_changed and event in (Event.ROLLBACK, Event.ROLLBACK_TO):
            self._recall_schema(event, place)
        if action is Action.NEST:
            self._pending.append((_NESTED[event].format(place), None))
        if self.transaction.state is State.IDLE:
            self._memory.ended()
            self._doom = None
        elif was_open:
            self._memory.ran(text, still_open=True)
        else:
            self._memory.began(text)

    def _begin_reading(self, text: str) -> None:
        """BEGIN IMMEDIATE where nothing may be written: refused by PRAGMA query_only, else a snapshot."""
        if self.access.query_only:
            raise read_only()
        self.control(Event.BEGIN, text)
        self.run(_SNAPSHOT, [("SELECT 1", None)])

    def doom(self, error: sqlite3.Error) -> None:
        """The transaction is gone; until the application has rolled it back everything gives this error."""
        self._end()
        self._doom = error
        self.transaction.doom()

    # --- statements ------------------------------------------------------------------------------------------------

    def bound(self, statement: Statement, parameters: Any) -> Bound:
        """The values of one execution; raises what sqlite3 raises."""
        return self.binder.bind(statement.placeholders, parameters)

    def planned(self, statement: Statement, bound: Bound, *, wide: bool = False) -> tuple[Plan, list[Message]]:
        """The plan for these values and its messages; raises NotSupportedError, IntegrityError."""
        known = {
            **bound,
            "changes()": self.changes,
            "total_changes()": self.total_changes,
            "last_insert_rowid()": self.last_rowid,
        }
        plan = None if wide else statement.plan
        error: sqlite3.Error
        if plan is not None:
            try:
                return plan, [(step.sql, values_of(step, known)) for step in plan.steps]
            except UnstorableError:
                pass  # another plan may suit the values' classes; if not, it says what does not fit
        try:
            plan = self.catalogue.plan(statement, classes_of(bound), wide=wide)
            return plan, [(step.sql, values_of(step, known)) for step in plan.steps]
        except Refused as refusal:
            error = untranslated(refusal, self.way_back)
        except UnstorableError as refusal:
            error = refused(str(refusal), or_back("correct the value", self.way_back))
        # SQLite may not take it either: then it is for SQLite to say so.
        raise self.catalogue.find_refusal(statement, statement.placeholders.given(bound)) or error

    def run(self, plan: Plan, messages: Sequence[Message]) -> Outcome:
        """Execute a plan under the transaction's rules. Raises sqlite3's exceptions, and MovedError."""
        action, event = self._planned(Event.READ if plan.kind is Kind.READ else Event.WRITE)
        if action is Action.UPGRADE:
            self._upgrade()
            self.transaction.take(event)
            action = Action.RUN
        if action is Action.RUN:
            answers = self._run_nested(messages)
        elif action is Action.ALONE:
            answers = self._attempt(lambda session: session.exchange(messages), once=True)
        elif action is Action.ALONE_LOCKED:
            answers = self._attempt(lambda session: session.begin_locked(messages))
            self._commit()
        else:
            answers = self._open(action, messages)
            self.transaction.take(event)
            self.transaction.settle()
        self._memory.worked()
        answer = answers[-1]
        return Outcome(answer.rows, answer.written if plan.rows_written is None else plan.rows_written)

    def run_batch(self, batch: Sequence[Sequence[Message]]) -> list[Answer]:
        """Execute the messages of many executions in one round trip, inside a transaction that holds the lock.

        Each part's last answer is returned. Raises Rejected, whereupon none of them has happened.
        """
        answers = self._exchange_saved([message for part in batch for message in part])
        self._memory.worked()
        ends: list[Answer] = []
        place = 0
        for part in batch:
            place += len(part)
            ends.append(answers[place - 1])
        return ends

    def change_schema(self, make: Any, after: Catalogue) -> None:
        """Make a change of the schema in a write transaction, the application's or one of its own.

        Raises sqlite3's exceptions, MovedError, and whatever `make` raises; then nothing has changed.
        """
        alone = not self.in_transaction
        if alone:
            self.control(Event.BEGIN_LOCKED, "BEGIN IMMEDIATE")
        elif self.transaction.state is not State.WRITING:
            self.run(_NO_ROWS, [("SELECT 1", None)])
        try:
            self._exchange_saved_work(make, after.schema)
        except BaseException as error:
            if alone:
                self.control(Event.ROLLBACK, "ROLLBACK")
            if isinstance(error, FencedError):
                raise self._fenced() from None
            raise
        self._catalogue, self._schema_changed = after, True
        self._memory.worked()
        if alone:
            self.control(Event.COMMIT, "COMMIT")

    def diagnose(self, rejected: Rejected, schema: Schema | None = None) -> sqlite3.Error:
        """The exception for what PostgreSQL refused, of the schema in force or of that one; learns the schema anew when
        it may have changed.
        """
        if rejected.sqlstate in STALE_STATES:
            self.seen = -1
        return diagnose(rejected, schema or self.catalogue.schema, self._check_names, self.way_back)

    def session(self) -> Session:
        """The open transaction's session, for a change of the schema."""
        assert self._session is not None  # noqa: S101 - the caller has just written in it
        return self._session

    # --- inside ----------------------------------------------------------------------------------------------------

    def _planned(self, event: Event, name: str = "") -> tuple[Action, Event]:
        try:
            return self.transaction.plan(event, name)
        except TransactionRefusedError as refusal:
            if self._doom is not None and not str(refusal):
                raise again(self._doom) from None
            raise failure(sqlite3.OperationalError, str(refusal)) from None

    def _attempt(self, use: Any, *, once: bool = False) -> Any:
        """Borrow a session, use it outside a transaction, and keep it unless `once`.

        A connection that turns out to be lost is tried a second time: nothing can have been committed by then.
        """
        for last in (False, True):
            session = self._borrow(fresh=last)
            try:
                answers = use(session)
            except Rejected as rejected:
                session.rollback()
                raise self._refusal(rejected) from None
            except TargetLostError:
                session.discard()
                self.pool.forget()
                if last:
                    raise locked() from None
                continue
            if once:
                session.release()
            else:
                self._session = session
            return answers
        raise AssertionError

    def _open(self, action: Action, messages: Sequence[Message]) -> list[Answer]:
        """Begin PostgreSQL's transaction with the savepoints that stand already, and run its first statement."""
        depth = self.transaction.depth
        savepoints: list[Message] = [(f"SAVEPOINT s{place}", None) for place in range(depth)]

        def use(session: Session) -> list[Answer]:
            begin = session.begin_snapshot if action is Action.SNAPSHOT else session.begin_locked
            return begin([*savepoints, *messages])

        answers: list[Answer] = self._attempt(use)
        return answers[depth:]

    def _run_nested(self, messages: Sequence[Message]) -> list[Answer]:
        try:
            return self._exchange_saved(messages)
        except Rejected as rejected:
            raise self._refusal(rejected) from None

    def _exchange_saved(self, messages: Sequence[Message]) -> list[Answer]:
        """Run inside the open transaction, under a savepoint: a failure costs this statement only."""
        session = self.session()
        pending, self._pending = self._pending, []
        try:
            answers = session.exchange(
                [*pending, (f"SAVEPOINT {_OWN}", None), *messages, (f"RELEASE SAVEPOINT {_OWN}", None)]
            )
        except TargetLostError:
            raise self._lost() from None
        except Rejected as rejected:
            if rejected.sqlstate != FENCE_STATE:
                self._back_to(_OWN)
            raise
        return answers[len(pending) + 1 : -1]

    def _exchange_saved_work(self, make: Any, schema: Schema) -> None:
        session = self.session()
        pending, self._pending = self._pending, []
        try:
            session.exchange([*pending, (f"SAVEPOINT {_OWN}", None)])
            session.use(make)
            session.exchange([(f"RELEASE SAVEPOINT {_OWN}", None)])
        except TargetLostError:
            raise self._lost() from None
        except Rejected as rejected:
            self._back_to(_OWN)
            raise self.diagnose(rejected, schema) from None
        except BaseException:
            self._back_to(_OWN)
            raise

    def _recall_schema(self, event: Event, place: int) -> None:
        """A change of the schema may have been rolled back: it is as PostgreSQL has it now."""
        if event is Event.ROLLBACK:
            self._catalogue, self._schema_changed = None, False
            return
        pending, self._pending = self._pending, []

        def read(connection: Any) -> None:
            known = self.catalogue.target_schema
            self._catalogue = Catalogue(read_objects(connection), read_numbering(connection), known)

        session = self.session()
        session.exchange([*pending, (_NESTED[event].format(place), None)])
        session.use(read)

    def _upgrade(self) -> None:
        session = self.session()
        pending, self._pending = self._pending, []
        try:
            if pending:
                session.exchange(pending)
            unchanged = session.upgrade(_UPGRADE)
        except TargetError:
            raise self._lost() from None
        except Rejected as rejected:
            self._back_to(_UPGRADE)
            raise self._refusal(rejected) from None
        if not unchanged:
            raise overtaken()

    def _back_to(self, savepoint: str) -> None:
        try:
            self.session().exchange(
                [(f"ROLLBACK TO SAVEPOINT {savepoint}", None), (f"RELEASE SAVEPOINT {savepoint}", None)]
            )
        except (Rejected, TargetLostError):
            raise self._lost() from None

    def _commit(self) -> None:
        if not self._schema_changed:
            self._commit_rows()
            return
        # Everybody reads the schema anew from here on, until it is committed and then once more.
        try:
            with announced(self._watch.path):
                self._commit_rows()
        finally:
            self._catalogue, self._schema_changed, self.seen = None, False, -1

    def _commit_rows(self) -> None:
        session, self._session = self.session(), None
        pending, self._pending = self._pending, []
        try:
            if pending:
                session.exchange(pending)
            committed = session.commit()
        except OutcomeUnknownError as exc:
            self._end()
            raise failure(sqlite3.OperationalError, str(exc), "SQLITE_IOERR") from None
        except TargetLostError:
            committed = False
        except Rejected as rejected:
            error = self.diagnose(rejected)
            self._doom_open(error)
            raise error from None
        if not committed:
            error = locked()
            self._doom_open(error)
            raise error

    def _doom_open(self, error: sqlite3.Error) -> None:
        """Doom the transaction if the application has one open; a statement by itself leaves nothing behind."""
        self._session = None
        if self.transaction.state is not State.IDLE:
            self.doom(error)

    def _end(self) -> None:
        session, self._session = self._session, None
        self._pending = []
        if session is not None:
            session.rollback()

    def _lost(self) -> sqlite3.Error:
        """The connection went away inside a transaction: what was done in it is gone."""
        if self._session is not None:
            self._session.discard()
            self._session = None
        self.pool.forget()
        error = locked()
        self.doom(error)
        return error

    def _refusal(self, rejected: Rejected) -> Exception:
        """What a refused statement leads to: an exception for the application, or a change of sides."""
        if rejected.sqlstate != FENCE_STATE:
            return self.diagnose(rejected)
        return self._fenced()

    def _fenced(self) -> Exception:
        if self.in_transaction and self._memory.replay is None:
            error = overtaken()
            self.doom(error)
            return error
        if self.in_transaction:
            self._end()
            self.transaction.undo()
        return MovedError() if self._await_outcome() else locked()

    def _await_outcome(self) -> bool:
        return await_outcome(self._watch, self.timeout_s)

    def _borrow(self, *, fresh: bool) -> Session:
        return self._patiently(lambda: Session(self.pool, self.timeout_s, fresh=fresh))

    def _learn(self, seen: int) -> Catalogue:
        return self._patiently(lambda: self._kept.catalogues.current(seen, self.pool, self._target_schema))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What it gives; a server that restarts is back in a moment, as a lock is."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                return ask()
            except TargetError as exc:
                self.pool.forget()
                if time.monotonic() > deadline:
                    raise failure(sqlite3.OperationalError, f"database is locked ({exc})", "SQLITE_BUSY") from None
            except DualdbError as exc:  # it is the wrong server, or its state is
                raise failure(sqlite3.OperationalError, str(exc)) from None
            time.sleep(0.1)

    def _check_names(self, table: str) -> list[str]:
        try:
            borrowed = self.pool.borrow()
        except TargetError:
            return []
        try:
            return check_names(borrowed.connection, self._target_schema, table)
        finally:
            self.pool.give_back(borrowed)


_NO_ROWS = Plan(kind=Kind.WRITE)
_SNAPSHOT = Plan(kind=Kind.READ)
_NESTED = {
    Event.SAVEPOINT: "SAVEPOINT s{}",
    Event.RELEASE: "RELEASE SAVEPOINT s{}",
    Event.ROLLBACK_TO: "ROLLBACK TO SAVEPOINT s{}",
}
