"""A statement made safe to give to sqlglot: nothing in it can be taken for more than it is in SQLite.

sqlglot's grammar is wider than SQLite's and it knows functions, types and keywords that SQLite does not. So every name
is quoted, functions and types are renamed out of its sight (`f_…`, `t_…`), and what it has no syntax for (parameters by
number or `$name`, OR clauses, unary plus) is taken out or refused here. Knows tokens, not meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dualdb.core.sqltext import Token, fold, unquote
from dualdb.core.translate.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

FUNCTION = "f_"
TYPE = "t_"
PLUS = "plus"
ARROWS = {"->": "arrow", "->>": "arrows"}
"""Operators that sqlglot reads in another way, or not, as placeholders in a chain of ||: that has their precedence."""

_GRAMMAR = frozenset(
    [
        "ALL",
        "AND",
        "AS",
        "ASC",
        "BETWEEN",
        "BY",
        "CASE",
        "CAST",
        "COLLATE",
        "CONFLICT",
        "CROSS",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "CURRENT_TIMESTAMP",
        "DEFAULT",
        "DELETE",
        "DESC",
        "DISTINCT",
        "DO",
        "ELSE",
        "END",
        "ESCAPE",
        "EXCEPT",
        "EXISTS",
        "FALSE",
        "FILTER",
        "FIRST",
        "FROM",
        "FULL",
        "GLOB",
        "GROUP",
        "HAVING",
        "IN",
        "INDEXED",
        "INNER",
        "INSERT",
        "INTERSECT",
        "INTO",
        "IS",
        "ISNULL",
        "JOIN",
        "LAST",
        "LEFT",
        "LIKE",
        "LIMIT",
        "MATCH",
        "MATERIALIZED",
        "NATURAL",
        "NOT",
        "NOTHING",
        "NOTNULL",
        "NULL",
        "NULLS",
        "OFFSET",
        "ON",
        "OR",
        "ORDER",
        "OUTER",
        "OVER",
        "PARTITION",
        "RECURSIVE",
        "REGEXP",
        "RETURNING",
        "RIGHT",
        "SELECT",
        "SET",
        "THEN",
        "TRUE",
        "UNION",
        "UPDATE",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
        "WINDOW",
        "WITH",
    ]
)
"""Keywords that mean something in the statements that are translated; any other word is a name here."""
_BEFORE_OPERAND = _GRAMMAR - {"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "END", "FALSE", "NULL", "TRUE"}
_WRITES = frozenset({"INSERT", "REPLACE", "UPDATE"})
_FRAMES = frozenset({"ROWS", "RANGE", "GROUPS"})
_FRAME_WORDS = _FRAMES | {
    "BETWEEN", "UNBOUNDED", "PRECEDING", "FOLLOWING", "CURRENT", "ROW", "AND",
    "EXCLUDE", "NO", "OTHERS", "TIES", "GROUP",
}  # fmt: skip
_CALLABLE_KEYWORDS = frozenset({"GLOB", "LIKE", "REPLACE", "MATCH", "REGEXP"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What sqlglot gets, and what was taken out of it."""

    text: str
    sources: Sequence[int | str]
    """The application's parameter behind `:p0`, `:p1` …: its index, or its name."""
    strings: frozenset[str]
    """What stands in double quotes: a name, or a string where no such name exists."""
    conflict: str | None
    """The word after OR in INSERT OR … and UPDATE OR …, or REPLACE."""


def prepare(tokens: Sequence[Token]) -> Prepared:
    """The statement of these tokens for sqlglot; raises Refused."""
    tokens, conflict = _without_conflict_clause(tokens)
    parameters = _Parameters()
    parts: list[str] = []
    functions = _functions(tokens)
    types = _types(tokens)
    frames = _frames(tokens)
    for position, token in enumerate(tokens):
        if position in types:
            parts.append(types[position])
        elif position in frames:
            parts.append(token.text)
        elif position in functions:
            parts.append(FUNCTION + fold(unquote(token)))
        elif token.kind == "param":
            parts.append(parameters.name(token.text))
        elif token.text == "+" and _is_prefix(tokens, position):
            parts.append(_plus(tokens, position))
        elif token.text in ARROWS:
            parts.append(f"|| :{ARROWS[token.text]} ||")
        else:
            parts.append(_written(token))
    strings = frozenset(unquote(token) for token in tokens if token.text[0] == '"')
    names = {unquote(token) for token in tokens if token.kind in {"id", "name"} and token.text[0] != '"'}
    return Prepared(
        text=" ".join(part for part in parts if part),
        sources=tuple(parameters.sources),
        strings=strings - names,
        conflict=conflict,
    )


