"""Aligned pairs: two snapshots, one of each side, of which it is known where they are equal.

The follower's snapshot is opened first. If its watermark W is aligned, it holds the authority's state as of W, exactly.
The authority's snapshot, opened second, is at its journal's head S, at or behind W. A key that is not journaled in
(W, S] has therefore the same row in both snapshots, unless something is wrong: that is all that verification builds on.
Keys in (W, S] are *in flight*; about these a pair proves nothing.

Neither snapshot is kept for long: an old one keeps SQLite's WAL from being reset and PostgreSQL's dead rows from being
vacuumed. Neither takes a lock that a writer would meet.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.errors import BusyError, OvertakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from dualdb.core.schema import Schema
    from dualdb.core.store import Key, Snapshot, Store, Watermark

PAIR_S = 2.0
"""How long one pair is used."""
PATIENCE_S = 30.0
"""How long an aligned follower is waited for before verification gives up."""
MOST_IN_FLIGHT = 100_000
"""A pair with more keys in flight than this says too little to be worth the memory."""
_CHANGES = 20_000
_FIRST_PAUSE_S = 0.01
_OTHERS_RELAY_S = 0.5
"""How long the application's own relay is waited for before this process carries what there is to carry."""
_LONGEST_PAUSE_S = 0.25


class AlignedPair:
    """Two snapshots that are equal wherever no key is in flight."""

    def __init__(self, authority: Snapshot, follower: Snapshot) -> None:
        self.authority = authority
        self.follower = follower
        self._until = time.monotonic() + PAIR_S
        self._moving: Mapping[int, set[Key]] | None = None
        self._everything = False
        self._restarted: frozenset[int] = frozenset()

    @property
    def schema(self) -> Schema:
        """The authority's schema, which the follower's tables were made from."""
        return self.authority.schema

    @property
    def position(self) -> str:
        """The authority's head in this pair."""
        return self.authority.position

    @property
    def spent(self) -> bool:
        """Whether the snapshots are old enough to be given back."""
        return time.monotonic() > self._until

    def in_flight(self, table_id: int, key: Key) -> bool:
        """Whether that key may rightly differ in this pair."""
        moving = self.moving(table_id)
        return moving is None or key in moving

    def moving(self, table_id: int) -> AbstractSet[Key] | None:
        """The keys of that table that are in flight; None when there are too many to tell them.

        They are read when they are first asked for: ranges that are equal never ask.
        """
        if self._moving is None:
            self._moving = self._read_moving()
        if self._everything or table_id in self._restarted:
            return None
        return self._moving.get(table_id, frozenset())

    def _read_moving(self) -> Mapping[int, set[Key]]:
        found: dict[int, set[Key]] = {}
        position, count, complete = self.follower.position, 0, False
        while not complete:
            changes = self.authority.changes(position, _CHANGES)
            self._restarted |= changes.restarts
            for table_id, keys in changes.keys.items():
                found.setdefault(table_id, set()).update(keys)
                count += len(keys)
            if count > MOST_IN_FLIGHT:
                self._everything = True
                return {}
            position, complete = changes.position, changes.complete
        return found


class Pairs:
    """Opens aligned pairs of one authority and one follower, waiting for the relay where it must."""

    def __init__(
        self,
        authority: Store,
        follower: Store,
        *,
        patience_s: float = PATIENCE_S,
        relay: Callable[[], object] | None = None,
    ) -> None:
        """`relay` carries over what there is, and is called when waiting alone does not help; None: others relay."""
        self.authority = authority
        self.follower = follower
        self.patience_s = patience_s
        self.opened = 0
        self._relay = relay
        self._waited_s = 0.0
        self._epoch: int | None = None

    @contextmanager
    def open(self) -> Iterator[AlignedPair]:
        """An aligned pair.

        Raises BusyError when the follower does not become aligned in time, OvertakenError when the authority is no
        longer the one that it was at the first pair.
        """
        deadline = time.monotonic() + self.patience_s
        pauses = _pauses()
        while True:
            # 1. the watermark before, 2. the follower's snapshot, 3. the watermark after: the same and aligned both
            # times, so it is the snapshot's own; 4. the authority's snapshot, which is therefore never older.
            before = self.follower.watermark()
            with self.follower.snapshot() as follower:
                problem = self._unfit(before, follower)
                if problem is None:
                    with self.authority.snapshot() as authority:
                        problem = self._unequal(before, authority, follower)
                        if problem is None:
                            self.opened += 1
                            yield AlignedPair(authority, follower)
                            return
            if time.monotonic() > deadline:
                message = (
                    f"no aligned pair within {self.patience_s:g} s: {problem};"
                    f" run dualdb relay --until-aligned {quote(self.follower.path)}, then verify again"
                )
                raise BusyError(message)
            self.rest(next(pauses))

    def rest(self, pause_s: float) -> None:
        """Give the relay time; be the relay where that was not enough. No snapshot may be open."""
        time.sleep(pause_s)
        self._waited_s += pause_s
        if self._relay is not None and self._waited_s > _OTHERS_RELAY_S:
            self._relay()
            self._waited_s = 0.0

    def _unfit(self, before: Watermark, follower: Snapshot) -> str | None:
        if not before.aligned:
            return "the follower is still catching up"
        if follower.position != before.position or self.follower.watermark() != before:
            return "the relay is ahead of every look at it"
        return None

    def _unequal(self, watermark: Watermark, authority: Snapshot, follower: Snapshot) -> str | None:
        if self._epoch is None and authority.epoch == follower.epoch:
            self._epoch = authority.epoch
        if authority.epoch != follower.epoch or authority.epoch != self._epoch:
            message = (
                f"the phase changed while rows were compared (epoch {self._epoch}, now {authority.epoch} and"
                f" {follower.epoch}); look with dualdb status {quote(self.follower.path)}, then verify again"
            )
            raise OvertakenError(message)
        if not authority.proven:
            return "the authority's catalog has moved and its capture was not proven again yet"
        if watermark.schema_version and watermark.schema_version != authority.schema.version:
            return "the follower does not have the authority's schema yet"
        if not authority.retains(watermark.position):
            return "the journal no longer reaches back to what the follower holds"
        return None


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
