"""The file beside the database in which rows are kept that a repair is about to delete or overwrite on the follower.

A file of JSON lines, not a table: it outlives both databases, blocks no phase as a quarantine does, needs no lock of
the follower's, and can be read by anybody with any tool. Each line names the side, the table, how the row differed and
its key, and holds the row as `core.types.encode_row` writes it: exact to the bit, each value with its storage class.
Only the user that repairs may read it. Knows no database.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from dualdb.core.types import encode_row
from dualdb.stores.beside import make_beside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dualdb.core.compare import Difference
    from dualdb.core.phase import Side
    from dualdb.core.schema import Table


class KeptRows:
    """The rows that one repair takes away."""

    def __init__(self, database: str, side: Side) -> None:
        """Of the side that follows; no file is made before there is a row."""
        self.path: str | None = None
        self.count = 0
        self._database = database
        self._side = side

    def keep(self, table: Table, found: Iterable[Difference]) -> None:
        """Write the follower's rows of these differences; on return they are on the disk."""
        lines = [line for one in found if (line := self._line(table, one)) is not None]
        if not lines:
            return
        if self.path is None:
            self.path = make_beside(self._database, "repaired", ".jsonl")
        with open(self.path, "ab") as file:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        self.count += len(lines)

    def _line(self, table: Table, found: Difference) -> bytes | None:
        if found.candidate is None:
            return None
        row = json.loads(encode_row(table.carried, found.candidate))
        line = {
            "side": self._side.value,
            "table": table.name,
            "kind": found.kind.value,
            "key": json.loads(encode_row(table.key.columns, found.key)),
            "row": row,
        }
        return json.dumps(line).encode("ascii") + b"\n"
