"""How a connection comes back to SQLite: once the hint has moved, unless its transaction has read or written."""

from __future__ import annotations

from dualdb.driver.handle import behaviour

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dualdb.driver.handle import ConnectionHandle


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
        remote.close()
        state.memory.ended()
        state.remote = None
        connection.__class__ = state.home
        state.look_again()
        replay(connection, begun)
        return True


def replay(connection: ConnectionHandle, begun: tuple[str, ...]) -> None:
    """Open a transaction as it was opened elsewhere; with `autocommit=False` one is open already."""
    for statement in begun[1:] if connection.in_transaction else begun:
        behaviour(connection).execute(connection, statement)
