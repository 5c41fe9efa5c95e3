"""The order in which SQLite visits a table's rows, where that can be told without its planner.

The rows of one group reach an aggregate in this order (its sorter keeps the order of equal keys). Provable are: a walk
along the rowid or the WITHOUT ROWID key when no index could serve the query, and an index whose first columns are all
compared with constants (queryplanner.html, optoverview.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import key_term, quoted
from dualdb.core.schema import TargetType
from dualdb.core.sqltext import fold
from dualdb.core.translate.place import ROWID_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dualdb.core.schema import Index, Table
    from dualdb.core.translate.place import Source


def scan_order(select: exp.Select, sources: Sequence[Source], *, writes: bool = False) -> str | None:
    """ORDER BY terms for an aggregate's rows, or for those that a statement `writes`; None when the order is not
    provable. Who writes needs the row itself: an index that holds all columns asked for is of no use.
    """
    if len(sources) != 1 or sources[0].table is None:
        return None
    table = sources[0].table
    names = {fold(column.name) for column in select.find_all(exp.Column)}
    fixed, examined = fixed_columns(select), _examined(select)
    orders = {
        _order(index, fixed) for index in table.indexes if _serves(index, table, None if writes else names, examined)
    }
    if len(orders) > 1 or None in orders:
        return None
    before = orders.pop() or () if orders else ()
    if any(table.column(name).stored is TargetType.ANY for name in before):
        return None
    prefix = quoted(sources[0].name)
    terms = [f"{prefix}.{key_term(table.column(name))}" for name in before]
    walked = [table.rowid] if table.rowid is not None else [table.column(name) for name in table.key.columns]
    key = [key_term(column) for column in walked]
    if any("(" in term for term in [*terms, *key]):
        return None  # a folded collation leaves equal keys in an order of their own
    return ", ".join([*(f"{term} NULLS FIRST" for term in terms), *(f"{prefix}.{term}" for term in key)])


def _serves(index: Index, table: Table, names: set[str] | None, examined: set[str]) -> bool:
    """Whether the planner could choose the index: to find rows, to group them, or because it holds all columns."""
    if index.origin == "pk" and table.rowid is None:
        return False
    columns = [fold(term.column) if term.column else "" for term in index.terms]
    # Besides its columns an index holds what finds the row: the rowid, or the WITHOUT ROWID key.
    found_by = table.key.columns if table.rowid is None else (table.rowid.name, *ROWID_NAMES)
    covering = names is not None and names <= {*columns, *(fold(name) for name in found_by)}
    return columns[0] in examined or covering or "" in columns or index.where is not None


def _order(index: Index, fixed: set[str]) -> tuple[str, ...] | None:
    """The columns by which the index orders the rows that it finds; None when it may find several runs of them."""
    columns = [term.column for term in index.terms if term.column]
    if len(columns) < len(index.terms) or any(term.descending for term in index.terms) or index.where is not None:
        return None
    if fold(columns[0]) not in fixed:
        return None
    return tuple(column for column in columns if fold(column) not in fixed)


def _conjuncts(select: exp.Expression) -> Iterator[exp.Expression]:
    where = select.args.get("where")
    pending = [where.this] if where is not None else []
    while pending:
        node = pending.pop()
        if isinstance(node, exp.And):
            pending += [node.this, node.expression]
        elif isinstance(node, exp.Paren):
            pending.append(node.this)
        else:
            yield node


def fixed_columns(select: exp.Expression, *, of: str | None = None) -> set[str]:
    """Columns that WHERE holds equal to one constant, and single columns by which the query groups; or those of one of
    several tables that it holds equal to what the others have.
    """
    found = set()
    for node in _conjuncts(select):
        if isinstance(node, exp.EQ):
            for side, other in ((node.this, node.expression), (node.expression, node.this)):
                if isinstance(side, exp.Column) and _is_fixed(side, other, of):
                    found.add(fold(side.name))
    return found | _grouped(select)


def _is_fixed(side: exp.Column, other: exp.Expression, of: str | None) -> bool:
    if of is None or isinstance(other, (exp.Literal, exp.Placeholder)):
        return isinstance(other, (exp.Literal, exp.Placeholder))
    return (
        fold(side.text("table")) == fold(of) and isinstance(other, exp.Column) and other.text("table") not in {"", of}
    )


def _grouped(select: exp.Expression) -> set[str]:
    group = select.args.get("group")
    terms = group.expressions if group is not None else []
    return {fold(terms[0].name)} if len(terms) == 1 and isinstance(terms[0], exp.Column) else set()


def _examined(select: exp.Select) -> set[str]:
    """Columns that could make the planner look at an index."""
    clauses = [select.args.get(name) for name in ("where", "group", "order", "having", "distinct")]
    found = {fold(column.name) for clause in clauses if clause is not None for column in clause.find_all(exp.Column)}
    return found | {fold(column.name) for one in select.find_all(exp.Distinct) for column in one.find_all(exp.Column)}
