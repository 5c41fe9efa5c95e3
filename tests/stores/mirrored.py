"""A prepared pair for tests of the stores: a SQLite file, a real PostgreSQL, and what differs between the two."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg

from dualdb.core.phase import Phase, Step
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.stores import mirror
from dualdb.stores.control import Control, Order
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dualdb.core.events import Event
    from dualdb.core.store import Row, Snapshot

PATIENCE_S = 30.0


class Mirrored:
    """A pair in phase dual_write whose copy has not begun."""

    def __init__(self, database: Path, dsn: str, script: str, *, mirroring: bool = True) -> None:
        self.path = str(database)
        self.dsn = dsn
        self.events: list[Event] = []
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(script)
            connection.commit()
        initialise(self.path, dsn)
        if mirroring:
            with Control.open(self.path) as control:
                mirror.begin(control)

    def source(self, *statements: str) -> None:
        """Run statements in one transaction of a plain sqlite3 process on the SQLite file."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def target(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in one transaction of an application on PostgreSQL; the rows of the last one."""
        with psycopg.connect(self.dsn) as connection:
            cursor = None
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor is not None and cursor.description is not None else []

    def as_relay(self, *statements: str) -> None:
        """Run statements on PostgreSQL behind the fence's back."""
        self.target("SET LOCAL dualdb.applying = 'on'", *statements)

    def align(self, within_s: float = PATIENCE_S) -> int:
        """Carry until both sides are equal."""
        return relay_until_aligned(self.path, self.events.append, within_s)

    def seen(self, kind: type[Event]) -> list[Any]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def to_postgres(self) -> None:
        """Make PostgreSQL the authority."""
        advance(self.path, Phase.POSTGRES, observer=self.events.append)

    def back(self) -> None:
        """Make SQLite the authority again."""
        rollback(self.path, observer=self.events.append)

    def pair(self) -> Pair:
        """A pair of the test's own."""
        return Pair.open(self.path)

    def differences(self) -> dict[str, tuple[list[Row], list[Row]]]:
        """By table the rows that only SQLite has and those that only PostgreSQL has, told apart by class and bits."""
        with self.pair() as pair, pair.source.snapshot() as source, pair.target.snapshot() as target:
            assert source.schema.tables.keys() == target.schema.tables.keys()
            found = {}
            for table in source.schema.tables.values():
                left, right = _rows(source, table.name), _rows(target, table.name)
                if left != right:
                    found[table.name] = (list((left - right).elements()), list((right - left).elements()))
            return found

    def quarantined(self) -> list[tuple[str, str, str]]:
        """Table, key and reason of what the follower could not hold."""
        with self.pair() as pair:
            return [(row.table, row.key, row.reason) for row in pair.follower.quarantine()]


def leave_at(database: str, step: Step, to: Phase, before: Callable[[], object] | None = None) -> None:
    """Do what a coordinator does on the way to that phase, `before` last of all but this step, and die after it."""
    with Control.open(database) as control:
        while True:
            judgement = control.judge()
            order = Order(to=to, allowed_s=PATIENCE_S)
            if judgement.step is Step.DECIDE:
                relay_until_aligned(database, within_s=PATIENCE_S)
                with Pair.open(database) as pair:
                    mark = pair.covering_mark()
                assert mark is not None
                order = Order(aligned_at=mark)
            if judgement.step is step and before is not None:
                before()
            control.perform(judgement.step, judgement, order)
            if judgement.step is step:
                return


def _rows(snapshot: Snapshot, name: str) -> Counter[Row]:
    rows = snapshot.range(snapshot.schema.table(name), None, 1_000_000)
    return Counter(_exact(row) for row in rows)


def _exact(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple((type(value).__name__, value.hex() if isinstance(value, float) else value) for value in row)
