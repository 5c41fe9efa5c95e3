"""Whether, and at which watermark, the follower equals the authority."""

from __future__ import annotations

from dualdb.stores.pair import Pair


def covering_mark(pair: Pair) -> str | None:
    """The watermark's position, if the follower is aligned there and the authority has nothing newer; else None."""
    held = pair.follower.watermark()
    if not held.aligned:
        return None
    with pair.authority.snapshot() as snapshot:
        changes = snapshot.changes(held.position, 1)
    return held.position if changes.complete and not any(changes.keys.values()) else None


def was_aligned(database: str) -> bool:
    """Whether the copy of every table is done: the follower only has to keep up from here."""
    with Pair.open(database) as pair:
        held = pair.follower.watermark()
    return all(copy.done for copy in held.copies.values()) and (held.aligned or bool(held.copies))
