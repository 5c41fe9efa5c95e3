"""Rules for scalar functions (lang_corefunc.html, lang_datefunc.html). One function per function.

What is not listed in FUNCTIONS is refused. Knows no clause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.schema import TargetType
from dualdb.core.translate.comparison import check_collation, compare, ordered_as_bytes
from dualdb.core.translate.conversion import as_integer, as_real, as_text, as_truth, encoded, plain_value
from dualdb.core.translate.operators import unified
from dualdb.core.translate.place import require
from dualdb.core.translate.prepared import FUNCTION
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import STORES, Storage, Term, computed, null, truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot import exp

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
    return _as_text_argument(place.known(node), name)


def _as_text_argument(value: Term, name: str) -> Term:
    term = as_text(value)
    if term.storage is Storage.NULL:
        return term
    if not isinstance(term.constant, str):
        return term
    return Term(sql=f"{term.sql}::text", storage=Storage.TEXT, constant=term.constant, label=name)


def absolute(nodes: Nodes, place: Place) -> Term:
    """The absolute value: abs(x)."""
    _count(nodes, "abs", 1)
    term = plain_value(place.known(nodes[0]))
    match term.storage:
        case Storage.REAL:
            return computed(f"sqlite.absolute({term.sql})", Storage.REAL)
        case Storage.INTEGER:
            return computed(f"abs({as_integer(term).sql})", Storage.INTEGER)
    return computed(f"sqlite.absolute({encoded(term).sql})", Storage.ANY)


def length(nodes: Nodes, place: Place) -> Term:
    """Characters of a text, bytes of a blob."""
    _count(nodes, "length", 1)
    term = place.known(nodes[0])
    match term.storage:
        case Storage.BLOB:
            return computed(f"octet_length({term.sql})::bigint", Storage.INTEGER)
        case Storage.ANY:
            return computed(f"sqlite.length({term.sql})", Storage.INTEGER)
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
    """Translate instr(x, y): where y begins in x, by characters, or by bytes where both are blobs."""
    _count(nodes, "instr", 2)
    terms = [place.known(node) for node in nodes]
    if _may_be_blobs(*terms):
        return computed(f"sqlite.instr({', '.join(encoded(term).sql for term in terms)})", Storage.INTEGER)
    subject, part = (_as_text_argument(term, "instr") for term in terms)
    return computed(f"strpos({ordered_as_bytes(subject).sql}, {part.sql})::bigint", Storage.INTEGER)


def part(nodes: Nodes, place: Place) -> Term:
    """Translate substr(x, start [, length]) with its negative starts and lengths."""
    _count(nodes, "substr", 2, 3)
    subject = place.known(nodes[0])
    numbers = ", ".join(as_integer(place.known(node)).sql for node in nodes[1:])
    if _may_be_blobs(subject):
        return computed(f"sqlite.part({encoded(subject).sql}, {numbers})", Storage.ANY)
    return computed(f"sqlite.substr({_as_text_argument(subject, 'substr').sql}, {numbers})", Storage.TEXT)


def _may_be_blobs(*terms: Term) -> bool:
    return all(term.storage in {Storage.BLOB, Storage.ANY} for term in terms)


def hexadecimal(nodes: Nodes, place: Place) -> Term:
    """Translate hex(x): the bytes of a blob, or of what the value is as text."""
    _count(nodes, "hex", 1)
    term = place.known(nodes[0])
    bytes_of = term.sql
    if term.storage is Storage.ANY:
        bytes_of = f"substr(CASE get_byte({term.sql}, 0) WHEN 4 THEN {term.sql} ELSE sqlite.as_text({term.sql}) END, 2)"
    elif term.storage is not Storage.BLOB:
        bytes_of = f"substr({encoded(as_text(term)).sql}, 2)"
    return computed(f"upper(coalesce(encode({bytes_of}, 'hex'), ''))", Storage.TEXT)


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
    digits = as_integer(place.known(nodes[1])).sql if len(nodes) > 1 else "0::bigint"
    return computed(f"sqlite.round({as_real(term).sql}, {digits})", Storage.REAL)


def _extreme(name: str) -> Function:
    def rule(nodes: Nodes, place: Place) -> Term:
        terms = [plain_value(place.known(node)) for node in nodes]
        collation = next((term.collation for term in terms if term.collation), "BINARY")
        check_collation(collation)
        values = ", ".join(encoded(term).sql for term in terms)
        return computed(f"sqlite.{name}('{collation}', {values})", Storage.ANY)

    rule.__doc__ = f"{name[:3]}(x, y, …): the {name} of several values, NULL where one is NULL."
    return rule


def _over_values(name: str, storage: Storage, *counts: int) -> Function:
    """A function of the schema `sqlite` over values of any class."""

    def rule(nodes: Nodes, place: Place) -> Term:
        _count(nodes, name, *counts)
        values = ", ".join(encoded(plain_value(place.known(node))).sql for node in nodes)
        return computed(f"sqlite.{name}({values})", storage)

    rule.__doc__ = f"{name}() over values of any class."
    return rule


def characters(nodes: Nodes, place: Place) -> Term:
    """The characters of these code points: char(x, …)."""
    codes = ", ".join(f"coalesce({as_integer(place.known(node)).sql}, 0)" for node in nodes)
    return computed(f"sqlite.char(VARIADIC ARRAY[{codes}]::bigint[])", Storage.TEXT)


def chance(nodes: Nodes, _: Place) -> Term:
    """A random integer."""
    _count(nodes, "random", 0)
    return computed("sqlite.random()", Storage.INTEGER)


def random_bytes(nodes: Nodes, place: Place) -> Term:
    """So many random bytes."""
    _count(nodes, "randomblob", 1)
    return computed(f"sqlite.randomblob({as_integer(place.known(nodes[0])).sql})", Storage.ANY)


def zeros(nodes: Nodes, place: Place) -> Term:
    """So many bytes of zero."""
    _count(nodes, "zeroblob", 1)
    size = as_integer(place.known(nodes[0])).sql
    return computed(f"decode(repeat('00', greatest({size}, 0)::integer), 'hex')", Storage.BLOB)


def current_timestamp(_nodes: object, _place: object) -> Term:
    """CURRENT_TIMESTAMP: the statement's time as text, in UTC, to the second."""
    return Term(sql="sqlite.current_timestamp()", storage=Storage.TEXT, plain_text=True)