class _Parameters:
    """Numbers the parameters as sqlite3_bind_* does (c3ref/bind_blob.html)."""

    def __init__(self) -> None:
        self.sources: list[int | str] = []
        self._highest = 0
        self._numbers: dict[str, int] = {}

    def name(self, text: str) -> str:
        """The placeholder's name in sqlglot's text."""
        if text == "?":
            self._highest += 1
            return self._add(self._highest - 1)
        if text[0] == "?":
            number = int(text[1:])
            self._highest = max(self._highest, number)
            return self._add(number - 1)
        if text not in self._numbers:
            self._highest += 1
            self._numbers[text] = self._highest
        return self._add(text[1:])

    def _add(self, source: int | str) -> str:
        self.sources.append(source)
        return f":p{len(self.sources) - 1}"


def _without_conflict_clause(tokens: Sequence[Token]) -> tuple[Sequence[Token], str | None]:
    place = _verb(tokens)
    words = [token.word() for token in tokens[place : place + 3]]
    before, verb, after = tokens[:place], tokens[place], tokens[place + 1 :]
    if words[0] == "REPLACE":
        return (*before, Token("id", "INSERT", verb.start), *after), "REPLACE"
    if words[:2] in (["INSERT", "OR"], ["UPDATE", "OR"]):
        return (*before, verb, *after[2:]), words[2]
    return tokens, None


def _verb(tokens: Sequence[Token]) -> int:
    """Where the statement begins that stands behind a WITH clause, if there is one."""
    depth = 0
    if tokens[0].word() != "WITH":
        return 0
    for place, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word() in _WRITES and tokens[place + 1].text != "(":
            return place
    return 0


def _functions(tokens: Sequence[Token]) -> frozenset[int]:
    """Positions of the names that a parenthesis turns into function calls."""
    found = set()
    for position, token in enumerate(tokens[:-1]):
        if tokens[position + 1].text != "(":
            continue
        word = token.word()
        called = token.kind == "name" or (token.kind == "id" and (word not in _GRAMMAR or word in _CALLABLE_KEYWORDS))
        before = tokens[position - 1].text.upper() if position else ""
        if word in _CALLABLE_KEYWORDS and not _is_prefix(tokens, position):
            called = False  # a LIKE (…)
        if called and before not in {"INTO", "AS", "WITH", "RECURSIVE", "."} and not _is_cte(tokens, position):
            found.add(position)
    return frozenset(found)


def _is_cte(tokens: Sequence[Token], position: int) -> bool:
    """Whether the name is that of `WITH …, name(columns) AS (`."""
    end = _closing(tokens, position + 1)
    words = [token.text.upper() for token in tokens[end + 1 : end + 4]]
    return tokens[0].word() == "WITH" and (
        words[:2] == ["AS", "("] or words[:2] in (["AS", "NOT"], ["AS", "MATERIALIZED"])
    )


def _plus(tokens: Sequence[Token], position: int) -> str:
    """Unary plus, for which sqlglot has no node."""
    if tokens[position + 1].kind == "number" or tokens[position + 1].text == "+":
        return ""
    if position and tokens[position - 1].text in {"-", "~", "||", *ARROWS}:
        return ""  # what comes out of that operator has no affinity either
    return f":{PLUS} ||"


def _types(tokens: Sequence[Token]) -> dict[int, str]:
    """What stands for the words of each CAST's type: one quoted name at the first, nothing at the others."""
    written: dict[int, str] = {}
    for position, token in enumerate(tokens[:-1]):
        if token.word() != "CAST" or tokens[position + 1].text != "(":
            continue
        end = _closing(tokens, position + 1)
        start = end
        while start > position and tokens[start].word() != "AS":
            start -= 1
        name = " ".join(unquote(word) for word in tokens[start + 1 : end])
        written.update(dict.fromkeys(range(start + 1, end), ""))
        written[start + 1] = '"' + TYPE + name.replace('"', "") + '"'
    return written


def _frames(tokens: Sequence[Token]) -> frozenset[int]:
    """Positions of the words that describe a window's frame, which elsewhere are names."""
    found: set[int] = set()
    for position, token in enumerate(tokens[:-1]):
        if token.word() not in _FRAMES or tokens[position + 1].text == "(":
            continue
        following = tokens[position + 1]
        if following.word() in {"BETWEEN", "UNBOUNDED", "CURRENT"} or following.kind in {"number", "param"}:
            end = position
            while end < len(tokens) and tokens[end].text != ")":
                if tokens[end].word() in _FRAME_WORDS:
                    found.add(end)
                end += 1
    return frozenset(found)


def _closing(tokens: Sequence[Token], opening: int) -> int:
    depth = 0
    for position in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[position].text, 0)
        if depth == 0:
            return position
    raise Refused("'('", "it is never closed", "correct the statement")


def _is_prefix(tokens: Sequence[Token], position: int) -> bool:
    """Whether an operator at this place has no operand before it."""
    if position == 0:
        return True
    before = tokens[position - 1]
    if before.kind == "id":
        return before.word() in _BEFORE_OPERAND
    return before.kind == "op" and before.text != ")"


def _written(token: Token) -> str:
    if token.kind in {"id", "name"} and token.word() not in _GRAMMAR:
        return '"' + unquote(token).replace('"', '""') + '"'
    return token.text
