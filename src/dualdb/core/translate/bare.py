"""Columns outside of aggregates in a query that aggregates (lang_select.html, sections 2.4 and 2.5).

SQLite takes them from one row of the group: from the row that holds the minimum or maximum where the query has one
min() or max(), which is the first such row; from the last row where that is NULL; and else from the first row. First
and last are said of the order in which SQLite visits the rows (`scan`): where that is not provable it is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.schema import KeyKind
from dualdb.core.translate.aggregates import own_aggregates
from dualdb.core.translate.comparison import folded, key_of, ordered_as_bytes
from dualdb.core.translate.conversion import plain_value
from dualdb.core.translate.prepared import FUNCTION
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.translate.place import Place, Source
    from dualdb.core.translate.term import Term

_EXTREMES = {"min": "ASC", "max": "DESC"}


class BareColumns:
    """Of one SELECT."""

    def __init__(self, select: exp.Select, groups: Sequence[Term], place: Place) -> None:
        """`place` is where the result stands."""
        self._groups = {term.sql for term in groups}
        self._place = place
        self._extremes = [node for node in own_aggregates(select) if _name(node) in _EXTREMES]

    def value(self, source: Source, name: str, term: Term) -> Term:
        """The column's value for the group; raises Refused where that is not provable."""
        if term.sql in self._groups or self._is_determined(source):
            return term
        order = self._place.scan_order
        if order is None or len(self._extremes) > 1:
            raise Refused(
                f"the column {name!r} outside of an aggregate",
                "SQLite takes it from one row of the group, and which one is not provable",
                "group by it, or by its table's primary key",
            )
        taken = f"(array_agg({term.sql} ORDER BY {order}))[1]"
        if self._extremes:
            (extreme,) = self._extremes
            key = self._key(extreme)
            direction = _EXTREMES[_name(extreme)]
            taken = (
                f"CASE WHEN count({key}) > 0"
                f" THEN (array_agg({term.sql} ORDER BY {key} {direction} NULLS LAST, {order}))[1]"
                f" ELSE (array_agg({term.sql} ORDER BY {_reversed(order)}))[1] END"
            )
        return replace(term, sql=f"({taken})")

    def _is_determined(self, source: Source) -> bool:
        """Whether the query groups by the table's primary key: PostgreSQL knows that too (sql-select.html)."""
        table = source.table
        return (
            table is not None
            and table.key.kind is not KeyKind.ROWID
            and all(source.fields[table.column(key).name].sql in self._groups for key in table.key.columns)
        )

    def _key(self, extreme: exp.Expression) -> str:
        """What the values of min() or max() are ordered by."""
        if isinstance(extreme.parent, exp.Filter) or isinstance(extreme.expressions[0], exp.Distinct):
            raise Refused("a column beside min() or max() with FILTER or DISTINCT", "no rule covers it", "group by it")
        term = plain_value(self._place.within_aggregate().known(extreme.expressions[0]))
        collation = term.collation or "BINARY"
        if term.storage is Storage.ANY:
            return key_of(term, collation)
        if term.storage is Storage.TEXT:
            return (ordered_as_bytes(term) if collation == "BINARY" else folded(term, collation)).sql
        return term.sql


def _name(node: exp.Expression) -> str:
    return str(node.this).removeprefix(FUNCTION)


def _reversed(order: str) -> str:
    """The same ORDER BY terms from the last row to the first."""
    return ", ".join(
        f"{term.removesuffix(' NULLS FIRST')} DESC{' NULLS LAST' if term.endswith(' NULLS FIRST') else ''}"
        for term in order.split(", ")
    )
