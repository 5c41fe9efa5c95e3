"""UNION [ALL], INTERSECT, EXCEPT and VALUES (lang_select.html, sections 3 and 4): parts brought to common classes."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.sqltext import fold
from dualdb.core.translate.comparison import ordered_as_bytes
from dualdb.core.translate.conversion import encoded, typed
from dualdb.core.translate.limits import limits
from dualdb.core.translate.operators import unified
from dualdb.core.translate.ordering import order_term
from dualdb.core.translate.place import Place, require
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Query, Storage, Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WORDS: Mapping[type[exp.Expression], str] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}
_FLOATS = frozenset({Storage.REAL, Storage.NUMBER})


def is_compound(node: exp.Expression) -> bool:
    """Whether the node is a compound SELECT."""
    return type(node) in _WORDS


def compound(node: exp.Expression, parent: Place, *, named: bool, texts: Sequence[str]) -> Query:
    """A compound SELECT."""
    require(node, "this", "expression", "distinct", "order", "limit", "offset", "with_")
    parts, words = branches(node)
    queries = [
        parent.work.grammar.subquery(part, parent, named=True, texts=() if place else texts)
        for place, part in enumerate(parts)
    ]
    query = joined(queries, words)
    order = node.args.get("order")
    if order is not None:
        terms = [_order(one, query.fields) for one in order.expressions]
        query = replace(query, sql=f'SELECT * FROM ({query.sql}) AS "_all" ORDER BY {", ".join(terms)}', order="")
    limit = limits(node, parent)
    if limit:
        query = replace(query, sql=query.sql + limit, order=query.order if order is not None else None)
    if named:
        return query
    return replace(query, fields={name: replace(term, column=None) for name, term in query.fields.items()})


def branches(node: exp.Expression) -> tuple[list[exp.Expression], list[str]]:
    """The parts of a compound from left to right, and the words between them."""
    parts: list[exp.Expression] = []
    words: list[str] = []
    current = node
    while type(current) in _WORDS:
        word = _WORDS[type(current)] + ("" if current.args.get("distinct") else " ALL")
        if word in {"INTERSECT ALL", "EXCEPT ALL"}:
            raise Refused(word, "SQLite has no such operator")
        if current is not node:
            require(current, "this", "expression", "distinct")
        parts.append(current.expression)
        words.append(word)
        current = current.this
    parts.append(current)
    return parts[::-1], words[::-1]


def joined(queries: Sequence[Query], words: Sequence[str]) -> Query:
    """The parts with these words between them, from left to right."""
    if len(queries) == 1:
        return queries[0]
    common = in_common(queries)
    for number, word in enumerate(words):
        if word != "UNION ALL":
            _check_equality(queries[: number + 2], common)
    sql, *others = (_brought(query, common.values()) for query in queries)
    for word, other in zip(words, others, strict=True):
        sql = f"({sql}) {word} ({other})"
    in_order = all(query.order == "" for query in queries) and set(words) == {"UNION ALL"}
    return Query(sql=sql, fields=common, order="" if in_order else None)


def in_common(queries: Sequence[Query]) -> dict[str, Term]:
    """The result columns that the parts make together, under the first one's names."""
    if len({len(query.fields) for query in queries}) > 1:
        raise Refused("a compound SELECT", "its parts have different numbers of columns", "correct it")
    columns = zip(*(query.fields.values() for query in queries), strict=True)
    return dict(zip(queries[0].fields, (reduce(_common, terms) for terms in columns), strict=True))


def _common(first: Term, second: Term) -> Term:
    _, storage = unified([replace(first, sql="_"), replace(second, sql="_")])
    collation = first.collation if first.collation is not None else second.collation
    affinity = first.affinity if first.affinity is second.affinity else None
    return Term(sql="", storage=storage, collation=collation, affinity=affinity, in_c=storage is Storage.TEXT)


def _check_equality(queries: Sequence[Query], common: Mapping[str, Term]) -> None:
    """Refuse to take equal rows for one where equal values need not be the same, and any may come out."""
    for place, (name, term) in enumerate(common.items()):
        found = {list(query.fields.values())[place].storage for query in queries}
        if Storage.ANY in found or (found & _FLOATS and found & {Storage.INTEGER, Storage.TRUTH}):
            raise Refused(
                f"a compound SELECT without ALL over {name}", "1 and 1.0 are equal, and either may come out", "CAST it"
            )
        if Storage.TEXT in found and (term.collation or "BINARY") != "BINARY":
            raise Refused("a compound SELECT of collated texts", "any of several equal texts may come out")


def _brought(query: Query, wanted: Iterable[Term]) -> str:
    """The query with its columns brought to the common classes, its texts to the order of bytes."""
    columns, changed = [], False
    for (name, term), common in zip(query.fields.items(), wanted, strict=True):
        column = replace(term, sql=f'"_part".{quoted(name)}', constant=None)
        if term.storage is Storage.NULL and common.storage is not Storage.NULL:
            column = replace(column, sql=f"NULL::{common.storage.type_name}", storage=common.storage)
        elif common.storage is Storage.ANY:
            column = encoded(column)
        if column.storage is Storage.TEXT:
            column = ordered_as_bytes(column)
        changed = changed or column.sql != f'"_part".{quoted(name)}'
        columns.append(f"{column.sql} AS {quoted(name)}")
    return f'SELECT {", ".join(columns)} FROM ({query.sql}) AS "_part"' if changed else query.sql


def _order(node: exp.Expression, fields: Mapping[str, Term]) -> str:
    """One ORDER BY term of a compound: a result column by number or name (lang_select.html, section 4)."""
    require(node, "this", "desc", "nulls_first")
    value, collation = node.this, None
    if isinstance(value, exp.Collate):
        value, collation = value.this, value.expression.name.upper()
    names = [fold(name) for name in fields]
    position = None
    if isinstance(value, exp.Literal) and str(value.this).isdigit():
        position = int(str(value.this))
    elif isinstance(value, exp.Column) and not value.text("table") and fold(value.name) in names:
        position = names.index(fold(value.name)) + 1
    if position is None or not 0 < position <= len(names):
        raise Refused("ORDER BY an expression in a compound SELECT", "no rule covers it", "order by a result column")
    name, term = list(fields.items())[position - 1]
    column = replace(term, sql=f'"_all".{quoted(name)}', collation=collation or term.collation, in_c=False)
    return order_term(column, node, not_null=False)


def values(node: exp.Values, parent: Place) -> Query:
    """VALUES (…), (…): rows one after the other, their columns are column1, column2 and so on."""
    require(node, "expressions", "alias")
    place = Place(work=parent.work, parent=parent if parent.sources or parent.parent is not None else None)
    rows = [[place.known(one) for one in _row(row)] for row in node.expressions]
    if len({len(row) for row in rows}) > 1:
        raise Refused("VALUES", "its rows have different numbers of values", "correct it")
    columns = [unified(column) for column in zip(*rows, strict=True)]
    fields = {
        f"column{number}": Term(sql="", storage=storage, collation=None)
        for number, (_, storage) in enumerate(columns, 1)
    }
    written = [
        f"({', '.join(typed(term) for term in row)})" for row in zip(*(terms for terms, _ in columns), strict=True)
    ]
    names = ", ".join(quoted(name) for name in fields)
    return Query(sql=f'SELECT * FROM (VALUES {", ".join(written)}) AS "_values" ({names})', fields=fields, order="")


def _row(node: exp.Expression) -> Sequence[exp.Expression]:
    if isinstance(node, exp.Tuple):
        return list(node.expressions)
    return [node.this if isinstance(node, exp.Paren) else node]
