"""A connection to PostgreSQL by its address, with no SQLite file: PostgreSQL answers from the first statement on.

The object's C part has a private database in memory, and keeps there what an application sets and reads back. What
`driver.watch` learns from a file and its hint is learned here from PostgreSQL's control row (`stores.target_direct`).
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from dualdb.core.statement import Kind
from dualdb.driver.c_part import become, busy_timeout_s, in_transaction
from dualdb.driver.failure import failure
from dualdb.driver.handle import ConnectionHandle
from dualdb.driver.lookout import lookout
from dualdb.driver.remote import MovedError, Remote
from dualdb.driver.target_classes import remade
from dualdb.driver.target_connection import TargetConnection, arrive
from dualdb.driver.target_kept import TargetKept
from dualdb.driver.watch import Authority, Watch
from dualdb.driver.write_access import WriteAccess
from dualdb.errors import DualdbError, TargetError
from dualdb.stores.target_address import place_of
from dualdb.stores.target_direct import (
    OUTDATED_STATE,
    PRUNE_EVERY,
    DirectPool,
    KnownSession,
    News,
    check_leads,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.statement import Plan
    from dualdb.driver.catalogue import Catalogue
    from dualdb.driver.remote import Outcome
    from dualdb.driver.transaction_memory import TransactionMemory
    from dualdb.stores.target_direct import Known
    from dualdb.stores.target_pool import Pool
    from dualdb.stores.target_session import Message, Rejected, Session

_PAUSE_S = 0.02
"""How often it is looked whether a move is over."""


def open_directly(connection: ConnectionHandle, target: str) -> None:
    """Let PostgreSQL answer a connection whose C part was just opened.

    Raises sqlite3.OperationalError where that cannot be, and leaves the C part open.
    """
    state = connection._dualdb
    timeout_s = busy_timeout_s(connection)
    try:
        watch = _find_watch(target)
        _wait_until_over(watch, timeout_s)
    except DualdbError as exc:
        raise failure(sqlite3.OperationalError, str(exc), "SQLITE_CANTOPEN") from None
    state.watch, state.counter, state.path = watch, watch.counter, watch.path
    state.seen = -1  # a cursor that was made past us asks, and follows
    remote = DirectRemote(watch, timeout_s, state.memory, WriteAccess(connection, read_only=False))
    if in_transaction(connection):  # the one of autocommit=False
        sqlite3.Connection.rollback(connection)
    home: Any = state.home
    become(connection, remade(home, ConnectionHandle, TargetConnection))
    arrive(connection, remote)


def _find_watch(target: str) -> DirectWatch:
    place = place_of(target)
    watch: DirectWatch = lookout().watch(("direct", target), lambda: DirectWatch(target, f"postgresql://{place}"))
    return watch


def _wait_until_over(watch: DirectWatch, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    known = watch.learn(watch.seen())
    while known.under_way and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        known = watch.ask()
    check_leads(watch.path, known)
    if known.under_way:
        raise TargetError(f"{watch.path} is on the way back to its SQLite file; try again when that move is over")


class DirectWatch(Watch):
    """The watch over one address; shared by this process's connections to it."""

    __slots__ = ("_learned", "_target", "news")

    way_back = ""
    """There is no file to go back to."""
    retired = False

    def __init__(self, target: str, place: str) -> None:
        super().__init__(place, None)
        self._target = target
        self.news = News()
        self.counter = self.news.counter
        self._learned: tuple[int, Known] | None = None

    def current(self) -> DirectWatch:
        """There is never another one."""
        return self

    def look_after(self) -> bool:
        """Nothing can be lost."""
        return True

    def doubt(self) -> None:
        """Ask again, whatever was heard."""
        self.news.move()

    def seen(self) -> int:
        """What a connection may note as seen before it asks."""
        return self.counter[0]

    def authority(self, seen: int) -> Authority:
        """What is known of the control row; nothing is asked, and whether it leads is found out by `learn`."""
        known = self._learned[1] if self._learned else self.learn(seen)
        row = ("postgres", known.move_state, self._target, known.target_schema, known.source_id, "", 0)
        return Authority(row)

    def learn(self, seen: int) -> Known:
        """The control row as of that counter. Raises what `ask` does."""
        learned = self._learned
        return learned[1] if learned is not None and learned[0] == seen else self.ask(seen)

    def ask(self, seen: int | None = None) -> Known:
        """The control row as it is now. Raises TargetError, and other DualdbErrors where asking again will not help."""
        before = self.seen() if seen is None else seen
        known = self.pool().known()
        self._learned = (before, known)
        return known

    def pool(self) -> DirectPool:
        """This process's connections to the address."""
        news, target, path = self.news, self._target, self.path
        return self.companion(("pool", target), lambda: DirectPool(target, path, news))


