"""SELECT: result columns, WHERE, GROUP BY, ORDER BY (lang_select.html).

Translates a whole query to text; the expressions in it are the business of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.sqltext import fold
from dualdb.core.translate.aggregates import aggregates
from dualdb.core.translate.bare import BareColumns
from dualdb.core.translate.comparison import folded, is_told_by_bytes, key_of
from dualdb.core.translate.compound import compound, is_compound, values
from dualdb.core.translate.conversion import as_truth, plain_value, typed
from dualdb.core.translate.from_clause import from_clause
from dualdb.core.translate.limits import limits
from dualdb.core.translate.ordering import order_term
from dualdb.core.translate.place import Place, require
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.scan import scan_order
from dualdb.core.translate.term import Query, Storage
from dualdb.core.translate.windows import named_windows
from dualdb.core.translate.with_clause import with_clause
from dualdb.core.translate.work import holds_parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dualdb.core.translate.place import Source
    from dualdb.core.translate.term import Term
    from dualdb.core.translate.work import Work

_CLAUSES = (
    "with_", "expressions", "distinct", "from_", "joins", "where", "group", "having", "order", "limit", "offset",
    "windows",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One result column before it is translated: an expression, or a source's column that `*` stood for."""

    name: str
    node: exp.Expression | None = None
    term: Term | None = None
    source: Source | None = None
    alias: str = ""


def subquery(
    node: exp.Expression, parent: Place, *, named: bool = False, texts: Sequence[str] = (), ordered: bool = False
) -> Query:
    """A query of any form; `named` gives its columns their names, for who selects from it; `texts` are the result
    expressions as written, which name those without alias; `ordered` when it matters in which order the rows come.
    """
    if isinstance(node, exp.Subquery):
        require(node, "this")
        return subquery(node.this, parent, named=named, texts=texts, ordered=ordered)
    outer = dict(parent.work.queries)
    prefix = with_clause(node, parent)
    try:
        if isinstance(node, exp.Select):
            query = _Select(node, parent, named=named, texts=texts, ordered=ordered).query()
        elif isinstance(node, exp.Values):
            query = values(node, parent)
        elif is_compound(node):
            query = compound(node, parent, named=named, texts=texts)
        else:
            raise Refused(f"{type(node).__name__.upper()} as a query", "no rule covers it", "write a SELECT")
    finally:
        parent.work.queries = outer
    return replace(query, sql=prefix + query.sql)


