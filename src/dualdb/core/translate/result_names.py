"""What SQLite calls result columns that have no alias: their text as written. Knows tokens, not meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.sqltext import Token


def result_texts(tokens: Sequence[Token], sql: str) -> list[str]:
    """The result expressions of the first SELECT, that of no subquery, as written: what SQLite names a column without
    alias after.
    """
    start = _first_select(tokens)
    if start is None:
        return []
    if tokens[start + 1 : start + 2] and tokens[start + 1].word() in {"DISTINCT", "ALL"}:
        start += 1
    texts, depth, first = [], 0, start + 1
    for place in range(start + 1, len(tokens) + 1):
        token = tokens[place] if place < len(tokens) else None
        ends = (
            token is None
            or (depth == 0 and (token.text == "," or token.word() in _AFTER_RESULTS))
            or (depth == 0 and token.text == ")")
        )
        if ends and place > first:
            texts.append(sql[tokens[first].start : tokens[place - 1].end])
            first = place + 1
        if token is None or (ends and token.text != ","):
            break
        depth += {"(": 1, ")": -1}.get(token.text, 0)
    return texts


def _first_select(tokens: Sequence[Token]) -> int | None:
    depth = 0
    for place, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word() == "SELECT":
            return place
    return None


_AFTER_RESULTS = frozenset({"FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT"})
