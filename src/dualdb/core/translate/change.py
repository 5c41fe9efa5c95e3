"""UPDATE and DELETE (lang_update.html, lang_delete.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.schema import KeyKind
from dualdb.core.sqltext import fold
from dualdb.core.statement import Kind, Plan
from dualdb.core.translate.conversion import as_truth, into_column
from dualdb.core.translate.place import ROWID_NAMES, Place, require, source_of
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.scan import fixed_columns
from dualdb.core.translate.written import returning, target_of, written_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.schema import Column, Table
    from dualdb.core.statement import ResultColumn
    from dualdb.core.translate.work import Work


def update(node: exp.Update, work: Work) -> Plan:
    """The plan of an UPDATE."""
    require(node, "this", "expressions", "where", "returning")
    table, alias = written_table(node.this, work)
    source = source_of(table, alias)
    place = Place(work=work, sources=(source,))
    changed: list[Column] = []
    assignments = []
    for one in node.expressions:
        if not isinstance(one, exp.EQ) or not isinstance(one.this, exp.Column) or one.this.text("table"):
            raise Refused("this assignment", "no rule covers it", "assign one column at a time")
        column = _assigned(table, one.this.name)
        if column in changed:
            raise Refused(f"{column.name} assigned twice", "SQLite keeps only the last value", "assign it once")
        changed.append(column)
        value = into_column(place.term(one.expression), column, f"{table.name}.{column.name}", work)
        assignments.append(f"{quoted(column.name)} = {value.sql}")
        _check_reads(one.expression, table, work)
    _check_keys(node, table, changed)
    where = node.args.get("where")
    condition = f" WHERE {as_truth(place.known(where.this)).sql}" if where is not None else ""
    terms, columns = returning(node, source, work)
    clause = f" RETURNING {', '.join(terms)}" if terms else ""
    name = f"{target_of(table, work)}{'' if alias == table.name else f' AS {quoted(alias)}'}"
    return _plan(f"UPDATE {name} SET {', '.join(assignments)}{condition}{clause}", table, columns, work)


def delete(node: exp.Delete, work: Work) -> Plan:
    """The plan of a DELETE."""
    require(node, "this", "where", "returning")
    table, alias = written_table(node.this, work)
    source = source_of(table, alias)
    where = node.args.get("where")
    condition = ""
    if where is not None:
        condition = f" WHERE {as_truth(Place(work=work, sources=(source,)).known(where.this)).sql}"
    terms, columns = returning(node, source, work)
    clause = f" RETURNING {', '.join(terms)}" if terms else ""
    name = f"{target_of(table, work)}{'' if alias == table.name else f' AS {quoted(alias)}'}"
    return _plan(f"DELETE FROM {name}{condition}{clause}", table, columns, work)


def _plan(sql: str, table: Table, columns: Sequence[ResultColumn] | None, work: Work) -> Plan:
    return Plan(
        kind=Kind.WRITE,
        steps=(work.finish(sql),),
        columns=columns,
        reads=frozenset({*work.reads, fold(table.name)}),
        writes=frozenset({fold(table.name)}),
        notes=tuple(work.notes),
    )


def _assigned(table: Table, name: str) -> Column:
    try:
        column = table.column(name)
    except KeyError:
        raise Refused(f"the column {name!r}", f"{table.name} has none of that name", "correct the name") from None
    if column.generated is not None:
        raise Refused(f"a value for {table.name}.{column.name}", "the column is generated", "leave it out")
    if column == table.rowid:
        raise Refused(f"UPDATE of {table.name}.{column.name}", "it is the rowid", "delete the row and insert it anew")
    return column


def _check_reads(node: exp.Expression, table: Table, work: Work) -> None:
    """SQLite evaluates SET row by row, so a subquery on the same table sees the rows changed before it."""
    if any(True for _ in node.find_all(exp.Select)) and fold(table.name) in work.reads:
        raise Refused("a subquery on the updated table in SET", "SQLite sees rows that it has changed already")


def _check_keys(node: exp.Update, table: Table, changed: Sequence[Column]) -> None:
    """Both engines check uniqueness row by row, in an order of their own: only one row may change its key."""
    keys = [index for index in table.indexes if index.unique]
    names = {fold(column.name) for column in changed}
    touched = [key for key in keys if any(term.column is None or fold(term.column) in names for term in key.terms)]
    if not touched:
        return
    fixed = fixed_columns(node)
    pinned = [[fold(name) for name in table.key.columns]] if table.key.kind is not KeyKind.ROWID else []
    pinned += [[name] for name in ROWID_NAMES if all(fold(column.name) != name for column in table.columns)]
    pinned += [[fold(term.column) for term in key.terms if term.column] for key in keys if key.where is None]
    if not any(columns and set(columns) <= fixed for columns in pinned):
        raise Refused(
            f"UPDATE of a unique key of {table.name} in several rows",
            "whether it conflicts depends on the order of the rows",
            "update one row at a time, by its key",
        )
