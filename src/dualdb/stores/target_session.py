"""One transaction's worth of conversation with PostgreSQL: statements in, answers out, in as few round trips as can be.

Knows PostgreSQL's transactions and what a lost COMMIT means; it knows neither sqlite3's rules nor the application's
SQL. Its errors are `Rejected`, with what PostgreSQL said in plain values, and TargetLostError.
"""

from __future__ import annotations

import time
from secrets import randbits
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from dualdb.errors import TargetError, TargetLostError
from dualdb.stores.queries import query
from dualdb.stores.target_connection import losses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dualdb.stores.target_connection import Target
    from dualdb.stores.target_pool import Pool

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_ASK = "target/session.sql"
_ASK_FOR_S = 30.0
"""How long the outcome of a lost COMMIT is asked for before the application is told that it is unknown."""
_PATIENCE_S = 1.0
"""How long a backend may still work on a COMMIT whose client is gone before it is ended."""


class Answer(NamedTuple):
    """What one statement returned."""

    rows: list[tuple[Any, ...]]
    written: int
    status: str


_LONGEST_MS = 2**31 - 1
"""What PostgreSQL takes for lock_timeout at the most."""
Message = tuple[str, "Sequence[Any] | None"]
"""A statement and its parameters."""


class Rejected(Exception):  # noqa: N818 - an answer, not a failure of ours
    """PostgreSQL refused a statement."""

    def __init__(self, error: psycopg.Error) -> None:
        diagnosis = error.diag
        self.sqlstate = error.sqlstate or ""
        self.message = diagnosis.message_primary or str(error)
        self.table = diagnosis.table_name or ""
        self.column = diagnosis.column_name or ""
        self.constraint = diagnosis.constraint_name or ""
        super().__init__(self.message)


class OutcomeUnknownError(TargetLostError):
    """COMMIT was sent, its answer was lost, and PostgreSQL cannot be asked for it."""


