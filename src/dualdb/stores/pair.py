"""Everything for one database file: its two stores, and which of them is the authority now."""

from __future__ import annotations

import os
from contextlib import closing
from shlex import quote
from typing import TYPE_CHECKING, Self

from dualdb.core.phase import AUTHORITY, Side
from dualdb.errors import NotPreparedError
from dualdb.stores.control import read_source
from dualdb.stores.source import SourceStore
from dualdb.stores.source_file import faults, open_source
from dualdb.stores.target import TargetStore

if TYPE_CHECKING:
    from types import TracebackType

    from dualdb.core.phase import Phase
    from dualdb.core.store import Store
    from dualdb.stores.control import SourceControl


class Pair:
    """A SQLite file and its PostgreSQL database; both stores open their connections when they are first needed."""

    def __init__(self, path: str, facts: SourceControl, *, purpose: str, timeout_s: float) -> None:
        """Use `Pair.open`."""
        self.path = path
        self.facts = facts
        self.source = SourceStore(path, timeout_s=timeout_s)
        self.target = TargetStore(facts.pairing, path, purpose=purpose)

    @classmethod
    def open(cls, path: str, *, purpose: str = "dualdb", timeout_s: float = 5.0) -> Pair:
        """The pair of a prepared file. Raises SourceError, NotPreparedError or BusyError, in one line with a remedy."""
        path = os.path.realpath(path)
        return cls(path, _facts(path, timeout_s), purpose=purpose, timeout_s=timeout_s)

    @property
    def phase(self) -> Phase:
        """The phase in force, as the SQLite file knows it."""
        with faults(self.path):
            return self.source.phase()

    @property
    def authority(self) -> Store:
        """The store whose data is the truth now."""
        return self._store(AUTHORITY[self.phase])

    @property
    def follower(self) -> Store:
        """The other one."""
        return self._store(AUTHORITY[self.phase].other)

    def covering_mark(self) -> str | None:
        """The watermark's position, if the follower is aligned there and the authority has nothing newer; else None."""
        held = self.follower.watermark()
        if not held.aligned:
            return None
        with self.authority.snapshot() as snapshot:
            same = snapshot.epoch == held.epoch and snapshot.schema.version == held.schema_version and snapshot.proven
            if not same or not snapshot.retains(held.position) or snapshot.find_branch(held.position):
                return None
            changes = snapshot.changes(held.position, 1)
        nothing = changes.complete and not any(changes.keys.values()) and not changes.restarts
        return held.position if nothing else None

    def close(self) -> None:
        """Close whatever was opened."""
        self.source.close()
        self.target.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _store(self, side: Side) -> Store:
        return self.source if side is Side.SOURCE else self.target


def _facts(path: str, timeout_s: float) -> SourceControl:
    with closing(open_source(path, timeout_s=timeout_s)) as connection, faults(path):
        facts = read_source(connection)
    if facts is None:
        raise NotPreparedError(f"{path} is not prepared; run: dualdb init {quote(path)} --target …")
    return facts
