"""`dualdb recopy`: give up what the follower holds and copy everything anew, in any phase in which somebody follows.

The way out when the two databases no longer belong together: one was restored from a backup, or replaced. It is also
how a file that was restored from before the switch becomes the follower that it is. What the follower held is kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.phase import AUTHORITY, Phase, Side, Step, restored
from dualdb.errors import NotPreparedError, OvertakenError, PhaseError
from dualdb.operations.coordination import coordinating
from dualdb.stores import recopy
from dualdb.stores.control import Control, read_source, read_target
from dualdb.stores.standing import SourceStanding
from dualdb.stores.target_standing import TargetStanding

if TYPE_CHECKING:
    from dualdb.core.phase import ControlRow
    from dualdb.operations.status import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A copy that was begun anew, or goes on; the relay carries it from here."""

    follower: str
    """'source' or 'target'."""
    held: tuple[tuple[str, int], ...]
    """The follower's tables and how many rows it held of each; () where a copy goes on."""
    kept: str | None
    """Where its rows are now; None where a copy goes on."""


def begin_anew(database: str) -> Begun:
    """Begin to copy the follower anew, or let the copy go on that was begun so and is not done.

    Raises PhaseError in phase sqlite and while a move is under way, BusyError when another coordinator is at work,
    SourceError when what the file holds cannot be kept.
    """
    database = os.path.realpath(database)
    with coordinating(database), Control.open(database) as control:
        facts, target = read_source(control.source), read_target(control.target)
        if facts is None or target is None:
            message = f"{database} is only half prepared; run dualdb init {quote(database)} again with the same target"
            raise NotPreparedError(message)
        if restored(facts.row, target) is Side.SOURCE and AUTHORITY[target.phase] is Side.TARGET:
            held = SourceStanding(control.source).rows()
            control.demote(facts.row, target)
            kept = f"tables of {database} whose names begin with _dualdb_aside_"
            return Begun(follower=Side.SOURCE.value, held=held, kept=kept)
        row = _following_row(control)
        if row.phase is Phase.POSTGRES:
            return _begin_source(control, row)
        return _begin_target(control, row)


def _following_row(control: Control) -> ControlRow:
    """The control row of the side that follows; raises PhaseError."""
    judgement = control.judge()
    name = quote(control.database)
    row = control.row(judgement.outgoing)
    if judgement.step is not Step.OPEN:
        message = f"a change of phase of {control.database} is under way; see dualdb status {name}"
        raise PhaseError(message)
    if row.phase is Phase.SQLITE:
        message = f"{control.database} is in phase sqlite and nothing follows it; run: dualdb advance {name}"
        raise PhaseError(message)
    following = control.row(judgement.outgoing.other)
    if following.epoch != row.epoch:
        message = f"the step of {control.database} to {row.phase.value} is not finished; run: dualdb advance {name}"
        raise PhaseError(message)
    return following


def _begin_source(control: Control, row: ControlRow) -> Begun:
    standing = SourceStanding(control.source)
    if _goes_on(standing, TargetStanding(control.target), row):
        return Begun(follower=Side.SOURCE.value, held=(), kept=None)
    held = standing.rows()
    kept = recopy.save_source(control.database)
    try:
        recopy.begin_source(control, row, kept)
    except OvertakenError:
        os.unlink(kept)
        raise
    return Begun(follower=Side.SOURCE.value, held=held, kept=kept)


def _begin_target(control: Control, row: ControlRow) -> Begun:
    standing = TargetStanding(control.target)
    if _goes_on(standing, SourceStanding(control.source), row):
        return Begun(follower=Side.TARGET.value, held=(), kept=None)
    held = standing.rows()
    aside = recopy.begin_target(control, row)
    return Begun(follower=Side.TARGET.value, held=held, kept=f"schema {aside} of the target")


def _goes_on(follower: Standing, authority: Standing, row: ControlRow) -> bool:
    """Whether everything is being copied already: the command was interrupted, and is run again."""
    found = follower.following(0)
    if found is None or found.epoch != row.epoch or not authority.retains(found.position):
        return False
    if authority.find_branch(found.position):
        return False
    return not found.aligned and not (found.copies and all(copy.done for copy in found.copies))
