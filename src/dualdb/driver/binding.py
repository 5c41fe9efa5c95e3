"""Parameters as `sqlite3` binds them: SQLite itself is asked, on a private database that only ever binds.

Adapters, `__conform__`, subclasses, buffers, NaN, integers beyond 64 bits, a wrong number of parameters, missing names:
all of it is CPython's own code and messages. What a value becomes for PostgreSQL afterwards is the plan's affair.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from dualdb.core.schema import TargetType
from dualdb.core.types import apply_affinity, representable, to_target
from dualdb.driver.failure import refused
from dualdb.stores.private_database import private_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.statement import Parameter, Target
    from dualdb.driver.placeholders import Placeholders

    Bound = Mapping[int | str, Any]

_CLASSES = {int: TargetType.BIGINT, float: TargetType.DOUBLE, str: TargetType.TEXT, bytes: TargetType.BYTEA}


class UnstorableError(Exception):
    """PostgreSQL cannot hold a bound value where the plan puts it; the message says which and why."""


class Binder:
    """Binds on a database of its own; belongs to one connection, since two threads would mix a statement's values."""

    __slots__ = ("_database",)

    def __init__(self) -> None:
        self._database = private_database()

    def bind(self, placeholders: Placeholders, parameters: Any) -> Bound:
        """The values that SQLite would have been given; raises whatever sqlite3 raises."""
        if not placeholders.keys and type(parameters) is tuple and not parameters:
            return {}
        if placeholders.clash:
            cause = f"the parameter {placeholders.clash} has the name of another one, behind another sign"
            raise refused(cause, "give each a name of its own")
        rows = self._database.execute(placeholders.probe, parameters).fetchall()
        return dict(zip(placeholders.keys, chain.from_iterable(rows), strict=False))

    def close(self) -> None:
        """Close the private database."""
        self._database.close()


def classes_of(bound: Bound) -> dict[int | str, TargetType]:
    """The storage classes of the bound values, NULLs left out."""
    return {source: _CLASSES[type(value)] for source, value in bound.items() if value is not None}


def values_of(step: Target, bound: Bound) -> Sequence[Any] | None:
    """One step's parameters, as its columns store them, None when it has none; raises UnstorableError."""
    if not step.parameters:
        return None
    return [_stored(parameter, bound[parameter.source]) for parameter in step.parameters]


def _stored(parameter: Parameter, value: Any) -> Any:
    if parameter.affinity is not None:
        value = apply_affinity(value, parameter.affinity)
    if parameter.stored is not None:
        reason = representable(value, parameter.stored)
        if reason is not None:
            raise UnstorableError(f"{parameter.column or 'a parameter'} cannot take this value on PostgreSQL: {reason}")
        value = to_target(value, parameter.stored)
    return value
