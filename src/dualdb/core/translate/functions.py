"""Rules for scalar functions (lang_corefunc.html, lang_datefunc.html). One function per function.

What is not listed in FUNCTIONS is refused. Knows no clause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.schema import TargetType
from dualdb.core.translate.comparison import compare, ordered_as_bytes
from dualdb.core.translate.conversion import as_integer, as_text, as_truth, encoded, plain_value
from dualdb.core.translate.operators import unified
from dualdb.core.translate.place import require
from dualdb.core.translate.prepared import FUNCTION
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import STORES, Storage, Term, computed, null, truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.translate.place import Place
    from dualdb.core.translate.work import Function

    Nodes = Sequence[exp.Expression]


def call(node: exp.Expression, place: Place) -> Term:
    """A function call, by the function's name."""
    require(node, "this", "expressions")
    name = str(node.this).removeprefix(FUNCTION)
    return place.work.function(name)(node.expressions, place)


def _count(nodes: Nodes, name: str, *counts: int) -> None:
    if len(nodes) not in counts:
        raise Refused(f"{name}() of {len(nodes)} arguments", "no rule covers it")


def _text(node: exp.Expression, place: Place, name: str) -> Term:
    term = as_text(place.known(node))
    if term.storage is Storage.NULL:
        return term
    if not isinstance(term.constant, str):
        return term
    return Term(sql=f"{term.sql}::text", storage=Storage.TEXT, constant=term.constant, label=name)


def absolute(nodes: Nodes, place: Place) -> Term:
    """The absolute value: abs(x)."""
    _count(nodes, "abs", 1)
    term = plain_value(place.known(nodes[0]))
    if term.storage is Storage.REAL:
        return computed(f"sqlite.absolute({term.sql})", Storage.REAL)
    if term.storage is Storage.INTEGER:
        return computed(f"abs({as_integer(term).sql})", Storage.INTEGER)
    raise Refused(f"abs() of {term.storage.value}", "SQLite reads a number from it")


def length(nodes: Nodes, place: Place) -> Term:
    """Characters of a text, bytes of a blob."""
    _count(nodes, "length", 1)
    term = place.known(nodes[0])
    if term.storage is Storage.BLOB:
        return computed(f"octet_length({term.sql})::bigint", Storage.INTEGER)
    return computed(f"length({as_text(term).sql})::bigint", Storage.INTEGER)


def lower(nodes: Nodes, place: Place) -> Term:
    """Small letters for the ASCII capitals only."""
    _count(nodes, "lower", 1)
    return computed(f"lower({ordered_as_bytes(_text(nodes[0], place, 'lower')).sql})", Storage.TEXT)


def upper(nodes: Nodes, place: Place) -> Term:
    """Capitals for the small ASCII letters only."""
    _count(nodes, "upper", 1)
    return computed(f"upper({ordered_as_bytes(_text(nodes[0], place, 'upper')).sql})", Storage.TEXT)


def _trim(sql_name: str, name: str) -> Function:
    def rule(nodes: Nodes, place: Place) -> Term:
        _count(nodes, name, 1, 2)
        characters = _text(nodes[1], place, name).sql if len(nodes) > 1 else "' '"
        return computed(f"{sql_name}({_text(nodes[0], place, name).sql}, {characters})", Storage.TEXT)

    rule.__doc__ = f"{name}(x) of spaces, {name}(x, characters)."
    return rule


def replaced(nodes: Nodes, place: Place) -> Term:
    """Translate replace(x, from, to), byte by byte."""
    _count(nodes, "replace", 3)
    subject, old, new = (_text(node, place, "replace") for node in nodes)
    name = "replace" if old.constant else "sqlite.replace"
    return computed(f"{name}({ordered_as_bytes(subject).sql}, {old.sql}, {new.sql})", Storage.TEXT)


