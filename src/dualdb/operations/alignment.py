"""Whether, and at which watermark, the follower equals the authority."""

from __future__ import annotations

from dualdb.errors import OvertakenError
from dualdb.stores.pair import Pair


def covering_mark(pair: Pair) -> str | None:
    """The watermark's position, if the follower is aligned there and the authority has nothing newer; else None."""
    held = pair.follower.watermark()
    if not held.aligned:
        return None
    with pair.authority.snapshot() as snapshot:
        changes = snapshot.changes(held.position, 1)
        same = snapshot.epoch == held.epoch and snapshot.schema.version == held.schema_version and snapshot.proven
    nothing = changes.complete and not any(changes.keys.values()) and not changes.restarts
    return held.position if same and nothing else None


def was_aligned(database: str) -> bool:
    """Whether the copy of every table is done: the follower only has to keep up from here."""
    with Pair.open(database) as pair:
        try:
            held = pair.follower.watermark()
        except OvertakenError:  # it follows nobody: the mirror was begun and not finished
            return False
        if held.epoch != pair.facts.row.epoch:
            return False
    return all(copy.done for copy in held.copies.values()) and (held.aligned or bool(held.copies))
