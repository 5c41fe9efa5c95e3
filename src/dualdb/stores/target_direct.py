"""PostgreSQL opened by its address, with no SQLite file: found as it was left, or made ready where it is empty.

What such a process knows of the control row and of the schema it hears from PostgreSQL itself: each of its connections
listens, and each transaction begins only in the version that its first statement was planned for. Knows no connection
of the application's.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from psycopg import errors

from dualdb.errors import LineageError, NotPreparedError, PhaseError, TargetError, TargetLostError
from dualdb.stores import target_schema
from dualdb.stores.control import read_target
from dualdb.stores.queries import query
from dualdb.stores.target_connection import connect_stored, losses
from dualdb.stores.target_functions import mend_functions
from dualdb.stores.target_pairing import Pairing
from dualdb.stores.target_pool import Pool
from dualdb.stores.target_session import Rejected, Session

if TYPE_CHECKING:
    from dualdb.stores.target_connection import Target
    from dualdb.stores.target_session import Message

SCHEMA = "public"
"""Where the application's tables go in a database that was empty."""
_AUTHORITY = "target/authority.sql"
_SESSION = "target/session.sql"
_KEPT_S = 120.0
"""So long journal rows are kept at least: whoever has lost the answer to a COMMIT asks for his, see `Session`."""
_PRUNED_AT_ONCE = 10_000
_PRUNING = "dualdb_pruning"
PRUNE_EVERY = 2_000
"""After so many rows written, and when a process has first written, the journal is pruned."""
OUTDATED_STATE = "DD010"
"""SQLSTATE of a transaction that was to begin in another version than the one in force."""


class Known(NamedTuple):
    """What the control row says."""

    source_id: str
    epoch: int
    phase: str
    move_state: str
    target_schema: str
    version: int

    @property
    def leads(self) -> bool:
        """Whether PostgreSQL is the authority."""
        return self.phase == "postgres"

    @property
    def under_way(self) -> bool:
        """Whether it is fenced, for a move back that is not decided."""
        return self.leads and self.move_state == "moving"


def check_leads(place: str, known: Known) -> None:
    """Raise PhaseError where PostgreSQL follows a SQLite file."""
    if not known.leads:
        raise PhaseError(
            f"{place} follows a SQLite file, which is the authority (phase {known.phase}); open that file with dualdb,"
            " or lead it to phase postgres first"
        )


class News:
    """What this process has heard of one database's control row: a counter that moves with each piece of news."""

    __slots__ = ("_numbers", "_version", "counter")

    def __init__(self) -> None:
        self._numbers = count(1)
        self._version = ""
        self.counter = [0]
        """At [0]; any number but the one seen last is news."""

    def hear(self, version: str) -> None:
        """The row has, or had, that version."""
        if version != self._version:
            self._version = version
            self.move()

    def move(self) -> None:
        """Whoever looks at the counter asks."""
        self.counter[0] = next(self._numbers)  # never the same number twice, whichever thread is first


class DirectPool(Pool):
    """Connections to one address. All of them hear of what changes there."""

    def __init__(self, target: str, place: str, news: News) -> None:
        """Empty; the first connection says which database it is from then on."""
        super().__init__(Pairing(target, "", "", 0), place)
        self._place = place
        self._news = news

    def known(self) -> Known:
        """The control row. Raises TargetError, LineageError, NotPreparedError, LayoutError."""
        borrowed = self.borrow()
        try:
            return self._ask(borrowed.connection)
        finally:
            self.give_back(borrowed)

    def prove(self, borrowed: object) -> None:
        """Nothing is left to prove: each connection was, and hears of whatever changes."""

    def _connect(self) -> Target:
        connection = connect_stored(self.pairing.target, self._place, purpose="dualdb")
        try:
            # 1. hear; 2. read: nothing can change in between unheard.
            news = self._news  # and not the pool, which the connection would keep
            connection.add_notify_handler(lambda told: news.hear(told.payload))
            with losses():
                connection.execute(query(_AUTHORITY, "listen").encode())
            if not self.pairing.source_id:
                _make_ready(connection, self._place)
            self._ask(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _ask(self, connection: Target) -> Known:
        try:
            with losses():
                found = connection.execute(query(_AUTHORITY, "known").encode()).fetchone()
        except (errors.UndefinedTable, errors.UndefinedColumn):
            found = None
        if found is None:
            raise NotPreparedError(f"{self._place} was emptied, or prepared by another version; open it again")
        known = Known(*found)
        if self.pairing.source_id not in {"", known.source_id}:
            raise LineageError(f"{self._place} leads to another database than before; open it again")
        self.pairing = self.pairing._replace(source_id=known.source_id)
        self._news.hear(str(known.version))
        return known


class KnownSession(Session):
    """One whose transactions begin in a known version of the schema and of the control row, or not at all."""

    def __init__(self, pool: Pool, lock_timeout_s: float, version: int, *, fresh: bool = False) -> None:
        """As `Session`; a transaction of another version is Rejected with OUTDATED_STATE."""
        super().__init__(pool, lock_timeout_s, fresh=fresh)
        self._version = version

    def _marking(self, token: str) -> Message:
        return query(_SESSION, "mark_known"), [token, self._version]

    def _noting(self) -> Message:
        return query(_SESSION, "snapshot_known"), [self._version]

    def prune(self) -> bool:
        """Prune the journal, where no file follows, before a COMMIT; whether there is more. A failure costs nothing."""
        pruning: Message = query(_SESSION, "prune"), [_KEPT_S, _PRUNED_AT_ONCE]
        try:
            answers = self.exchange([(f"SAVEPOINT {_PRUNING}", None), pruning, (f"RELEASE SAVEPOINT {_PRUNING}", None)])
        except Rejected:
            with suppress(Rejected, TargetLostError):
                self.exchange([(f"ROLLBACK TO SAVEPOINT {_PRUNING}", None)])
            return False
        except TargetLostError:  # the COMMIT will tell
            return False
        return bool(answers[1].rows[0][0])


def _make_ready(connection: Target, place: str) -> None:
    """Make our own schemas where there is nothing yet. Raises TargetError, LayoutError."""
    with target_schema.ours():
        if read_target(connection) is None:
            with losses(), connection.transaction():
                connection.execute(query(_AUTHORITY, "one_at_a_time").encode())
                if read_target(connection) is None:
                    _install(connection, place)
    mend_functions(connection)


def _install(connection: Target, place: str) -> None:
    found = connection.execute(query("target/prepare.sql", "relations").encode(), (SCHEMA,)).fetchall()
    if found:
        raise TargetError(
            f"{place} holds tables or views that dualdb has not made ({SCHEMA}.{found[0][0]} is one of {len(found)}),"
            " and nothing says what they are in SQLite; name an empty database"
        )
    target_schema.check_rights(connection, SCHEMA)
    with target_schema.prepared(connection, source_id=secrets.token_hex(16), schema=SCHEMA, claim="claim_alone"):
        connection.execute(query(_AUTHORITY, "prune_alone").encode())
