"""Rules for operators, literals, names, CASE and CAST (lang_expr.html). One function per kind of node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.schema import Affinity, TargetType
from dualdb.core.translate.comparison import compare, equal_sides, equality_sides, ordered_as_bytes
from dualdb.core.translate.conversion import (
    as_integer,
    as_number,
    as_real,
    as_text,
    as_truth,
    encoded,
    plain_value,
    read_float,
    typed,
)
from dualdb.core.translate.place import require
from dualdb.core.translate.prepared import ARROWS, PLUS, TYPE
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import INT64, Storage, Term, computed, constant, null, truth
from dualdb.core.types import affinity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dualdb.core.translate.place import Place

_SIGNS: Mapping[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
}
_ROTATED = (exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Like, exp.Glob, exp.Between, exp.Escape)
"""What sqlglot binds tighter than comparisons, and SQLite as tight as = (lang_expr.html, section 2)."""


def _in_sqlites_order(node: exp.Expression) -> exp.Expression:
    """The comparison as SQLite reads it: `a = b IN (c)` is `(a = b) IN (c)`."""
    right = node.expression
    if isinstance(right, exp.Not):
        raise Refused("NOT behind a comparison", "its precedence is easily misread", "put it in parentheses")
    if not isinstance(right, _ROTATED):
        return node
    turned = right.copy()
    innermost = turned
    while isinstance(innermost.this, _ROTATED):
        innermost = innermost.this
    compared = node.copy()
    compared.set("expression", innermost.this.copy())
    innermost.set("this", compared)
    return turned


def literal(node: exp.Expression, _: Place) -> Term:
    """A string or a number."""
    text = str(node.this)
    if node.args.get("is_string"):
        return constant(text)
    return constant(_number(text))


def _number(text: str) -> int | float:
    if text.isdigit():
        return int(text) if int(text) in INT64 else float(text)
    return read_float(text)


def blob(node: exp.Expression, _: Place) -> Term:
    """A blob: x'…'."""
    return constant(bytes.fromhex(str(node.this)))


def nothing(_node: exp.Expression, _: Place) -> Term:
    """NULL."""
    return null()


def boolean(node: exp.Expression, _: Place) -> Term:
    """TRUE and FALSE are other names of 1 and 0 (lang_expr.html, section 14)."""
    return constant(int(bool(node.this)))


def placeholder(node: exp.Expression, place: Place) -> Term:
    """A parameter, which its context will type."""
    return Term(sql="", storage=Storage.OPEN, parameter=place.work.sources[int(str(node.this)[1:])])


def name(node: exp.Expression, place: Place) -> Term:
    """A column's name."""
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
        raise Refused("'*'", "it stands where a value is expected", "name the columns")
    require(node, "this", "table", "db")
    return place.resolve(node)


def parenthesised(node: exp.Expression, place: Place) -> Term:
    """(x), which is x."""
    require(node, "this")
    return place.term(node.this)


def comparison(node: exp.Expression, place: Place) -> Term:
    """= == <> != < <= > >= and IS [NOT] between values, or between rows of them (rowvalue.html)."""
    require(node, "this", "expression")
    turned = _in_sqlites_order(node)
    if turned is not node:
        return place.term(turned)
    if isinstance(node.this, exp.Tuple) or isinstance(node.expression, exp.Tuple):
        return _rows_compared(_SIGNS[type(node)], _row(node.this, place), _row(node.expression, place), place)
    return compare(_SIGNS[type(node)], place.term(node.this), place.term(node.expression), place.work)


def _row(node: exp.Expression, place: Place) -> Sequence[Term]:
    if not isinstance(node, exp.Tuple):
        raise Refused("a row value beside a query", "no rule covers it", "compare column by column")
    return [place.known(one) for one in node.expressions]


