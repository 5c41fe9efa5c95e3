"""`dualdb status`: where a file stands, and what keeps it from its next phase; reads only, and starts nothing.

Answers from the SQLite file alone when PostgreSQL does not answer, and says so.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from dualdb.core.phase import (
    AUTHORITY,
    BACK,
    FOLLOWS_NOBODY,
    FORWARD,
    MoveState,
    Phase,
    Side,
    Step,
    both_follow,
    judge,
    restored,
)
from dualdb.errors import LineageError, NotPreparedError, SchemaError, TargetError
from dualdb.operations import readiness
from dualdb.operations.status_report import (
    SIDES,
    AsideStatus,
    Blocker,
    FollowerStatus,
    MoveStatus,
    QuarantineStatus,
    Status,
    TargetStatus,
)
from dualdb.stores.catalog import read_schema
from dualdb.stores.control import read_source, read_target
from dualdb.stores.lineage import choose_one, older_source, older_target
from dualdb.stores.server import EmbeddedServer, ServerState
from dualdb.stores.source_file import connect_source
from dualdb.stores.standing import SourceStanding
from dualdb.stores.target_address import EMBEDDED, address_of
from dualdb.stores.target_connection import missing_server
from dualdb.stores.target_pairing import connect_paired
from dualdb.stores.target_standing import TargetStanding

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from dualdb.core.phase import ControlRow
    from dualdb.core.schema import Schema
    from dualdb.stores.control import SourceControl
    from dualdb.stores.standing import Following, Standing
    from dualdb.stores.target_connection import Target

_QUARANTINE_SHOWN = 5
_CAP = 100_000
"""Changes are counted as far as this."""
_PATIENCE_S = 1.0
"""A follower that catches up within this is called up to date."""
_LOOK_S = 0.02
_STANDS: dict[Step, tuple[str, str]] = {
    # By what follows for a move that is under way: how it stands, and what ends it.
    Step.FENCE: (
        "open and nobody waits for it",
        "the command at work on it goes on; if that is gone, {command} begins it anew",
    ),
    Step.DECIDE: (
        "undecided, and writers wait",
        "the command at work on it decides; once it is overdue the first writer gives it up, or {command}",
    ),
    Step.ABORT: (
        "forgotten by the side that it leads to, and writers wait",
        "the next writer gives it up, or {command}",
    ),
    Step.UNFENCE: (
        "given up, and the fence is still there",
        "the next writer lifts it, or {command}",
    ),
    Step.SETTLE: (
        "decided, and the side that was left has not heard of it",
        "the next writer there tells it, or {command}",
    ),
    Step.TAKE: (
        "decided, and the SQLite file has not heard of it",
        "the next writer tells it, or {command}",
    ),
}
_STATES = {
    Step.FENCE: MoveState.OPEN,
    Step.DECIDE: MoveState.MOVING,
    Step.ABORT: MoveState.MOVING,
    Step.UNFENCE: MoveState.ABORTED,
    Step.SETTLE: MoveState.TAKEN,
    Step.TAKE: MoveState.YIELDED,
}


def read_status(database: str) -> Status:
    """Where the file stands now. Raises SourceError, NotPreparedError."""
    database = os.path.realpath(database)
    with ExitStack() as stack:
        connection = stack.enter_context(connect_source(database))
        facts = read_source(connection)
        if facts is None:
            message = f"{database} is not prepared; run: dualdb init {quote(database)} --target …"
            raise NotPreparedError(message)
        target, target_status = _reach_target(stack, database, facts)
        rows = facts.row, _target_row(target)
        if (_choice_is_open(*rows) or _is_older(*rows)) and read_source(connection) != facts:
            return read_status(database)  # it is no news: a step was taken while they were read
        sides: dict[Side, Standing] = {Side.SOURCE: SourceStanding(connection)}
        if target is not None:
            sides[Side.TARGET] = TargetStanding(target)
        file = facts, _schema(connection)
        try:
            found = _compose(database, rows, target_status, sides, file)
        except TargetError as exc:  # it went away while it was asked
            sides.pop(Side.TARGET, None)
            lost = replace(target_status, reachable=False, error=str(exc))
            found = _compose(database, (facts.row, None), lost, sides, file)
        return replace(found, journal_mode=connection.execute("PRAGMA journal_mode").fetchone()[0])


def _compose(
    database: str,
    rows: tuple[ControlRow, ControlRow | None],
    target: TargetStatus,
    sides: dict[Side, Standing],
    file: tuple[SourceControl, Schema | SchemaError],
) -> Status:
    facts, schema = file
    if _choice_is_open(*rows):
        return _torn(database, rows, target, sides, facts)
    row = _in_force(*rows)
    authority = AUTHORITY[row.phase]
    follower = sides.get(authority.other)
    following = _following(follower, row)
    status = Status(
        database=database,
        phase=row.phase.value,
        authority=authority.value,
        epoch=row.epoch,
        target=target,
        server=_server(database, facts.target),
        move=_find_move(database, *rows),
        follower=_measure(sides.get(authority), follower, following),
        copies=following.copies if following else (),
        quarantine=QuarantineStatus(count=following.quarantined, first=following.first_quarantined)
        if following
        else None,
        aside=_aside(sides),
        verified=_verified(sides, authority),
        next=FORWARD[row.phase].value if row.phase in FORWARD else None,
        blockers=(),
    )
    broken = ""
    if following is not None and authority in sides and not sides[authority].retains(following.position):
        broken = SIDES[authority.value]
    older = list(_restored(database, *rows))
    mirrored = Side.TARGET in sides and row.phase is not Phase.SQLITE
    found = [
        # While a side takes itself for what it no longer is, nothing else that is said of it helps.
        *(
            older
            or (
                *_branched(database, sides.get(authority), following),
                *_blockers(status, row.phase, follows=following is not None, broken=broken),
            )
        ),
        *map(_blocker, sides[Side.TARGET].altered(database) if mirrored else ()),
        *map(_blocker, _schema_blockers(schema, _goal(row.phase), facts.target_schema)),
    ]
    return replace(status, blockers=tuple(found))


def _is_older(source: ControlRow, target: ControlRow | None) -> bool:
    return target is not None and restored(source, target) is not None


def _choice_is_open(source: ControlRow, target: ControlRow | None) -> bool:
    return target is not None and both_follow(source, target) and target.move_state not in FOLLOWS_NOBODY


def _torn(
    database: str,
    rows: tuple[ControlRow, ControlRow | None],
    target: TargetStatus,
    sides: dict[Side, Standing],
    facts: SourceControl,
) -> Status:
    """Each side follows the other: nobody leads, and nothing is to be done before the user has chosen."""
    source, other = rows
    row = _in_force(source, other)
    standing = [(known.phase.value, known.epoch) for known in (source, other or source)]
    return Status(
        database=database,
        phase=row.phase.value,
        authority=None,
        epoch=row.epoch,
        target=target,
        server=_server(database, facts.target),
        move=None,
        follower=None,
        copies=(),
        quarantine=None,
        aside=_aside(sides),
        verified=_verified(sides, Side.SOURCE),
        next=None,
        blockers=(_blocker(choose_one(database, *standing)),),
    )


def _schema(connection: sqlite3.Connection) -> Schema | SchemaError:
    """The application's schema, or why it cannot be carried any more: a plain program may have changed it."""
    try:
        return read_schema(connection)
    except SchemaError as exc:
        return exc


