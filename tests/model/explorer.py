"""Explores every interleaving of a change of authority, over the very tables that the product obeys.

The model has two databases, two coordinators, relays, writers that may try either database at any time, and
bystanders. Every actor may stop for ever between any two of its atomic actions, which is also what being killed looks
like to the others, and wake up at any later time. Reading both control rows takes two actions; each step is one
transaction, as in `stores.control`. A relay reads the follower's watermark, takes a snapshot of the authority, applies
all of it or a part, and does next what `core.delivery` says; schemas do not change here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from dualdb.core import delivery
from dualdb.core import phase as protocol
from dualdb.core.delivery import Action, Outcome, State
from dualdb.core.phase import BYSTANDER, ControlRow, Move, MoveState, Phase, Side, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

Data = frozenset[int]
T = TypeVar("T")
INDEX = {Side.SOURCE: 0, Side.TARGET: 1}
START = ControlRow(source_id="s", epoch=1, phase=Phase.DUAL_WRITE)


class Violation(AssertionError):  # noqa: N818 - it is what a broken promise is called
    """An invariant does not hold; the message is the shortest way there."""


@dataclass(frozen=True, slots=True)
class Coordinator:
    """What a coordinator has read so far and is about to do; `aligned` is the watermark that it found covering all."""

    source: ControlRow | None = None
    target: ControlRow | None = None
    aligned: Data | None = None


class Mark(NamedTuple):
    """A follower's watermark: which commits of the authority's it holds, and whether that is a state it ever was in."""

    epoch: int
    data: Data
    aligned: bool


class Batch(NamedTuple):
    """Read from the authority, not yet applied: all of a snapshot, or a part of it."""

    data: Data
    outcome: Outcome


class Relay(NamedTuple):
    """What a relay knows, and does next."""

    follower: Side
    state: State
    action: Action
    held: Mark | None = None
    batch: Batch | None = None


@dataclass(frozen=True, slots=True)
class World:
    """One state of everything."""

    rows: tuple[ControlRow, ControlRow] = (START, START)
    before: tuple[ControlRow, ControlRow] = (START, START)
    """Each side's row of before the last move that was opened there."""
    fenced: tuple[bool, bool] = (False, True)
    data: tuple[Data, Data] = (frozenset(), frozenset())
    acknowledged: Data = frozenset()
    watermarks: tuple[Mark | None, Mark | None] = (None, Mark(1, frozenset(), aligned=True))
    heads: tuple[Data, Data] = (frozenset(), frozenset())
    coordinators: tuple[Coordinator | None, ...] = (Coordinator(), Coordinator())
    relays: tuple[Relay | None, ...] = (None,)
    moves: int = 0
    losses: int = 0
    cuts: int = 0


@dataclass(frozen=True)
class Limits:
    """How far to look."""

    commits: int = 2
    moves: int = 2
    coordinators: int = 2
    relays: int = 1
    losses: int = 0
    """How often a fail-over may forget that a move was opened."""
    cuts: int = 0
    """How often a relay's connection may be lost while it commits, before or after that is done."""
    faults: frozenset[str] = field(default_factory=frozenset)
    """Deliberate mistakes, to show that the explorer finds them."""


def successors(world: World, limits: Limits) -> Iterator[tuple[str, World]]:
    """Every state that one atomic action of one actor leads to."""
    yield from _commits(world, limits)
    for number in range(limits.relays):
        yield from _relay(world, number, limits)
    for number in range(limits.coordinators):
        yield from _coordinate(world, number, limits)
    yield from _bystand(world, limits)
    yield from _lose(world, limits)


@dataclass(frozen=True, slots=True)
class Explored:
    """How many states there are, and how many authorities were seen at rest after each number of moves."""

    states: int
    reached: frozenset[tuple[int, Side]]


def explore(limits: Limits) -> Explored:
    """Walk every reachable state; raises Violation with the shortest counter-example."""
    for remembered in (_catches_up, _changes_hands):  # what they found holds for the tables as they were then
        remembered.cache_clear()
    start = World(coordinators=(Coordinator(),) * limits.coordinators, relays=(None,) * limits.relays)
    came_from: dict[World, tuple[World | None, str]] = {start: (None, "start")}
    queue = deque([start])
    while queue:
        world = queue.popleft()
        broken = next(_broken(world, limits), None)
        if broken:
            raise Violation(f"{broken}: {' → '.join(_path(world, came_from))}")
        for name, following in successors(world, limits):
            if following not in came_from:
                came_from[following] = (world, name)
                queue.append(following)
    reached = frozenset((world.moves, protocol.judge(*world.rows).outgoing) for world in came_from)
    return Explored(len(came_from), reached)


