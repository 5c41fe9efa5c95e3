"""What SQLite applications write is answered by PostgreSQL as by SQLite, or refused; never otherwise unnoticed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.differential.case_files import FAMILIES, FOLDER, read_family
from tests.differential.cases import count, judge_family, place, table
from tests.differential.verdicts import Outcome, ask
from tests.generators.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.differential.cases import Place

RATCHET = {
    "values": 213,
    "text": 181,
}
"""How many cases of each family are equal: a number may only grow."""
BAD = (Outcome.ERROR, Outcome.DIFFERENT)
KNOWN = FOLDER / "known.txt"


@pytest.fixture
def fresh(new_target: Callable[[], AbstractContextManager[str]], tmp_path: Path) -> Callable[[], object]:
    """Gives an empty place each time that it is entered."""
    made = iter(range(1000))

    @contextmanager
    def fresh() -> Iterator[Place]:
        folder = tmp_path / f"{next(made)}"
        folder.mkdir()
        with new_target() as dsn:
            yield place(folder, dsn)

    return fresh


def _known() -> list[str]:
    """The lines of the list of what is known to end badly: `outcome family: case`."""
    return [line for line in KNOWN.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_answered_alike_or_refused(name: str, fresh: Callable[[], AbstractContextManager[Place]]) -> None:
    """Nothing comes out differently but what is on the list, all of which does; and no fewer are equal than were."""
    family = read_family(name)
    verdicts = judge_family(family, fresh)
    print(table(family, verdicts))
    bad = [f"{verdict.outcome.value} {name}: {case}" for case, verdict in verdicts.items() if verdict.outcome in BAD]
    assert sorted(bad) == sorted(line for line in _known() if line.split()[1] == f"{name}:")
    assert count(verdicts)[Outcome.EQUAL] >= RATCHET[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_made_of_many_different_cases(name: str) -> None:
    """At least ten of each word, and none twice."""
    family = read_family(name)
    few = [word for word in family.words if sum(case.word == word for case in family.cases) < 10]
    texts = [str(case) for case in family.cases]
    assert (few, [text for text in texts if texts.count(text) > 1]) == ([], [])


@pytest.mark.parametrize("name", FAMILIES)
def test_sqlite_executes_what_it_is_said_to(name: str) -> None:
    """A case raises an error where it says so, and nowhere else."""
    family = read_family(name)
    wrong = []
    for case in family.cases:
        plain = scratch()
        for statement in family.setup:
            plain.execute(statement)
        answers = [ask(plain, call) for call in case.calls]
        wrong += [
            (call, answer) for call, answer in zip(case.calls, answers, strict=True) if answer.error != call.raises
        ]
    assert wrong == []


def test_the_list_of_the_known_names_families() -> None:
    """A line that belongs to no family would be on the list for ever."""
    assert {line.split()[1].removesuffix(":") for line in _known()} <= set(FAMILIES)
    assert RATCHET.keys() == set(FAMILIES)
