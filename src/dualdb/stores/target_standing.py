"""Where PostgreSQL stands, for people to look at; the counterpart of `standing.SourceStanding`. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.names import qualified
from dualdb.stores.queries import query
from dualdb.stores.standing import Following, QuarantinedRow, TableCopy
from dualdb.stores.target_connection import losses
from dualdb.stores.target_journal import ASIDE
from dualdb.stores.target_read import Position, find_branch
from dualdb.stores.target_shape import Extent, find_changes

if TYPE_CHECKING:
    from typing import Any

    from dualdb.stores.standing import KeptTrigger
    from dualdb.stores.target_connection import Target

_ASK = "target/standing.sql"
_RELAY = "target/relay.sql"


class TargetStanding:
    """PostgreSQL's side; each question is answered as of now and may raise TargetLostError."""

    def __init__(self, connection: Target) -> None:
        """Ask over a connection in autocommit mode."""
        self._connection = connection

    def verified(self) -> str | None:
        """The last verification that was noted here, JSON."""
        found = self._rows("verified")
        return found[0][0] if found else None

    def following(self, shown: int) -> Following | None:
        """What PostgreSQL holds as a follower, with that many rows of its quarantine; None when it follows nobody."""
        held = self._rows("watermark")
        if not held:
            return None
        epoch, position, aligned, whole, age_s = held[0]
        return Following(
            epoch=epoch,
            position=position,
            aligned=aligned,
            whole=whole,
            age_s=max(0.0, age_s),
            copies=tuple(TableCopy(table=name, rows=rows, done=done) for name, rows, done in self._rows("copies")),
            quarantined=self._rows("quarantined")[0][0],
            first_quarantined=tuple(
                QuarantinedRow(table=name, key=key, reason=reason)
                for name, key, reason in self._rows("first_quarantined", (shown,))
            ),
        )

    def aside(self) -> tuple[str, ...]:
        """The schemas that hold tables which were set aside."""
        return tuple(name for (name,) in self._rows("aside", (ASIDE,)))

    def triggers(self) -> tuple[KeptTrigger, ...]:
        """None: PostgreSQL fires none of the application's."""
        return ()

    def altered(self, database: str) -> tuple[str, ...]:
        """What somebody has changed about the tables, each with its remedy."""
        return tuple(find_changes(self._connection, database, Extent.WHOLE))

    def head(self) -> int:
        """The number of the newest journal row."""
        return int(self._rows("head")[0][0])

    def behind(self, position: str, until: int, cap: int) -> int:
        """How many changes up to a journal row a follower's position does not hold, counted as far as `cap`."""
        held = Position.parse(position)
        values = {"after": held.after, "until": held.goal, "seq": held.seq, "head": until, "cap": cap}
        return int(self._rows("behind", values)[0][0])

    def retains(self, position: str) -> bool:
        """Whether the journal row that proves a follower's position is there, token and all."""
        seq, _, token = Position.parse(position).proof.partition(":")
        with losses():
            found = self._connection.execute(query(_RELAY, "token").encode(), (int(seq or 0),)).fetchone()
        return found is not None and str(found[0]) == token

    def find_branch(self, position: str) -> str | None:
        """What to tell when the server has another timeline than a follower's position."""
        return find_branch(self._connection, position, self._rows("timeline")[0][0])

    def rows(self) -> tuple[tuple[str, int], ...]:
        """The application's tables that are there, and how many rows each of them has."""
        tables = {qualified(schema, name): name for schema, name in self._rows("tables")}
        found = []
        with losses():
            for (there,) in self._connection.execute(query(_RELAY, "existing").encode(), (list(tables),)).fetchall():
                count = self._connection.execute(f"SELECT count(*) FROM {there}".encode())
                found.append((tables[there], count.fetchall()[0][0]))
        return tuple(found)

    def _rows(self, name: str, values: Any = None) -> list[tuple[Any, ...]]:  # noqa: ANN401 - psycopg's parameters
        with losses():
            return self._connection.execute(query(_ASK, name).encode(), values).fetchall()
