"""Window functions (windowfunctions.html): OVER, its frames, and the functions that only stand there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.sqltext import fold
from dualdb.core.translate.aggregates import OVER, aggregate_over, filter_clause, is_aggregate
from dualdb.core.translate.comparison import folded, is_told_by_bytes, key_of
from dualdb.core.translate.conversion import as_integer, plain_value, typed
from dualdb.core.translate.operators import unified
from dualdb.core.translate.ordering import order_term
from dualdb.core.translate.place import require
from dualdb.core.translate.prepared import FUNCTION
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Storage, computed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.translate.place import Place
    from dualdb.core.translate.term import Term

_RANKS: Mapping[str, Storage] = {
    "row_number": Storage.INTEGER,
    "rank": Storage.INTEGER,
    "dense_rank": Storage.INTEGER,
    "percent_rank": Storage.REAL,
    "cume_dist": Storage.REAL,
}
_BY_ROW = frozenset({"row_number", "ntile", "lag", "lead"})
"""Look at each row by itself, not at all rows that are equal in the order."""
_INT32 = 2**31
_VALUES = frozenset({"first_value", "last_value", "nth_value"})


def named_windows(select: exp.Select) -> Mapping[str, exp.Expression]:
    """The windows of a WINDOW clause, by lower-cased name."""
    return {fold(window.name): window for window in select.args.get("windows") or []}


def window(node: exp.Expression, place: Place) -> Term:
    """function(…) OVER (…)."""
    require(node, "this", "partition_by", "order", "spec", "alias", "over", "first")
    if not place.aggregates:
        raise Refused("a window function here", "it may stand only in a query's result and in ORDER BY")
    over = _Window(node, place)
    called, condition = node.this, ""
    if isinstance(called, exp.Filter):
        called, condition = called.this, filter_clause(called, place)
    if not isinstance(called, exp.Anonymous):
        raise Refused("OVER", "what stands before it is no function")
    name = str(called.this).removeprefix(FUNCTION)
    suffix = f"{condition}{OVER}{over.sql(by_row=name in _BY_ROW)})"
    if is_aggregate(called):
        return aggregate_over(called, place, suffix, moving=over.moving)
    if condition:
        raise Refused(f"FILTER with {name}()", "SQLite has it for aggregates only", "leave it out")
    return _called(name, called.expressions, place, suffix)


def _called(name: str, nodes: Sequence[exp.Expression], place: Place, over: str) -> Term:
    """A function that only stands before OVER."""
    if name in _RANKS and not nodes:
        return computed(f"{name}(){over}", _RANKS[name])
    if name == "ntile" and len(nodes) == 1:
        parts = as_integer(place.known(nodes[0])).sql
        return computed(f"(ntile({parts}::integer){over})::bigint", Storage.INTEGER)
    if name in {"lag", "lead"} and 1 <= len(nodes) <= 3:  # noqa: PLR2004 - value, offset, default
        text, storage = _neighbour(name, nodes, place)
        return computed(text + over, storage)
    if name in _VALUES and len(nodes) == (2 if name == "nth_value" else 1):
        term = plain_value(place.known(nodes[0]))
        number = f", {as_integer(place.known(nodes[1])).sql}::integer" if name == "nth_value" else ""
        return replace(computed(f"{name}({typed(term)}{number}){over}", term.storage), collation=term.collation)
    raise Refused(f"{name}() as a window function", "no rule covers it")


def _neighbour(name: str, nodes: Sequence[exp.Expression], place: Place) -> tuple[str, Storage]:
    offset = ""
    if len(nodes) > 1:
        places = place.known(nodes[1]).constant
        if not isinstance(places, int) or not 0 <= places < _INT32:
            raise Refused(f"{name}()", "its offset is no number of rows", "write a literal")
        offset = f", {places}"
    (value, *default), storage = unified([place.known(one) for one in (nodes[0], *nodes[2:])])
    filling = f", {typed(default[0])}" if default else ""
    return f"{name}({typed(value)}{offset}{filling})", storage


class _Window:
    """What stands in the parentheses after OVER."""

    def __init__(self, node: exp.Expression, place: Place) -> None:
        self._place = place
        base = None
        if node.args.get("alias") is not None:
            base = place.windows.get(fold(node.text("alias")))
            if base is None:
                raise Refused(f"the window {node.text('alias')!r}", "the query names none such", "correct the name")
        self._partition = self._of("partition_by", node, base) or []
        self._order = self._of("order", node, base)
        self._spec = self._of("spec", node, base)

    def _of(self, part: str, node: exp.Expression, base: exp.Expression | None) -> object:
        return node.args.get(part) or (base.args.get(part) if base is not None else None)

    @property
    def _kind(self) -> str:
        return (
            str(self._spec.args.get("kind") or "RANGE").upper() if isinstance(self._spec, exp.Expression) else "RANGE"
        )

    @property
    def moving(self) -> bool:
        """Whether rows leave the frame as it moves."""
        if not isinstance(self._spec, exp.Expression):
            return False
        return self._spec.args.get("start") != "UNBOUNDED" or self._spec.args.get("exclude") is not None

    @property
    def peers(self) -> bool:
        """Whether all rows that are equal in the order are in the frame together."""
        return self._kind != "ROWS"

    def sql(self, *, by_row: bool) -> str:
        """The definition for PostgreSQL."""
        parts = []
        partition = [self._grouping(one) for one in self._partition]  # type: ignore[attr-defined]
        if partition:
            parts.append(f"PARTITION BY {', '.join(partition)}")
        terms = [self._ordered(one) for one in self._order.expressions] if isinstance(self._order, exp.Order) else []
        found = self._place.scan_order
        if (by_row or not self.peers) and found is not None and self._place.bare is None:
            # Of rows that are equal in the order SQLite's sorter leaves the one first that was found first.
            terms += [one for one in found.split(", ") if one not in terms]
        if terms:
            parts.append(f"ORDER BY {', '.join(terms)}")
        if isinstance(self._spec, exp.Expression):
            parts.append(self._frame(self._spec))
        return " ".join(parts)

    def _grouping(self, node: exp.Expression) -> str:
        term = plain_value(self._place.known(node))
        collation = term.collation or "BINARY"
        if term.storage is Storage.ANY and not is_told_by_bytes(term):
            return key_of(term, collation)
        if term.storage is Storage.TEXT and collation != "BINARY":
            return folded(term, collation).sql
        return typed(term)

    def _ordered(self, node: exp.Expression) -> str:
        require(node, "this", "desc", "nulls_first")
        return order_term(plain_value(self._place.known(node.this)), node, not_null=False)

    def _frame(self, spec: exp.Expression) -> str:
        require(spec, "kind", "start", "start_side", "end", "end_side", "exclude")
        start = self._bound(spec.args.get("start"), spec.args.get("start_side"))
        end = spec.args.get("end")
        if end is None:
            text = f"{self._kind} {start}"
        else:
            text = f"{self._kind} BETWEEN {start} AND {self._bound(end, spec.args.get('end_side'))}"
        exclude = spec.args.get("exclude")
        return f"{text} EXCLUDE {exclude.name if isinstance(exclude, exp.Expression) else exclude}" if exclude else text

    def _bound(self, bound: object, side: object) -> str:
        if bound == "CURRENT ROW":
            return "CURRENT ROW"
        if bound == "UNBOUNDED":
            return f"UNBOUNDED {side}"
        if not isinstance(bound, exp.Expression):
            raise Refused("a window's frame", "its bound is not understood")
        term = plain_value(self._place.known(bound))
        if term.storage is not Storage.INTEGER and not (self._kind == "RANGE" and term.storage is Storage.REAL):
            raise Refused("a window's frame", "its bound is no number", "write a number")
        return f"{typed(term)} {side}"
