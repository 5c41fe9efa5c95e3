"""What one batch reads from one snapshot of the authority: changed rows at once, a copied range while it is written.

Never learns which database it reads, and writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.compare import key_of
from dualdb.core.delivery import CHANGED_BYTES, PAGE, PAGE_BYTES, copy_after, tables_to_copy
from dualdb.core.ranges import weight
from dualdb.core.store import TableBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Changes, Copy, Key, Row, Snapshot


class Range:
    """Rows of one table beyond the cursor of its copy, read page by page as they are asked for.

    Whoever asks again gets the same ones. The first page is read at once.
    """

    def __init__(self, snapshot: Snapshot, table: Table, copy: Copy, limit: int, read_out: Callable[[], None]) -> None:
        """At most `limit` rows; `read_out` is called when the last page was read for somebody who asked."""
        self.count = 0
        self.last = copy.cursor
        """The key of the last row that was read."""
        self.done = False
        """Whether there is no row beyond it."""
        self._snapshot = snapshot
        self._table = table
        self._key = key_of(table.key_positions)
        self._left = limit
        self._read_out = read_out
        self._pages: list[Sequence[Row]] = []
        self._read()

    @property
    def open(self) -> bool:
        """Whether there may be rows still to be read."""
        return not self.done and self._left > 0

    def __iter__(self) -> Iterator[Sequence[Row]]:
        place = 0
        while place < len(self._pages) or self.open:
            if place == len(self._pages):
                self._read()
                if not self.open:
                    self._read_out()
            yield from self._pages[place : place + 1]
            place += 1

    def _read(self) -> None:
        asked = min(PAGE, self._left)
        rows = self._snapshot.range(self._table, self.last, asked, PAGE_BYTES)
        if rows:
            self._pages.append(rows)
            self.count += len(rows)
            self.last = self._key(rows[-1])
        # Fewer than asked for: the end, or large rows. These end the range too, for all of it is kept in memory.
        short = len(rows) < asked
        self.done = not rows or (short and not self._snapshot.range(self._table, self.last, 1))
        self._left = 0 if short else self._left - len(rows)


class Reading:
    """The tables of one batch, and how far the copies have come when all their ranges were gone through."""

    def __init__(self, snapshot: Snapshot, schema: Schema, copies: Mapping[int, Copy]) -> None:
        """`copies` are those at the beginning of the batch."""
        self.tables: list[TableBatch] = []
        self.heavy = 0
        """The length of all texts and blobs in the changed rows."""
        self._snapshot = snapshot
        self._schema = schema
        self._before = copies
        self._ranges: dict[int, Range] = {}

    @property
    def copies(self) -> dict[int, Copy]:
        """How far the copies have come with what was read so far."""
        after = dict(self._before)
        for number, rows in self._ranges.items():
            after[number] = copy_after(self._before[number], rows.count, rows.last, done=rows.done)
        return after

    @property
    def open(self) -> bool:
        """Whether something is still to be read."""
        return any(rows.open for rows in self._ranges.values())

    @property
    def copied(self) -> int:
        """Rows of ranges."""
        return sum(rows.count for rows in self._ranges.values())

    def read(
        self, changes: Changes, again: Mapping[int, Sequence[Key]], limit: int, read_out: Callable[[], None]
    ) -> int | None:
        """Read what changed, and begin the next ranges, of so many rows in all. `again` are keys to try once more.

        `read_out` is called when nothing is left to be read: by then, or while the last range is gone through.

        Returns None; or how many of the journal rows to take instead, when the changed rows are too large for one
        batch. Then no range was begun, and there is nothing to be applied.
        """
        changed: dict[int, tuple[Sequence[Key], Sequence[Row]]] = {}
        taken = 0
        for table in self._schema.tables.values():
            keys, more = changes.keys.get(table.id, ()), again.get(table.id, ())
            # What a table whose copy has not begun holds is cleared before; its changed rows are copied anyway.
            if not (keys or more) or not self._before[table.id].begun:
                continue
            rows, left = self._some_rows(table, keys, CHANGED_BYTES - self.heavy)
            taken += len(keys) - len(left)
            if left:
                # What was read tells how many of such rows fit; a key is there for one journal row at least.
                return max(1, min(taken, changes.journaled // 2))
            self.heavy += weight(rows)
            changed[table.id] = self._changed(table, keys, rows, more)
        self._begin_ranges(limit, read_out)
        for table in self._schema.tables.values():
            if table.id in changed or table.id in self._ranges:
                deletes, rows = changed.get(table.id, ((), ()))
                fresh = self._ranges.get(table.id, ())
                clear = not self._before[table.id].begun
                self.tables.append(TableBatch(table=table, deletes=deletes, rows=rows, fresh=fresh, clear=clear))
        if not self.open:
            read_out()
        return None

    def _some_rows(self, table: Table, keys: Sequence[Key], room: int) -> tuple[Sequence[Row], Sequence[Key]]:
        """The rows of these keys as far as there is room, and the keys that are left. A row beyond the cursor is copied
        when its turn comes: the follower has none there, so that a range is inserted without a look.
        """
        if room <= 0 or not keys:
            return (), keys
        return self._snapshot.some_rows(table, keys, room, self._through(table))

    def _changed(
        self, table: Table, keys: Sequence[Key], rows: Sequence[Row], again: Sequence[Key]
    ) -> tuple[Sequence[Key], Sequence[Row]]:
        """What to delete and what to insert: the rows of these keys, and of those to try again whatever their size."""
        key = key_of(table.key_positions)
        deletes = dict.fromkeys(keys)
        if more := [one for one in again if one not in deletes]:
            deletes |= dict.fromkeys(more)
            # A key that is equal in the key's collation may have brought a row already.
            rows = list(
                {key(row): row for row in (*rows, *self._snapshot.rows(table, more, self._through(table)))}.values()
            )
        # For the same reason a row may come back under another key.
        return list(deletes | dict.fromkeys(map(key, rows))), rows

    def _through(self, table: Table) -> Key | None:
        copy = self._before[table.id]
        return None if copy.done else copy.cursor

    def _begin_ranges(self, limit: int, read_out: Callable[[], None]) -> None:
        for table in tables_to_copy(self._schema, self._before):
            if limit <= 0:
                return
            copy = self._before[table.id]
            if not copy.begun:  # its table is cleared first, which may take long: not while the snapshot is open
                limit = min(limit, PAGE)
            rows = self._ranges[table.id] = Range(self._snapshot, table, copy, limit, read_out)
            limit = limit - rows.count if rows.done else 0