def _path(world: World, came_from: dict[World, tuple[World | None, str]]) -> list[str]:
    names: list[str] = []
    current: World | None = world
    while current is not None:
        current, name = came_from[current]
        names.append(name)
    return names[::-1]


# --- invariants -----------------------------------------------------------------------------------------------------


def _broken(world: World, limits: Limits) -> Iterator[str]:
    if not world.fenced[0] and not world.fenced[1]:
        yield "two authorities"
    holder = _holder(world)
    data = world.data[INDEX[holder]]
    if not world.acknowledged <= data:
        yield "an acknowledged commit is lost"
    follower = world.watermarks[INDEX[holder.other]]
    if follower is not None:
        if not follower.data <= data:
            yield "the follower is ahead of the authority"
        if follower.data != world.data[INDEX[holder.other]]:
            yield "the follower holds something else than its watermark says"
        if not world.fenced[INDEX[holder]] and not _catches_up(_seen_by_relays(world)):
            yield "a relay alone does not bring the follower to where the authority is"
    if not _gets_free(world, limits):
        yield "stuck although both databases answer"
    if not _changes_hands(_seen_by_a_coordinator(world)):
        yield "no move can be made any more"
    if _taken_for_restored(world):
        yield "a side is taken for restored from a backup"


def _taken_for_restored(world: World) -> bool:
    """Whether anybody would who has read one row earlier than the other; only the one read last counts."""
    source, target = world.rows
    minds = [mind for mind in world.coordinators if mind is not None]
    return (
        protocol.restored(source, target) is not None
        or any(mind.source and protocol.restored(mind.source, target) is Side.TARGET for mind in minds)
        or any(mind.target and protocol.restored(source, mind.target) is Side.SOURCE for mind in minds)
    )


def _holder(world: World) -> Side:
    if not world.fenced[0]:
        return Side.SOURCE
    if not world.fenced[1]:
        return Side.TARGET
    return protocol.judge(*world.rows).outgoing


def _gets_free(world: World, limits: Limits) -> bool:
    """Whether bystanders alone, once the deadline has passed, bring back somebody who accepts writes, and whose rows
    both say so: else who waits at the other side waits for ever.
    """
    for _ in range(4):
        if _is_free(world):
            return True
        following = [state for _, state in _bystand(world, limits)]
        if not following:
            return False
        world = following[0]
    return _is_free(world)


def _is_free(world: World) -> bool:
    authority = protocol.judge(*world.rows).authority
    return authority is not None and not world.fenced[INDEX[authority]]


def _seen_by_a_coordinator(world: World) -> World:
    """All that matters to one who begins now and whom nobody disturbs."""
    calm = replace(
        world, coordinators=(Coordinator(),), relays=(None,), before=(START, START), acknowledged=frozenset()
    )
    return replace(calm, moves=0, losses=0, cuts=0)


@cache
def _changes_hands(world: World) -> bool:
    """Whether one coordinator and one relay alone can still lead the authority to the other side, and back."""
    for _ in range(2):
        left = protocol.judge(*world.rows).outgoing
        for _ in range(40):
            if (judgement := protocol.judge(*world.rows)).step is Step.OPEN and judgement.outgoing is not left:
                break
            world = _goes_on(world)
        else:
            return False
    return True


def _goes_on(world: World) -> World:
    """The coordinator's next action, the relay's while that one waits for it."""
    limits = Limits(moves=9)
    actions = {name: state for name, state in _coordinate(world, 0, limits) if not name.endswith("dies")}
    if list(actions) != ["coordinator 0 gives up"]:
        return next(iter(actions.values()), world)
    follower = protocol.judge(*world.rows).outgoing.other
    carried = [state for _, state in _relay(world, 0, limits)]
    return next((state for state in carried if (relay := state.relays[0]) is None or relay.follower is follower), world)


def _seen_by_relays(world: World) -> World:
    """All that matters to a relay; the rest may be anything."""
    nothing = (frozenset[int](), frozenset[int]())
    return replace(world, coordinators=(), before=(START, START), heads=nothing, moves=0, losses=0, cuts=0)


@cache
def _catches_up(world: World) -> bool:
    """Whether each relay alone, if nothing goes wrong, gets the follower to where the authority is."""
    return all(_carries_all(world, number) for number in range(len(world.relays)))


def _carries_all(world: World, number: int) -> bool:
    holder = _holder(world)
    for _ in range(12):
        held = world.watermarks[INDEX[holder.other]]
        if held is not None and held.aligned and held.data == world.data[INDEX[holder]]:
            return True
        following = [state for _, state in _relay(world, number, Limits())]
        if not following:
            return False
        world = following[0]
    return False


