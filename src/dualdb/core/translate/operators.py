"""Rules for operators, literals, names, CASE and CAST (lang_expr.html). One function per kind of node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.schema import Affinity
from dualdb.core.translate.comparison import compare, equal_sides, ordered_as_bytes
from dualdb.core.translate.conversion import as_integer, as_text, as_truth, plain_value, read_float
from dualdb.core.translate.place import require
from dualdb.core.translate.prepared import TYPE
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import INT64, Storage, Term, computed, constant, null, truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
_ORDERINGS = (exp.LT, exp.LTE, exp.GT, exp.GTE)
_MEMBER = "\x03"
_EQUALITIES = (exp.EQ, exp.NEQ, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Like, exp.Glob, exp.Between)
_EQUALITIES_AND_NOT = (*_EQUALITIES, exp.Escape, exp.Not, exp.Match, exp.RegexpLike)


def check_precedence(node: exp.Expression, *operands: str) -> None:
    """Refuse a comparison directly inside another where sqlglot's precedence is not SQLite's (lang_expr.html, 2)."""
    for name in operands:
        operand = node.args.get(name)
        allowed_orderings = isinstance(node, (exp.EQ, exp.NEQ))
        nested = isinstance(operand, _EQUALITIES_AND_NOT) or (isinstance(operand, _ORDERINGS) and not allowed_orderings)
        if nested and not (isinstance(node, _ORDERINGS) and isinstance(operand, _ORDERINGS) and name == "this"):
            raise Refused("a comparison of a comparison", "its precedence is easily misread", "put it in parentheses")


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
    return place.term(node.this, any_class=True)


def comparison(node: exp.Expression, place: Place) -> Term:
    """= == <> != < <= > >= and IS [NOT] between values."""
    require(node, "this", "expression")
    check_precedence(node, "this", "expression")
    return compare(_SIGNS[type(node)], place.term(node.this), place.term(node.expression), place.work)


def is_value(node: exp.Expression, place: Place) -> Term:
    """IS NULL, IS TRUE, IS FALSE."""
    require(node, "this", "expression")
    check_precedence(node, "this")
    if isinstance(node.expression, exp.Null):
        return truth(f"({place.known(node.this, any_class=True).sql} IS NULL)")
    if isinstance(node.expression, exp.Boolean):
        word = "TRUE" if node.expression.this else "FALSE"
        return truth(f"({as_truth(place.known(node.this)).sql} IS {word})")
    raise Refused("IS", "no rule covers its right-hand side")


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
    check_precedence(node, "this", "low", "high")
    low = compare(">=", place.term(node.this), place.term(node.args["low"]), place.work)
    high = compare("<=", place.term(node.this), place.term(node.args["high"]), place.work)
    return truth(f"({low.sql} AND {high.sql})")


def membership(node: exp.Expression, place: Place) -> Term:
    """X IN (…); the values of the list have no affinity (datatype3.html, section 4.2)."""
    require(node, "this", "expressions", "query")
    check_precedence(node, "this")
    if isinstance(node.this, exp.Tuple):
        raise Refused("a row value", "no rule covers it", "compare column by column")
    if node.args.get("query") is not None:
        return _in_query(node, place)
    if not node.expressions:
        return truth("FALSE")
    subject = place.term(node.this)
    members = [_without_affinity(place.term(one)) for one in node.expressions]
    sides = [equal_sides(subject, member, place.work) for member in members]
    plain = [pair for pair in sides if pair is not None]
    if len(plain) == len(sides) and len({left for left, _ in plain}) == 1:
        return truth(f"({plain[0][0]} IN ({', '.join(right for _, right in plain)}))")
    return truth("(" + " OR ".join(compare("=", subject, member, place.work).sql for member in members) + ")")


def _without_affinity(term: Term) -> Term:
    return replace(term, affinity=None, collation=None, explicit=False)


def _in_query(node: exp.Expression, place: Place) -> Term:
    query = place.work.grammar.subquery(node.args["query"], place)
    if len(query.fields) != 1:
        raise Refused("IN over several columns", "no rule covers it", "select one column")
    subject = place.known(node.this)
    # The marker stands for a row's value: both engines must mean the same by comparing it, untouched, with the subject.
    member = replace(next(iter(query.fields.values())), sql=_MEMBER, constant=None, explicit=False, collation=None)
    sides = equal_sides(subject, member, place.work)
    if sides is None or sides[1] != _MEMBER:
        raise Refused("IN over a query", "the two sides differ in class or collation", "CAST one of them")
    return truth(f"({sides[0]} IN ({query.sql}))")


def arithmetic(node: exp.Expression, place: Place) -> Term:
    """+ - * over numbers; an overflow, where SQLite changes to floats, is an error on PostgreSQL."""
    require(node, "this", "expression")
    left, right = plain_value(place.known(node.this)), plain_value(place.known(node.expression))
    if Storage.NULL in {left.storage, right.storage}:
        return null()
    sign = _SIGNS[type(node)]
    storages = {left.storage, right.storage}
    if storages == {Storage.INTEGER}:
        return computed(f"({_wide(left)} {sign} {right.sql})", Storage.INTEGER)
    if storages <= {Storage.INTEGER, Storage.REAL}:
        # Any NaN is NULL in SQLite (sqlite3VdbeMemSetDouble).
        return computed(f"nullif({left.sql} {sign} {right.sql}, 'NaN')", Storage.REAL)
    raise Refused(f"'{sign}' over {_classes(left, right)}", "SQLite's result depends on the class of each value")


def division(node: exp.Expression, place: Place) -> Term:
    """X / y: NULL when y is zero; integers give the integer towards zero."""
    require(node, "this", "expression", "typed", "safe")
    left, right = plain_value(place.known(node.this)), plain_value(place.known(node.expression))
    if Storage.NULL in {left.storage, right.storage}:
        return null()
    storages = {left.storage, right.storage}
    if storages == {Storage.INTEGER}:
        return computed(f"({_wide(left)} / {_divisor(right)})", Storage.INTEGER)
    if storages <= {Storage.INTEGER, Storage.REAL}:
        text = f"{left.sql}::double precision / nullif({right.sql}, 0)"
        return computed(f"nullif({text}, 'NaN')", Storage.REAL)
    raise Refused(f"'/' over {_classes(left, right)}", "SQLite's result depends on the class of each value")


def modulo(node: exp.Expression, place: Place) -> Term:
    """X % y over integers: NULL when y is zero, the sign of x."""
    require(node, "this", "expression")
    left, right = plain_value(place.known(node.this)), plain_value(place.known(node.expression))
    if {left.storage, right.storage} != {Storage.INTEGER}:
        raise Refused(f"'%' over {_classes(left, right)}", "SQLite casts both sides to integers", "CAST them")
    return computed(f"({_wide(left)} % {_divisor(right)})", Storage.INTEGER)


def _divisor(right: Term) -> str:
    return right.sql if right.constant else f"nullif({right.sql}, 0)"


def _wide(term: Term) -> str:
    """An integer as bigint: PostgreSQL computes two small literals as 32-bit integers."""
    return f"{term.sql}::bigint" if term.is_constant else term.sql


def _classes(left: Term, right: Term) -> str:
    return f"{left.storage.value} and {right.storage.value}"


def bits(node: exp.Expression, place: Place) -> Term:
    """& and | over integers."""
    require(node, "this", "expression")
    what = f"'{_SIGNS[type(node)]}'"
    left, right = (as_integer(place.known(one), what) for one in (node.this, node.expression))
    return computed(f"({left.sql} {_SIGNS[type(node)]} {right.sql})", Storage.INTEGER)


def complement(node: exp.Expression, place: Place) -> Term:
    """~x over integers."""
    require(node, "this")
    return computed(f"(~ {as_integer(place.known(node.this), '~').sql})", Storage.INTEGER)


def minus(node: exp.Expression, place: Place) -> Term:
    """-x."""
    require(node, "this")
    if isinstance(node.this, exp.Literal) and str(node.this.this) == str(2**63):
        return constant(-(2**63))
    term = plain_value(place.known(node.this))
    if isinstance(term.constant, (int, float)) and term.constant != 0:
        return constant(-term.constant)
    if term.storage is Storage.REAL:  # 0 - x keeps 0.0 where -x would make -0.0, as SQLite subtracts from zero
        return computed(f"(0 - {term.sql})", Storage.REAL)
    return computed(f"(- {as_integer(term, 'unary minus').sql})", Storage.INTEGER)


def concatenation(node: exp.Expression, place: Place) -> Term:
    """X || y over texts and integers."""
    require(node, "this", "expression", "safe")
    left, right = (as_text(place.known(one)) for one in (node.this, node.expression))
    if Storage.NULL in {left.storage, right.storage}:
        return null()
    return computed(f"({left.sql}{'::text' if left.is_constant else ''} || {right.sql})", Storage.TEXT)


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
    check_precedence(node, "this", "expression")
    subject, pattern = (_pattern_text(one, place) for one in (node.this, node.expression))
    if Storage.NULL in {subject.storage, pattern.storage}:
        return truth("NULL::boolean")
    written = constant(escape).sql
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    return truth(f"({folded_for_like(subject)} {word} {folded_for_like(pattern)} ESCAPE {written})")


def folded_for_like(term: Term) -> str:
    """The text with ASCII capitals made small; what has none is left alone."""
    if isinstance(term.constant, str):
        return constant("".join(c.lower() if c.isascii() else c for c in term.constant)).sql
    return f"lower({ordered_as_bytes(term).sql})"


def _pattern_text(node: exp.Expression, place: Place) -> Term:
    term = place.term(node)
    if term.storage is Storage.OPEN:
        from dualdb.core.schema import TargetType

        return place.work.placeholder(term, Storage.TEXT, affinity=Affinity.TEXT, stored=TargetType.TEXT)
    return as_text(term)


def collate(node: exp.Expression, place: Place) -> Term:
    """X COLLATE name."""
    require(node, "this", "expression")
    collation = node.expression.name.upper()
    if collation not in {"BINARY", "NOCASE", "RTRIM"}:
        raise Refused(f"COLLATE {collation}", "it is not one of SQLite's own collations")
    return replace(place.known(node.this), collation=collation, explicit=True)


def case(node: exp.Expression, place: Place) -> Term:
    """CASE, whose results must be of one class."""
    require(node, "this", "ifs", "default")
    conditions = [_condition(node, branch, place) for branch in node.args["ifs"]]
    default = node.args.get("default")
    nodes = [branch.args["true"] for branch in node.args["ifs"]] + ([default] if default is not None else [])
    results, storage = unified([place.known(one) for one in nodes], "CASE")
    text = "".join(f" WHEN {test} THEN {result.sql}" for test, result in zip(conditions, results, strict=False))
    if default is not None:
        text += f" ELSE {results[-1].sql}"
    return computed(f"CASE{text} END", storage)


def _condition(node: exp.Expression, branch: exp.Expression, place: Place) -> str:
    if node.this is None:
        return as_truth(place.known(branch.this)).sql
    return compare("=", place.term(node.this), place.term(branch.this), place.work).sql


def unified(terms: Sequence[Term], what: str) -> tuple[list[Term], Storage]:
    """The terms as values of one class (NULL goes with any); raises Refused when they are of several."""
    values = [plain_value(term) for term in terms]
    storages = {value.storage for value in values} - {Storage.NULL}
    if len(storages) > 1:
        classes = ", ".join(sorted(storage.value for storage in storages))
        raise Refused(f"{what} over different classes ({classes})", "the result's class would vary by row", "CAST them")
    storage = storages.pop() if storages else Storage.NULL
    if storage is Storage.NULL:
        return values, storage
    typed = [
        replace(value, sql=f"{value.sql}::{storage.type_name}")
        if value.is_constant or value.storage is Storage.NULL
        else value
        for value in values
    ]
    return typed, storage


_CAST_TARGETS: Mapping[str, tuple[Storage, Affinity]] = {
    "INTEGER": (Storage.INTEGER, Affinity.INTEGER),
    "INT": (Storage.INTEGER, Affinity.INTEGER),
    "BIGINT": (Storage.INTEGER, Affinity.INTEGER),
    "REAL": (Storage.REAL, Affinity.REAL),
    "DOUBLE": (Storage.REAL, Affinity.REAL),
    "FLOAT": (Storage.REAL, Affinity.REAL),
    "TEXT": (Storage.TEXT, Affinity.TEXT),
    "VARCHAR": (Storage.TEXT, Affinity.TEXT),
}


def cast(node: exp.Expression, place: Place) -> Term:
    """CAST between classes where both engines agree (lang_expr.html, section 3)."""
    require(node, "this", "to", "_type")
    name = str(node.args["to"].args.get("kind") or "").removeprefix(TYPE).upper()
    if name not in _CAST_TARGETS:
        raise Refused(f"CAST AS {name}", "no rule covers this type", f"CAST AS one of {', '.join(_CAST_TARGETS)}")
    storage, affinity = _CAST_TARGETS[name]
    term = plain_value(place.term(node.this))
    term = place.work.known(term)
    if term.storage is Storage.NULL:
        return replace(null(), affinity=affinity)
    if term.storage is storage:
        sql = f"{term.sql}::{storage.type_name}" if term.is_constant else term.sql
        return replace(term, sql=sql, affinity=affinity, column=None, label=None, constant=None)
    match term.storage, storage:
        case Storage.INTEGER, Storage.REAL:
            sql = f"{term.sql}::double precision"
        case Storage.INTEGER, Storage.TEXT:
            sql = f"{term.sql}::text"
        case (Storage.REAL, Storage.INTEGER) | (Storage.NUMBER, Storage.INTEGER):
            sql = f"sqlite.to_integer({term.sql})"
        case Storage.NUMBER, Storage.REAL:
            sql = term.sql
        case Storage.TEXT, Storage.INTEGER:
            sql = f"sqlite.to_integer({term.sql}{'::text' if term.is_constant else ''})"
        case _:
            raise Refused(
                f"CAST of {term.storage.value} AS {name}", "SQLite's spelling and reading of floats is its own"
            )
    return replace(computed(sql, storage), affinity=affinity, collation=term.collation)


def scalar_query(node: exp.Expression, place: Place) -> Term:
    """(SELECT …) as a value; on PostgreSQL more than one row is an error."""
    query = place.work.grammar.subquery(node, place)
    if len(query.fields) != 1:
        raise Refused("a subquery of several columns", "no rule covers it", "select one column")
    field = next(iter(query.fields.values()))
    return replace(field, sql=f"({query.sql})", constant=None, column=None, label=None)


def exists(node: exp.Expression, place: Place) -> Term:
    """EXISTS (SELECT …)."""
    require(node, "this")
    return truth(f"EXISTS ({place.work.grammar.subquery(node.this, place).sql})")
