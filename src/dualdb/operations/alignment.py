"""Whether a mirror that was begun was also finished."""

from __future__ import annotations

from dualdb.errors import OvertakenError
from dualdb.stores.pair import Pair


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
