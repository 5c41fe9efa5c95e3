"""A statement's placeholders, numbered as SQLite numbers them (sqlite.org/c3ref/bind_blob.html); knows no values."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import significant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PER_SELECT = 500  # SQLite bounds a result's columns by 2,000 and a compound's parts by 500


class Placeholders:
    """The placeholders of one statement, in the order of its text."""

    __slots__ = ("_places", "clash", "count", "keys", "named", "probe")

    def __init__(self, sql: str) -> None:
        texts = [token.text for token in significant(sql) if token.kind == "param"]
        self.keys, self._places = _numbered(texts)
        self.count = max(self._places.values(), default=-1) + 1
        """What each one is called in a plan: its 0-based position, or its name."""
        self.named = bool(texts) and all(text[0] != "?" for text in texts)
        names = sorted({text for text in texts if text[0] != "?"})
        alike = Counter(name[1:] for name in names)
        self.clash = next((name for name in names if alike[name[1:]] > 1), "")
        """One of two that differ by their sign alone: two to SQLite, and one to a plan; '' if there is none."""
        self.probe = _probe(texts)
        """A query with the same placeholders whose rows, one after the other, are what was bound to each."""

    def nulls(self) -> Any:
        """Parameters that bind NULL to each."""
        return defaultdict(lambda: None) if self.named else (None,) * self.count

    def given(self, bound: Mapping[int | str, Any]) -> Any:
        """Parameters that bind these values once more."""
        if self.named:
            return {str(key): value for key, value in bound.items()}
        row = [None] * self.count
        for key, value in bound.items():
            row[self._places[key]] = value
        return tuple(row)

    def numbers(self) -> Any:
        """Parameters that bind a number of its own to each: no two are equal, and none is missing."""
        return {str(key): number for number, key in enumerate(self.keys)} if self.named else tuple(range(self.count))


def _numbered(texts: Sequence[str]) -> tuple[list[int | str], dict[int | str, int]]:
    """The keys, and SQLite's number for each, from 0."""
    keys: list[int | str] = []
    places: dict[int | str, int] = {}
    known: set[str] = set()
    highest = 0
    for text in texts:
        if text[0] == "?":
            number = int(text[1:]) if text[1:] else highest + 1
            highest = max(highest, number)
            keys.append(number - 1)
            places[number - 1] = number - 1
        else:
            highest += text not in known
            known.add(text)
            keys.append(text[1:])
            places.setdefault(text[1:], highest - 1)
    return keys, places


def _probe(texts: Sequence[str]) -> str:
    if not texts:
        return "SELECT 1 WHERE 0"
    parts = [texts[place : place + _PER_SELECT] for place in range(0, len(texts), _PER_SELECT)]
    width = len(parts[0])
    return " UNION ALL ".join("SELECT " + ", ".join([*part, *["NULL"] * (width - len(part))]) for part in parts)
