"""Where one side of a pair stands, for people to look at; and the SQLite file's answers to that. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dualdb.core.sqltext import quote_name
from dualdb.stores.catalog import ASIDE, read_schema
from dualdb.stores.queries import query
from dualdb.stores.source_read import sequence_of

if TYPE_CHECKING:
    import sqlite3

_ASK = "source/standing.sql"
_RELAY = "source/relay.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCopy:
    """How far the copy of one table has come."""

    table: str
    rows: int
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """A row that the follower cannot hold, without its image."""

    table: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a follower holds."""

    epoch: int
    position: str
    aligned: bool
    whole: bool
    """Whether it was aligned at some time since everything was last begun to be copied."""
    age_s: float
    """Since the last batch."""
    copies: tuple[TableCopy, ...]
    quarantined: int
    first_quarantined: tuple[QuarantinedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTrigger:
    """A trigger of the application's that did not come back; its text lies in `_dualdb_trigger`."""

    name: str
    reason: str


class Standing(Protocol):
    """One side, whichever."""

    def verified(self) -> str | None:
        """The last verification noted there."""

    def following(self, shown: int) -> Following | None:
        """What it holds as a follower."""

    def aside(self) -> tuple[str, ...]:
        """What holds rows there that were set aside."""

    def triggers(self) -> tuple[KeptTrigger, ...]:
        """The application's triggers that did not come back to it."""

    def altered(self, database: str) -> tuple[str, ...]:
        """What somebody has changed there about what is dualdb's, each with its remedy, which names the file."""

    def head(self) -> int:
        """The number of its newest journal row."""

    def behind(self, position: str, until: int, cap: int) -> int:
        """How many changes a follower at that position lacks."""

    def retains(self, position: str) -> bool:
        """Whether that position of a follower is of its own past, and its journal still reaches back to it."""

    def find_branch(self, position: str) -> str | None:
        """What to tell when it went back behind that position and on another way."""


class SourceStanding:
    """The SQLite file's side; each question is answered as of now."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Ask over a connection outside a transaction."""
        self._connection = connection

    def verified(self) -> str | None:
        """The last verification that was noted here, JSON."""
        found = self._connection.execute(query(_ASK, "verified")).fetchone()
        return None if found is None else found[0]

    def following(self, shown: int) -> Following | None:
        """What the file holds as a follower, with that many rows of its quarantine; None when it follows nobody."""
        ask = self._connection.execute
        held = ask(query(_ASK, "watermark")).fetchone()
        if held is None:
            return None
        first = ask(query(_ASK, "first_quarantined"), (shown,))
        return Following(
            epoch=held[0],
            position=held[1],
            aligned=bool(held[2]),
            whole=bool(held[3]),
            age_s=max(0.0, held[4]),
            copies=tuple(
                TableCopy(table=name, rows=rows, done=bool(done)) for name, rows, done in ask(query(_ASK, "copies"))
            ),
            quarantined=ask(query(_ASK, "quarantined")).fetchone()[0],
            first_quarantined=tuple(QuarantinedRow(table=name, key=key, reason=why) for name, key, why in first),
        )

    def aside(self) -> tuple[str, ...]:
        """The tables of the file that hold rows which were set aside."""
        return tuple(name for (name,) in self._connection.execute(query(_ASK, "aside"), (ASIDE,)))

    def triggers(self) -> tuple[KeptTrigger, ...]:
        """The application's triggers that did not come back on the way back from PostgreSQL, and will not."""
        found = self._connection.execute(query(_ASK, "triggers"))
        return tuple(KeptTrigger(name=name, reason=why) for name, why in found)

    def altered(self, _database: str) -> tuple[str, ...]:
        """Nothing: the schema is the application's own, and is read from the file."""
        return ()

    def head(self) -> int:
        """The number of the newest journal row."""
        return int(self._connection.execute(query(_ASK, "head")).fetchone()[0])

    def behind(self, position: str, until: int, cap: int) -> int:
        """How many changes up to a journal row lie behind a follower's position, counted as far as `cap`."""
        found = self._connection.execute(query(_ASK, "behind"), (sequence_of(position), until, cap))
        return int(found.fetchone()[0])

    def retains(self, position: str) -> bool:
        """Whether the journal row that a follower's position ends with is there, token and all."""
        seq, _, token = position.partition(":")
        found = self._connection.execute(query(_RELAY, "token"), (int(seq),)).fetchone()
        return found is not None and str(found[0]) == token

    def find_branch(self, _position: str) -> str | None:
        """Nothing: a file has one past, and a copy of it that was put in its place has other tokens."""
        return None

    def rows(self) -> tuple[tuple[str, int], ...]:
        """The application's tables and how many rows each of them has."""
        count = "SELECT count(*) FROM main.{}"
        return tuple(
            (table.name, self._connection.execute(count.format(quote_name(table.name))).fetchone()[0])
            for table in read_schema(self._connection).tables.values()
        )
