"""What is made of the rows that a follower could not hold, of whichever kind it is, while they are gone through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.store import Quarantined
from dualdb.core.types import decode_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dualdb.core.schema import Table
    from dualdb.core.store import Key

    Held = tuple[int, str, str, bytes]
    """A row in quarantine: its table's number, key, reason and image."""


def named(rows: Iterable[Held], names: Mapping[int, str]) -> Iterator[Quarantined]:
    """The rows with their tables' names, those that are gone included."""
    for number, key, reason, image in rows:
        yield Quarantined(table=names.get(number, str(number)), key=key, reason=reason, image=bytes(image))


def keys_of(rows: Iterable[Held], tables: Callable[[], Mapping[int, Table]]) -> dict[int, list[Key]]:
    """The rows' keys by table; the tables are asked for when there is a row."""
    keys: dict[int, list[Key]] = {}
    known: Mapping[int, Table] | None = None
    for number, _, _, image in rows:
        known = tables() if known is None else known
        if number in known:
            names, values = decode_row(bytes(image))
            found = dict(zip(names, values, strict=True))
            keys.setdefault(number, []).append(tuple(found[name] for name in known[number].key.columns))
    return keys