# --- actors ---------------------------------------------------------------------------------------------------------


def _commits(world: World, limits: Limits) -> Iterator[tuple[str, World]]:
    number = len(world.acknowledged)
    if number == limits.commits:
        return
    for side, at in INDEX.items():
        if not world.fenced[at]:
            data = _with(world.data, at, world.data[at] | {number})
            yield (
                f"commit {number} on {side.value}",
                replace(world, data=data, acknowledged=world.acknowledged | {number}),
            )


def _relay(world: World, number: int, limits: Limits) -> Iterator[tuple[str, World]]:
    relay = world.relays[number]
    if relay is None:
        for side in Side:  # whichever phase it has heard of
            unknown = Relay(side, State.UNKNOWN, delivery.FIRST[State.UNKNOWN])
            yield from _read_watermark(world, number, unknown)
        return
    if relay.action is Action.READ:
        yield from _read_watermark(world, number, relay)
        return
    assert relay.action is Action.BATCH, "schemas do not change here"
    yield from _snapshot(world, number, relay) if relay.batch is None else _apply(world, number, relay, limits)


def _snapshot(world: World, number: int, relay: Relay) -> Iterator[tuple[str, World]]:
    """All that was committed; or, where several commits are missing, the first of them."""
    held, authority = relay.held, INDEX[relay.follower.other]
    assert held is not None
    source = world.data[authority]
    missing = source - held.data
    if world.rows[authority].epoch != held.epoch:
        yield f"relay {number} finds another epoch", _next(world, number, relay, Outcome.OVERTAKEN)
    elif held.aligned and not missing:
        yield f"relay {number} finds nothing new", _next(world, number, relay, Outcome.NOTHING)
    else:
        everything = Batch(source, Outcome.COMPLETE)
        yield f"relay {number} reads all", _put(world, number, relay._replace(batch=everything))
        if len(missing) > 1:
            part = Batch(held.data | {min(missing)}, Outcome.PARTIAL)
            yield f"relay {number} reads a part", _put(world, number, relay._replace(batch=part))


def _apply(world: World, number: int, relay: Relay, limits: Limits) -> Iterator[tuple[str, World]]:
    held, batch, follower = relay.held, relay.batch, INDEX[relay.follower]
    assert held is not None
    assert batch is not None
    if world.watermarks[follower] != held and "applies blindly" not in limits.faults:
        yield f"relay {number} is overtaken", _next(world, number, relay, Outcome.OVERTAKEN)
        return
    mark = Mark(held.epoch, batch.data, aligned=batch.outcome is Outcome.COMPLETE)
    data = _with(world.data, follower, mark.data)
    applied = replace(world, data=data, watermarks=_with(world.watermarks, follower, mark))
    yield f"relay {number} applies", _next(applied, number, relay._replace(held=mark), batch.outcome)
    if world.cuts < limits.cuts:
        for moment, state in (("before", world), ("after", applied)):
            cut = replace(state, cuts=world.cuts + 1)
            yield f"relay {number} is cut off {moment} its commit", _next(cut, number, relay, Outcome.LOST)


def _read_watermark(world: World, number: int, relay: Relay) -> Iterator[tuple[str, World]]:
    held = world.watermarks[INDEX[relay.follower]]
    if held is None:
        if world.relays[number] is not None:
            yield f"relay {number} finds no follower", _next(world, number, relay, Outcome.OVERTAKEN)
        return
    outcome = Outcome.FOUND_ALIGNED if held.aligned else Outcome.FOUND_PROGRESSING
    name = f"relay {number} reads the watermark of the {relay.follower.value}"
    yield name, _next(world, number, relay._replace(held=held), outcome)


def _next(world: World, number: int, relay: Relay, outcome: Outcome) -> World:
    """What the relay does after that, by the product's own table; after a look or a stop it begins anew."""
    state, action = delivery.RELAY[relay.state, outcome]
    if action in (Action.LOOK, Action.STOP):
        return _put(world, number, None)
    if action in (Action.WAIT, Action.BACK_OFF):
        action = delivery.FIRST[state]
    held = None if state is State.UNKNOWN else relay.held
    return _put(world, number, Relay(relay.follower, state, action, held))


def _put(world: World, number: int, relay: Relay | None) -> World:
    return replace(world, relays=(*world.relays[:number], relay, *world.relays[number + 1 :]))