def position(nodes: Nodes, place: Place) -> Term:
    """Translate instr(x, y)."""
    _count(nodes, "instr", 2)
    subject, part = (_text(node, place, "instr") for node in nodes)
    return computed(f"strpos({ordered_as_bytes(subject).sql}, {part.sql})::bigint", Storage.INTEGER)


def part(nodes: Nodes, place: Place) -> Term:
    """Translate substr(x, start [, length]) with its negative starts and lengths."""
    _count(nodes, "substr", 2, 3)
    subject = _text(nodes[0], place, "substr")
    numbers = ", ".join(as_integer(place.known(node)).sql for node in nodes[1:])
    return computed(f"sqlite.substr({subject.sql}, {numbers})", Storage.TEXT)


def hexadecimal(nodes: Nodes, place: Place) -> Term:
    """Translate hex(blob)."""
    _count(nodes, "hex", 1)
    term = place.known(nodes[0])
    if term.storage is not Storage.BLOB:
        raise Refused(f"hex() of {term.storage.value}", "no rule covers it")
    return computed(f"upper(coalesce(encode({term.sql}, 'hex'), ''))", Storage.TEXT)


def type_name(nodes: Nodes, place: Place) -> Term:
    """Translate typeof(x)."""
    _count(nodes, "typeof", 1)
    term = plain_value(place.known(nodes[0]))
    names = {Storage.INTEGER: "integer", Storage.REAL: "real", Storage.TEXT: "text", Storage.BLOB: "blob"}
    if term.storage not in names:
        return computed(f"sqlite.typeof({encoded(term).sql})", Storage.TEXT)
    return computed(f"CASE WHEN {term.sql} IS NULL THEN 'null' ELSE '{names[term.storage]}' END", Storage.TEXT)


def coalesce(nodes: Nodes, place: Place) -> Term:
    """The first that is not NULL, ifnull() too, over one class."""
    terms, storage = unified(_typed_together(nodes, place))
    return computed(f"coalesce({', '.join(term.sql for term in terms)})", storage)


def _typed_together(nodes: Nodes, place: Place) -> list[Term]:
    """The arguments; a parameter among them that no value types takes their class, as nothing converts it."""
    terms = [place.term(node) for node in nodes]
    known = [term for term in terms if term.storage not in {Storage.OPEN, Storage.NULL}]
    if not known:
        return [place.work.known(term) for term in terms]
    return [_like(term, plain_value(known[0]), place) for term in terms]


def _like(term: Term, other: Term, place: Place) -> Term:
    if term.storage is not Storage.OPEN:
        return term
    return place.work.placeholder(term, other.storage, affinity=None, stored=STORES[other.storage], label=other.label)


def nullif(nodes: Nodes, place: Place) -> Term:
    """NULL when the two are equal, else the first."""
    _count(nodes, "nullif", 2)
    left, right = place.known(nodes[0]), place.term(nodes[1])
    value = plain_value(left)
    test = compare("=", left, right, place.work)
    return computed(f"CASE WHEN {test.sql} THEN NULL ELSE {value.sql} END", value.storage)


def choice(nodes: Nodes, place: Place) -> Term:
    """Translate iif(condition, x, y)."""
    _count(nodes, "iif", 3)
    condition = as_truth(place.known(nodes[0]))
    terms, storage = unified(_typed_together(nodes[1:], place))
    return computed(f"CASE WHEN {condition.sql} THEN {terms[0].sql} ELSE {terms[1].sql} END", storage)


def rounded(nodes: Nodes, place: Place) -> Term:
    """Translate round(x [, digits]): always a float, rounded as SQLite's printf does."""
    _count(nodes, "round", 1, 2)
    term = plain_value(place.known(nodes[0]))
    if term.storage is Storage.NULL:
        return null()
    if term.storage not in {Storage.INTEGER, Storage.REAL, Storage.NUMBER}:
        raise Refused(f"round() of {term.storage.value}", "SQLite reads a number from it")
    digits = as_integer(place.known(nodes[1])).sql if len(nodes) > 1 else "0::bigint"
    return computed(f"sqlite.round({term.sql}::double precision, {digits})", Storage.REAL)