def _schema_blockers(schema: Schema | SchemaError, goal: Phase, target_schema: str) -> list[str]:
    if isinstance(schema, SchemaError):
        return [str(schema)]
    return readiness.find_blockers(schema, goal, target_schema)


def _aside(sides: dict[Side, Standing]) -> AsideStatus:
    return AsideStatus(
        tables=sides[Side.SOURCE].aside(),
        schemas=sides[Side.TARGET].aside() if Side.TARGET in sides else (),
        triggers=sides[Side.SOURCE].triggers(),
    )


def _following(follower: Standing | None, row: ControlRow) -> Following | None:
    """What the follower holds; None when there is none, or when it follows in an earlier epoch: nobody, then."""
    if follower is None or row.phase is Phase.SQLITE:
        return None
    found = follower.following(_QUARANTINE_SHOWN)
    return found if found is not None and found.epoch == row.epoch else None


def _reach_target(stack: ExitStack, database: str, facts: SourceControl) -> tuple[Target | None, TargetStatus]:
    chosen = os.environ.get("DUALDB_TARGET") or facts.target
    error = None
    target = None
    try:
        address = address_of(chosen)
        # Raises for another user's server, of which nothing else is known.
        server = EmbeddedServer.beside(database).status() if chosen == EMBEDDED else None
        if server is not None and server.state is ServerState.ABSENT:
            error = missing_server(database, str(server.folder))
        elif server is not None and server.state is not ServerState.RUNNING:
            error = "the embedded server does not run; the next command or program that needs it starts it"
        else:
            # Where each side follows the other it is told below, with what both of them say.
            pairing = facts.pairing.in_any_state()
            target = stack.enter_context(closing(connect_paired(pairing, database, purpose="dualdb status")))
    except (TargetError, LineageError, NotPreparedError) as exc:  # it does not answer, or is not this file's
        address, error = facts.target, str(exc)
    return target, TargetStatus(address=address, schema=facts.target_schema, reachable=target is not None, error=error)


