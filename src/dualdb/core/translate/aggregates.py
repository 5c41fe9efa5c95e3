"""Rules for aggregate functions (lang_aggfunc.html): their types, and the order in which floats are summed.

A float sum depends on the order of its rows. SQLite adds in scan order; where that order is provable (`scan.py`) the
aggregate is told it, elsewhere a note says that the last bits may differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.translate.comparison import folded, ordered_as_bytes
from dualdb.core.translate.conversion import as_text, as_truth, plain_value
from dualdb.core.translate.place import require
from dualdb.core.translate.prepared import FUNCTION
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Storage, Term, computed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.core.translate.place import Place

    Aggregate = Callable[["Argument", Place], tuple[str, Storage]]

WINDOW_ORDER = "\x01window"
"""Stands for the order of a window, which the aggregate need not be told."""
FLOAT_ORDER = "the rows' order in a float sum is not provable: its last bits may differ"


class Argument:
    """The one argument of an aggregate, and whether it is DISTINCT."""

    def __init__(self, nodes: Sequence[exp.Expression], name: str, place: Place) -> None:
        self.name = name
        self.distinct = bool(nodes) and isinstance(nodes[0], exp.Distinct)
        if self.distinct:
            require(nodes[0], "expressions")
            nodes = nodes[0].expressions
        self.others = nodes[1:]
        self.star = len(nodes) == 1 and isinstance(nodes[0], exp.Star)
        inner = place.within_aggregate()
        self.term = Term(sql="*", storage=Storage.INTEGER) if self.star else plain_value(inner.known(nodes[0]))
        if self.others and name != "group_concat":
            raise Refused(f"{name}() of {len(nodes)} arguments", "no rule covers it")

    @property
    def sql(self) -> str:
        """What stands in the parentheses."""
        return f"DISTINCT {self.term.sql}" if self.distinct else self.term.sql

    def refused(self) -> Refused:
        """The refusal of this class of argument."""
        return Refused(f"{self.name}() over {self.term.storage.value}", "SQLite's result depends on each value's class")


def count(argument: Argument, _: Place) -> tuple[str, Storage]:
    """Rows, or values that are not NULL, or different ones."""
    if argument.distinct and argument.term.storage is Storage.TEXT:
        return f"count(DISTINCT {folded(argument.term, argument.term.collation or 'BINARY').sql})", Storage.INTEGER
    return f"count({argument.sql})", Storage.INTEGER


def extreme(argument: Argument, _: Place) -> tuple[str, Storage]:
    """Translate min(x), max(x)."""
    term = argument.term
    if term.storage is Storage.TEXT and (term.collation or "BINARY") != "BINARY":
        raise Refused(f"{argument.name}() under COLLATE {term.collation}", "any of several equal texts may come out")
    if term.storage not in {Storage.INTEGER, Storage.REAL, Storage.NUMBER, Storage.TEXT}:
        raise argument.refused()
    text = ordered_as_bytes(term).sql if term.storage is Storage.TEXT else term.sql
    return f"{argument.name}({text}{'::bigint' if isinstance(term.constant, int) else ''})", term.storage


def total_of_integers(argument: Argument, _: Place) -> str:
    """Sum over integers; SQLite raises an overflow where bigint does."""
    return f"sum({argument.sql})::bigint"


def _float_sum(function: str, argument: Argument, place: Place) -> str:
    term = argument.term
    text = term.sql if term.storage in {Storage.REAL, Storage.NUMBER} else f"{term.sql}::double precision"
    if argument.distinct:
        raise Refused(f"{function}(DISTINCT …) over floats", "the order of the sum is SQLite's own")
    if place.scan_order is None:
        if term.storage is not Storage.INTEGER and FLOAT_ORDER not in place.work.notes:
            place.work.notes.append(FLOAT_ORDER)
        return f"{function}({text})"
    return f"{function}({text}{_in_order(place.scan_order)})"


def add(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate sum(x): an integer over integers, a float over floats, NULL over nothing."""
    if argument.term.storage is Storage.INTEGER:
        return total_of_integers(argument, place), Storage.INTEGER
    if argument.term.storage is not Storage.REAL:
        raise argument.refused()
    return f"nullif({_float_sum('sum', argument, place)} + 0, 'NaN')", Storage.REAL


def average(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate avg(x): always a float, the sum as float divided by the count."""
    _check_number(argument)
    sums, counts = _float_sum("sum", argument, place), f"count({argument.sql})"
    return f"nullif(({sums} + 0) / nullif({counts}, 0), 'NaN')", Storage.REAL


def total(argument: Argument, place: Place) -> tuple[str, Storage]:
    """The sum as a float, 0.0 over nothing."""
    _check_number(argument)
    return f"nullif(coalesce({_float_sum('sum', argument, place)}, 0) + 0, 'NaN')", Storage.REAL


def _check_number(argument: Argument) -> None:
    if argument.term.storage not in {Storage.INTEGER, Storage.REAL, Storage.NUMBER}:
        raise argument.refused()


def joined(argument: Argument, place: Place) -> tuple[str, Storage]:
    """Translate group_concat(x [, separator]), where the rows' order is provable."""
    if place.scan_order is None or argument.distinct or len(argument.others) > 1:
        raise Refused("group_concat()", "the order of its rows is not provable", "concatenate in the application")
    separator = "','"
    if argument.others:
        separator = as_text(place.within_aggregate().known(argument.others[0])).sql
    text = as_text(argument.term)
    return f"string_agg({text.sql}, {separator}{_in_order(place.scan_order)})", Storage.TEXT


AGGREGATES: Mapping[str, Aggregate] = {
    "avg": average,
    "count": count,
    "group_concat": joined,
    "max": extreme,
    "min": extreme,
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
    require(node, "this", "expressions")
    if not place.aggregates:
        raise Refused("an aggregate here", "it may stand only in a query's result, HAVING and ORDER BY")
    place.aggregated = True
    return _computed(node, place)


def aggregate_over(node: exp.Expression, place: Place, *, moving: bool) -> Term:
    """An aggregate function over a window's frame, in the window's order; `moving` when rows leave the frame."""
    require(node, "this", "expressions")
    inner = replace(place, scan_order=WINDOW_ORDER, inside_aggregate=True)
    term = _computed(node, inner)
    if moving and term.storage is Storage.REAL:
        # SQLite subtracts what leaves the frame, which is not the sum of what is left.
        raise Refused("a sum of floats over a moving frame", "SQLite's last bits are those of a running sum", "CAST it")
    return term


def _computed(node: exp.Expression, place: Place) -> Term:
    name = str(node.this).removeprefix(FUNCTION)
    nodes = node.expressions or [exp.Star()]
    if not node.expressions and name != "count":
        raise Refused(f"{name}()", "it has no argument")
    sql, storage = AGGREGATES[name](Argument(nodes, name, place), place)
    return computed(sql, storage)


def _in_order(order: str | None) -> str:
    """The ORDER BY inside an aggregate's parentheses."""
    return "" if order is None or order == WINDOW_ORDER else f" ORDER BY {order}"


def filtered(node: exp.Expression, place: Place) -> Term:
    """aggregate(…) FILTER (WHERE …)."""
    require(node, "this", "expression")
    name = str(node.this.this).removeprefix(FUNCTION) if is_aggregate(node.this) else ""
    if name not in {"count", "min", "max"}:
        raise Refused("FILTER", "no rule covers it with this function", "use CASE inside the aggregate")
    condition = as_truth(place.within_aggregate().known(node.expression.this))
    term = aggregate(node.this, place)
    return replace(term, sql=f"{term.sql} FILTER (WHERE {condition.sql})")
