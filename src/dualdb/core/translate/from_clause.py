"""FROM: tables, views, subqueries and their joins (lang_select.html, section 2). Knows no other clause."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.sqltext import fold
from dualdb.core.translate.comparison import compare
from dualdb.core.translate.conversion import as_text, as_truth, typed
from dualdb.core.translate.operators import unified
from dualdb.core.translate.place import Place, Source, require, source_of
from dualdb.core.translate.prepared import FUNCTION
from dualdb.core.translate.refusal import Refused, unknown_table
from dualdb.core.translate.term import Storage, Term

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KINDS: Mapping[tuple[str, str], str] = {
    ("", ""): "JOIN",
    ("", "INNER"): "JOIN",
    ("", "CROSS"): "JOIN",
    ("LEFT", ""): "LEFT JOIN",
    ("LEFT", "OUTER"): "LEFT JOIN",
    ("RIGHT", ""): "RIGHT JOIN",
    ("RIGHT", "OUTER"): "RIGHT JOIN",
    ("FULL", ""): "FULL JOIN",
    ("FULL", "OUTER"): "FULL JOIN",
}


_COLLAPSED = 7
"""So many joins PostgreSQL reorders (join_collapse_limit); beyond it keeps them as written, but for a plain list."""
_JOINING = ("side", "kind", "on", "using", "method")


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """A FROM clause: its text, and what may be named."""

    sql: str
    sources: Sequence[Source]
    order: str | None = None
    """The order of the rows as ORDER BY terms, where a query in FROM decides it."""


def from_clause(select: exp.Select, parent: Place, *, numbered: bool = False) -> From:
    """The FROM clause of a SELECT; `numbered` when it matters in which order a query in it gives its rows."""
    clause = select.args.get("from_")
    if clause is None:
        return From(sql="", sources=())
    require(clause, "this")
    first, joins = _unnested(clause.this, select.args.get("joins") or [])
    if numbered and not joins and (found := _numbered(first, parent)):
        return found
    text, source = _source(first, parent)
    sources = [source]
    commas = len(joins) > _COLLAPSED and not any(join.args.get(word) for join in joins for word in _JOINING)
    for join in joins:
        joined, source = _source(join.this, parent, sources)
        if any(fold(other.name) == fold(source.name) for other in sources):
            raise Refused(f"two sources named {source.name!r}", "a name would mean either", "give one of them an alias")
        words, condition, source = _condition(join, sources, source, parent)
        if source.merged and words in {"RIGHT JOIN", "FULL JOIN"}:
            sources = [_with_either(other, source) for other in sources]
        sources.append(source)
        text += f", {joined}" if commas else f" {words} {joined}{condition}"
    return From(sql=f" FROM {text}", sources=tuple(sources))


def _unnested(node: exp.Expression, joins: Sequence[exp.Join]) -> tuple[exp.Expression, Sequence[exp.Join]]:
    """FROM (a JOIN b) JOIN c without its parentheses, which change nothing at the left."""
    while isinstance(node, exp.Subquery) and isinstance(node.this, (exp.Table, exp.Subquery)) and not node.alias:
        inner = node.this.copy()
        around: list[exp.Join] = [*(inner.args.get("joins") or []), *(node.args.get("joins") or [])]
        joins = [*around, *joins]
        inner.set("joins", None)
        node = inner
    return node, joins


def _condition(join: exp.Join, sources: Sequence[Source], source: Source, parent: Place) -> tuple[str, str, Source]:
    require(join, "this", "side", "kind", "on", "using", "method")
    words = _KINDS.get((join.side.upper(), join.kind.upper()))
    if words is None or str(join.args.get("method") or "").upper() not in {"", "NATURAL"}:
        raise Refused("this kind of join", "no rule covers it")
    merged = _merged_names(join, sources, source)
    source = replace(source, merged=frozenset(fold(name) for name in merged))
    place = Place(work=parent.work, sources=(*sources, source), parent=parent)
    tests = [_equal(name, sources, source, place) for name in merged]
    if join.args.get("on") is not None:
        tests.append(as_truth(place.known(join.args["on"])).sql)
    if tests:
        return words, f" ON {' AND '.join(tests)}", source
    if words == "JOIN":
        return "CROSS JOIN", "", source
    return words, " ON TRUE", source


def _merged_names(join: exp.Join, sources: Sequence[Source], source: Source) -> list[str]:
    if join.args.get("using"):
        return [one.name for one in join.args["using"]]
    if not join.args.get("method"):
        return []
    return [name for name in source.fields if any(other.find(name) is not None for other in sources)]


def _equal(name: str, sources: Sequence[Source], source: Source, place: Place) -> str:
    """The comparison of a merged column with the one of the same name further left."""
    right = source.find(name)
    left = [found for other in sources if fold(name) not in other.merged and (found := other.find(name)) is not None]
    if right is None or len(left) != 1:
        raise Refused(f"USING ({name})", "it does not name one column on either side", "write ON")
    return compare("=", left[0][1], right[1], place.work).sql


def _with_either(other: Source, source: Source) -> Source:
    """A source on the left whose merged columns are, without a qualifier, those of either side."""
    shared = dict(other.shared)
    for name in source.merged:
        left, right = other.find(name), source.find(name)
        if left is None or right is None or name in other.merged:
            continue
        (first, second), storage = unified([shared.get(name, left[1]), right[1]])
        either = f"coalesce({first.sql}, {second.sql})"
        shared[name] = replace(left[1], sql=either, storage=storage, column=None, label=None)
    return replace(other, shared=shared)


def _source(node: exp.Expression, parent: Place, sources: Sequence[Source] = ()) -> tuple[str, Source]:
    if isinstance(node, exp.Table):
        return _named(node, parent, sources)
    if isinstance(node, exp.Values):
        alias = node.alias or "_values"
        query = parent.work.grammar.subquery(exp.Values(expressions=node.expressions), parent, named=True)
        return f"({query.sql}) AS {quoted(alias)}", _derived(alias, query.fields)
    if isinstance(node, exp.Subquery) and isinstance(node.this, (exp.Select, exp.SetOperation, exp.Values)):
        require(node, "this", "alias")
        alias = node.alias or "_subquery"
        # A query in FROM does not see the other sources beside it.
        query = parent.work.grammar.subquery(node.this, Place(work=parent.work, parent=_outer(parent)), named=True)
        return f"({query.sql}) AS {quoted(alias)}", _derived(alias, query.fields)
    raise Refused("this source in FROM", "no rule covers it", "name a table, or write a subquery")


def _numbered(node: exp.Expression, parent: Place) -> From | None:
    """A query whose rows come in an order of its own, with that as a column; None where the order is not provable."""
    if isinstance(node, exp.Subquery):
        require(node, "this", "alias")
        inner = Place(work=parent.work, parent=_outer(parent))
        query = parent.work.grammar.subquery(node.this, inner, named=True, ordered=True)
        alias, fields, order = node.alias or "_subquery", query.fields, query.order
        sql = f"({query.sql}{order})"
    elif isinstance(node, exp.Table) and (common := parent.work.queries.get(fold(node.name))) and not node.text("db"):
        alias, fields, order = node.alias or node.name, common.fields, common.order
        sql = quoted(common.name)
    else:
        return None
    if order is None:
        return None
    numbered = f'SELECT *, row_number() OVER () AS "{_NUMBER}" FROM {sql} AS "_ordered"'
    return From(
        sql=f" FROM ({numbered}) AS {quoted(alias)}",
        sources=(_derived(alias, fields),),
        order=f'{quoted(alias)}."{_NUMBER}"',
    )


_NUMBER = "_dualdb_number"


def _outer(parent: Place) -> Place | None:
    return parent if parent.sources or parent.parent is not None else None


_TABLE_FUNCTIONS = {"json_each": "json_each", "json_tree": "json_tree"}
_JSON_COLUMNS: Mapping[str, Storage] = {
    "key": Storage.ANY,
    "value": Storage.ANY,
    "type": Storage.TEXT,
    "atom": Storage.ANY,
    "id": Storage.INTEGER,
    "parent": Storage.INTEGER,
    "fullkey": Storage.TEXT,
    "path": Storage.TEXT,
}


def _called(node: exp.Table, place: Place) -> tuple[str, Source]:
    """A table function: json_each(x [, path]), json_tree(x [, path]); its arguments see the sources on its left."""
    require(node, "this", "alias")
    name = _TABLE_FUNCTIONS.get(str(node.this.this).removeprefix(FUNCTION))
    arguments = node.this.expressions
    if name is None or len(arguments) not in {1, 2}:
        raise Refused(f"{node.sql()} in FROM", "no rule covers this table function", "query it apart")
    texts = [typed(as_text(place.known(one))) for one in arguments] + ["'$'"]
    alias = node.alias or name
    fields = {
        column: Term(sql=f"{quoted(alias)}.{quoted(column)}", storage=storage)
        for column, storage in _JSON_COLUMNS.items()
    }
    return f"sqlite.{name}({texts[0]}, {texts[1]}) AS {quoted(alias)}", Source(name=alias, fields=fields)


def _named(node: exp.Table, parent: Place, sources: Sequence[Source] = ()) -> tuple[str, Source]:
    if isinstance(node.this, exp.Anonymous):
        return _called(node, Place(work=parent.work, sources=sources, parent=_outer(parent)))
    require(node, "this", "alias", "db", "indexed")
    if not isinstance(node.this, exp.Identifier) or fold(node.text("db")) not in {"", "main"}:
        raise Refused(f"{node.sql()} in FROM", "only tables and views of the main database are translated")
    name, work = node.name, parent.work
    alias = node.alias or name
    as_alias = f" AS {quoted(alias)}" if node.alias and node.alias != name else ""
    if fold(name) in work.queries and not node.text("db"):
        query = work.queries[fold(name)]
        if query is None:
            raise Refused(f"WITH {name}", "it is read by itself or by a query before it", "write it before that one")
        as_alias = f" AS {quoted(alias)}" if alias != query.name else ""
        return quoted(query.name) + as_alias, _derived(alias, query.fields)
    table = work.schema.tables.get(fold(name))
    if table is not None:
        work.reads.add(fold(name))
        if alias == name:
            alias = table.name
        return work.table(table.name) + (as_alias or _declared_alias(alias, table.name)), source_of(table, alias)
    view = work.schema.views.get(fold(name))
    if view is not None:
        work.views_read.add(fold(name))
        alias = node.alias or view.name
        return work.table(view.name) + as_alias, _derived(alias, work.grammar.view(view, work))
    raise unknown_table(name)


def _declared_alias(alias: str, name: str) -> str:
    return "" if alias == name else f" AS {quoted(alias)}"


def _derived(alias: str, fields: Mapping[str, Term]) -> Source:
    """A view or subquery as a source: its columns are what its terms were, under their names."""
    columns = {}
    for name, term in fields.items():
        sql = "NULL" if term.storage.value == "null" else f"{quoted(alias)}.{quoted(name)}"
        columns[name] = replace(term, sql=sql, constant=None, explicit=False)
    return Source(name=alias, fields=columns)