def _target_row(target: Target | None) -> ControlRow | None:
    if target is None:
        return None
    try:
        return read_target(target)
    except TargetError:
        return None


def _in_force(source: ControlRow, target: ControlRow | None) -> ControlRow:
    """The row of the side that heard of the later epoch: between a decision and its settling the other one is old."""
    if target is None:
        return source
    return target if target.epoch > source.epoch or restored(source, target) is Side.SOURCE else source


def _server(database: str, target: str) -> str | None:
    if (os.environ.get("DUALDB_TARGET") or target) != EMBEDDED:
        return None
    try:
        return EmbeddedServer.beside(database).status().state.value
    except TargetError:  # another user's; what is known of the target says so
        return None


def _find_move(database: str, source: ControlRow, target: ControlRow | None) -> MoveStatus | None:
    """The move that is under way on either side; of PostgreSQL's side nothing is known while it does not answer."""
    if target is None:
        if source.move_state not in (MoveState.MOVING, MoveState.OPEN):
            return None
        fenced = source.move_state is MoveState.MOVING
        stands = "undecided as far as the file knows, and writers wait" if fenced else "open"
        command = _command(database, source.move_to)
        ends = f"PostgreSQL knows more and does not answer; once it does, the next writer ends it, or {command}"
        return _move(source.move, source.move_to, source.move_state, source.deadline, (stands, ends))
    try:
        judgement = judge(source, target)
    except KeyError:  # no pair of rows that a move leaves behind: one of the two was restored, which is told elsewhere
        return None
    if judgement.step is Step.OPEN:
        return None
    leaving, coming = (source, target) if judgement.outgoing is Side.SOURCE else (target, source)
    stands, ends = _STANDS[judgement.step]
    to = leaving.move_to or coming.move_to or coming.phase
    deadline = leaving.deadline or coming.deadline
    ends = ends.format(command=_command(database, to))
    return _move(judgement.move, to, _STATES[judgement.step], deadline, (stands, ends))


def _command(database: str, to: Phase | None) -> str:
    """The command that ends a move there and takes no step beyond it."""
    name = "advance" if to is Phase.POSTGRES else "rollback"
    return f"dualdb {name} {quote(database)} --to {(to or Phase.DUAL_WRITE).value}"


def _move(
    number: int, to: Phase | None, state: MoveState, deadline: float | None, words: tuple[str, str]
) -> MoveStatus:
    return MoveStatus(
        number=number,
        to=to.value if to else None,
        state=state.value,
        overdue=deadline is None or time.time() > deadline,
        stands=words[0],
        ends=words[1],
    )


def _goal(phase: Phase) -> Phase:
    return FORWARD[phase] if phase in FORWARD else BACK[phase]


