"""What every benchmark is given: a server, how many rows, the comparison, and the table at the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest

from benchmarks.interleaving import Comparison, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    from benchmarks.interleaving import Way

pytest_plugins = ("tests.plugins.run", "tests.plugins.database", "tests.plugins.timescale", "tests.plugins.target")

_COMPARISONS = pytest.StashKey[list[Comparison]]()
_REMARKS = pytest.StashKey[list[str]]()


class Compare(Protocol):
    """Measures two ways of doing one thing by turns."""

    def __call__(
        self,
        label: str,
        *,
        control: Way,
        candidate: Way,
        work: int,
        unit: str = "rows",
    ) -> Comparison:
        """Run both after one round to warm up, and put the ratio into the table."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How large and for how long."""
    group = parser.getgroup("dualdb benchmarks")
    group.addoption("--rows", type=int, default=200_000, help="rows of the tables that are copied and verified")
    group.addoption("--rounds", type=int, default=7, help="rounds of each comparison, after one to warm up")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with an empty table."""
    config.stash[_COMPARISONS] = []
    config.stash[_REMARKS] = []


@pytest.fixture
def row_count(pytestconfig: pytest.Config) -> int:
    """How many rows a large table has."""
    return int(pytestconfig.getoption("--rows"))


@pytest.fixture
def remark(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Puts a line below the table."""
    return pytestconfig.stash[_REMARKS].append


@pytest.fixture
def compare(pytestconfig: pytest.Config, benchmark: BenchmarkFixture) -> Compare:
    """The comparison; pytest-benchmark counts the rounds and keeps both times of each in its JSON."""

    def measure(label: str, *, control: Way, candidate: Way, work: int, unit: str = "rows") -> Comparison:
        turns = Turns(control, candidate)
        turns.round()
        turns.forget()
        rounds = int(pytestconfig.getoption("--rounds"))
        benchmark.pedantic(turns.round, rounds=rounds, iterations=1)  # type: ignore[no-untyped-call]
        comparison = Comparison(
            label=label,
            work=work,
            unit=unit,
            control_name=control.name,
            candidate_name=candidate.name,
            control_s=turns.control_s,
            candidate_s=turns.candidate_s,
        )
        benchmark.extra_info.update(
            ratio=comparison.ratio, control_s=turns.control_s, candidate_s=turns.candidate_s, label=label
        )
        pytestconfig.stash[_COMPARISONS].append(comparison)
        return comparison

    return measure


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table: how many times as long the candidate takes, and what that is per second."""
    comparisons = config.stash[_COMPARISONS]
    if not comparisons and not config.stash[_REMARKS]:
        return
    write = terminalreporter.write_line
    terminalreporter.section(f"ratios of one run, {os.cpu_count()} cores; below 1 the candidate is quicker")
    width = max((len(one.label) for one in comparisons), default=0)
    for one in comparisons:
        low, high = one.interval
        write(
            f"{one.label:{width}}  {one.ratio:5.2f}  [{low:.2f}–{high:.2f}]"
            f"  {one.candidate_name} {_rate(one.rate(one.candidate_s), one.unit)}"
            f" against {one.control_name} {_rate(one.rate(one.control_s), one.unit)}"
        )
    for line in config.stash[_REMARKS]:
        write(line)


def _rate(per_second: float, unit: str) -> str:
    return f"{per_second:,.0f} {unit}/s" if unit else f"{1000 / per_second:,.3f} ms"
