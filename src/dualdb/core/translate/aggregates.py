"""Rules for aggregate functions (lang_aggfunc.html): their types, and the order in which floats are summed.

A float sum depends on the order of its rows. SQLite adds in scan order; where that order is provable (`scan.py`) the
aggregate is told it, elsewhere a note says that the last bits may differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.translate.comparison import folded, is_told_by_bytes, key_of, ordered_as_bytes
from dualdb.core.translate.conversion import as_real, as_text, as_truth, encoded, plain_value, typed
from dualdb.core.translate.json import group_item, group_member
from dualdb.core.translate.place import require
from dualdb.core.translate.prepared import FUNCTION
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Storage, Term, computed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.core.translate.place import Place

    Aggregate = Callable[["Argument", Place], tuple[str, Storage]]

OVER = " OVER ("
"""How a window begins behind a call."""
_BINARY = frozenset({None, "BINARY"})
WINDOW_ORDER = "\x01window"
"""Stands for the order of a window, which the aggregate need not be told."""
FLOAT_ORDER = "the rows' order in a float sum is not provable: its last bits may differ"


class Argument:
    """The one argument of an aggregate, whether it is DISTINCT, and what stands behind the call."""

    def __init__(self, nodes: Sequence[exp.Expression], name: str, place: Place, suffix: str) -> None:
        """`suffix` is FILTER and OVER, if they were written."""
        self.name = name
        self._suffix = suffix
        self.distinct = bool(nodes) and isinstance(nodes[0], exp.Distinct)
        if self.distinct:
            require(nodes[0], "expressions")
            nodes = nodes[0].expressions
        self.others = nodes[1:]
        self.star = len(nodes) == 1 and isinstance(nodes[0], exp.Star)
        inner = place.within_aggregate()
        self.term = Term(sql="*", storage=Storage.INTEGER) if self.star else plain_value(inner.known(nodes[0]))
        if self.others and name not in _SEPARATED:
            raise Refused(f"{name}() of {len(nodes)} arguments", "no rule covers it")

    def call(self, function: str, text: str, *, order: str | None = None) -> str:
        """PostgreSQL's aggregate over this text."""
        distinct = "DISTINCT " if self.distinct else ""
        ordered = "" if order is None or order == WINDOW_ORDER else f" ORDER BY {order}"
        return f"{function}({distinct}{text}{ordered}){self._suffix}"

    def sorted(self, function: str, text: str, order: str) -> str:
        """An aggregate that PostgreSQL computes over values that are not NULL, in this order; not over a window."""
        if OVER in self._suffix:
            raise Refused(f"{self.name}() over a window", "PostgreSQL cannot order the rows there", "use a subquery")
        found = f"{text} IS NOT NULL"
        if self._suffix:
            return f"{function}({text} ORDER BY {order}){self._suffix.removesuffix(')')} AND {found})"
        return f"{function}({text} ORDER BY {order}) FILTER (WHERE {found})"

    def first_met(self, function: str, text: str, place: Place) -> str:
        """An aggregate over different values `v`, each numbered by where it was met first, `n`."""
        if place.scan_order is None or (self.term.storage is Storage.TEXT and self.term.collation not in _BINARY):
            raise Refused(f"{self.name}(DISTINCT …)", "the order of its rows is not provable", "use a subquery")
        rows = f"unnest({self.sorted('array_agg', text, place.scan_order)}) WITH ORDINALITY AS u (v, n)"
        return f"(SELECT {function} FROM (SELECT v, min(n) AS n FROM {rows} GROUP BY v) AS d)"

    def refused(self) -> Refused:
        """The refusal of this class of argument."""
        return Refused(f"{self.name}() over {self.term.storage.value}", "SQLite's result depends on each value's class")


def count(argument: Argument, _: Place) -> tuple[str, Storage]:
    """Rows, or values that are not NULL, or different ones."""
    term = argument.term
    text = term.sql
    collation = term.collation or "BINARY"
    if argument.distinct and term.storage is Storage.TEXT:
        text = folded(term, collation).sql
    elif argument.distinct and term.storage is Storage.ANY:
        text = key_of(term, collation)
    return argument.call("count", text), Storage.INTEGER


