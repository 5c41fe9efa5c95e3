"""How a connection comes back to SQLite: once the hint has moved, unless its transaction has read or written."""

from __future__ import annotations

import sqlite3

from dualdb.driver.belongings import give_counters
from dualdb.driver.c_part import become, in_transaction
from dualdb.driver.failure import failure
from dualdb.driver.handle import behaviour
from dualdb.stores.queries import query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dualdb.driver.handle import ConnectionHandle
    from dualdb.driver.watch import Authority

_BLIND = (
    "database is locked: a SELECT that this connection began before the data went to PostgreSQL is not finished;"
    " fetch its rows or close its cursor, and try again"
)


def moved(connection: ConnectionHandle) -> bool:
    """Look at the hint while PostgreSQL answers; True when SQLite is the authority again, and the object has its class
    back.
    """
    state = connection._dualdb
    remote = state.remote
    if remote is not None and state.counter[0] == remote.seen:
        return False
    with state.turn:
        remote, watch = state.remote, state.watch
        if remote is None:  # another thread has been here
            return True
        if watch is None or remote.transaction.has_worked:
            return False  # what has read or written stays where it is
        watch = state.watch = watch.current()
        state.counter = watch.counter
        seen = watch.seen()
        authority = watch.authority(seen)
        if authority is not None and authority.remote:
            remote.refresh(seen)
            return False
        begun = state.memory.replay if remote.in_transaction else ()
        if begun is None:
            return False
        if authority is not None:
            _check_sight(connection, authority)
        give_counters(connection, remote)
        remote.close()
        state.memory.ended()
        state.remote = None
        become(connection, state.home)
        state.look_again()
        replay(connection, begun)
        return True


def _check_sight(connection: ConnectionHandle, authority: Authority) -> None:
    """Raise `database is locked` while SQLite would show this connection the file as it was before the move away: a
    SELECT that was begun then is not finished, and holds its snapshot.
    """
    own = sqlite3.Cursor(connection)
    own.row_factory = None
    _let_go(connection)
    (epoch,) = own.execute(query("source/watch.sql", "epoch")).fetchone()
    _let_go(connection)
    if epoch != authority.epoch:
        raise failure(sqlite3.OperationalError, _BLIND, "SQLITE_BUSY_SNAPSHOT")


def _let_go(connection: ConnectionHandle) -> None:
    if in_transaction(connection):  # the one of autocommit=False, in which nothing was done while PostgreSQL answered
        sqlite3.Connection.rollback(connection)


def replay(connection: ConnectionHandle, begun: tuple[str, ...]) -> None:
    """Open a transaction as it was opened elsewhere; with `autocommit=False` one is open already."""
    remote = connection._dualdb.remote
    is_open = in_transaction(connection) if remote is None else remote.in_transaction
    for statement in begun[1:] if is_open else begun:
        behaviour(connection).execute(connection, statement)
