"""Compare the rows of two stores while writers write: every row of every table, or those that changed.

Nothing is reported at first sight. A key that differs becomes a *suspect* and is looked at again on a later pair: it is
acquitted when its rows agree, kept while it is in flight, and reported when it differs at rest. So what is reported
is real, and what is not reported was seen equal: in a range, by key after it changed, or in quarantine.

Memory is bounded by the size of one range, of the suspects waiting, and of the mismatches listed; not by tables. A
range, and the rows of the keys that are looked up at once, are bounded in bytes besides, but for the last row.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dualdb.core.compare import DifferenceKind, differences, key_of, same_rows
from dualdb.core.ranges import (
    MOST_BYTES,
    SMALLEST,
    Cursor,
    may_be_cut,
    next_limit,
    past_equal_ranges,
    split,
    unmatched,
)
from dualdb.core.sqltext import fold
from dualdb.core.types import decode_row
from dualdb.errors import BusyError
from dualdb.operations.verify_report import Mismatch, Progress, TableReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dualdb.core.compare import Difference
    from dualdb.core.ranges import Side
    from dualdb.core.schema import Schema, Table
    from dualdb.core.store import Key, Row, Snapshot
    from dualdb.operations.verify_pairs import AlignedPair, Pairs
    from dualdb.operations.verify_report import Observer

MOST_SUSPECTS = 20_000
"""More are not gathered before they are looked at again."""
_LOOK_UPS = 5_000
"""Keys looked up at once."""
_CHANGES = 20_000
_COUNTS = 5
"""How many pairs are tried before two counts are believed to differ."""


@dataclass(slots=True)
class _Tally:
    """What is known of one table so far."""

    compared: int = 0
    mismatches: int = 0
    kinds: Counter[DifferenceKind] = field(default_factory=Counter)
    quarantined: int = 0
    guilty: set[Key] = field(default_factory=set)
    """Keys reported, so that none is counted twice; the first `MOST_SUSPECTS` of them."""
    counts: tuple[int, int] | None = None


@dataclass(slots=True)
class _Walk:
    """The table that is being walked."""

    table: Table
    cursor: Cursor = field(default_factory=Cursor)
    limit: int = SMALLEST


class RowVerification:
    """The rows of one verification: first `compare()`, then `settle()`, and perhaps `count()`."""

    def __init__(
        self,
        pairs: Pairs,
        *,
        observer: Observer | None = None,
        most_listed: int = 1_000,
        with_values: bool = False,
        repair: Callable[[Table, Sequence[Difference]], object] | None = None,
    ) -> None:
        """`repair` is given confirmed mismatches of a table, to be journaled on the authority. The relay then takes the
        follower's rows away, so they must have been made durable elsewhere before.
        """
        self.mismatches: list[Mismatch] = []
        self.repaired = 0
        self.position = ""
        """Everything up to here in the authority's journal has been looked at, or is among the suspects."""
        self.schema: Schema | None = None
        self._pairs = pairs
        self._observer = observer
        self._most_listed = most_listed
        self._with_values = with_values
        self._repair = repair
        self._tallies: dict[str, _Tally] = {}
        self._suspects: dict[str, dict[Key, None]] = {}
        self._walked: dict[str, Table] = {}
        self._walk: _Walk | None = None

    # --- ways to look at rows ---------------------------------------------------------------------------------------

    def compare(self, since: str | None = None) -> None:
        """Compare every row of every table; or, `since` a position up to which all is verified, what changed.

        1. A few ranges are walked on each pair. 2. Before them, what changed since the pair before is compared by key:
        rows may have moved behind the walk. 3. The end is a pair in which nothing is left to walk and all changes have
        been looked at. With `since` everything counts as walked; but a table whose capture had a gap, or that was
        remade, is walked again in either case.
        """
        self.position = since or ""
        caught_up = False
        while not caught_up or self._unwalked():
            with self._pairs.open() as pair:
                self._renew_schema(pair, trusted=since is not None)
                if self.position:
                    caught_up = self._follow(pair)
                else:
                    self.position, caught_up = pair.position, True
                self._walk_on(pair)
            if self._waiting >= MOST_SUSPECTS:
                self._look_again()

    def settle(self) -> None:
        """Look at the suspects again until none is left, or those that are left have changed all the time."""
        deadline = time.monotonic() + self._pairs.patience_s
        pause_s = 0.005
        while self._waiting:
            before = self._waiting
            self._look_again()
            if self._waiting and time.monotonic() > deadline:
                return
            if self._waiting >= before:
                self._pairs.rest(pause_s)
                pause_s = min(0.2, pause_s * 2)

    def count(self) -> None:
        """Count every table's rows on both sides, at one instant each time."""
        for name in sorted(self._tallies):
            for attempt in range(_COUNTS):
                with self._pairs.open() as pair:
                    table = pair.schema.tables.get(name)
                    counts = None if table is None else self._counts(pair, table)
                if counts is None:
                    self._pairs.rest(0.02 * attempt)
                    continue
                self._tallies[name].counts = counts
                if counts[0] == counts[1]:
                    break

    def count_quarantine(self) -> None:
        """Count the rows that the follower holds in quarantine now, whichever were compared."""
        for tally in self._tallies.values():
            tally.quarantined = 0
        for name, count in self._pairs.follower.count_quarantine().items():
            if fold(name) in self._tallies:
                self._tallies[fold(name)].quarantined += count

    def tables(self) -> tuple[TableReport, ...]:
        """What is known of each table, by name."""
        return tuple(
            TableReport(
                name=self.schema.tables[name].name if self.schema and name in self.schema.tables else name,
                compared=tally.compared,
                mismatches=tally.mismatches,
                missing=tally.kinds[DifferenceKind.MISSING],
                extra=tally.kinds[DifferenceKind.EXTRA],
                different=tally.kinds[DifferenceKind.DIFFERENT],
                quarantined=tally.quarantined,
                unsettled=len(self._suspects.get(name, ())),
                control_count=tally.counts[0] if tally.counts else None,
                candidate_count=tally.counts[1] if tally.counts else None,
            )
            for name, tally in sorted(self._tallies.items())
        )

    @property
    def compared_schema(self) -> Schema:
        """The schema of the last pair; raises RuntimeError before `compare()`."""
        if self.schema is None:
            message = "no pair was opened yet; call compare() first"
            raise RuntimeError(message)
        return self.schema

    @property
    def mismatched(self) -> int:
        """Rows that differ, in all tables."""
        return sum(tally.mismatches for tally in self._tallies.values())

    @property
    def _waiting(self) -> int:
        return sum(map(len, self._suspects.values()))

    # --- one pair ---------------------------------------------------------------------------------------------------

    def _renew_schema(self, pair: AlignedPair, *, trusted: bool = False) -> None:
        """Follow a schema that changed: a table that was remade was copied again, so it is walked again.

        At the first pair a `trusted` schema's tables count as walked.
        """
        if self.schema is pair.schema:
            return
        tables = pair.schema.tables
        if self.schema is None and trusted:
            self._walked = dict(tables)
        self.schema = pair.schema
        self._walked = {name: table for name, table in self._walked.items() if tables.get(name) == table}
        for name in [name for name in self._tallies if name not in tables]:
            del self._tallies[name]
            self._suspects.pop(name, None)
        for name in tables:
            self._tallies.setdefault(name, _Tally())

    def _unwalked(self) -> list[Table]:
        tables = self.schema.tables if self.schema else {}
        return [table for name, table in sorted(tables.items()) if name not in self._walked]

    def _walk_on(self, pair: AlignedPair) -> None:
        """Walk ranges until the pair is spent: one at least, or changes could keep the walk from ever going on."""
        while unwalked := self._unwalked():
            walk = self._walk
            if walk is None or walk.table not in unwalked:
                walk = self._walk = _Walk(unwalked[0])
            self._range(pair, walk)
            if walk.cursor.done:
                self._walked[fold(walk.table.name)] = walk.table
                self._walk = None
            if pair.spent or self._waiting >= MOST_SUSPECTS:
                return

    def _range(self, pair: AlignedPair, walk: _Walk) -> None:
        """Compare the next range of the table being walked."""
        table, cursor = walk.table, walk.cursor
        positions = table.key_positions
        began = time.monotonic()
        control, limit = _read_range(pair.authority, table, cursor.control, walk.limit)
        candidate, limit = _read_range(pair.follower, table, cursor.candidate, limit)
        control = control[:limit]
        if same_rows(control, candidate):
            walk.cursor = past_equal_ranges(cursor, control, limit, positions)
            compared = len(control)
        else:
            step = split(cursor, control, candidate, limit, positions)
            walk.cursor = step.cursor
            compared = max(len(step.control), len(step.candidate))
            self._suspect_range(pair, table, step.control, step.candidate)
        walk.limit = next_limit(walk.limit, time.monotonic() - began, control or candidate)
        self._note(table, compared)

    def _suspect_range(self, pair: AlignedPair, table: Table, control: Sequence[Row], candidate: Sequence[Row]) -> None:
        positions = table.key_positions
        lost, extra = unmatched(control, candidate, positions), unmatched(candidate, control, positions)
        for keys in _parts(lost):
            candidate = [*candidate, *pair.follower.rows(table, keys)]
        for keys in _parts(extra):
            control = [*control, *pair.authority.rows(table, keys)]
        self._suspect(table, differences(control, candidate, positions))

    def _follow(self, pair: AlignedPair) -> bool:
        """Compare the keys that changed since `position`; whether it has come to the pair's own head."""
        while True:
            if not pair.authority.retains(self.position):
                message = (
                    "the journal was pruned beyond the position from which changes were to be compared;"
                    " verify again with --full"
                )
                raise BusyError(message)
            changes = pair.authority.changes(self.position, _CHANGES)
            for table in pair.schema.tables.values():
                if table.id in changes.restarts:
                    self._walk_again(table)
                for keys, control, candidate in _looked_up(pair, table, changes.keys.get(table.id, ())):
                    self._suspect(table, differences(control, candidate, table.key_positions))
                    self._note(table, len(keys))
            self.position = changes.position
            if changes.complete or pair.spent or self._waiting >= MOST_SUSPECTS:
                return changes.complete

    def _walk_again(self, table: Table) -> None:
        """Its capture had a gap, or its rowids were renumbered: no key says what changed."""
        self._walked.pop(fold(table.name), None)
        if self._walk is not None and self._walk.table == table:
            self._walk = None

    def _suspect(self, table: Table, found: Iterable[Difference]) -> None:
        suspects = self._suspects.setdefault(fold(table.name), {})
        for difference in found:
            suspects[difference.key] = None

    def _look_again(self) -> None:
        """Look at every suspect on a pair of its own: acquitted, kept, or reported."""
        with self._pairs.open() as pair:
            self._renew_schema(pair)
            for name, suspects in self._suspects.items():
                table = pair.schema.tables[name]
                for keys, control, candidate in _looked_up(pair, table, suspects):
                    kept = self._judge(pair, table, control, candidate)
                    for key in keys:
                        del suspects[key]
                    suspects.update(dict.fromkeys(kept))
                    if pair.spent:
                        return

    def _judge(self, pair: AlignedPair, table: Table, control: Sequence[Row], candidate: Sequence[Row]) -> list[Key]:
        """Report which rows of the same keys differ at rest; returns the keys about which nothing can be said yet."""
        found = list(differences(control, candidate, table.key_positions))
        kept = [one.key for one in found if pair.in_flight(table.id, one.key)]
        at_rest = [one for one in found if not pair.in_flight(table.id, one.key)]
        if not at_rest:
            return kept
        quarantined = self._quarantined(pair, table, {one.key for one in at_rest})
        if quarantined is None:
            return [one.key for one in found]
        tally = self._tallies[fold(table.name)]
        self._report(
            table,
            [
                one
                for one in at_rest
                if one.key not in tally.guilty
                and (one.kind is not DifferenceKind.MISSING or one.key not in quarantined)
            ],
        )
        return kept

    def _quarantined(self, pair: AlignedPair, table: Table, keys: set[Key]) -> set[Key] | None:
        """Which of these keys are in quarantine in this pair; None when the follower has moved on since, so that its
        quarantine, which is read now, belongs to another state.
        """
        found = keys.intersection(self._quarantine(table))
        return found if self._pairs.follower.watermark().position == pair.follower.position else None

    def _quarantine(self, table: Table) -> Iterable[Key]:
        for one in self._pairs.follower.quarantine(table.id):
            names, values = decode_row(one.image)
            yield tuple(values[names.index(column)] for column in table.key.columns)

    def _counts(self, pair: AlignedPair, table: Table) -> tuple[int, int] | None:
        """Rows of either side, quarantined ones included, keys in flight left out; None when it cannot be said."""
        control, candidate = pair.authority.count(table), pair.follower.count(table)
        moving = pair.moving(table.id)
        if moving is None:
            return None
        key = key_of(table.key_positions)
        seen: set[Key] = set()
        met: set[Key] = set()
        for _, rows, others in _looked_up(pair, table, moving):  # the same row twice where two keys are equal
            seen.update(map(key, rows))
            met.update(map(key, others))
        control, candidate = control - len(seen), candidate - len(met)
        held_back = sum(1 for key in self._quarantine(table) if key not in moving)
        if self._pairs.follower.watermark().position != pair.follower.position:
            return None
        return control, candidate + held_back

    # --- notes ------------------------------------------------------------------------------------------------------

    def _report(self, table: Table, guilty: Sequence[Difference]) -> None:
        tally = self._tallies[fold(table.name)]
        tally.mismatches += len(guilty)
        keys = [one.key for one in guilty]
        tally.guilty.update(keys[: max(0, MOST_SUSPECTS - len(tally.guilty))])
        for kind in DifferenceKind:
            tally.kinds[kind] += sum(one.kind is kind for one in guilty)
        if self._repair is not None and keys:
            self._repair(table, guilty)
            self.repaired += len(keys)
        for one in guilty[: max(0, self._most_listed - len(self.mismatches))]:
            self.mismatches.append(_mismatch(table, one, with_values=self._with_values))

    def _note(self, table: Table, compared: int) -> None:
        tally = self._tallies[fold(table.name)]
        tally.compared += compared
        if self._observer is not None:
            self._observer(Progress(table=table.name, rows=tally.compared, mismatches=self.mismatched))