def current_date(_nodes: object, _place: object) -> Term:
    """CURRENT_DATE."""
    return Term(sql="sqlite.current_date()", storage=Storage.TEXT, plain_text=True)


def current_time(_nodes: object, _place: object) -> Term:
    """CURRENT_TIME."""
    return Term(sql="sqlite.current_time()", storage=Storage.TEXT, plain_text=True)


def _session(name: str) -> Function:
    def rule(nodes: Nodes, place: Place) -> Term:
        _count(nodes, name, 0)
        term = Term(sql="", storage=Storage.OPEN, parameter=f"{name}()")
        return place.work.placeholder(term, Storage.INTEGER, affinity=None, stored=TargetType.BIGINT)

    rule.__doc__ = f"{name}(): what the session knows; the driver binds it as the parameter named '{name}()'."
    return rule


def certainly(nodes: Nodes, place: Place) -> Term:
    """Translate likely(x), unlikely(x), likelihood(x, y): x, with a hint for SQLite's planner."""
    _count(nodes, "likely", 1, 2)
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


CORE: Mapping[str, Function] = {
    "abs": absolute,
    "coalesce": coalesce,
    "char": characters,
    "changes": _session("changes"),
    "glob": glob,
    "hex": hexadecimal,
    "ifnull": coalesce,
    "iif": choice,
    "instr": position,
    "last_insert_rowid": _session("last_insert_rowid"),
    "length": length,
    "likelihood": certainly,
    "likely": certainly,
    "lower": lower,
    "ltrim": _trim("ltrim", "ltrim"),
    "max": _extreme("maximum"),
    "min": _extreme("minimum"),
    "nullif": nullif,
    "quote": _over_values("quote", Storage.TEXT, 1),
    "random": chance,
    "randomblob": random_bytes,
    "replace": replaced,
    "round": rounded,
    "sign": _over_values("sign", Storage.INTEGER, 1),
    "rtrim": _trim("rtrim", "rtrim"),
    "substr": part,
    "substring": part,
    "total_changes": _session("total_changes"),
    "trim": _trim("btrim", "trim"),
    "typeof": type_name,
    "unicode": character_code,
    "unlikely": certainly,
    "upper": upper,
    "zeroblob": zeros,
}