class _Select:
    """One SELECT under way."""

    def __init__(self, node: exp.Select, parent: Place, *, named: bool, texts: Sequence[str], ordered: bool) -> None:
        require(node, *_CLAUSES)
        self.node = node
        self.parent = parent
        self.work: Work = parent.work
        self.named = named
        outer = parent if parent.sources or parent.parent is not None else None
        self.aggregated = node.args.get("group") is not None or aggregates(node)
        clause = from_clause(node, parent, numbered=self.aggregated or ordered)
        self.from_sql, self.sources = clause.sql, clause.sources
        self.items = list(self._items(texts))
        aliases = {fold(item.alias): item.node for item in reversed(self.items) if item.alias and item.node is not None}
        self.before = Place(work=self.work, sources=self.sources, parent=outer, aliases=aliases)
        """Where WHERE and GROUP BY stand."""
        self.after = Place(
            work=self.work,
            sources=self.sources,
            parent=outer,
            aliases=aliases,
            aggregates=True,
            scan_order=clause.order or (scan_order(node, self.sources) if self.sources else None),
            windows=named_windows(node),
        )
        """Where the result, HAVING and ORDER BY stand."""

    def query(self) -> Query:
        """The whole SELECT."""
        where = self.node.args.get("where")
        where_sql = f" WHERE {as_truth(self.before.known(where.this)).sql}" if where is not None else ""
        groups = self._groups()
        self.after.groups = frozenset(term.sql for term in groups)
        if self.aggregated:
            self.after.bare = BareColumns(self.node, groups, self.after).value
        terms = [self._result(item) for item in self.items]
        having = self.node.args.get("having")
        having_sql = f" HAVING {as_truth(self.after.known(having.this)).sql}" if having is not None else ""
        fields = _unique_names([item.name for item in self.items], terms)
        group_sql = f" GROUP BY {', '.join(term.sql for term in groups)}" if groups else ""
        rest = f"{self.from_sql}{where_sql}{group_sql}{having_sql}"
        if self.node.args.get("distinct") is not None:
            if self.aggregated and not groups and not having_sql:
                rest += " HAVING TRUE"
            sql = self._distinct(fields, rest)
        else:
            results = ", ".join(self._written(name, term) for name, term in fields.items())
            order = self._order(terms, groups)
            if self.aggregated and not groups and not any(call in results + having_sql for call in self.after.calls):
                rest += " HAVING TRUE"  # what was computed of the aggregates is NULL anyway; it stays one row
            sql = f"SELECT {results}{rest}{order}"
        return Query(
            sql=sql + limits(self.node, self.parent),
            fields=fields,
            order=self._natural_order(groups),
            is_single=self.aggregated and not groups,
        )

    def _natural_order(self, groups: Sequence[Term]) -> str | None:
        clauses = [self.node.args.get(name) for name in ("distinct", "limit", "offset")]
        if self.node.args.get("order") is not None or not self.sources or (self.aggregated and not groups):
            return ""
        if groups or any(clause is not None for clause in clauses) or self.after.scan_order is None:
            return None
        return f" ORDER BY {self.after.scan_order}"

    def _items(self, texts: Sequence[str]) -> Iterator[Item]:
        for position, node in enumerate(self.node.expressions):
            if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
                yield from self._expanded(node)
            elif isinstance(node, exp.Alias):
                require(node, "this", "alias")
                yield Item(name=node.alias, node=node.this, alias=node.alias)
            elif isinstance(node, exp.Column):
                yield Item(name=node.name, node=node)
            else:
                text = texts[position] if position < len(texts) else f"column{position + 1}"
                yield Item(name=text, node=node)

    def _expanded(self, node: exp.Expression) -> Iterator[Item]:
        require(node, "this", "table")
        wanted = fold(node.text("table"))
        sources = [source for source in self.sources if not wanted or fold(source.name) == wanted]
        if not sources:
            raise Refused(f"{node.sql()} in the result", "there is nothing of that name in FROM", "correct the name")
        for source in sources:
            for name, term in source.fields.items():
                if wanted or fold(name) not in source.merged:
                    either = None if wanted else source.shared.get(fold(name))
                    yield Item(name=name, term=either or term, source=source)

    def _result(self, item: Item) -> Term:
        if item.node is not None:
            return plain_value(self.after.known(item.node))
        if item.term is None or item.source is None:
            raise AssertionError("an item is an expression or a source's column")
        if self.after.bare is None or item.term.sql in self.after.groups:
            return item.term
        return self.after.bare(item.source, item.name, item.term)

    def _groups(self) -> list[Term]:
        group = self.node.args.get("group")
        if group is None:
            return []
        require(group, "expressions")
        terms = []
        for node in group.expressions:
            numbered = self._ordinal(node)
            term = plain_value(self.before.known(node if numbered is None else numbered))
            if term.is_constant or term.storage is Storage.NULL:
                term = replace(term, sql=f"({typed(term)})", constant=None)  # a bare number would be a position
            if holds_parameter(term):
                raise Refused(
                    "a parameter in GROUP BY", "PostgreSQL cannot tell that two of them are equal", "group by a column"
                )
            collation = term.collation or "BINARY"
            if term.storage is Storage.ANY and not is_told_by_bytes(term):
                term = replace(term, sql=key_of(term, collation))
            elif term.storage is Storage.TEXT and collation != "BINARY":
                term = folded(term, collation)
            terms.append(term)
        return terms

    def _ordinal(self, node: exp.Expression) -> exp.Expression | None:
        """The result expression that an integer in GROUP BY or ORDER BY stands for."""
        if not isinstance(node, exp.Literal) or node.args.get("is_string") or not str(node.this).isdigit():
            return None
        position = int(str(node.this)) - 1
        if not 0 <= position < len(self.items):
            raise Refused(f"column {position + 1}", "the result has fewer columns", "correct the number")
        item = self.items[position]
        if item.node is not None:
            return item.node
        if item.source is None:
            raise AssertionError("an item is an expression or a source's column")
        return exp.Column(
            this=exp.to_identifier(item.name, quoted=True), table=exp.to_identifier(item.source.name, quoted=True)
        )

    def _distinct(self, fields: Mapping[str, Term], rest: str) -> str:
        """SELECT DISTINCT: of rows that are equal the one that was found first."""
        require(self.node.args["distinct"])
        terms = list(fields.values())
        order = self.node.args.get("order")
        columns = [replace(term, sql=f'"_distinct".{quoted(name)}', constant=None) for name, term in fields.items()]
        ordered = [self._ordered_result(one, terms, columns) for one in order.expressions] if order is not None else []
        if all(_is_told(term) for term in terms):
            if all(text.split(" ")[0] == column.sql for text, column in ordered):
                # PostgreSQL orders by result columns only, as they stand there.
                results = ", ".join(self._written(name, term) for name, term in fields.items())
                texts = [text.replace(column.sql, terms[columns.index(column)].sql, 1) for text, column in ordered]
                return f"SELECT DISTINCT {results}{rest}" + (f" ORDER BY {', '.join(texts)}" if texts else "")
            distinct = "DISTINCT"
            inner_order = ""
        else:
            if self.after.scan_order is None or self.aggregated:
                raise Refused(
                    "DISTINCT", "which of several equal values comes out is not provable", "group by a column"
                )
            keys = [_told(term) for term in terms]
            distinct = f"DISTINCT ON ({', '.join(keys)})"
            inner_order = f" ORDER BY {', '.join([*keys, self.after.scan_order])}"
        results = ", ".join(f"{typed(term)} AS {quoted(name)}" for name, term in fields.items())
        outer = f" ORDER BY {', '.join(text for text, _ in ordered)}" if ordered else ""
        return f'SELECT * FROM (SELECT {distinct} {results}{rest}{inner_order}) AS "_distinct"{outer}'

    def _ordered_result(self, node: exp.Expression, terms: Sequence[Term], columns: Sequence[Term]) -> tuple[str, Term]:
        """A term of ORDER BY beside DISTINCT, which is one of the result columns, and that column."""
        require(node, "this", "desc", "nulls_first")
        value, collation = node.this, None
        if isinstance(value, exp.Collate):
            value, collation = value.this, value.expression.name.upper()
        position = self._position(value)
        if position is None:
            texts = [other.sql for other in terms]
            term = plain_value(self.after.known(value))
            if term.sql not in texts:
                raise Refused("ORDER BY beside DISTINCT", "it orders by what is not in the result", "select it as well")
            position = texts.index(term.sql)
        column = columns[position]
        by = column if collation is None else replace(column, collation=collation)
        return order_term(by, node, not_null=self._is_not_null(terms[position])), column

    def _order(self, terms: Sequence[Term], groups: Sequence[Term]) -> str:
        order = self.node.args.get("order")
        if order is None:
            return ""
        require(order, "expressions")
        ordered = [self._ordered(one, terms) for one in order.expressions]
        if not groups and not self.aggregated and self.after.scan_order is not None:
            # SQLite's sorter leaves equal rows in the order in which they were found.
            found = self.after.scan_order.split(", ")
            if not any(term.removesuffix(" DESC") == found[-1] for term in ordered):
                ordered += found
        return " ORDER BY " + ", ".join(ordered)

    def _ordered(self, node: exp.Expression, terms: Sequence[Term]) -> str:
        require(node, "this", "desc", "nulls_first")
        position = self._position(node.this)
        term = terms[position] if position is not None else plain_value(self.after.known(node.this))
        return order_term(term, node, not_null=self._is_not_null(term))

    def _position(self, node: exp.Expression) -> int | None:
        """The result column that a number or an alias in ORDER BY names."""
        if self._ordinal(node) is not None:
            return int(str(node.this)) - 1
        if isinstance(node, exp.Column) and not node.text("table"):
            for position, item in enumerate(self.items):
                if item.alias and fold(item.alias) == fold(node.name):
                    return position
        return None

    def _is_not_null(self, term: Term) -> bool:
        if len(self.sources) != 1 or self.sources[0].table is None or term.column is None:
            return False
        return term.column.not_null or term.column.name in self.sources[0].table.key.columns

    def _written(self, name: str, term: Term) -> str:
        if not self.named:
            return term.sql
        return f"{typed(term) if term.is_constant else term.sql} AS {quoted(name)}"


def _is_told(term: Term) -> bool:
    """Whether equal values are the same value."""
    if term.storage is Storage.ANY:
        return is_told_by_bytes(term)
    return term.storage is not Storage.TEXT or (term.collation or "BINARY") == "BINARY"


def _told(term: Term) -> str:
    """What is equal where the values are."""
    if term.storage is Storage.ANY:
        return key_of(term, term.collation or "BINARY")
    if term.storage is Storage.TEXT:
        return folded(term, term.collation or "BINARY").sql
    return typed(term)


def _unique_names(names: Sequence[str], terms: Sequence[Term]) -> dict[str, Term]:
    """The columns under names that differ in more than case: a second `id` is called `id:1`, as SQLite does."""
    fields: dict[str, Term] = {}
    taken: set[str] = set()
    for name, term in zip(names, terms, strict=True):
        unique, number = name, 0
        while fold(unique) in taken:
            number += 1
            unique = f"{name}:{number}"
        taken.add(fold(unique))
        fields[unique] = term
    return fields