def extreme(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate min(x), max(x): of values that are equal the one that was met first."""
    term = argument.term
    collation = term.collation or "BINARY"
    if term.storage in _ORDERED:
        return argument.call(argument.name, typed(term)), term.storage
    if term.storage is Storage.TEXT and collation == "BINARY":
        return argument.call(argument.name, ordered_as_bytes(term).sql), Storage.TEXT
    key = folded(term, collation).sql if term.storage is Storage.TEXT else key_of(term, collation)
    order = [f"{key}{' DESC' if argument.name == 'max' else ''} NULLS LAST"]
    if not (term.storage is Storage.BLOB or is_told_by_bytes(term)):
        if place.scan_order is None:
            raise Refused(f"{argument.name}()", "which of several equal values comes out is not provable", "CAST it")
        order.append(place.scan_order)
    return f"({argument.sorted('array_agg', term.sql, ', '.join(order))})[1]", term.storage


_ORDERED = frozenset({Storage.INTEGER, Storage.REAL, Storage.NUMBER})


def add(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate sum(x): an integer over integers, a float over floats, NULL over nothing."""
    if argument.term.storage is Storage.INTEGER:
        # SQLite raises an overflow where bigint does.
        return f"({argument.call('sum', argument.term.sql)})::bigint", Storage.INTEGER
    if argument.term.storage is Storage.REAL:
        return f"nullif({_float_sum(argument, place)} + 0, 'NaN')", Storage.REAL
    # Of several classes: an integer as long as all of them are (sumStep and sumFinalize in func.c).
    value = f"sqlite.summand({encoded(argument.term).sql})"
    if argument.distinct:
        raise argument.refused()
    all_integers = argument.call("bool_and", f"get_byte({value}, 0) = 1")
    integers = f"sqlite.value(({argument.call('sum', f'sqlite.integer_of({value})')})::bigint)"
    floats = f"sqlite.value({_float_sum(argument, place)} + 0)"
    return f"CASE WHEN {all_integers} THEN {integers} ELSE {floats} END", Storage.ANY


def average(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate avg(x): always a float, the sum as float divided by the count."""
    sums, counts = _float_sum(argument, place), argument.call("count", argument.term.sql)
    return f"nullif(({sums} + 0) / nullif({counts}, 0), 'NaN')", Storage.REAL


def total(argument: Argument, place: Place) -> tuple[str, Storage]:
    """The sum as a float, 0.0 over nothing."""
    return f"nullif(coalesce({_float_sum(argument, place)}, 0) + 0, 'NaN')", Storage.REAL


def _float_sum(argument: Argument, place: Place) -> str:
    """A sum of floats, added up in SQLite's order."""
    term, text = argument.term, as_real(argument.term).sql
    if term.storage is Storage.INTEGER:  # below 2^53 the order is of no importance
        return argument.call("sum", text, order=None if argument.distinct else place.scan_order)
    if argument.distinct:
        return argument.first_met("sum(v ORDER BY n)", text, place)
    if place.scan_order is None and FLOAT_ORDER not in place.work.notes:
        place.work.notes.append(FLOAT_ORDER)
    return argument.call("sum", text, order=place.scan_order)


def joined(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate group_concat(x [, separator]), where the rows' order is provable."""
    if place.scan_order is None or len(argument.others) > 1:
        raise Refused("group_concat()", "the order of its rows is not provable", "concatenate in the application")
    separator = "','"
    if argument.others:
        separator = typed(as_text(place.within_aggregate().known(argument.others[0])))
    text = as_text(argument.term).sql
    if argument.distinct:
        if argument.term.storage is Storage.ANY and not is_told_by_bytes(argument.term):
            raise argument.refused()
        return argument.first_met(f"string_agg(v, {separator} ORDER BY n)", text, place), Storage.TEXT
    return argument.call("string_agg", f"{text}, {separator}", order=place.scan_order), Storage.TEXT


def json_array(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate json_group_array(x), where the rows' order is provable."""
    return argument.call(
        "sqlite.json_group_array", group_item(argument.term), order=_certain(argument, place)
    ), Storage.TEXT


def json_object(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate json_group_object(name, value), where the rows' order is provable."""
    if len(argument.others) != 1:
        raise Refused("json_group_object()", "it takes a name and a value", "correct the statement")
    value = plain_value(place.within_aggregate().known(argument.others[0]))
    member = group_member(argument.term, value)
    return argument.call("sqlite.json_group_object", member, order=_certain(argument, place)), Storage.TEXT


def _certain(argument: Argument, place: Place) -> str:
    if place.scan_order is None or argument.distinct:
        raise Refused(f"{argument.name}()", "the order of its rows is not provable", "select from a sorted subquery")
    return place.scan_order


_SEPARATED = frozenset({"group_concat", "json_group_object", "string_agg"})
AGGREGATES: Mapping[str, Aggregate] = {
    "avg": average,
    "count": count,
    "group_concat": joined,
    "json_group_array": json_array,
    "json_group_object": json_object,
    "max": extreme,
    "min": extreme,
    "string_agg": joined,
    "sum": add,
    "total": total,
}


def is_aggregate(node: exp.Expression) -> bool:
    """Whether the node calls an aggregate function; min and max of several arguments are not."""
    if not isinstance(node, exp.Anonymous):
        return False
    name = str(node.this).removeprefix(FUNCTION)
    return name in AGGREGATES and not (name in {"min", "max"} and len(node.expressions) > 1)


def own_aggregates(select: exp.Select) -> list[exp.Expression]:
    """The aggregate functions that a SELECT itself computes, not one of its subqueries, nor over a window."""
    clauses = [*select.expressions, select.args.get("having"), select.args.get("order")]
    return [found for clause in clauses if clause is not None for found in _own(clause)]


def aggregates(select: exp.Select) -> bool:
    """Whether a SELECT computes an aggregate function."""
    return bool(own_aggregates(select))


def _own(node: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(node, exp.Query):
        return
    if isinstance(node, exp.Window):
        called = node.this.this if isinstance(node.this, exp.Filter) else node.this
        children = [*called.expressions, *(value for key, value in node.args.items() if key != "this")]
    else:
        if is_aggregate(node):
            yield node
        children = list(node.args.values())
    pending = list(children)
    while pending:
        child = pending.pop(0)
        if isinstance(child, list):
            pending[:0] = child
        elif isinstance(child, exp.Expression):
            yield from _own(child)


def aggregate(node: exp.Expression, place: Place) -> Term:
    """An aggregate function's call."""
    return _aggregate(node, place, "")


def filtered(node: exp.Expression, place: Place) -> Term:
    """aggregate(…) FILTER (WHERE …)."""
    require(node, "this", "expression")
    if not is_aggregate(node.this):
        raise Refused("FILTER", "what stands before it is no aggregate function", "leave it out")
    return _aggregate(node.this, place, filter_clause(node, place))


def filter_clause(node: exp.Expression, place: Place) -> str:
    """FILTER (WHERE …) as it stands behind a call."""
    return f" FILTER (WHERE {as_truth(place.within_aggregate().known(node.expression.this)).sql})"


def _aggregate(node: exp.Expression, place: Place, suffix: str) -> Term:
    if not place.aggregates:
        raise Refused("an aggregate here", "it may stand only in a query's result, HAVING and ORDER BY")
    term = _computed(node, place, suffix)
    place.calls.append(term.sql)
    return term


def aggregate_over(node: exp.Expression, place: Place, suffix: str, *, moving: bool) -> Term:
    """An aggregate function over a window's frame, in the window's order; `moving` when rows leave the frame."""
    term = _computed(node, replace(place, scan_order=WINDOW_ORDER), suffix)
    if moving and term.storage is not Storage.INTEGER and str(node.this).removeprefix(FUNCTION) in _SUMS:
        # SQLite subtracts what leaves the frame, which is not the sum of what is left.
        raise Refused("a sum of floats over a moving frame", "SQLite's last bits are those of a running sum", "CAST it")
    return term


_SUMS = frozenset({"sum", "avg", "total"})


def _computed(node: exp.Expression, place: Place, suffix: str) -> Term:
    require(node, "this", "expressions")
    name = str(node.this).removeprefix(FUNCTION)
    nodes = node.expressions or [exp.Star()]
    if not node.expressions and name != "count":
        raise Refused(f"{name}()", "it has no argument")
    sql, storage = AGGREGATES[name](Argument(nodes, name, place, suffix), place)
    return replace(computed(sql, storage), is_json=name.startswith("json_"))