def _rows_compared(sign: str, left: Sequence[Term], right: Sequence[Term], place: Place) -> Term:
    """Column by column: equal where all are, ordered by the first that differ."""
    if len(left) != len(right):
        raise Refused("a row value", "it is compared with one of another size", "correct it")
    pairs = list(zip(left, right, strict=True))
    equal = [compare("=" if "DISTINCT" not in sign else sign, *pair, place.work).sql for pair in pairs]
    match sign:
        case "=" | "IS NOT DISTINCT FROM":
            return truth(f"({' AND '.join(equal)})")
        case "<>":
            return truth(f"(NOT ({' AND '.join(equal)}))")
        case "IS DISTINCT FROM":
            return truth(f"({' OR '.join(equal)})")
    text = compare(sign, *pairs[-1], place.work).sql
    for pair, same in zip(reversed(pairs[:-1]), reversed(equal[:-1]), strict=True):
        text = f"({compare(sign[0], *pair, place.work).sql} OR ({same} AND {text}))"
    return truth(text)


def is_value(node: exp.Expression, place: Place) -> Term:
    """X IS y: NULL, TRUE, FALSE, or a value; with NULL an equality that is never NULL (lang_expr.html, section 2)."""
    require(node, "this", "expression")
    if isinstance(node.expression, exp.Null):
        return truth(f"({place.known(node.this).sql} IS NULL)")
    if isinstance(node.expression, exp.Boolean):
        word = "TRUE" if node.expression.this else "FALSE"
        return truth(f"({as_truth(place.known(node.this)).sql} IS {word})")
    return compare("IS NOT DISTINCT FROM", place.term(node.this), place.term(node.expression), place.work)


def negation(node: exp.Expression, place: Place) -> Term:
    """NOT x."""
    require(node, "this")
    return truth(f"(NOT {as_truth(place.known(node.this)).sql})")


def logic(node: exp.Expression, place: Place) -> Term:
    """AND and OR, with SQL's three values on both engines."""
    require(node, "this", "expression")
    word = "AND" if isinstance(node, exp.And) else "OR"
    # A chain of hundreds of terms leans to the left; walking it keeps the recursion shallow.
    operands: list[exp.Expression] = []
    current: exp.Expression = node
    while type(current) is type(node):
        operands.append(current.expression)
        current = current.this
    operands.append(current)
    return truth("(" + f" {word} ".join(as_truth(place.known(one)).sql for one in reversed(operands)) + ")")


def between(node: exp.Expression, place: Place) -> Term:
    """X BETWEEN low AND high, which is two comparisons (lang_expr.html, section 8)."""
    require(node, "this", "low", "high")
    low = compare(">=", place.term(node.this), place.term(node.args["low"]), place.work)
    high = compare("<=", place.term(node.this), place.term(node.args["high"]), place.work)
    return truth(f"({low.sql} AND {high.sql})")


def membership(node: exp.Expression, place: Place) -> Term:
    """X IN (…); the values of the list have no affinity (datatype3.html, section 4.2)."""
    require(node, "this", "expressions", "query")
    if node.args.get("query") is not None:
        return _in_query(node.this, node.args["query"], place)
    if not node.expressions:
        return truth("FALSE")
    if isinstance(node.expressions[0], exp.Values):
        return _in_query(node.this, node.expressions[0], place)
    subject = place.term(node.this)
    members = [_without_affinity(place.term(one)) for one in node.expressions]
    sides = [equal_sides(subject, member, place.work) for member in members]
    plain = [pair for pair in sides if pair is not None]
    if len(plain) == len(sides) and len({left for left, _ in plain}) == 1:
        return truth(f"({plain[0][0]} IN ({', '.join(right for _, right in plain)}))")
    return truth("(" + " OR ".join(compare("=", subject, member, place.work).sql for member in members) + ")")


def _without_affinity(term: Term) -> Term:
    return replace(term, affinity=None, collation=None, explicit=False)


def _in_query(subject: exp.Expression, query_node: exp.Expression, place: Place) -> Term:
    nodes = subject.expressions if isinstance(subject, exp.Tuple) else [subject]
    query = place.work.grammar.subquery(query_node, place, named=True)
    if len(query.fields) != len(nodes):
        raise Refused("IN", f"it compares {len(nodes)} columns with {len(query.fields)}", "select as many")
    pairs = []
    for number, (node, field) in enumerate(zip(nodes, query.fields.values(), strict=True), 1):
        member = replace(field, sql=f'"_in"."{number}"', constant=None, explicit=False, collation=None)
        pairs.append(equality_sides(place.known(node), member, place.work))
    if all(right == f'"_in"."{number}"' for number, (_, right) in enumerate(pairs, 1)):
        source = query.sql
    else:
        numbers = ", ".join(f'"{number}"' for number in range(1, len(pairs) + 1))
        source = f'SELECT {", ".join(right for _, right in pairs)} FROM ({query.sql}) AS "_in" ({numbers})'
    left = ", ".join(left for left, _ in pairs)
    return truth(f"({left if len(pairs) == 1 else f'({left})'} IN ({source}))")


