"""`dualdb verify`: prove that both sides are equal, on aligned pairs of snapshots, while the application writes.

1. Rows: all of them, or those that changed since the last verified position (`verify_rows`).
2. Counts of each table, at one instant. 3. The next id of each table is one that was never used. 4. Indexes and views
of the schema that the target does not have; rows whose foreign key points nowhere.
5. The result is noted in the authority's control row; the next incremental verification begins there.

Where nobody relays it carries by itself what is still to be carried: a change in flight proves nothing.
"""

from __future__ import annotations

import json
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any

from dualdb.core.events import unheard
from dualdb.core.phase import AUTHORITY, Phase, Side
from dualdb.errors import BusyError, PhaseError, SchemaError
from dualdb.operations.verify_pairs import PATIENCE_S, Pairs
from dualdb.operations.verify_report import Report, Sequence
from dualdb.operations.verify_rows import RowVerification
from dualdb.stores.control import Control
from dualdb.stores.kept_rows import KeptRows
from dualdb.stores.relay import relay_pair_until_aligned
from dualdb.stores.source_evidence import SourceEvidence
from dualdb.stores.target_evidence import TargetEvidence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence as Seq

    from dualdb.core.compare import Difference
    from dualdb.core.phase import ControlRow
    from dualdb.core.schema import Schema, Table
    from dualdb.operations.verify_report import Observer
    from dualdb.stores.pair import Pair

_ORPHANS_LISTED = 100
_CARRY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a caller may want otherwise."""

    repair: bool = False
    """Journal the differing keys on the authority, so that the relay carries their rows again; the follower's rows that
    this deletes or overwrites are kept in a file beside the database before.
    """
    with_values: bool = False
    """Put the rows themselves into the report, not only their keys."""
    patience_s: float = PATIENCE_S
    """How long a follower that is not aligned is waited for, and a key that never rests."""
    control: Control | None = None
    """The caller's own of the same pair, where there is no time to open another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Both sides' answers to what is asked besides rows."""

    row: ControlRow
    """The authority's control row when verification began."""
    side: Side
    """Which side the authority is."""
    source: SourceEvidence
    target: TargetEvidence

    @property
    def authority(self) -> SourceEvidence | TargetEvidence:
        """The authority's."""
        return self.source if self.side is Side.SOURCE else self.target


def verify(
    pair: Pair,
    *,
    full: bool = False,
    observer: Observer | None = None,
    counts: bool = True,
    wishes: Wishes | None = None,
) -> Report:
    """Compare both sides and return what was found; a difference that is reported is real.

    Incremental unless `full`, where there is a verified position to begin at. `counts` looks besides rows at counts,
    ids, indexes and foreign keys, which takes time that grows with the tables.

    Raises PhaseError in phase sqlite, BusyError when no aligned pair was to be had, OvertakenError when the authority
    changed meanwhile.
    """
    began_at, began = time.time(), time.monotonic()
    wishes = wishes or Wishes()
    with nullcontext(wishes.control) if wishes.control else Control.open(pair.path) as control:
        evidence = _evidence(pair, control)
        if counts:
            _check_unaltered(pair)
        pairs = Pairs(pair.authority, pair.follower, patience_s=wishes.patience_s, relay=lambda: _carry(pair))
        since, reason = (None, None) if full else _beginning(pairs, evidence)
        kept = KeptRows(pair.path, evidence.side.other)
        rows = RowVerification(
            pairs,
            observer=observer,
            with_values=wishes.with_values,
            repair=partial(_repair, evidence, kept) if wishes.repair else None,
        )
        rows.compare(since)
        rows.settle()
        rows.count_quarantine()
        if counts:
            rows.count()
        schema = rows.compared_schema
        report = Report(
            full=since is None,
            authority=evidence.side.value,
            epoch=evidence.row.epoch,
            position=rows.position,
            since=since,
            reason=reason,
            began_at=began_at,
            duration_s=time.monotonic() - began,
            schema_version=schema.version,
            pairs=pairs.opened,
            tables=rows.tables(),
            mismatches=tuple(rows.mismatches),
            mismatched=rows.mismatched,
            repaired=rows.repaired,
            kept=kept.path,
            missing_objects=tuple(evidence.target.missing_objects(schema)) if counts else (),
            sequences=tuple(_sequences(evidence, schema)) if counts else (),
            orphans=tuple(evidence.source.orphans(schema, _ORPHANS_LISTED)) if counts else (),
        )
        evidence.authority.keep(json.dumps(report.summary()))
    return report


