"""What a writer does when a fence has refused it: wait for the decision, then be where it can go on.

The refused statement is not run here: its cursor runs it, once, on whichever database the decision named. Nothing that
was executed before is ever executed again; only BEGIN and SAVEPOINT are, which do nothing by themselves.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from dualdb.driver.authority import become_doomed, notice
from dualdb.driver.c_part import begins_by_itself, busy_timeout_s
from dualdb.driver.failure import locked, overtaken
from dualdb.driver.outcome import await_outcome
from dualdb.driver.returning import replay

if TYPE_CHECKING:
    from dualdb.driver.connection import SourceConnection


def outlast(connection: SourceConnection, *, inside: bool, implicit: bool = True) -> None:
    """Wait out a fence of SQLite, whose refusal has rolled the transaction back; on return the connection is at the
    authority and in the same transaction as before the refused statement. `implicit`: sqlite3 would have begun one for
    this statement by itself.

    Raises `database is locked`: when the decision did not come within the connection's time-out, and to a transaction
    that had read already, which is then open only to be rolled back.
    """
    state = connection._dualdb
    begun = state.memory.replay if inside else ()
    if begun is None:
        become_doomed(connection)
        raise overtaken()
    if state.watch is not None and not await_outcome(state.watch, busy_timeout_s(connection)):
        _reopen(connection, begun, implicit=implicit)
        raise locked()
    state.look_again()
    notice(connection)
    replay(connection, begun)


def _reopen(connection: SourceConnection, begun: tuple[str, ...], *, implicit: bool) -> None:
    # A busy SQLite leaves the transaction open, also the one that sqlite3 begins by itself before a write.
    if implicit and not begun and begins_by_itself(connection):
        begun = ("BEGIN",)
    cursor = sqlite3.Cursor(connection)
    for statement in begun:
        cursor.execute(statement)
    if begun:
        connection._dualdb.memory.reopened(begun)
