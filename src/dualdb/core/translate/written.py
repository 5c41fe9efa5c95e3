"""The table that a statement writes: what may be written to, its defaults, its unique keys, its RETURNING.

Knows what INSERT, UPDATE and DELETE have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.ddltext import default_expression
from dualdb.core.names import literal, qualified, target_name
from dualdb.core.schema import TargetType
from dualdb.core.sqltext import fold
from dualdb.core.statement import Decoder, ResultColumn
from dualdb.core.translate.comparison import in_collation
from dualdb.core.translate.conversion import as_truth, into_column, plain_value
from dualdb.core.translate.lexis import statement_tokens
from dualdb.core.translate.place import Place, require, source_of
from dualdb.core.translate.prepared import prepare
from dualdb.core.translate.refusal import Refused, unknown_table
from dualdb.core.translate.syntax import parse
from dualdb.core.translate.term import Storage, null

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.schema import Column, Index, Table
    from dualdb.core.translate.place import Source
    from dualdb.core.translate.term import Term
    from dualdb.core.translate.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """One unique key of a table: its columns, and the collation by which each is compared."""

    columns: Sequence[tuple[Column, str]]

    @property
    def names(self) -> frozenset[str]:
        """Lower-cased names of the columns."""
        return frozenset(fold(column.name) for column, _ in self.columns)


def written_table(node: exp.Expression, work: Work) -> tuple[Table, str]:
    """The table that INSERT, UPDATE or DELETE names, and its name there; raises Refused for any other object."""
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise Refused("what is written to", "it is no table")
    require(node, "this", "alias", "db")
    name = node.name
    if fold(node.text("db")) not in {"", "main"}:
        raise Refused(f"the database {node.text('db')!r}", "only the main database is translated")
    table = work.schema.tables.get(fold(name))
    if table is None:
        if fold(name) not in work.schema.views:
            raise unknown_table(name)
        raise Refused(f"writing to {name!r}", "views cannot be written to", "name a table of the main database")
    if any(fold(trigger.table) == fold(name) for trigger in work.schema.triggers):
        raise Refused(f"writing to {name!r}", "it has triggers, which are not translated", "drop the triggers")
    return table, node.alias or table.name


def unique_keys(table: Table) -> list[Unique]:
    """Every unique key, the rowid's first; raises Refused for one that is partial or over expressions."""
    keys = [Unique(columns=((table.rowid, "BINARY"),))] if table.rowid is not None else []
    return keys + [_unique(table, index) for index in table.indexes if index.unique]


def _unique(table: Table, index: Index) -> Unique:
    columns = [(table.column(term.column), term.collation.upper()) for term in index.terms if term.column is not None]
    if len(columns) < len(index.terms) or index.where is not None:
        what = f"a conflict clause on {table.name}"
        raise Refused(what, f"its unique index {index.name!r} is partial or over an expression")
    return Unique(columns=tuple(columns))


def compared(sql: str, column: Column, collation: str) -> str:
    """A value of that column such that `=` compares it by the collation."""
    if column.stored is TargetType.ANY:
        return f"sqlite.key({sql})" if collation == "BINARY" else f"sqlite.key({sql}, '{collation}')"
    return in_collation(sql, collation) if column.stored is TargetType.TEXT else sql


def parsed_expression(sql: str, work: Work) -> exp.Expression:
    """An expression of the schema (a default, a CHECK, an index's term) parsed."""
    prepared = prepare(statement_tokens(f"SELECT {sql}"))
    if prepared.sources:
        raise Refused("a parameter in the schema", "SQLite has none there")
    work.use(prepared)
    node: exp.Expression = parse(prepared).expressions[0]
    return node


def table_term(sql: str, table: Table, work: Work, *, qualifier: str | None = None) -> Term:
    """An expression of the schema over a table's own columns."""
    sources, strings, pure = work.sources, work.strings, work.pure
    try:
        node = parsed_expression(sql, work)
        work.pure = True
        return Place(work=work, sources=(source_of(table, table.name, qualifier=qualifier),)).term(node)
    finally:
        work.sources, work.strings, work.pure = sources, strings, pure


def default_term(table: Table, column: Column, work: Work) -> Term:
    """A column's default as the column stores it; NULL when it has none."""
    if column.default is None:
        return into_column(null(), column, f"{table.name}.{column.name}", work)
    sources, strings = work.sources, work.strings
    try:
        node = parsed_expression(default_expression(column.default), work)
        term = Place(work=work).term(node)
    finally:
        work.sources, work.strings = sources, strings
    return into_column(work.known(term), column, f"{table.name}.{column.name}", work)


def check_sql(expression: str, table: Table, work: Work, *, qualifier: str | None = None) -> str:
    """A CHECK's condition: NULL passes on both engines."""
    return as_truth(table_term(expression, table, work, qualifier=qualifier)).sql


def returning(node: exp.Expression, source: Source, work: Work) -> tuple[list[str], Sequence[ResultColumn] | None]:
    """The terms of RETURNING and the columns that the application sees, None when it asked for none."""
    clause = node.args.get("returning")
    if clause is None:
        return [], None
    require(clause, "expressions")
    place = Place(work=work, sources=(source,))
    returned = [pair for one in clause.expressions for pair in _returned(one, place, source)]
    return [term.sql for _, term in returned], tuple(result_column(name, term) for name, term in returned)


def _returned(node: exp.Expression, place: Place, source: Source) -> Sequence[tuple[str, Term]]:
    if isinstance(node, exp.Star):
        return list(source.fields.items())
    name = node.alias if isinstance(node, exp.Alias) else node.name or "column"
    value = node.this if isinstance(node, exp.Alias) else node
    return [(name, plain_value(place.known(value)))]


_DECODERS = {Storage.NUMBER: Decoder.NUMBER, Storage.ANY: Decoder.ANY}


def result_column(name: str, term: Term) -> ResultColumn:
    """What the driver must know of a result column."""
    return ResultColumn(
        name=name,
        decoder=_DECODERS.get(term.storage, Decoder.AS_IS),
        decltype=term.column.decltype or None if term.column is not None else None,
    )


def claimed(table: Table, rowid: Column, sql: str, work: Work) -> str:
    """An id that the application gives, claimed from the sequence; NULL takes the next one."""
    return f"sqlite.claim_id({literal(target_of(table, work))}, {literal(target_name(rowid.name))}, {sql})"


def target_of(table: Table, work: Work) -> str:
    """The table as it stands in PostgreSQL's text."""
    return qualified(work.target_schema, table.name)
