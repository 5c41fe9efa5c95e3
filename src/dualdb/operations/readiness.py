"""What stands in the way of a phase: each blocker with its reason and what to do about it."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from dualdb.core.capture import blockers
from dualdb.core.phase import Phase
from dualdb.core.translate.ddl import target_ddl
from dualdb.errors import PhaseError
from dualdb.stores.catalog import read_schema
from dualdb.stores.target_shape import Extent, find_changes

if TYPE_CHECKING:
    from dualdb.core.schema import Schema
    from dualdb.stores.control import Control


def check(control: Control, phase: Phase) -> None:
    """Raise PhaseError with the first blocker of that phase and the way to the others."""
    found = find_blockers(read_schema(control.source), phase, control.facts.target_schema)
    if control.facts.row.phase is not Phase.SQLITE:  # where all of it is made anew
        extent = Extent.NEEDED if control.facts.row.phase is Phase.POSTGRES else Extent.WHOLE
        found += find_changes(control.target, control.database, extent)
    if found:
        others = f"; {len(found) - 1} more: dualdb status {quote(control.database)}" if len(found) > 1 else ""
        message = f"phase {phase.value} is blocked: {found[0]}{others}"
        raise PhaseError(message)


def find_blockers(schema: Schema, phase: Phase, target_schema: str) -> list[str]:
    """What the schema itself holds against a phase, each with its remedy; rows and verification are not looked at."""
    found = [problem for table in schema.tables.values() for problem in blockers(table, schema.triggers)]
    if phase is Phase.POSTGRES:
        found += [
            f"trigger {trigger.name} of table {trigger.table} does not run on PostgreSQL yet;"
            " move its work into the application, or stay in dual_write"
            for trigger in schema.triggers
        ]
        found += [
            f"{name} cannot be translated: {reason}; change or drop it, or stay in dual_write"
            for name, reason in target_ddl(schema, target_schema).refusals
        ]
    return found