def arithmetic(node: exp.Expression, place: Place) -> Term:
    """+ - * over numbers; texts and blobs count as the number they begin with."""
    require(node, "this", "expression")
    sign = _SIGNS[type(node)]
    left, right = (as_number(place.known(one)) for one in (node.this, node.expression))
    if Storage.NULL in {left.storage, right.storage}:
        return null()
    storages = {left.storage, right.storage}
    if place.work.wide or Storage.ANY in storages:
        return computed(f"sqlite.{_NAMES[sign]}({encoded(left).sql}, {encoded(right).sql})", Storage.ANY)
    if storages == {Storage.INTEGER}:
        return computed(f"({_wide(left)} {sign} {right.sql})", Storage.INTEGER)
    # Any NaN is NULL in SQLite (sqlite3VdbeMemSetDouble).
    return computed(f"nullif({left.sql} {sign} {right.sql}, 'NaN')", Storage.REAL)


_NAMES = {"+": "add", "-": "subtract", "*": "multiply"}


def division(node: exp.Expression, place: Place) -> Term:
    """X / y: NULL when y is zero; integers give the integer towards zero."""
    require(node, "this", "expression", "typed", "safe")
    left, right = (as_number(place.known(one)) for one in (node.this, node.expression))
    if Storage.NULL in {left.storage, right.storage}:
        return null()
    storages = {left.storage, right.storage}
    if place.work.wide or Storage.ANY in storages:
        return computed(f"sqlite.divide({encoded(left).sql}, {encoded(right).sql})", Storage.ANY)
    if storages == {Storage.INTEGER}:
        return computed(f"({_wide(left)} / {_divisor(right)})", Storage.INTEGER)
    text = f"{left.sql}::double precision / nullif({right.sql}, 0)"
    return computed(f"nullif({text}, 'NaN')", Storage.REAL)


def modulo(node: exp.Expression, place: Place) -> Term:
    """X % y: both as integers, NULL when y is zero, the sign of x; a float where one of them was none."""
    require(node, "this", "expression")
    left, right = (plain_value(place.known(one)) for one in (node.this, node.expression))
    if Storage.NULL in {left.storage, right.storage}:
        return null()
    if {left.storage, right.storage} == {Storage.INTEGER}:
        return computed(f"({_wide(left)} % {_divisor(right)})", Storage.INTEGER)
    return computed(f"sqlite.modulo({encoded(left).sql}, {encoded(right).sql})", Storage.ANY)


def _divisor(right: Term) -> str:
    return right.sql if right.constant else f"nullif({right.sql}, 0)"


def _wide(term: Term) -> str:
    """An integer as bigint: PostgreSQL computes two small literals as 32-bit integers."""
    return f"{term.sql}::bigint" if term.is_constant else term.sql


def bits(node: exp.Expression, place: Place) -> Term:
    """& and | over values as integers."""
    require(node, "this", "expression")
    left, right = (as_integer(place.known(one)) for one in (node.this, node.expression))
    return computed(f"({left.sql} {_SIGNS[type(node)]} {right.sql})", Storage.INTEGER)


def shift(node: exp.Expression, place: Place) -> Term:
    """<< and >>, each of which a negative number of places turns into the other."""
    require(node, "this", "expression")
    left, right = (as_integer(place.known(one)) for one in (node.this, node.expression))
    name = "shift_left" if isinstance(node, exp.BitwiseLeftShift) else "shift_right"
    return computed(f"sqlite.{name}({left.sql}, {right.sql})", Storage.INTEGER)


def complement(node: exp.Expression, place: Place) -> Term:
    """~x over a value as integer."""
    require(node, "this")
    return computed(f"(~ {as_integer(place.known(node.this)).sql})", Storage.INTEGER)


