"""`dualdb recopy`: give up what the follower holds and copy everything anew, in any phase in which somebody follows.

The way out when the two databases no longer belong together: one was restored from a backup, or replaced. It is also
how a file that was restored from before the switch becomes the follower that it is, and how one of two sides that
follow each other becomes the authority. What the follower held is kept.

A choice between those two is decided by PostgreSQL's control row alone, in one compare-and-set:

1. PostgreSQL goes on: it is taken. The file finds out as any file does that was restored to before the switch.
2. The file goes on: PostgreSQL yields; the file is taken; PostgreSQL is settled, and begins anew.

Both follow until the side that goes on is taken, and whoever comes by does the steps behind the decision.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.phase import AUTHORITY, MoveState, Phase, Side, Step, both_follow, restored
from dualdb.core.sqltext import fold
from dualdb.errors import BusyError, OvertakenError, PhaseError, TargetError
from dualdb.operations import readiness
from dualdb.operations.coordination import coordinating
from dualdb.operations.status_report import SIDES
from dualdb.stores import recopy
from dualdb.stores.catalog import read_schema
from dualdb.stores.control import Control
from dualdb.stores.standing import SourceStanding
from dualdb.stores.target_catalog import read_target_schema
from dualdb.stores.target_connection import losses
from dualdb.stores.target_standing import TargetStanding

if TYPE_CHECKING:
    from dualdb.core.phase import ControlRow
    from dualdb.core.schema import Schema
    from dualdb.stores.standing import Standing

CHOICES = {"sqlite": Side.SOURCE, "postgres": Side.TARGET}
"""What the user calls the side that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A copy that was begun anew, or goes on; the relay carries it from here."""

    follower: str
    """'source' or 'target'."""
    held: tuple[tuple[str, int], ...]
    """The follower's tables and how many rows it held of each; () where a copy goes on."""
    kept: str | None
    """Where its rows are now; None where a copy goes on."""


def begin_anew(database: str, goes_on: Side | None = None) -> Begun:
    """Begin to copy the follower anew, or let the copy go on that was begun so and is not done.

    `goes_on` makes that side the authority, where each follows the other. Raises PhaseError in phase sqlite, while a
    move is under way, and where there is nothing to choose; LineageError where somebody has to; BusyError when another
    coordinator is at work, SourceError when what the file holds cannot be kept.
    """
    database = os.path.realpath(database)
    with coordinating(database), Control.open(database, any_state=True) as control:
        source, target = control.read()
        if both_follow(source, target) and goes_on is not None and target.move_state is not MoveState.YIELDED:
            _check_whole(control, goes_on)
            judgement = control.choose(goes_on)
            control.perform(judgement.step, judgement)
            source, target = control.read()
        if target.move_state is MoveState.YIELDED:
            return _end_choice(control, goes_on)
        if restored(source, target) is Side.SOURCE and AUTHORITY[target.phase] is Side.TARGET:
            _check_goes_on(control, goes_on, Side.TARGET)
            return _demote_source(control, source, target)
        if restored(source, target) is Side.TARGET and source.phase is Phase.DUAL_WRITE:
            _check_goes_on(control, goes_on, Side.SOURCE)
            return _demote_target(control, source, target)
        return _begin_follower(control, goes_on)


def _begin_follower(control: Control, goes_on: Side | None) -> Begun:
    judgement = control.judge()
    if goes_on is not None:
        _check_goes_on(control, goes_on, judgement.outgoing, under_way=_is_copied(control, judgement.outgoing))
    row = _following_row(control)
    if row.phase is Phase.POSTGRES:
        return _begin_source(control, row)
    return _begin_target(control, row)


# --- two sides that follow each other -------------------------------------------------------------------------------


def _end_choice(control: Control, goes_on: Side | None) -> Begun:
    """PostgreSQL has yielded: do what follows from that, unless somebody else does."""
    standing = TargetStanding(control.target)
    held, before = standing.rows(), standing.aside()
    while (judgement := control.judge()).step is not Step.OPEN:
        with suppress(OvertakenError):
            control.perform(judgement.step, judgement)
    _check_goes_on(control, goes_on, Side.SOURCE)
    kept = next((f"schema {name} of the target" for name in standing.aside() if name not in before), None)
    return Begun(follower=Side.TARGET.value, held=held if kept else (), kept=kept)


