"""Every fact that relaying reports, one frozen class each; knows neither who listens nor how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchApplied(Event):
    """The follower took one batch."""

    position: str
    aligned: bool
    deleted: int
    inserted: int
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProgress(Event):
    """How far the copy of one table has come."""

    table: str
    rows: int
    total: int
    """Rows of the table when its copy was last looked at."""
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuarantined(Event):
    """The follower cannot hold a row; its exact bytes are kept."""

    table: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaFollowed(Event):
    """The follower's tables were brought to the authority's schema."""

    version: str
    recopied: tuple[str, ...]
    """Tables that are copied from their beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureMended(Event):
    """The authority's catalog had moved, and changes of these tables may have gone unseen: they are copied anew."""

    missing: tuple[str, ...]
    """Tables whose triggers were missing, or not the ones that they need, and were put back."""
    renumbered: tuple[str, ...]
    """Tables with nothing but the rowid to name a row by, which VACUUM renumbers; it moves the catalog as DDL does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UncapturedCommit(Event):
    """Something was committed on the authority that its journal does not show; verification will tell what it was."""

    count: int
    """How many times this relay has seen that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerNotRestored(Event):
    """SQLite became the authority without this trigger of the application's, whose text is kept in the file."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayTookOver(Event):
    """A holder of the relay lock had gone silent and was ended."""

    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLost(Event):
    """The connection to PostgreSQL went away; the relay tries again."""

    reason: str
    retry_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageBroken(Event):
    """The two databases no longer belong together; nothing is relayed until that is settled."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStumbled(Event):
    """An attempt failed in another way; the relay tries again."""

    reason: str
    retry_s: float


Report: TypeAlias = "Callable[[Event], None]"
"""Whoever listens; must neither raise nor wait."""


def unheard(_event: Event) -> None:
    """Listens to nothing."""