def _negative(value: object, node: exp.Expression) -> Term | None:
    """The literal that a minus makes of one, None where it makes none; -0.0 as written is a literal of its own."""
    if isinstance(value, int) and value:
        return constant(-value if -value in INT64 else -float(value))
    if isinstance(value, float) and (value or isinstance(node, exp.Literal)):
        return constant(-value)
    return None


def minus(node: exp.Expression, place: Place) -> Term:
    """-x, which is 0 - x: so it has no negative zero."""
    require(node, "this")
    if isinstance(node.this, exp.Literal) and str(node.this.this) == str(2**63):
        return constant(-(2**63))
    term = as_number(place.known(node.this))
    literal_of = _negative(term.constant, node.this)
    if literal_of is not None:
        return literal_of
    match term.storage:
        case Storage.NULL:
            return null()
        case Storage.REAL:
            return computed(f"(0 - {term.sql})", Storage.REAL)
        case Storage.INTEGER if not place.work.wide:
            return computed(f"(- {typed(term)})", Storage.INTEGER)
    return computed(f"sqlite.negate({encoded(term).sql})", Storage.ANY)


def concatenation(node: exp.Expression, place: Place) -> Term:
    """X || y over values as texts; a marker on its left makes it another operator (`prepared.PLUS`, `ARROWS`)."""
    require(node, "this", "expression", "safe")
    if _marker(node.this) == PLUS:
        return replace(plain_value(place.known(node.expression)), affinity=None, column=None, label=None)
    if isinstance(node.this, exp.DPipe) and (arrow := _marker(node.this.expression)) is not None:
        return place.work.function(arrow)((node.this.this, node.expression), place)
    left, right = (as_text(place.known(one)) for one in (node.this, node.expression))
    if Storage.NULL in {left.storage, right.storage}:
        return null()
    return computed(f"({typed(left)} || {right.sql})", Storage.TEXT)


def _marker(node: exp.Expression) -> str | None:
    name = str(node.this) if isinstance(node, exp.Placeholder) else ""
    return name if name == PLUS or name in ARROWS.values() else None


def like(node: exp.Expression, place: Place) -> Term:
    """X LIKE y: ASCII letters in either case are equal, and there is no escape character unless one is named."""
    return _like(node, place, "")


def escaped(node: exp.Expression, place: Place) -> Term:
    """X LIKE y ESCAPE c."""
    character = place.term(node.expression).constant
    if not isinstance(node.this, exp.Like) or not isinstance(character, str) or len(character) != 1:
        raise Refused("ESCAPE", "it needs LIKE and a single character")
    if character.isalpha():
        raise Refused(f"ESCAPE {character!r}", "a letter as escape character is also folded", "use a punctuation mark")
    return _like(node.this, place, character)


def _like(node: exp.Expression, place: Place, escape: str) -> Term:
    require(node, "this", "expression", "negate")
    subject, pattern = (_pattern_text(one, place) for one in (node.this, node.expression))
    if Storage.NULL in {subject.storage, pattern.storage}:
        return truth("NULL::boolean")
    negated = bool(node.args.get("negate"))
    if isinstance(pattern.constant, str) and escape and _is_left_open(pattern.constant, escape):
        return truth(f"CASE WHEN {subject.sql} IS NOT NULL THEN {str(negated).upper()} END")
    written = constant(escape).sql
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    return truth(f"({folded_for_like(subject)} {word} {folded_for_like(pattern)} ESCAPE {written})")


def _is_left_open(pattern: str, escape: str) -> bool:
    """Whether a pattern ends with an escape character that escapes nothing: no text is like it."""
    place = 0
    while place < len(pattern):
        place += 2 if pattern[place] == escape else 1
    return place > len(pattern)


def folded_for_like(term: Term) -> str:
    """The text with ASCII capitals made small; what has none is left alone."""
    if isinstance(term.constant, str):
        return constant("".join(c.lower() if c.isascii() else c for c in term.constant)).sql
    return f"lower({ordered_as_bytes(term).sql})"


def _pattern_text(node: exp.Expression, place: Place) -> Term:
    term = place.term(node)
    if term.storage is Storage.OPEN and place.work.hints.get(term.parameter or "") in {None, TargetType.TEXT}:
        return place.work.placeholder(term, Storage.TEXT, affinity=Affinity.TEXT, stored=TargetType.TEXT)
    return as_text(place.work.known(term))