class _DirectKept(TargetKept):
    """What this process keeps of an address."""

    _watch: DirectWatch

    def _find_pool(self) -> Pool:
        return self._watch.pool()

    @property
    def writing(self) -> _Writing:
        """How much this process has written there."""
        return self._watch.companion("writing", _Writing)


class _Writing:
    """How much this process has written since it last pruned the journal."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows = PRUNE_EVERY
        """As if it were due: who writes a few rows and ends does it too."""

    def counts(self, rows: int) -> bool:
        """Whether it is to be pruned, now that so many more were written."""
        self._rows += rows
        return self._rows >= PRUNE_EVERY

    def begin_anew(self, *, due: bool) -> None:
        """It was pruned."""
        self._rows = PRUNE_EVERY if due else 0

    def close(self) -> bool:
        """Nothing is to be ended."""
        return True


class DirectRemote(Remote):
    """PostgreSQL, for one connection that has no file."""

    KEPT = _DirectKept
    _watch: DirectWatch
    _kept: _DirectKept

    def __init__(self, watch: DirectWatch, timeout_s: float, memory: TransactionMemory, access: WriteAccess) -> None:
        super().__init__(watch, timeout_s, memory, access)
        self._version = 0
        """That of the catalogue."""
        self._counted = 0
        """Of `total_changes`, how many the journal's pruning knows of."""
        self._fenced_in: int | None = None

    def run(self, plan: Plan, messages: Sequence[Message]) -> Outcome:
        """As `Remote.run`. What reads by itself asks for no version: its answer counts if none was heard of since."""
        if self.in_transaction or plan.kind is not Kind.READ:
            return super().run(plan, messages)
        news, before = self._watch.counter, self._watch.counter[0]
        try:
            outcome = super().run(plan, messages)
        except sqlite3.Error:
            if news[0] == before:
                raise
            raise MovedError from None
        if news[0] != before:
            raise MovedError
        return outcome

    def _learn(self, seen: int) -> Catalogue:
        def learn() -> Catalogue:
            # 1. the version; 2. the schema, which is no older.
            known = self._watch.learn(seen)
            check_leads(self._watch.path, known)
            self._version = known.version
            return self._kept.catalogues.current(seen, self.pool, known.target_schema)

        return self._patiently(learn)

    def _borrow(self, *, fresh: bool) -> Session:
        return self._patiently(lambda: KnownSession(self.pool, self.timeout_s, self._version, fresh=fresh))

    def _refusal(self, rejected: Rejected) -> Exception:
        if rejected.sqlstate != OUTDATED_STATE:
            return super()._refusal(rejected)
        self._watch.doubt()
        return MovedError()

    def _await_outcome(self) -> bool:
        """Wait until the move whose fence was met is over: who has the file brings it to its end."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            known = self._patiently(self._watch.ask)
            if not known.under_way:
                # Met twice in one version it is the fence of no move.
                met, self._fenced_in = self._fenced_in, known.version
                self._watch.doubt()
                return known.version != met
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_S)

    def _commit(self) -> None:
        changed = self._schema_changed
        try:
            self._commit_rows()
        finally:
            if changed:
                self._catalogue, self._schema_changed, self.seen = None, False, -1
                self._watch.doubt()

    def _commit_rows(self) -> None:
        written, self._counted = self.total_changes - self._counted, self.total_changes
        session, writing = self.session(), self._kept.writing
        if writing.counts(written + 1) and isinstance(session, KnownSession):
            writing.begin_anew(due=session.prune())
        super()._commit_rows()