def _repair(evidence: Evidence, kept: KeptRows, table: Table, found: Seq[Difference]) -> None:
    """Have these rows carried again. Nobody can tell why the follower has a row that the authority has not, or another
    one: what somebody wrote past the fence looks like what was left behind. So first it is kept.
    """
    kept.keep(table, found)
    evidence.authority.dirty({table.id: [one.key for one in found]})


def _carry(pair: Pair) -> None:
    """Carry what there is, unless others do."""
    with suppress(BusyError):
        relay_pair_until_aligned(pair, unheard, _CARRY_S)


def _check_unaltered(pair: Pair) -> None:
    """Raise SchemaError where a table is not what it was made as: nothing that were compared would tell of that."""
    change = pair.target.altered()
    if change is not None:
        raise SchemaError(change)


def _evidence(pair: Pair, control: Control) -> Evidence:
    outgoing = control.judge().outgoing
    row = control.row(outgoing)
    if row.phase is Phase.SQLITE:
        message = f"{pair.path} is in phase sqlite and nothing follows it; run: dualdb advance {quote(pair.path)}"
        raise PhaseError(message)
    return Evidence(
        row=row,
        side=AUTHORITY[row.phase],
        source=SourceEvidence(control.source),
        target=TargetEvidence(control.target, control.facts.target_schema),
    )


def _beginning(pairs: Pairs, evidence: Evidence) -> tuple[str | None, str | None]:
    """Where an incremental verification begins; or None, and why everything has to be compared."""
    kept = evidence.authority.kept()
    if kept is None:
        return None, "nothing was verified before"
    note: dict[str, Any] = json.loads(kept)
    if note["epoch"] != evidence.row.epoch:
        return None, "the last verification was before a change of phase"
    if note["unsettled"] or note["mismatched"] > note["repaired"]:
        return None, "the last verification found differences"
    with pairs.open() as aligned:
        if note["schema_version"] != aligned.schema.version:
            return None, "the schema has changed since the last verification"
        if not aligned.authority.retains(note["position"]) or aligned.authority.find_branch(note["position"]):
            return None, "the journal no longer leads back to the last verification"
    return note["position"], None


def _sequences(evidence: Evidence, schema: Schema) -> Iterator[Sequence]:
    """Whether the authority would give out an id that was used before.

    PostgreSQL's sequences never look at the rows, so they must be past every id there is, and past every one that
    AUTOINCREMENT remembers. SQLite looks at the rows by itself; only what PostgreSQL gave out and what is gone again
    must be remembered for AUTOINCREMENT.
    """
    highest = evidence.authority.highest_ids(schema)  # before the ids given out, which only grow
    source, target = evidence.source.last_ids(schema), evidence.target.last_ids(schema)
    given_out, other = (source, target) if evidence.side is Side.SOURCE else (target, source)
    for table in schema.tables.values():
        name = table.name
        used = max(highest.get(name, 0), other.get(name, 0) if table.autoincrement else 0)
        last = given_out.get(name, 0)
        if evidence.side is Side.TARGET and name in highest:
            yield Sequence(table=name, next_id=last + 1, used=used, sound=last >= used)
        elif evidence.side is Side.SOURCE and table.autoincrement:
            next_id = max(last, highest.get(name, 0)) + 1
            yield Sequence(table=name, next_id=next_id, used=used, sound=next_id > used)