def collate(node: exp.Expression, place: Place) -> Term:
    """X COLLATE name."""
    require(node, "this", "expression")
    collation = node.expression.name.upper()
    if collation not in {"BINARY", "NOCASE", "RTRIM"}:
        raise Refused(f"COLLATE {collation}", "it is not one of SQLite's own collations")
    return replace(place.known(node.this), collation=collation, explicit=True)


def case(node: exp.Expression, place: Place) -> Term:
    """CASE, whose results may be of several classes."""
    require(node, "this", "ifs", "default")
    conditions = [_condition(node, branch, place) for branch in node.args["ifs"]]
    default = node.args.get("default")
    nodes = [branch.args["true"] for branch in node.args["ifs"]] + ([default] if default is not None else [])
    results, storage = unified([place.known(one) for one in nodes])
    text = "".join(f" WHEN {test} THEN {result.sql}" for test, result in zip(conditions, results, strict=False))
    if default is not None:
        text += f" ELSE {results[-1].sql}"
    return computed(f"CASE{text} END", storage)


def _condition(node: exp.Expression, branch: exp.Expression, place: Place) -> str:
    if node.this is None:
        return as_truth(place.known(branch.this)).sql
    return compare("=", place.term(node.this), place.term(branch.this), place.work).sql


def unified(terms: Sequence[Term]) -> tuple[list[Term], Storage]:
    """The terms as values of one class (NULL goes with any), of any class where they are of several."""
    values = [plain_value(term) for term in terms]
    storages = {value.storage for value in values} - {Storage.NULL}
    if not storages:
        return values, Storage.NULL
    storage = storages.pop() if len(storages) == 1 else Storage.ANY
    if storage is Storage.ANY:
        return [encoded(value) for value in values], storage
    written = [
        f"{value.sql}::{storage.type_name}" if value.is_constant or value.storage is Storage.NULL else value.sql
        for value in values
    ]
    return [replace(value, sql=sql) for value, sql in zip(values, written, strict=True)], storage


def cast(node: exp.Expression, place: Place) -> Term:
    """CAST to the affinity of a type's name (lang_expr.html, section 4)."""
    require(node, "this", "to", "_type")
    affinity = affinity_of(str(node.args["to"].args.get("kind") or "").removeprefix(TYPE))
    term = plain_value(place.known(node.this))
    if term.storage is Storage.NULL:
        return replace(null(), affinity=affinity)
    if affinity is Affinity.NUMERIC:
        made = term if term.storage in _NUMBERS else computed(f"sqlite.to_numeric({encoded(term).sql})", Storage.ANY)
    elif affinity is Affinity.BLOB:
        made = _as_blob(term)
    else:
        made = _CASTS[affinity](term)
    return replace(
        made, sql=typed(made), affinity=affinity, collation=term.collation, column=None, label=None, constant=None
    )


_NUMBERS = (Storage.INTEGER, Storage.REAL, Storage.NUMBER)
_CASTS: Mapping[Affinity, Callable[[Term], Term]] = {
    Affinity.INTEGER: as_integer,
    Affinity.REAL: as_real,
    Affinity.TEXT: as_text,
}


def _as_blob(term: Term) -> Term:
    """The bytes of a blob or of what the value is as text."""
    if term.storage is Storage.BLOB:
        return term
    return computed(f"substr({encoded(as_text(term)).sql}, 2)", Storage.BLOB)


def scalar_query(node: exp.Expression, place: Place) -> Term:
    """(SELECT …) as a value, that of its first row; where that is not provable, several rows are PostgreSQL's error."""
    query = place.work.grammar.subquery(node, place, named=True)
    if len(query.fields) != 1:
        raise Refused("a subquery of several columns", "no rule covers it", "select one column")
    field = next(iter(query.fields.values()))
    one = query.sql
    if query.order is not None and not query.is_single:
        one = f'SELECT * FROM ({query.sql}{query.order}) AS "_one" LIMIT 1'
    return replace(field, sql=f"({one})", constant=None, column=None, label=None)


def exists(node: exp.Expression, place: Place) -> Term:
    """EXISTS (SELECT …)."""
    require(node, "this")
    return truth(f"EXISTS ({place.work.grammar.subquery(node.this, place).sql})")
