"""ON CONFLICT of an INSERT (lang_upsert.html): DO NOTHING, and DO UPDATE on one unique key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.sqltext import fold
from dualdb.core.translate.conversion import as_truth, into_column
from dualdb.core.translate.place import Place, require, source_of
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.written import compared, unique_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.schema import Table
    from dualdb.core.translate.place import Source
    from dualdb.core.translate.work import Work
    from dualdb.core.translate.written import Unique


def upsert_clause(node: exp.Expression, source: Source, work: Work) -> str:
    """The ON CONFLICT clause for PostgreSQL."""
    require(node, "expressions", "action", "conflict_keys", "where")
    table = source.table
    if table is None:
        raise AssertionError("only a table is inserted into")
    target = _target(node.args.get("conflict_keys") or [], table)
    if not node.expressions:
        return f" ON CONFLICT{target} DO NOTHING"
    if not target:
        keys = unique_keys(table)
        if len(keys) != 1:
            raise Refused(
                "ON CONFLICT DO UPDATE", "it names no unique key, and there are several", "name the key's columns"
            )
        target = _written(keys[0])
    # An unqualified name means the row that is there already, not the one that was to be inserted.
    hidden = frozenset(fold(name) for name in source.fields)
    excluded = replace(source_of(table, "excluded"), merged=hidden)
    place = Place(work=work, sources=(source, excluded))
    changed = [_assignment(one, table, place) for one in node.expressions]
    where = node.args.get("where")
    condition = f" WHERE {as_truth(place.known(where.this)).sql}" if where is not None else ""
    return f" ON CONFLICT{target} DO UPDATE SET {', '.join(changed)}{condition}"


def _target(keys: Sequence[exp.Expression], table: Table) -> str:
    """The key in parentheses, as PostgreSQL's index has it; raises Refused when it is not a unique key."""
    if not keys:
        return ""
    names = set()
    for key in keys:
        column = key.this if isinstance(key, exp.Ordered) else key
        if not isinstance(column, exp.Column):
            raise Refused("ON CONFLICT (expression)", "no rule covers it", "name columns")
        names.add(fold(column.name))
    found = [unique for unique in unique_keys(table) if unique.names == names]
    if len(found) != 1:
        reason = "it names no unique key of the table" if not found else "several unique keys have these columns"
        raise Refused("ON CONFLICT", reason, "name the columns of one unique key")
    return _written(found[0])


def _written(key: Unique) -> str:
    return f" ({', '.join(compared(quoted(column.name), column, by) for column, by in key.columns)})"


def _assignment(node: exp.Expression, table: Table, place: Place) -> str:
    if not isinstance(node, exp.EQ) or not isinstance(node.this, exp.Column):
        raise Refused("this assignment", "no rule covers it", "assign one column at a time")
    column = table.column(node.this.name)
    value = into_column(place.term(node.expression), column, f"{table.name}.{column.name}", place.work)
    return f"{quoted(column.name)} = {value.sql}"