class Session:
    """A borrowed connection; used for one transaction, or for one statement by itself, then given back."""

    def __init__(self, pool: Pool, lock_timeout_s: float, *, fresh: bool = False) -> None:
        """Raises TargetError, TargetLostError."""
        self._pool = pool
        self._borrowed = pool.connect() if fresh else pool.borrow()
        self.xid: str | None = None
        """The transaction's number, once it holds the writers' lock."""
        # Besides its number: PostgreSQL gives the number of a transaction that a crash has swallowed to another one,
        # whose commit would be taken for ours.
        self._token = str(randbits(53))
        self.snapshot: str | None = None
        try:
            self._set_lock_timeout(min(max(1, round(lock_timeout_s * 1000)), _LONGEST_MS))
        except BaseException:
            self._borrowed.discard()
            raise

    def exchange(self, messages: Sequence[Message]) -> list[Answer]:
        """Send these and return their answers, in one round trip. Raises Rejected for the first that was refused,
        whereupon those behind it were not executed; raises TargetLostError.
        """
        connection = self._borrowed.connection
        if not self._borrowed.ours:
            raise TargetLostError("the transaction belongs to the process that this one was forked from; begin anew")
        try:
            with losses():
                if len(messages) == 1:
                    return [_answer(_send(connection, messages[0]))]
                return _pipelined(connection, messages)
        except psycopg.Error as error:
            raise Rejected(error) from None

    def use(self, work: Callable[[Target], None]) -> None:
        """Let this work in the transaction. Raises Rejected, TargetLostError, and whatever the work raises."""
        try:
            with losses():
                work(self._borrowed.connection)
        except psycopg.Error as error:
            raise Rejected(error) from None

    def begin_locked(self, messages: Sequence[Message]) -> list[Answer]:
        """Begin a transaction under the writers' lock and run these in it, in one round trip."""
        answers = self.exchange([(BEGIN, None), *self._locking(), *messages])
        self.xid = answers[2].rows[0][0]
        return answers[3:]

    def begin_snapshot(self, messages: Sequence[Message]) -> list[Answer]:
        """Begin a transaction with a stable snapshot and run these in it, in one round trip."""
        answers = self.exchange([(BEGIN_SNAPSHOT, None), self._noting(), *messages])
        self.snapshot = answers[1].rows[0][0]
        return answers[2:]

    def upgrade(self, savepoint: str) -> bool:
        """Take the writers' lock in a transaction that has read; False when somebody has committed since its snapshot.

        The lock is taken under a savepoint of that name, which stays when the lock is not to be had.
        """
        answers = self.exchange([(f"SAVEPOINT {savepoint}", None), *self._locking()])
        self.xid = answers[2].rows[0][0]
        # Our own snapshot cannot see who has committed since; another connection can, and nobody writes any more.
        other = self._pool.borrow()
        try:
            with losses():
                since = query(_ASK, "committed_since").encode()
                found = other.connection.execute(since, {"after": self.snapshot}).fetchone()
        except TargetLostError:
            other.discard()
            raise
        self._pool.give_back(other)
        if found is not None and found[0]:
            self.exchange([(f"ROLLBACK TO SAVEPOINT {savepoint}", None), (f"RELEASE SAVEPOINT {savepoint}", None)])
            return False
        self.exchange([(f"RELEASE SAVEPOINT {savepoint}", None)])
        return True

    def commit(self) -> bool:
        """Commit and give the connection back; False when it turned out to have been rolled back.

        Raises Rejected when a deferred constraint refuses, TargetLostError never: when the answer is lost PostgreSQL is
        asked what became of the transaction. Raises OutcomeUnknownError when it cannot be asked.
        """
        try:
            (answer,) = self.exchange([("COMMIT", None)])
        except TargetLostError:
            self.discard()
            if not self._borrowed.ours:  # nothing was sent, and the transaction is the parent's to end
                return False
            return self.xid is None or self._ask_outcome(self.xid)
        except Rejected:
            self.rollback()
            raise
        self.release()
        return answer.status == "COMMIT"

    def rollback(self) -> None:
        """Roll back, if there is anything to roll back, and give the connection back."""
        try:
            if not self._borrowed.connection.closed:
                self.exchange([("ROLLBACK", None)])
        except (Rejected, TargetLostError):
            self.discard()
        else:
            self.release()

    def release(self) -> None:
        """Give the connection back, outside a transaction."""
        self._pool.give_back(self._borrowed)

    def discard(self) -> None:
        """Close the connection: it is lost, or nobody knows what state it is in."""
        self._borrowed.discard()

    def _locking(self) -> list[Message]:
        return [(query(_ASK, "lock_writers"), None), self._marking(self._token)]

    def _marking(self, token: str) -> Message:
        return query(_ASK, "mark"), [token]

    def _noting(self) -> Message:
        return query(_ASK, "snapshot"), None

    def _set_lock_timeout(self, timeout_ms: int) -> None:
        if self._borrowed.lock_timeout_ms == timeout_ms:
            return
        messages: list[Message] = [(query(_ASK, "wait_for_locks"), [str(timeout_ms)])]
        try:
            self.exchange(messages)
        except TargetLostError:
            # It had been lying idle when the server went away: so have the others.
            self._pool.forget()
            self.discard()
            self._borrowed = self._pool.connect()
            self.exchange(messages)
        self._borrowed.lock_timeout_ms = timeout_ms

    def _ask_outcome(self, xid: str) -> bool:
        # 1. ask what became of it; 2. while it is in progress its backend may still commit: wait, then end the backend;
        # 3. its journal rows prove it committed. Without them it has changed nothing, whoever has its number now, but
        # where they may have been pruned.
        deadline = time.monotonic() + _ASK_FOR_S
        patience = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            try:
                found, status = self._ask(xid, end=time.monotonic() > patience)
            except (TargetError, psycopg.Error):
                self._pool.forget()
            else:
                if found is None:
                    break
                if found or status != "in progress":
                    return found
            time.sleep(0.05)
        message = (
            f"the answer to COMMIT was lost and PostgreSQL cannot be asked what became of transaction {xid};"
            " look whether its rows are there before doing it again"
        )
        raise OutcomeUnknownError(message)

    def _ask(self, xid: str, *, end: bool) -> tuple[bool | None, str | None]:
        asking = self._pool.connect()
        try:
            try:
                ((status,),) = asking.connection.execute(query(_ASK, "outcome").encode(), (xid,)).fetchall()
            except psycopg.errors.InvalidParameterValue:  # a number of the future again: a crash has swallowed it
                return False, None
            if status != "in progress":
                own = {"xid": xid, "token": self._token}
                ((found,),) = asking.connection.execute(query(_ASK, "proof").encode(), own).fetchall()
                return found, status
            if end:
                backend = self._borrowed.backend, str(int(xid) % (1 << 32))
                asking.connection.execute(query(_ASK, "end_backend").encode(), backend)
            return False, status
        finally:
            self._pool.give_back(asking)


def _send(connection: Target, message: Message) -> psycopg.Cursor[tuple[Any, ...]]:
    # What has no parameters is not prepared: psycopg would take a SAVEPOINT or RELEASE for prepared that was skipped
    # because the statement before it failed. ROLLBACK [TO] makes psycopg forget the others, but it looks at the answer
    # of one that it has counted before only if that is prepared.
    sql, parameters = message
    cursor = connection.cursor(binary=True)
    return cursor.execute(sql.encode(), parameters, prepare=None if parameters else sql.startswith("ROLLBACK"))


def _pipelined(connection: Target, messages: Sequence[Message]) -> list[Answer]:
    cursors: list[psycopg.Cursor[tuple[Any, ...]]] = []
    first: psycopg.Error | None = None
    try:
        with connection.pipeline():
            for message in messages:
                try:
                    cursors.append(_send(connection, message))
                except psycopg.Error as error:  # kept: leaving the pipeline with it would log those that follow from it
                    first = error
                    break
    except psycopg.Error as error:
        raise first or error from None
    if first is not None:
        raise first
    return [_answer(cursor) for cursor in cursors]


def _answer(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Answer:
    rows = cursor.fetchall() if cursor.description is not None else []
    return Answer(rows, cursor.rowcount, cursor.statusmessage or "")
