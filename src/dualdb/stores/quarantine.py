"""Rows that a follower could not hold, read a few at a time: many may wait there, and each may be large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dualdb.core.delivery import PAGE, PAGE_BYTES
from dualdb.core.store import CONFLICT
from dualdb.core.types import decode_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dualdb.core.schema import Table
    from dualdb.core.store import Key

    Held = tuple[int, str, str, bytes]
    """A row in quarantine: its table's number, key, reason and image."""
    Ask = Callable[[Mapping[str, Any]], list[Held]]
    """Runs the query `quarantined` of a follower with these parameters."""


def read_quarantine(ask: Ask, reason: str = "") -> Iterator[Held]:
    """The rows whose reason begins so, by table and key."""
    tbl, key = -1, ""
    while page := ask({"tbl": tbl, "key": key, "reason": reason, "rows": PAGE, "bytes": PAGE_BYTES}):
        yield from page
        tbl, key, *_ = page[-1]


def read_conflicting(ask: Ask, tables: Callable[[], Mapping[int, Table]]) -> dict[int, list[Key]]:
    """The keys of the rows that only another row kept out, by table; the tables are asked for when there is one."""
    keys: dict[int, list[Key]] = {}
    known: Mapping[int, Table] | None = None
    for number, _, _, image in read_quarantine(ask, CONFLICT):
        known = tables() if known is None else known
        if number in known:
            names, values = decode_row(bytes(image))
            found = dict(zip(names, values, strict=True))
            keys.setdefault(number, []).append(tuple(found[name] for name in known[number].key.columns))
    return keys
