"""Two sides that follow each other, and people who choose at the same time: one goes on, in every interleaving.

Walks the product's own tables as `explorer` does, from the pairs of control rows that a backup leaves behind.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from dualdb.core import phase as protocol
from dualdb.core.phase import BYSTANDER, CHOICE, Choice, ControlRow, Move, MoveState, Phase, Side, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dualdb.core.phase import Judgement

Rows = tuple[ControlRow, ControlRow]
T = TypeVar("T")
TO = {Side.SOURCE: Phase.DUAL_WRITE, Side.TARGET: Phase.POSTGRES}


def row(epoch: int, phase: Phase, move: int, state: MoveState = MoveState.REST) -> ControlRow:
    """A control row."""
    return ControlRow(source_id="s", epoch=epoch, phase=phase, move=move, move_state=state)


STARTS = {
    "the file is old": (row(3, Phase.POSTGRES, 1), row(4, Phase.DUAL_WRITE, 2)),
    "the file is old and had opened a move": (
        row(3, Phase.POSTGRES, 3, MoveState.OPEN),
        row(4, Phase.DUAL_WRITE, 4, MoveState.ABORTED),
    ),
    "PostgreSQL is old": (row(3, Phase.POSTGRES, 1), row(2, Phase.DUAL_WRITE, 0)),
    "PostgreSQL is old and had opened the move": (
        row(3, Phase.POSTGRES, 1),
        row(2, Phase.DUAL_WRITE, 1, MoveState.OPEN),
    ),
    "PostgreSQL is of an earlier switch": (
        row(5, Phase.POSTGRES, 3),
        row(3, Phase.POSTGRES, 1, MoveState.TAKEN),
    ),
    "PostgreSQL is of an earlier way back": (
        row(5, Phase.POSTGRES, 3),
        row(3, Phase.POSTGRES, 2, MoveState.MOVING),
    ),
}


@dataclass(frozen=True, slots=True)
class Mind:
    """What somebody has read; `wish` is the side they choose, None for a bystander."""

    wish: Side | None
    source: ControlRow | None = None
    target: ControlRow | None = None
    sure: bool = False
    """The source's row was still the same after the target's was read."""


@dataclass(frozen=True, slots=True)
class World:
    """Both rows, whose writes are refused, and who is at work."""

    rows: Rows
    fenced: tuple[bool, bool]
    minds: tuple[Mind, ...]
    decided: Side | None = None


def explore(start: Rows, check: Callable[[World, int], None] | None = None) -> set[World]:
    """Every state that is reached; raises AssertionError where a promise is broken."""
    minds = (Mind(Side.SOURCE), Mind(Side.TARGET), Mind(None))
    first = World(start, (True, start[1].phase is not Phase.POSTGRES), minds)
    seen, queue = {first}, deque([first])
    while queue:
        world = queue.popleft()
        (check or check_all)(world, max(known.epoch for known in start))
        for following in successors(world):
            if following not in seen:
                seen.add(following)
                queue.append(following)
    return seen


def check_one(world: World, _epoch: int) -> None:
    """The least that holds in every state."""
    assert any(world.fenced), "two authorities"


def check_all(world: World, epoch: int) -> None:
    """All that holds in every state."""
    check_one(world, epoch)
    source, target = world.rows
    if world.decided is None:
        assert protocol.both_follow(source, target)
        return
    decided = world.decided
    for _ in range(3):  # whoever comes by brings it to its end, and never elsewhere
        following = list(act(world, Mind(None, *world.rows, sure=True), 2))
        if not following:
            break
        (world,) = following
    source, target = world.rows
    authority = source if decided is Side.SOURCE else target
    assert authority.epoch > epoch
    assert source.phase is target.phase is TO[decided]
    assert source.epoch == target.epoch
    assert world.fenced == (decided is Side.TARGET, decided is Side.SOURCE)


def successors(world: World) -> Iterator[World]:
    """Every state that one action of somebody leads to; each of them may also stop for ever."""
    for number, mind in enumerate(world.minds):
        if mind.source is None:
            yield think(world, number, replace(mind, source=world.rows[0]))
        elif mind.target is None:
            yield think(world, number, replace(mind, target=world.rows[1]))
        elif protocol.both_follow(mind.source, mind.target) and not mind.sure:
            same = mind.source == world.rows[0]
            yield think(world, number, replace(mind, sure=True) if same else Mind(mind.wish))
        else:
            yield from act(world, mind, number)


def act(world: World, mind: Mind, number: int) -> Iterator[World]:
    """The one transaction that follows from what was read."""
    assert mind.source is not None
    assert mind.target is not None
    source, target = mind.source, mind.target
    torn = protocol.both_follow(source, target)
    if torn and target.move_state is not MoveState.YIELDED:
        if mind.wish is not None:
            judgement = protocol.chosen(source, target, mind.wish)
            yield think(write(world, judgement, mind), number, Mind(mind.wish))
        return
    if protocol.restored(source, target) is Side.SOURCE:
        yield think(demote(world, source, target), number, Mind(mind.wish))
        return
    judgement = protocol.judge(source, target)
    if BYSTANDER[judgement.step] is judgement.step:
        yield think(write(world, judgement, mind), number, Mind(mind.wish))


def write(world: World, judgement: Judgement, mind: Mind) -> World:
    """As `Control.perform` does it: compare and set one row."""
    step, side = judgement.step, judgement.side_of(judgement.step)
    at = 0 if side is Side.SOURCE else 1
    read = (mind.source, mind.target)
    other = read[1 - at]
    assert other is not None
    if world.rows[at] != read[at]:
        return world
    assert judgement.leads_to is not None or step is Step.SETTLE
    to = judgement.leads_to or other.phase
    try:
        after = protocol.written(step, world.rows[at], other, Move(number=judgement.move, to=to, deadline=0.0))
    except KeyError:
        return world
    decided = world.decided
    if decided is None:
        decided = next(goes_on for goes_on, first in CHOICE.items() if first.step is step)
    fenced = {Step.TAKE: False, Step.YIELD: True}.get(step, world.fenced[at])
    return replace(world, rows=put(world.rows, at, after), fenced=put(world.fenced, at, fenced), decided=decided)


def demote(world: World, source: ControlRow, target: ControlRow) -> World:
    """As `stores.lineage.demote`."""
    if world.rows[0] != source:
        return world
    after = replace(
        source,
        epoch=target.epoch,
        phase=target.phase,
        move=target.move,
        move_state=MoveState.REST,
        move_to=None,
        deadline=None,
    )
    return replace(world, rows=put(world.rows, 0, after), fenced=put(world.fenced, 0, True))


def put(pair: tuple[T, T], at: int, value: T) -> tuple[T, T]:
    """The pair with another value in that place."""
    return (value, pair[1]) if at == 0 else (pair[0], value)


def think(world: World, number: int, mind: Mind) -> World:
    """The world with somebody else's thoughts."""
    return replace(world, minds=(*world.minds[:number], mind, *world.minds[number + 1 :]))


@pytest.mark.parametrize("start", STARTS)
def test_one_goes_on_and_the_other_follows(start: str) -> None:
    """Never two authorities, nothing without a choice, and what was decided is what everybody comes to."""
    found = explore(STARTS[start])
    assert {world.decided for world in found} == {None, Side.SOURCE, Side.TARGET}


def test_the_walk_finds_that_each_side_decides_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the file taken by its own row, and PostgreSQL by its own, both could be."""
    monkeypatch.setitem(protocol.CHOICE, Side.SOURCE, Choice(Step.TAKE, Phase.DUAL_WRITE))
    with pytest.raises(AssertionError, match="two authorities"):
        explore(STARTS["the file is old"], check_one)


def test_the_walk_finds_a_wrong_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables that the product obeys are the ones walked: who settles instead of taking leaves no authority."""
    monkeypatch.setitem(protocol.FOLLOWS_NOBODY, MoveState.YIELDED, Step.SETTLE)
    with pytest.raises((AssertionError, KeyError)):
        explore(STARTS["the file is old"])
