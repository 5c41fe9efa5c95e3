"""Two ways to do one thing, run by turns, and the ratio of their times; knows nothing of what they do."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Times of both, round by round."""

    label: str
    work: int
    """How many of `unit` one round does."""
    unit: str
    control_name: str
    candidate_name: str
    control_s: Sequence[float]
    candidate_s: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """Per round, how many times as long the candidate took: neighbours in time, so that both met the same noise."""
        return [candidate / control for control, candidate in zip(self.control_s, self.candidate_s, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where 95 % of the medians of resampled rounds lie."""
        source = random.Random(0)
        ratios = self.ratios
        medians = [median(source.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES)]
        cuts = quantiles(medians, n=40)
        return cuts[0], cuts[-1]

    def rate(self, seconds: Sequence[float]) -> float:
        """Work per second in the median round."""
        return self.work / median(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of doing it."""

    name: str
    run: Callable[[], object]
    before: Callable[[], object] | None = None
    """Done before each run and not timed."""


class Turns:
    """Runs control and candidate by turns; who begins changes with each round."""

    def __init__(self, control: Way, candidate: Way) -> None:
        self.control_s: list[float] = []
        self.candidate_s: list[float] = []
        self._ways = [(control, self.control_s), (candidate, self.candidate_s)]

    def round(self) -> None:
        """Each of the two once."""
        for way, seconds in self._ways:
            if way.before is not None:
                way.before()
            began = time.perf_counter()
            way.run()
            seconds.append(time.perf_counter() - began)
        self._ways.reverse()

    def forget(self) -> None:
        """Drop the times so far: they were for warming up."""
        self.control_s.clear()
        self.candidate_s.clear()