def _check_goes_on(control: Control, goes_on: Side | None, authority: Side, *, under_way: bool = True) -> None:
    """Raise PhaseError when another side was named than the one that has the say, or when nothing is left to do."""
    if goes_on is None or (goes_on is authority and under_way):
        return
    message = (
        f"{SIDES[authority.value]} has the say over {control.database}, and nothing is to be chosen; to copy what"
        f" follows it anew run dualdb recopy {quote(control.database)} without --from"
    )
    raise PhaseError(message)


def _is_copied(control: Control, authority: Side) -> bool:
    """Whether its follower is being copied anew: the command that chose it was interrupted, and is run again."""
    row, sides = control.row(authority.other), _standings(control)
    return _goes_on(sides[authority.other], sides[authority], row)


def _check_whole(control: Control, goes_on: Side) -> None:
    """Raise PhaseError when the side that is to go on lacks what the other one has, or cannot be worked with."""
    other = next(word for word, side in CHOICES.items() if side is not goes_on)
    remedy = f"dualdb recopy {quote(control.database)} --from {other} goes on with the other one"
    if goes_on is Side.TARGET:
        reason = _find_obstacle(control)
        if reason:
            raise PhaseError(f"PostgreSQL cannot go on: {reason}; {remedy}")
    lacking = _lacking(control, goes_on)
    if lacking and not _lacking(control, goes_on.other):
        raise PhaseError(f"{SIDES[goes_on.value]} never held all of {lacking}; {remedy}")


def _find_obstacle(control: Control) -> str:
    """Why PostgreSQL cannot be the authority, whatever it holds; '' when it can."""
    if control.read()[1].phase is Phase.SQLITE:
        return "it is in phase sqlite, in which it follows nobody and may have no table"
    found = readiness.find_blockers(_schema(control, Side.TARGET), Phase.POSTGRES, control.facts.target_schema)
    return found[0].partition("; ")[0] if found else ""


def _lacking(control: Control, side: Side) -> str:
    """What that side did not hold of the authority that it last followed; '' when it held everything."""
    row = dict(zip(Side, control.read(), strict=True))[side]
    if AUTHORITY[row.phase] is side:  # by its own row: what the other one held came from here
        return ""
    found = _standings(control)[side].following(0)
    copies = found.copies if found else ()
    lacking = [copy.table for copy in copies if not copy.done]
    if found is None or not found.aligned:
        # Aligned it holds everything, also what was never copied to it: it may have been the authority just before.
        known = {fold(copy.table) for copy in copies}
        lacking += [table.name for name, table in _schema(control, side).tables.items() if name not in known]
        if not copies:
            lacking = lacking or ["what it was to follow"]
    if found is not None and found.quarantined:
        lacking.append(f"{found.quarantined} rows in quarantine")
    return ", ".join(lacking)


def _schema(control: Control, side: Side) -> Schema:
    """The application's schema as that side has it."""
    if side is Side.SOURCE:
        return read_schema(control.source)
    with losses():
        return read_target_schema(control.target)


def _standings(control: Control) -> dict[Side, Standing]:
    return {Side.SOURCE: SourceStanding(control.source), Side.TARGET: TargetStanding(control.target)}


# --- a side that was restored, and does not know that it follows -----------------------------------------------------


def _demote_source(control: Control, source: ControlRow, target: ControlRow) -> Begun:
    held = SourceStanding(control.source).rows()
    control.demote_source(source, target)
    kept = f"tables of {control.database} whose names begin with _dualdb_aside_"
    return Begun(follower=Side.SOURCE.value, held=held, kept=kept)


def _demote_target(control: Control, source: ControlRow, target: ControlRow) -> Begun:
    held = TargetStanding(control.target).rows()
    aside = control.demote_target(source, target)
    judgement = control.judge()
    if judgement.step is Step.UNFENCE:  # the file was about to leave for a PostgreSQL that has forgotten it
        with suppress(OvertakenError):
            control.perform(judgement.step, judgement)
    return Begun(follower=Side.TARGET.value, held=held, kept=f"schema {aside} of the target")


# --- one side that follows ------------------------------------------------------------------------------------------


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
        phase = row.phase.value
        message = f"the step of {control.database} to {phase} is not finished; run: dualdb advance {name} --to {phase}"
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
    except (BusyError, OvertakenError, TargetError):  # before anything was changed
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
    return not found.whole
