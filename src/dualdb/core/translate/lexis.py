"""The tokens of one statement, checked, and what statements are counted by; knows no grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.sqltext import significant
from dualdb.core.translate.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.sqltext import Token

_TEMPORARY = frozenset({"TEMP", "TEMPORARY"})
_VALUES = frozenset({"string", "blob", "number", "param"})


def statement_tokens(sql: str) -> Sequence[Token]:
    """The tokens of one statement without semicolons around it; raises Refused for anything else."""
    tokens = significant(sql)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    while tokens and tokens[0].text == ";":
        del tokens[0]
    if not tokens:
        raise Refused("an empty statement", "there is nothing to execute", "leave it out")
    if [word for token in tokens[:3] if (word := token.text.upper()) not in _TEMPORARY][:2] == ["CREATE", "TRIGGER"]:
        # Its body is full of semicolons, which are not what is wrong with it.
        raise Refused("CREATE TRIGGER", "what a trigger does is SQLite's own language")
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.text == ";":
            raise Refused("';'", "one statement is translated at a time", "split the script")
        joined = token.kind == "number" and following is not None and following.start == token.end
        if token.kind == "illegal" or (joined and following is not None and following.kind in {"id", "number"}):
            raise Refused(repr(token.text), "SQLite has no such token", "correct the statement")
    return tokens


def fingerprint(tokens: Sequence[Token]) -> str:
    """The statement without its literals, parameters, comments and spacing."""
    words: list[str] = []
    for token in tokens:
        words.append("?" if token.kind in _VALUES else token.text)
        if words[-3:] == ["?", ",", "?"]:  # a list of any length counts as one
            del words[-2:]
    return " ".join(words)
