"""What SQLite's own CREATE statements say that no PRAGMA tells: options, CHECKs, generated columns, index terms.

Reads only texts that SQLite has accepted, as sqlite_master keeps them, so it never has to judge them; it knows no
schema. The grammar is sqlite.org/lang_createtable.html and lang_createindex.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from dualdb.core.sqltext import fold, quote_literal, significant, unquote
from dualdb.core.types import parse_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.sqltext import Token

_TABLE_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}
_NOW_OR_NULL = {"NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"}
_INLINED = frozenset({"coalesce", "count", "if", "ifnull", "iif", "likelihood", "likely", "nullif", "unlikely"})
"""Functions that need not show in the byte code by their names (INLINE_FUNC in sqlite3's src/func.c, OP_Count)."""
_BEFORE_TABLES = frozenset({"EXISTS", "INTO", "JOIN", "RECURSIVE", "REFERENCES", "TABLE", "UPDATE", "VIEW", "WITH"})
_NOT_FUNCTIONS = frozenset(
    [
        "AND",
        "OR",
        "NOT",
        "IN",
        "AS",
        "WHEN",
        "THEN",
        "ELSE",
        "CASE",
        "BETWEEN",
        "LIKE",
        "GLOB",
        "IS",
        "EXISTS",
        "SELECT",
        "FROM",
        "WHERE",
        "ESCAPE",
        "CHECK",
        "VALUES",
        "ON",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableText:
    """What a CREATE TABLE says beyond the PRAGMAs."""

    checks: tuple[tuple[str | None, str], ...] = ()
    """Each CHECK's name, if it has one, and expression."""
    generated: Mapping[str, str] = field(default_factory=dict)
    """Expressions of the generated columns, by lower-cased column name."""
    autoincrement: bool = False
    without_rowid: bool = False
    strict: bool = False


def read_table(sql: str) -> TableText:
    """What a CREATE TABLE statement says beyond the PRAGMAs."""
    found = significant(sql)
    opening = _find(found, 0, "(")
    closing = _closing(found, opening)
    checks: list[tuple[str | None, str]] = []
    generated: dict[str, str] = {}
    autoincrement = False
    for part in _split(found[opening + 1 : closing]):
        checks.extend(_checks(sql, part))
        if part[0].word() not in _TABLE_CONSTRAINTS:
            expression = _generated(sql, part)
            if expression is not None:
                generated[fold(unquote(part[0]))] = expression
            autoincrement = autoincrement or _has_autoincrement(part)
        else:
            autoincrement = autoincrement or (part[0].word() != "CHECK" and _has_autoincrement(part))
    options = [token.word() for token in found[closing + 1 :]]
    return TableText(
        checks=tuple(checks),
        generated=generated,
        autoincrement=autoincrement,
        without_rowid="WITHOUT" in options,
        strict="STRICT" in options,
    )


def index_terms(create_index_sql: str) -> tuple[list[str], str | None]:
    """The texts of a CREATE INDEX's terms, COLLATE, ASC and DESC taken off, and the text of its WHERE."""
    found = significant(create_index_sql)
    opening = _find(found, 0, "(")
    closing = _closing(found, opening)
    terms = [_slice(create_index_sql, _bare_term(part)) for part in _split(found[opening + 1 : closing])]
    rest = found[closing + 1 :]
    where = _slice(create_index_sql, rest[1:]) if rest and rest[0].word() == "WHERE" else None
    return terms, where


def own_policies(create_sql: str) -> list[str]:
    """What the constraints of a table do by themselves other than refuse, such as REPLACE (lang_conflict.html)."""
    words = [token.word() for token in significant(create_sql)]
    named = {words[place + 2] for place in range(len(words) - 2) if words[place : place + 2] == ["ON", "CONFLICT"]}
    return sorted(named - {"ABORT"})


def virtual_module(create_sql: str) -> str | None:
    """The module of a CREATE VIRTUAL TABLE, None for an ordinary one."""
    found = significant(create_sql)
    if [token.word() for token in found[:2]] != ["CREATE", "VIRTUAL"]:
        return None
    using = next(place for place, token in enumerate(found) if place > 2 and token.word() == "USING")  # noqa: PLR2004
    return unquote(found[using + 1])


def default_expression(default: str) -> str:
    """A column's default, as `PRAGMA table_xinfo` reports it, in a form that means the same anywhere.

    A bare or double-quoted word in a DEFAULT is a string; elsewhere it would be a column.
    """
    found = significant(default)
    if len(found) == 1 and found[0].kind in {"id", "name"} and found[0].word() not in _NOW_OR_NULL:
        return quote_literal(unquote(found[0]))
    pieces, place = [], 0
    for token in found:
        if token.kind == "name":
            pieces += [default[place : token.start], quote_literal(unquote(token))]
            place = token.end
    return "".join(pieces) + default[place : found[-1].end]


def literal_value(expression: str) -> tuple[bool, int | float | str | bytes | None]:
    """Whether the expression is one literal, signed or in parentheses perhaps, and its value."""
    found = significant(expression)
    while len(found) > 2 and found[0].text == "(" and _closing(found, 0) == len(found) - 1:  # noqa: PLR2004 - ( x )
        found = found[1:-1]
    sign = -1 if found and found[0].text == "-" else 1
    if len(found) == 2 and found[0].text in {"+", "-"} and found[1].kind == "number":  # noqa: PLR2004 - sign, number
        found = found[1:]
    if len(found) != 1:
        return False, None
    (token,) = found
    if token.kind == "number":
        number = parse_number(token.text)
        return (False, None) if isinstance(number, str) else (True, sign * number)
    if token.kind == "string":
        return True, unquote(token)
    if token.kind == "blob":
        return True, bytes.fromhex(token.text[2:-1])
    constants = {"NULL": None, "TRUE": 1, "FALSE": 0}
    return token.word() in constants, constants.get(token.word())


def names_in(expression: str) -> frozenset[str]:
    """Every word of an expression that may be the name of a column, lower-cased; keywords are among them."""
    return frozenset(
        fold(unquote(token)) for token in significant(expression) if token.kind in {"id", "name", "string"}
    )


def functions_in(expression: str) -> frozenset[str]:
    """The names of the functions that an expression calls, lower-cased."""
    found = significant(expression)
    return frozenset(
        fold(unquote(token))
        for token, following in pairwise(found)
        if following.text == "(" and token.kind in {"id", "name"} and token.word() not in _NOT_FUNCTIONS
    )


def inlined_calls(sql: str) -> frozenset[tuple[str, int]]:
    """The calls of those functions that SQLite computes without an instruction that names them; the numbers of their
    arguments with them.
    """
    found = significant(sql)
    calls = set()
    for place, (token, following) in enumerate(pairwise(found)):
        name = fold(unquote(token)) if token.kind in {"id", "name"} else ""
        if following.text == "(" and name in _INLINED and not _names_a_table(found, place):
            calls.add((name, _arguments(found, place + 1)[0]))
    return frozenset(calls)


def _names_a_table(found: Sequence[Token], place: int) -> bool:
    """Whether the name there, behind which a parenthesis opens, is that of a table with a list of its columns."""
    before = found[place - 1] if place else found[place]
    word = before.word()
    if word == "ON":  # of an index, or of a join
        return "INDEX" in {token.word() for token in found[:3]}
    if word == "FROM":  # IS DISTINCT FROM is an operator
        return found[place - 2].word() != "DISTINCT"
    if word in _BEFORE_TABLES or before.text == ".":
        return True
    end = _arguments(found, place + 1)[1]
    behind = [token.word() or token.text for token in found[end + 1 : end + 5]]
    return behind[:1] == ["AS"] and [word for word in behind[1:] if word not in {"NOT", "MATERIALIZED"}][:1] == ["("]


def _arguments(found: Sequence[Token], opening: int) -> tuple[int, int]:
    """How many arguments stand in the parenthesis opened there, and where it is closed."""
    depth, commas, ordered = 0, 0, False
    place = opening
    for place in range(opening, len(found)):
        text = found[place].text
        depth += (text == "(") - (text == ")")
        if depth == 0:
            break
        if depth == 1:
            ordered = ordered or found[place].word() == "ORDER"
            commas += text == "," and not ordered
    within = [token.text for token in found[opening + 1 : place]]
    return (0 if within in ([], ["*"]) else commas + 1), place


def _find(found: Sequence[Token], begin: int, text: str) -> int:
    return next(place for place in range(begin, len(found)) if found[place].text == text)


def _closing(found: Sequence[Token], opening: int) -> int:
    """Where the parenthesis opened there is closed."""
    depth = 0
    for place in range(opening, len(found)):
        depth += (found[place].text == "(") - (found[place].text == ")")
        if depth == 0:
            return place
    raise ValueError(f"the parenthesis at {found[opening].start} is never closed; give a statement SQLite accepted")


def _split(found: Sequence[Token]) -> list[list[Token]]:
    """The tokens between commas that stand in no parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _slice(sql: str, part: Sequence[Token]) -> str:
    return sql[part[0].start : part[-1].end]


def _bare_term(part: list[Token]) -> list[Token]:
    if part[-1].word() in {"ASC", "DESC"} and len(part) > 1:
        part = part[:-1]
    while len(part) > 2 and part[-2].word() == "COLLATE":  # noqa: PLR2004 - a term, COLLATE and its name
        part = part[:-2]
    return part


def _outermost(part: Sequence[Token]) -> list[int]:
    """Places of the tokens that stand in no parentheses."""
    places, depth = [], 0
    for place, token in enumerate(part):
        depth -= token.text == ")"
        if depth == 0:
            places.append(place)
        depth += token.text == "("
    return places


def _checks(sql: str, part: Sequence[Token]) -> list[tuple[str | None, str]]:
    checks: list[tuple[str | None, str]] = []
    first = 0 if part[0].word() in _TABLE_CONSTRAINTS else 1
    for place in _outermost(part):
        if place < first or part[place].word() != "CHECK" or part[place + 1 : place + 2] == []:
            continue
        if part[place + 1].text != "(":
            continue
        named = place >= 2 and part[place - 2].word() == "CONSTRAINT"  # noqa: PLR2004 - CONSTRAINT and its name
        closing = _closing(part, place + 1)
        checks.append((unquote(part[place - 1]) if named else None, _slice(sql, part[place + 2 : closing])))
    return checks


def _generated(sql: str, part: Sequence[Token]) -> str | None:
    for place in _outermost(part)[1:]:
        if part[place].word() == "AS" and part[place + 1 : place + 2] and part[place + 1].text == "(":
            return _slice(sql, part[place + 2 : _closing(part, place + 1)])
    return None


def _has_autoincrement(part: Sequence[Token]) -> bool:
    """AUTOINCREMENT can only follow PRIMARY KEY, inside its parentheses in a table constraint."""
    words = [token.word() for token in part]
    if "AUTOINCREMENT" not in words[1:]:
        return False
    place = words.index("AUTOINCREMENT", 1)
    return "PRIMARY" in words[:place] and "KEY" in words[:place]