def _coordinate(world: World, number: int, limits: Limits) -> Iterator[tuple[str, World]]:
    mind = world.coordinators[number]
    if mind is None:
        return
    name = f"coordinator {number}"
    yield f"{name} dies", _think(world, number, None)
    if mind.source is None:
        yield f"{name} reads the source's row", _think(world, number, Coordinator(source=world.rows[0]))
        return
    if mind.target is None:
        read = replace(mind, target=world.rows[1])
        yield f"{name} reads the target's row", _think(world, number, read)
        return
    if protocol.both_follow(mind.source, mind.target) and mind.source != world.rows[0]:
        yield f"{name} reads both anew", _think(world, number, Coordinator())
        return
    judgement = protocol.judge(mind.source, mind.target)
    leaving = INDEX[judgement.outgoing]
    step = judgement.step
    if step is Step.OPEN and world.moves == limits.moves:
        return
    if step is Step.DECIDE and mind.aligned is None:
        held = world.watermarks[1 - leaving]
        # What `transition` asks of one snapshot of the authority: fenced for this very move, and nothing to carry.
        if world.rows[leaving] == (mind.source, mind.target)[leaving]:
            if held is not None and held.aligned and held.data == world.data[leaving]:
                yield f"{name} finds both aligned", _think(world, number, replace(mind, aligned=held.data))
            elif "decides unaligned" in limits.faults and held is not None:
                yield f"{name} does not look", _think(world, number, replace(mind, aligned=held.data))
        yield f"{name} gives up", _perform(world, Step.ABORT, number, limits)
        return
    yield f"{name} {step.value}s", _perform(world, step, number, limits)


def _lose(world: World, limits: Limits) -> Iterator[tuple[str, World]]:
    """The incoming side falls back to a state from before its move was opened, as an asynchronous standby may."""
    if world.losses == limits.losses:
        return
    for side, at in INDEX.items():
        row = world.rows[at]
        if row.move_state is MoveState.OPEN:
            lost = replace(world, rows=_with(world.rows, at, world.before[at]), losses=world.losses + 1)
            yield f"{side.value} forgets move {row.move}", lost


def _bystand(world: World, limits: Limits) -> Iterator[tuple[str, World]]:
    judgement = protocol.judge(*world.rows)
    wish = BYSTANDER[judgement.step]
    if wish is not None:
        yield f"a bystander {wish.value}s", _write(world, wish, *world.rows, aligned=None, limits=limits)


# --- one transaction ------------------------------------------------------------------------------------------------


def _perform(world: World, step: Step, number: int, limits: Limits) -> World:
    mind = world.coordinators[number]
    assert mind is not None
    assert mind.source is not None
    assert mind.target is not None
    after = _write(world, step, mind.source, mind.target, aligned=mind.aligned, limits=limits)
    return _think(after, number, Coordinator())


def _write(
    world: World, step: Step, source: ControlRow, target: ControlRow, *, aligned: Data | None, limits: Limits
) -> World:
    judgement = protocol.judge(source, target)
    side = judgement.side_of(step)
    at = INDEX[side]
    read = (source, target)
    present = world.rows[at]
    if "writes blindly" in limits.faults:
        present = read[at]
    elif present != read[at]:
        return world
    to = Phase.POSTGRES if judgement.outgoing is Side.SOURCE else Phase.DUAL_WRITE
    try:
        row = protocol.written(step, present, read[1 - at], Move(number=judgement.move, to=to, deadline=0.0))
    except KeyError:
        return world
    fenced, marks, heads = world.fenced, world.watermarks, world.heads
    if step is Step.FENCE:
        fenced = _with(fenced, at, True)
    elif step is Step.UNFENCE:
        fenced = _with(fenced, at, False)
    elif step is Step.DECIDE:
        held = marks[at]
        if held is None or held.data != aligned or not (held.aligned or "decides unaligned" in limits.faults):
            return world
        fenced, marks, heads = _with(fenced, at, False), _with(marks, at, None), _with(heads, at, world.data[at])
    elif step is Step.SETTLE:
        marks = _with(marks, at, Mark(row.epoch, heads[1 - at], aligned=True))
    if step is Step.OPEN:
        world = replace(world, moves=world.moves + 1, before=_with(world.before, at, present))
    return replace(world, rows=_with(world.rows, at, row), fenced=fenced, watermarks=marks, heads=heads)


def _think(world: World, number: int, mind: Coordinator | None) -> World:
    minds = world.coordinators
    return replace(world, coordinators=(*minds[:number], mind, *minds[number + 1 :]))


def _with(pair: tuple[T, T], at: int, value: T) -> tuple[T, T]:
    return (value, pair[1]) if at == 0 else (pair[0], value)
