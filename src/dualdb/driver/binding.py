"""Parameters as `sqlite3` binds them: SQLite itself is asked, on a private database that only ever binds.

Adapters, `__conform__`, subclasses, buffers, NaN, integers beyond 64 bits, a wrong number of parameters, missing names:
all of it is CPython's own code and messages. What a value becomes for PostgreSQL afterwards is a plan's affair.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import significant
from dualdb.core.types import apply_affinity, representable
from dualdb.driver.failure import refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.statement import Parameter, Plan, Target

_PER_SELECT = 1000  # SQLite's columns of a result are bounded by 2,000


class Placeholders:
    """A statement's placeholders, in the order of the text."""

    __slots__ = ("keys", "probe")

    def __init__(self, sql: str) -> None:
        texts = [token.text for token in significant(sql) if token.kind == "param"]
        self.keys = _keys(texts)
        """What each one is called in a plan: its 0-based position, or its name."""
        self.probe = _probe(texts)
        """A statement with the same placeholders that returns what was bound to each."""


class Binder:
    """Binds on a database of its own; belongs to one connection, as statements in use by two threads get mixed up."""

    __slots__ = ("_database",)

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def bind(self, placeholders: Placeholders, parameters: Any) -> Mapping[int | str, Any]:
        """The values that SQLite would have been given; raises whatever sqlite3 raises."""
        if not placeholders.keys and type(parameters) is tuple and not parameters:
            return {}
        row = self._database.execute(placeholders.probe, parameters).fetchone()
        return dict(zip(placeholders.keys, row, strict=False))

    def close(self) -> None:
        """Close the private database."""
        self._database.close()


def values_of(step: Target, bound: Mapping[int | str, Any]) -> Sequence[Any] | None:
    """One step's parameters, as its columns store them; raises NotSupportedError for what PostgreSQL cannot hold."""
    if not step.parameters:
        return None
    return [_stored(parameter, bound[parameter.source]) for parameter in step.parameters]


def check_plan(plan: Plan, placeholders: Placeholders) -> bool:
    """Whether every parameter that the plan asks for is one of the statement's placeholders."""
    known = set(placeholders.keys)
    return all(parameter.source in known for step in plan.steps for parameter in step.parameters)


def _stored(parameter: Parameter, value: Any) -> Any:
    if parameter.affinity is not None:
        value = apply_affinity(value, parameter.affinity)
    if parameter.stored is not None:
        reason = representable(value, parameter.stored)
        if reason is not None:
            raise refused(
                f"{parameter.column or 'a column'} cannot take this value on PostgreSQL: {reason}",
                "correct the value, or stay on SQLite: dualdb rollback",
            )
    return value


def _keys(texts: Sequence[str]) -> list[int | str]:
    keys: list[int | str] = []
    numbers: dict[str, int] = {}
    highest = 0
    for text in texts:
        if text == "?":
            highest += 1
            keys.append(highest - 1)
        elif text[0] == "?":
            number = int(text[1:])
            highest = max(highest, number)
            keys.append(number - 1)
        else:
            if text not in numbers:
                highest += 1
                numbers[text] = highest
            keys.append(text[1:])
    return keys


def _probe(texts: Sequence[str]) -> str:
    if not texts:
        return "SELECT 1 WHERE 0"
    if len(texts) <= _PER_SELECT:
        return "SELECT " + ", ".join(texts)
    # Beyond the limit on columns a row value of several rows would lose the storage classes; a table of them does not.
    return "SELECT " + ", ".join(texts[:_PER_SELECT])