def _measure(
    authority: Standing | None, follower: Standing | None, following: Following | None
) -> FollowerStatus | None:
    """How far behind the follower is, and how long it takes to get where the authority is now."""
    if authority is None or follower is None or following is None:
        return None
    head = authority.head()
    began_s = time.monotonic()
    first = authority.behind(following.position, head, _CAP)
    reached = first == 0
    while not reached and time.monotonic() - began_s < _PATIENCE_S:
        time.sleep(_LOOK_S)
        following = follower.following(0) or following
        reached = following.aligned and authority.behind(following.position, head, 1) == 0
    took_s = time.monotonic() - began_s if first else 0.0
    return FollowerStatus(
        aligned=following.aligned,
        lag_rows=first,
        lag_rows_capped=first == _CAP,
        lag_s=round(took_s if reached else following.age_s, 3),
    )


def _verified(sides: dict[Side, Standing], authority: Side) -> dict[str, Any] | None:
    """The last verification, as the authority knows it, or the other side if that does not answer."""
    for side in (authority, authority.other):
        text = sides[side].verified() if side in sides else None
        if text:
            found = json.loads(text)
            return found if isinstance(found, dict) else None
    return None


def _blockers(status: Status, phase: Phase, *, follows: bool, broken: str) -> Iterator[Blocker]:
    """`broken`: the authority, where it does not know the position that its follower holds."""
    name = quote(status.database)
    if status.target.error and status.server in {None, ServerState.RUNNING.value, ServerState.ABSENT.value}:
        yield _blocker(status.target.error)
    if status.move:
        reason = f"move {status.move.number} to {status.move.to} is under way: {status.move.stands}"
        yield Blocker(reason=reason, remedy=status.move.ends)
    elif not follows and phase is not Phase.SQLITE and (status.target.reachable or phase is Phase.POSTGRES):
        yield _follows_nobody(phase, name)
    if broken:
        reason = f"the two databases no longer belong together: {broken} does not know the position"
        reason += " that the other one holds, for one of them was restored or replaced"
        yield Blocker(reason=reason, remedy=f"copy the follower anew with dualdb recopy {name}")
    unfinished = [copy.table for copy in status.copies if not copy.done]
    if unfinished and not broken:
        again = f"dualdb advance {name} --to dual_write shows its progress and waits for it"
        if phase is Phase.POSTGRES:
            again = f"dualdb relay --until-aligned {name} waits for it"
        yield Blocker(reason=f"the copy of {', '.join(unfinished)} is not done", remedy=again)
    if status.quarantine and status.quarantine.count:
        count = status.quarantine.count
        reason = f"{count} {'row' if count == 1 else 'rows'} cannot be held by the other side"
        yield Blocker(reason=reason, remedy="change or delete them")
    if status.verified and status.verified.get("agrees") is False:
        again = f"run dualdb verify {name}"
        yield Blocker(reason="the last verification found differences", remedy=again)


def _branched(database: str, authority: Standing | None, following: Following | None) -> Iterator[Blocker]:
    """A server that failed over may know the follower's position, and still lack what came before it."""
    if authority is None or following is None or not authority.retains(following.position):
        return
    branch = authority.find_branch(following.position)
    if branch is not None:
        yield Blocker(reason=branch, remedy=f"copy the follower anew with dualdb recopy {quote(database)}")


def _restored(database: str, source: ControlRow, target: ControlRow | None) -> Iterator[Blocker]:
    if target is None:
        return
    older = restored(source, target)
    if older is not None:
        yield _blocker(older_source(database, target) if older is Side.SOURCE else older_target(database, source))


def _follows_nobody(phase: Phase, name: str) -> Blocker:
    if phase is Phase.DUAL_WRITE:
        reason = "PostgreSQL follows nobody yet: the step to dual_write was begun and not finished"
        return Blocker(reason=reason, remedy=f"dualdb advance {name} --to dual_write finishes it")
    return Blocker(reason="the SQLite file follows nobody", remedy=f"copy it anew with dualdb recopy {name}")


def _blocker(problem: str) -> Blocker:
    reason, _, remedy = problem.rpartition("; ")
    return Blocker(reason=reason or problem, remedy=remedy if reason else "")
