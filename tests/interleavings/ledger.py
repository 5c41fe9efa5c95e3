"""A writer's ledger: what it set out to do, what was acknowledged, what was refused. Knows no database.

Appended to with one `write` per line, so what stands there was true when its process was killed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Operation:
    """One operation of one writer."""

    writer: str
    number: int
    kind: str
    removes: int | None = None
    """The number of the operation whose rows this one deletes."""
    acknowledged: bool = False
    rowid: int | None = None
    """Of its first row, as it was told."""
    error: str | None = None
    """Class and message of what it got instead."""
    began_at: float = 0.0
    ended_at: float | None = None

    @property
    def refused(self) -> bool:
        """Whether it was told that nothing has happened: an application tries such an operation again."""
        return not self.acknowledged and self.error is not None and "database is locked" in self.error


class Ledger:
    """Where a writer appends."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **entry: Any) -> None:  # noqa: ANN401 - JSON
        """Append an entry."""
        os.write(self._descriptor, (json.dumps(entry) + "\n").encode())


def read_ledger(path: Path) -> list[Operation]:
    """The operations of a ledger, in their order."""
    found: dict[int, Operation] = {}
    if not path.exists():
        return []
    for line in path.read_text(encoding="utf-8").splitlines():
        _enter(found, path.stem, json.loads(line))
    return list(found.values())


def _enter(found: dict[int, Operation], writer: str, entry: Mapping[str, Any]) -> None:
    number, at = entry["number"], entry["at"]
    if entry["what"] == "intent":
        found[number] = Operation(
            writer=writer, number=number, kind=entry["kind"], removes=entry.get("removes"), began_at=at
        )
        return
    operation = found[number]
    operation.ended_at = at
    if entry["what"] == "acknowledged":
        operation.acknowledged, operation.rowid = True, entry.get("rowid")
    else:
        operation.error = entry["error"]
