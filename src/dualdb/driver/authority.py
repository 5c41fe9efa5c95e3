"""Who answers a connection: looked up when the hint has moved, and obeyed by a change of the object's class.

Here the connection leaves SQLite (how it comes back: `driver.returning`). PostgreSQL is imported then, and not before.
"""

from __future__ import annotations

import sqlite3
from time import monotonic

from dualdb.driver.belongings import find_obstacle, take_counters
from dualdb.driver.c_part import become, busy_timeout_s, in_transaction
from dualdb.driver.failure import overtaken
from dualdb.driver.returning import moved, replay
from dualdb.driver.watch import UNREADABLE, find_lost, find_watch, next_look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dualdb.driver.handle import ConnectionHandle, ConnectionState
    from dualdb.driver.remote import Remote
    from dualdb.driver.watch import Watch

UNKNOWN = -1.0
"""Stands for the time of the next look where the last one could not tell whether the file was prepared."""


def notice(connection: ConnectionHandle) -> bool:
    """Look why the counter is not the one seen last; True when PostgreSQL is the authority, and the object has the
    class for that.
    """
    state = connection._dualdb
    with state.turn:
        if state.remote is not None:  # another thread has been here, or the cursor was made before the change
            return not moved(connection)
        watch = state.watch or _look(connection, state)
        return watch is not None and _learn(connection, state, watch)


def become_doomed(connection: ConnectionHandle) -> None:
    """The transaction was rolled back underneath the application, which has yet to do so itself."""
    state = connection._dualdb
    with state.turn:
        remote = state.remote  # another thread may have met the fence too
        watch = state.watch
        if remote is None and watch is not None:
            if _is_free(connection, watch):
                remote = _become_remote(connection, state, watch)
                state.look_again()
            else:
                _keep_overtaken(connection, watch)
        if remote is not None and not remote.in_transaction:
            remote.doom(overtaken())


def _is_free(connection: ConnectionHandle, watch: Watch) -> bool:
    """Whether nothing keeps the connection with SQLite."""
    try:
        return find_obstacle(connection, watch.way_back) is None
    except sqlite3.Error:  # a handler of the application's has interrupted it
        return False


def _keep_overtaken(connection: ConnectionHandle, watch: Watch) -> None:
    """Begin a transaction that SQLite lets write nothing, for the one that was rolled back: it has a snapshot, and
    somebody has committed since (SQLITE_BUSY_SNAPSHOT). So the application must end it, as it would have had to.
    """
    if in_transaction(connection):
        return
    own = sqlite3.Cursor(connection)
    try:
        own.execute("BEGIN")
        own.execute("PRAGMA user_version").fetchall()
        watch.commit_nothing()
    except sqlite3.Error:
        if in_transaction(connection):
            sqlite3.Connection.rollback(connection)


def _look(connection: ConnectionHandle, state: ConnectionState) -> Watch | None:
    """Whether the file has been prepared, or was and its hint is lost."""
    if state.path is None:  # opened past our `__init__`, with who knows which arguments
        state.settle(connection)
    if state.watch is not None or not state.path or monotonic() < state.look_at:
        return state.watch
    try:
        watch = find_watch(state.path) or find_lost(state.path)
    except sqlite3.Error:
        state.look_at = UNKNOWN
        return None
    if watch is None:
        state.look_at = next_look()
    else:
        state.watch_over(connection, watch)
    return watch


def _learn(connection: ConnectionHandle, state: ConnectionState, watch: Watch) -> bool:
    # 1. note the counter; 2. read the control row, which cannot be older; 3. act.
    watch = state.watch = watch.current()
    state.counter = watch.counter
    seen = watch.seen()
    inside = in_transaction(connection)
    authority = watch.authority(seen)
    if authority is None:
        state.watch, state.counter, state.look_at = None, UNREADABLE, next_look()
        return False
    if authority.mirrored and not state.read_only:  # a relay writes into the file
        from dualdb.driver.relaying import keep_relaying

        keep_relaying(watch)
    if not authority.remote:
        # Also while a move is under way: whoever goes to PostgreSQL writes the outcome into this row before.
        state.seen = seen
        return False
    begun = state.memory.replay if inside else ()
    if begun is None:
        # The transaction keeps its snapshot to the end; its writes are refused by SQLite itself or by the fence.
        state.look_again()
        return False
    obstacle = find_obstacle(connection, watch.way_back)
    if obstacle is not None:
        raise obstacle
    _become_remote(connection, state, watch)
    replay(connection, begun)
    return True


def _become_remote(connection: ConnectionHandle, state: ConnectionState, watch: Watch) -> Remote:
    """Change the class: from the next call on PostgreSQL answers."""
    from dualdb.driver.handle import ConnectionHandle
    from dualdb.driver.remote import Remote
    from dualdb.driver.target_classes import remade
    from dualdb.driver.target_connection import TargetConnection, arrive
    from dualdb.driver.write_access import WriteAccess

    # First what may fail; the transaction has done nothing, or was rolled back.
    remote = Remote(watch, busy_timeout_s(connection), state.memory, WriteAccess(connection, read_only=state.read_only))
    take_counters(connection, remote)
    if in_transaction(connection):
        sqlite3.Connection.rollback(connection)
    state.home = type(connection)
    state.seen = -1  # a cursor made before the change asks, and follows
    home: Any = state.home
    become(connection, remade(home, ConnectionHandle, TargetConnection))
    arrive(connection, remote)
    return remote
