"""The rows of an executemany while SQLite is the authority: what they have done there, and where the next one goes."""

from __future__ import annotations

from itertools import chain, islice
from time import monotonic

from dualdb.driver.authority import notice
from dualdb.driver.c_part import begins_by_itself, connection_of, in_transaction, is_dml, rowcount
from dualdb.driver.failure import is_busy
from dualdb.driver.remaining import Remaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from dualdb.driver.handle import ConnectionHandle, CursorHandle


class LeftError(Exception):
    """PostgreSQL has become the authority while the application made a row; that one is not executed."""


class SourceRows(Remaining):
    """Rows that SQLite executes. Whenever it asks for one, what it has done with those before is noted.

    What makes a row may take its time, and use the connection. So each is handed out where the data is by then: that a
    fence would refuse it is not enough, since none sees an UPDATE that finds no row.
    """

    __slots__ = ("_connection", "_cursor", "_memory", "_number", "_state", "inside", "over", "resumable")

    def __init__(self, rows: Iterable[Any], cursor: CursorHandle) -> None:
        super().__init__(rows)
        self._cursor = cursor
        self._connection: ConnectionHandle = connection_of(cursor)
        self._state = self._connection._dualdb
        self._memory = self._state.memory
        self._number = 0
        self.inside: bool = in_transaction(self._connection)
        """Whether a transaction was open when the last row was handed out."""
        self.over = False
        """Whether all were handed out, and asked for more."""
        self.resumable = True
        """Whether `again` has all that was not written."""

    def __next__(self) -> Any:
        state, memory = self._state, self._memory
        self._number += 1
        if self._number > 1:
            self.written = rowcount(self._cursor)
            if memory.opening is not None and in_transaction(self._connection):
                memory.worked()  # with the row before, and it holds the write lock since
        try:
            row = next(self._rows)
        except StopIteration:
            self.over = True
            raise
        self.last = (row,)
        self.inside = in_transaction(self._connection)
        if state.counter[0] != state.seen and self._may_leave() and notice(self._connection):
            raise LeftError
        return row

    def _may_leave(self) -> bool:
        """Whether the transaction has done nothing, and it is time to look."""
        if self.inside and self._memory.opening is None:
            return False
        return self._state.watch is not None or monotonic() >= self._state.look_at

    def handed(self, sql: str) -> Iterator[Any]:
        """What sqlite3 is given. Who has the lock with the first row, as a rule, is not refused another one: of a file
        that is not watched none of the others is remembered, and they pass as fast as they can.
        """
        state = self._state
        begins = self.inside or (begins_by_itself(self._connection) and is_dml(sql))
        if not begins or state.watch is not None or state.shared:
            return self
        return chain(islice(self, 1), self._forgetting(), self._behind())

    def noted(self, error: BaseException | None) -> None:
        """It is over, well or by this error: the memory of the transaction is told."""
        memory = self._memory
        idle = self.resumable and self._number <= 1 and (not self.last or (error is not None and is_busy(error)))
        if not in_transaction(self._connection):
            memory.ended()
        elif not idle:
            memory.worked()

    def _forgetting(self) -> Iterator[Any]:
        self.resumable = False
        yield from ()