def current_timestamp(_nodes: object, _place: object) -> Term:
    """CURRENT_TIMESTAMP: the statement's time as text, in UTC, to the second."""
    return Term(sql="sqlite.current_timestamp()", storage=Storage.TEXT, plain_text=True)


def current_date(_nodes: object, _place: object) -> Term:
    """CURRENT_DATE."""
    return Term(sql="sqlite.current_date()", storage=Storage.TEXT, plain_text=True)


def current_time(_nodes: object, _place: object) -> Term:
    """CURRENT_TIME."""
    return Term(sql="sqlite.current_time()", storage=Storage.TEXT, plain_text=True)


def _only_now(rule: Function, name: str) -> Function:
    def now(nodes: Nodes, place: Place) -> Term:
        is_now = [isinstance(node, exp.Literal) and node.args["is_string"] and node.this == "now" for node in nodes]
        if is_now not in ([], [True]):
            raise Refused(f"{name}() of another time than 'now'", "no rule covers it", "compute it in the application")
        return rule(nodes, place)

    now.__doc__ = f"{name}('now')."
    return now


def epoch(_nodes: object, _place: object) -> Term:
    """Translate unixepoch('now')."""
    return computed("floor(extract(epoch FROM statement_timestamp()))::bigint", Storage.INTEGER)


def _session(name: str) -> Function:
    def rule(nodes: Nodes, place: Place) -> Term:
        _count(nodes, name, 0)
        term = Term(sql="", storage=Storage.OPEN, parameter=f"{name}()")
        return place.work.placeholder(term, Storage.INTEGER, affinity=None, stored=TargetType.BIGINT)

    rule.__doc__ = f"{name}(): what the session knows; the driver binds it as the parameter named '{name}()'."
    return rule


def certainly(nodes: Nodes, place: Place) -> Term:
    """Translate likely(x), unlikely(x): x, with a hint for SQLite's planner."""
    _count(nodes, "likely", 1)
    return place.known(nodes[0]).bare()


def glob(nodes: Nodes, place: Place) -> Term:
    """Whether a text matches a pattern: the function behind `text GLOB pattern`."""
    _count(nodes, "glob", 2)
    pattern, subject = (_text(node, place, "glob") for node in nodes)
    return truth(f"sqlite.glob({pattern.sql}, {subject.sql})")


def glob_operator(node: exp.Expression, place: Place) -> Term:
    """Text GLOB pattern."""
    require(node, "this", "expression")
    return glob((node.expression, node.this), place)


def character_code(nodes: Nodes, place: Place) -> Term:
    """Translate unicode(x): the first character's code point, NULL of an empty text."""
    _count(nodes, "unicode", 1)
    text = _text(nodes[0], place, "unicode").sql
    return computed(f"CASE WHEN {text} <> '' THEN ascii({text})::bigint END", Storage.INTEGER)


FUNCTIONS: Mapping[str, Function] = {
    "abs": absolute,
    "coalesce": coalesce,
    "changes": _session("changes"),
    "date": _only_now(current_date, "date"),
    "datetime": _only_now(current_timestamp, "datetime"),
    "glob": glob,
    "hex": hexadecimal,
    "ifnull": coalesce,
    "iif": choice,
    "instr": position,
    "last_insert_rowid": _session("last_insert_rowid"),
    "length": length,
    "likely": certainly,
    "lower": lower,
    "ltrim": _trim("ltrim", "ltrim"),
    "nullif": nullif,
    "replace": replaced,
    "round": rounded,
    "rtrim": _trim("rtrim", "rtrim"),
    "substr": part,
    "substring": part,
    "time": _only_now(current_time, "time"),
    "total_changes": _session("total_changes"),
    "trim": _trim("btrim", "trim"),
    "typeof": type_name,
    "unicode": character_code,
    "unixepoch": _only_now(epoch, "unixepoch"),
    "unlikely": certainly,
    "upper": upper,
}
