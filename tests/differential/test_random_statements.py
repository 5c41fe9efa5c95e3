"""Random expressions over columns of every class: refused, or answered as SQLite answers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dualdb.core.statement import Kind
from dualdb.core.translate import Refused
from tests.differential.test_answers import SCRIPT
from tests.differential.twins import twins_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.differential.twins import Twins

COLUMNS: Mapping[str, Sequence[str]] = {
    "integer": ("n", "id", "flag"),
    "real": ("r",),
    "text": ("name", "mixed"),
    "number": ("d",),
    "time": ("made",),
    "blob": ("raw",),
}
LITERALS: Mapping[str, Sequence[str]] = {
    "integer": ("0", "1", "7", "(-7)", "10", "3"),
    "real": ("0.1", "2.5", "(-1.5)", "3.0", "0.0", "1e3"),
    "text": ("'alpha'", "'ABC'", "''", "'10'", "'%a%'", "'a_b%c'", "'ß'"),
    "number": ("1", "2.5", "0", "100"),
    "time": ("'2024-01-01'", "'x'"),
    "blob": ("x'00ff'",),
}
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "IS", "IS NOT", "==", "!=")


class Statements:
    """Makes statements from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def statement(self) -> str:
        """A query over job, with or without aggregates."""
        one = self.pick
        match self.random.randrange(10):
            case 0 | 1:
                return f"SELECT {self.aggregate()}, {self.aggregate()} FROM job WHERE {self.condition(2)}"
            case 2:
                term = self.value(one("integer", "text"), 1)
                return (
                    f"SELECT {term}, {self.aggregate()} FROM job WHERE {self.condition(1)} GROUP BY {term} ORDER BY 1"
                )
            case _:
                values = f"{self.value(one('integer', 'real', 'text'), 3)}, {self.condition(2)}"
                order = self.value(one("integer", "real", "text", "number"), 1)
                return f"SELECT id, {values} FROM job WHERE {self.condition(2)} ORDER BY {order}, id"

    def pick(self, *choices: str) -> str:
        """One of them."""
        return self.random.choice(choices)

    def value(self, kind: str, depth: int) -> str:
        """An expression of that class."""
        if depth <= 0 or self.random.random() < 0.25 or kind in {"number", "time", "blob"}:
            return self.random.choice(COLUMNS[kind] if self.random.random() < 0.7 else LITERALS[kind])
        makers = {"integer": self._integer, "real": self._real, "text": self._text}
        return self.random.choice(makers[kind](depth - 1))()

    def _integer(self, depth: int) -> list[Callable[[], str]]:
        value = self.value
        return [
            lambda: f"({value('integer', depth)} {self.pick(*'+-*/%&|')} {value('integer', depth)})",
            lambda: f"abs({value('integer', depth)})",
            lambda: f"length({value('text', depth)})",
            lambda: self.condition(depth),
            lambda: f"coalesce({value('integer', depth)}, {value('integer', depth)})",
            lambda: f"CASE WHEN {self.condition(depth)} THEN {value('integer', depth)} ELSE {value('integer', 0)} END",
            lambda: f"-({value('integer', 0)})",
            lambda: f"CAST({value(self.pick('integer', 'real', 'text', 'number'), depth)} AS INTEGER)",
            lambda: f"instr({value('text', depth)}, {value('text', depth)})",
            lambda: f"nullif({value('integer', depth)}, {value('integer', depth)})",
        ]

    def _real(self, depth: int) -> list[Callable[[], str]]:
        value = self.value
        return [
            lambda: f"({value('real', depth)} {self.pick(*'+-*/')} {value(self.pick('real', 'integer'), depth)})",
            lambda: f"round({value(self.pick('real', 'integer', 'number'), depth)}, {self.random.randrange(4)})",
            lambda: f"abs({value('real', depth)})",
            lambda: f"CAST({value('integer', depth)} AS REAL)",
            lambda: f"ifnull({value('real', depth)}, {value('real', depth)})",
        ]

    def _text(self, depth: int) -> list[Callable[[], str]]:
        value = self.value
        return [
            lambda: f"({value('text', depth)} || {value(self.pick('text', 'integer'), depth)})",
            lambda: f"{self.pick('lower', 'upper', 'trim', 'ltrim', 'rtrim')}({value('text', depth)})",
            lambda: f"substr({value('text', depth)}, {value('integer', 0)}, {value('integer', 0)})",
            lambda: f"substr({value('text', depth)}, {value('integer', 0)})",
            lambda: f"replace({value('text', depth)}, {value('text', 0)}, {value('text', 0)})",
            lambda: f"CAST({value('integer', depth)} AS TEXT)",
            lambda: f"iif({self.condition(depth)}, {value('text', depth)}, {value('text', depth)})",
            lambda: f"typeof({value(self.pick('integer', 'real', 'text'), depth)})",
        ]

    def condition(self, depth: int) -> str:
        """A comparison, a test or a combination of them."""
        kind, value = self.pick(*COLUMNS), self.value
        negated = self.pick("", "NOT ")
        if depth <= 0:
            return f"({value('integer', 0)} {self.pick(*COMPARISONS)} {value('integer', 0)})"
        members = ", ".join(self.pick("NULL", value(kind, 0), value("integer", 0)) for _ in range(3))
        return self.random.choice(
            [
                f"({value(kind, depth)} {self.pick(*COMPARISONS)} {value(kind, depth)})",
                f"({value(kind, depth)} {self.pick(*COMPARISONS)} {value(self.pick(*COLUMNS), depth)})",
                f"({self.condition(depth - 1)} {self.pick('AND', 'OR')} {self.condition(depth - 1)})",
                f"(NOT {self.condition(depth - 1)})",
                f"({value(kind, depth)} {negated}BETWEEN {value(kind, depth)} AND {value(kind, depth)})",
                f"({value(kind, depth)} {negated}IN ({members}))",
                f"({value(self.pick('text', 'integer'), depth)} {negated}LIKE {value('text', depth)})",
                f"({value('text', 0)} {negated}GLOB {self.pick(*GLOBS)})",
                f"({value(kind, depth)} IS {negated}NULL)",
                f"(id IN (SELECT job_id FROM part WHERE weight > {value('real', 0)}))",
                f"({value('text', depth)} COLLATE {self.pick('NOCASE', 'RTRIM', 'BINARY')} < {value('text', depth)})",
            ]
        )

    def aggregate(self) -> str:
        """An aggregate function's call."""
        term = self.value(self.pick("integer", "real", "text", "number"), 1)
        return self.pick(*(f"{name}({term})" for name in AGGREGATES), f"count(DISTINCT {term})")


GLOBS = ("'*a*'", "'?b*'", "'[a-c]*'")
AGGREGATES = ("count", "min", "max", "sum", "avg", "total")


@pytest.fixture
def twins(target: psycopg.Connection[Any]) -> Twins:
    """The jobs in both engines."""
    return twins_of(SCRIPT, target)


@pytest.mark.parametrize("seed", range(3))
def test_random_statements(twins: Twins, seed: int) -> None:
    """A statement that is not refused gives SQLite's answer, or an error where PostgreSQL's numbers end earlier."""
    statements, answered = Statements(seed), 0
    for _ in range(120):
        sql = statements.statement()
        try:
            plan = twins.plan(sql)
        except Refused:
            continue
        if plan.kind is not Kind.READ or plan.notes or twins.on_source(sql).error is not None:
            continue
        try:
            twins.compare(sql)
        except psycopg.errors.NumericValueOutOfRange:
            continue
        answered += 1
    assert answered > 50
