"""What `dualdb status` found, whatever it is shown as; asks nobody."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dualdb.core.phase import Side

if TYPE_CHECKING:
    from dualdb.stores.standing import KeptTrigger, QuarantinedRow, TableCopy

SIDES = {Side.SOURCE.value: "the SQLite file", Side.TARGET.value: "PostgreSQL"}
"""What people call the two databases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """PostgreSQL as seen from here."""

    address: str
    schema: str
    reachable: bool
    error: str | None
    """Why it is not reachable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStatus:
    """A change of authority under way."""

    number: int
    to: str | None
    state: str
    """'open', 'moving' behind a fence, 'aborted' with the fence still there, 'taken' and not yet settled."""
    overdue: bool
    """Whether its time is up: whoever meets it next ends it."""
    stands: str
    """The same for people."""
    ends: str
    """What will end it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerStatus:
    """How far the follower is behind."""

    aligned: bool
    """Equal to a past state of the authority; not while a backlog is caught up or a table copied."""
    lag_rows: int
    lag_rows_capped: bool
    """There are more than were counted."""
    lag_s: float
    """How long the follower took to reach the authority's state of when it was asked; since its last batch where it
    did not reach it within a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineStatus:
    """Rows that the follower cannot hold."""

    count: int
    first: tuple[QuarantinedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideStatus:
    """Rows that belong to neither database any more, kept for whoever may miss them; in nobody's way."""

    tables: tuple[str, ...]
    """Of the file: what a plain program wrote behind a fence, or into a restored file."""
    schemas: tuple[str, ...]
    """Of the target: what PostgreSQL held before it was copied anew. () while it does not answer."""
    triggers: tuple[KeptTrigger, ...] = ()
    """Of the file: the application's own that did not come back when it became the authority again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Something that keeps the file from its next phase; in the last one, from the way back."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that `dualdb status` shows."""

    database: str
    phase: str
    authority: str | None
    """None: each side follows the other."""
    epoch: int
    journal_mode: str = "wal"
    """The file's, in SQLite's word: 'wal', unless a plain program has changed it."""
    target: TargetStatus
    server: str | None
    move: MoveStatus | None
    follower: FollowerStatus | None
    copies: tuple[TableCopy, ...]
    quarantine: QuarantineStatus | None
    aside: AsideStatus
    verified: dict[str, Any] | None
    next: str | None
    blockers: tuple[Blocker, ...]

    def as_json(self) -> dict[str, Any]:
        """The status as JSON's own types, under the names above."""
        return asdict(self)