def _read_range(snapshot: Snapshot, table: Table, side: Side, limit: int) -> tuple[list[Row], int]:
    """The side's next rows, and how many there would be if there were as many behind it: `limit`, or fewer where they
    are large.
    """
    if side.done:
        return [], limit
    rows = snapshot.range(table, side.after, limit, MOST_BYTES)
    if len(rows) < limit and may_be_cut(rows):
        last = key_of(table.key_positions)(rows[-1])
        if snapshot.range(table, last, 1):
            return rows, len(rows)
    return rows, limit


def _looked_up(
    pair: AlignedPair, table: Table, keys: Iterable[Key]
) -> Iterator[tuple[Sequence[Key], list[Row], list[Row]]]:
    """Some keys after others, with their rows on both sides: as many as one look-up takes, fewer of large rows."""
    for part in _parts(keys):
        left: Sequence[Key] = part
        while left:
            control, heavy = pair.authority.some_rows(table, left, MOST_BYTES)
            asked = _without(left, heavy)
            # Rows that are equal fit there too. Twice the room: each side counts bytes in its own way.
            candidate, heavier = pair.follower.some_rows(table, asked, 2 * MOST_BYTES)
            if heavier:
                asked = _without(asked, heavier)
                control = pair.authority.rows(table, asked)
            yield asked, control, candidate
            left = [*heavier, *heavy]


def _without(keys: Sequence[Key], others: Sequence[Key]) -> Sequence[Key]:
    gone = frozenset(others)
    return [key for key in keys if key not in gone] if gone else keys


def _parts(keys: Iterable[Key]) -> Iterable[list[Key]]:
    """The keys in parts that one look-up can take."""
    remaining = list(keys)
    for start in range(0, len(remaining), _LOOK_UPS):
        yield remaining[start : start + _LOOK_UPS]


def _mismatch(table: Table, found: Difference, *, with_values: bool) -> Mismatch:
    names = table.carried
    return Mismatch(
        kind=found.kind,
        table=table.name,
        key=found.key,
        columns=tuple(names[position] for position in found.positions),
        control=found.control if with_values else None,
        candidate=found.candidate if with_values else None,
    )
