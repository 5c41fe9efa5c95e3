"""SELECT: result columns, WHERE, GROUP BY, ORDER BY, LIMIT, compounds, WITH (lang_select.html).

Translates a whole query to text; the expressions in it are the business of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.schema import Affinity, KeyKind, TargetType
from dualdb.core.sqltext import fold
from dualdb.core.translate.comparison import folded, ordered_as_bytes
from dualdb.core.translate.conversion import as_truth, of_one_class, plain_value
from dualdb.core.translate.from_clause import from_clause
from dualdb.core.translate.operators import unified
from dualdb.core.translate.place import Place, require
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.scan import scan_order
from dualdb.core.translate.term import Query, Storage
from dualdb.core.translate.work import CommonQuery, holds_parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dualdb.core.sqltext import Token
    from dualdb.core.translate.place import Source
    from dualdb.core.translate.term import Term
    from dualdb.core.translate.work import Work

_SET_WORDS: Mapping[type[exp.Expression], str] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}


_CLAUSES = (
    "with_", "expressions", "distinct", "from_", "joins", "where", "group", "having", "order", "limit", "offset",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One result column before it is translated: an expression, or a source's column that `*` stood for."""

    name: str
    node: exp.Expression | None = None
    term: Term | None = None
    source: Source | None = None
    alias: str = ""


def subquery(node: exp.Expression, parent: Place, *, named: bool = False, texts: Sequence[str] = ()) -> Query:
    """A query of any form; `named` gives its columns their names, for who selects from it; `texts` are the result
    expressions as written, which name those without alias.
    """
    if isinstance(node, exp.Subquery):
        require(node, "this")
        return subquery(node.this, parent, named=named, texts=texts)
    outer = dict(parent.work.queries)
    prefix = _with(node, parent)
    try:
        if isinstance(node, exp.Select):
            query = _Select(node, parent, named=named, texts=texts).query()
        elif type(node) in _SET_WORDS:
            query = _compound(node, parent, named=named, texts=texts)
        else:
            raise Refused(f"{type(node).__name__.upper()} as a query", "no rule covers it", "write a SELECT")
    finally:
        parent.work.queries = outer
    return replace(query, sql=prefix + query.sql)


def _with(node: exp.Expression, parent: Place) -> str:
    clause = node.args.get("with_")
    if clause is None:
        return ""
    require(clause, "expressions")
    parts = []
    # Each of them sees all the others (https://sqlite.org/lang_with.html), whatever tables have their names.
    parent.work.queries.update({fold(cte.alias): None for cte in clause.expressions})
    for cte in clause.expressions:
        require(cte, "this", "alias", "materialized")
        query = subquery(cte.this, Place(work=parent.work), named=True)
        names = [column.name for column in cte.args["alias"].args.get("columns") or []] or list(query.fields)
        if len(names) != len(query.fields):
            raise Refused(f"WITH {cte.alias}", "it names another number of columns than it selects", "correct it")
        fields = dict(zip(names, query.fields.values(), strict=True))
        parent.work.queries[fold(cte.alias)] = CommonQuery(name=cte.alias, fields=fields)
        columns = ", ".join(quoted(name) for name in names)
        parts.append(f"{quoted(cte.alias)} ({columns}) AS ({query.sql})")
    return f"WITH {', '.join(parts)} "


class _Select:
    """One SELECT under way."""

    def __init__(self, node: exp.Select, parent: Place, *, named: bool, texts: Sequence[str]) -> None:
        require(node, *_CLAUSES)
        self.node = node
        self.parent = parent
        self.work: Work = parent.work
        self.named = named
        outer = parent if parent.sources or parent.parent is not None else None
        clause = from_clause(node, parent)
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
            scan_order=scan_order(node, self.sources) if self.sources else None,
        )
        """Where the result, HAVING and ORDER BY stand."""

    def query(self) -> Query:
        """The whole SELECT."""
        where = self.node.args.get("where")
        where_sql = f" WHERE {as_truth(self.before.known(where.this)).sql}" if where is not None else ""
        groups = self._groups()
        self.after.groups = frozenset(term.sql for term in groups)
        terms = [self._result(item) for item in self.items]
        having = self.node.args.get("having")
        having_sql = ""
        if having is not None:
            if not groups:
                raise Refused("HAVING without GROUP BY", "SQLite's versions differ", "write GROUP BY")
            having_sql = f" HAVING {as_truth(self.after.known(having.this)).sql}"
        order_sql = self._order(terms, groups)
        if groups or self.after.aggregated:
            self._check_uses(groups)
        fields = _unique_names([item.name for item in self.items], terms)
        distinct = self._distinct(terms)
        group_sql = f" GROUP BY {', '.join(term.sql for term in groups)}" if groups else ""
        results = ", ".join(self._written(name, term) for name, term in fields.items())
        sql = f"SELECT {distinct}{results}{self.from_sql}{where_sql}{group_sql}{having_sql}{order_sql}"
        return Query(sql=sql + limits(self.node, self.parent), fields=fields, order=self._natural_order(groups))

    def _natural_order(self, groups: Sequence[Term]) -> str | None:
        clauses = [self.node.args.get(name) for name in ("distinct", "limit", "offset")]
        if self.node.args.get("order") is not None or not self.sources or (self.after.aggregated and not groups):
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
                    yield Item(name=name, term=term, source=source)

    def _result(self, item: Item) -> Term:
        if item.node is None:
            if item.term is None or item.source is None:
                raise AssertionError("an item is an expression or a source's column")
            if item.term.sql not in self.after.groups:
                self.after.uses.append((item.source, item.name))
            return item.term
        return plain_value(self.after.known(item.node, any_class=True))

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
                raise Refused("a constant in GROUP BY", "PostgreSQL would take it for a position", "leave it out")
            if holds_parameter(term):
                raise Refused(
                    "a parameter in GROUP BY", "PostgreSQL cannot tell that two of them are equal", "group by a column"
                )
            if term.storage is Storage.TEXT and (term.collation or "BINARY") != "BINARY":
                raise Refused(f"GROUP BY under COLLATE {term.collation}", "any of several equal texts may come out")
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

    def _check_uses(self, groups: Sequence[Term]) -> None:
        """Refuse a bare column unless the grouped primary key determines it (lang_select.html, section 2.5)."""
        texts = {term.sql for term in groups}
        for source, name in self.after.uses:
            table = source.table
            determined = (
                table is not None
                and table.key.kind is not KeyKind.ROWID
                and all(source.fields[table.column(key).name].sql in texts for key in table.key.columns)
            )
            if not determined:
                raise Refused(
                    f"the column {name!r} outside of an aggregate",
                    "SQLite takes it from any row of the group",
                    "group by it, or by its table's primary key",
                )

    def _distinct(self, terms: Sequence[Term]) -> str:
        clause = self.node.args.get("distinct")
        if clause is None:
            return ""
        require(clause)
        for term in map(of_one_class, terms):
            if term.storage is Storage.TEXT and (term.collation or "BINARY") != "BINARY":
                raise Refused(f"DISTINCT under COLLATE {term.collation}", "any of several equal texts may come out")
        return "DISTINCT "

    def _order(self, terms: Sequence[Term], groups: Sequence[Term]) -> str:
        order = self.node.args.get("order")
        if order is None:
            return ""
        require(order, "expressions")
        distinct = self.node.args.get("distinct") is not None
        ordered = [self._ordered(one, terms, distinct=distinct) for one in order.expressions]
        if not distinct and not groups and not self.after.aggregated and self.after.scan_order is not None:
            # SQLite's sorter leaves equal rows in the order in which they were found.
            found = self.after.scan_order.split(", ")
            if not any(term.removesuffix(" DESC") == found[-1] for term in ordered):
                ordered += found
        return " ORDER BY " + ", ".join(ordered)

    def _ordered(self, node: exp.Expression, terms: Sequence[Term], *, distinct: bool) -> str:
        require(node, "this", "desc", "nulls_first")
        position = self._position(node.this)
        term = terms[position] if position is not None else plain_value(self.after.known(node.this))
        if distinct and position is None:
            texts = [other.sql for other in terms]
            if term.sql not in texts:
                raise Refused("ORDER BY beside DISTINCT", "it orders by what is not in the result", "select it as well")
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
        typed = f"::{term.storage.type_name}" if term.is_constant else ""
        return f"{term.sql}{typed} AS {quoted(name)}"


def order_term(term: Term, node: exp.Expression, *, not_null: bool) -> str:
    """One term of ORDER BY: NULLs are smaller than any value, texts are ordered by their collation."""
    term = of_one_class(term)
    if term.storage is Storage.TEXT:
        collation = term.collation or "BINARY"
        term = ordered_as_bytes(term) if collation == "BINARY" else folded(term, collation)
    if term.is_constant or term.storage is Storage.NULL:
        term = replace(term, sql=f"{term.sql}::{term.storage.type_name}")  # a bare number would be a position
    direction = " DESC" if node.args.get("desc") else ""
    nulls = "" if not_null else f" NULLS {'FIRST' if node.args.get('nulls_first') else 'LAST'}"
    return f"{term.sql}{direction}{nulls}"


def limits(node: exp.Expression, place: Place) -> str:
    """LIMIT and OFFSET: a negative limit is none, a negative offset is zero (lang_select.html, section 5)."""
    text = ""
    for name, negative in (("limit", None), ("offset", 0)):
        clause = node.args.get(name)
        if clause is None:
            continue
        require(clause, "expression")
        value = Place(work=place.work).term(clause.expression)
        if isinstance(value.constant, int) and not isinstance(value.constant, bool):
            if value.constant >= 0 and not (name == "offset" and value.constant == 0):
                text += f" {name.upper()} {value.constant}"
        elif value.storage is Storage.OPEN:
            bound = place.work.placeholder(
                value, Storage.INTEGER, affinity=Affinity.INTEGER, stored=TargetType.BIGINT, label=name.upper()
            )
            text += f" {name.upper()} sqlite.row_{'limit' if negative is None else 'offset'}({bound.sql})"
        else:
            raise Refused(f"an expression in {name.upper()}", "no rule covers it", "write a number or a parameter")
    return text


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


def _compound(node: exp.Expression, parent: Place, *, named: bool, texts: Sequence[str]) -> Query:
    """UNION [ALL], INTERSECT, EXCEPT, from left to right."""
    require(node, "this", "expression", "distinct", "order", "limit", "offset", "with_")
    left = subquery(node.this, parent, named=True, texts=texts)
    right = subquery(node.expression, parent, named=True)
    if len(left.fields) != len(right.fields):
        raise Refused("a compound SELECT", "its parts have different numbers of columns", "correct it")
    fields = {
        name: _common(first, second)
        for (name, first), second in zip(left.fields.items(), right.fields.values(), strict=True)
    }
    word = _SET_WORDS[type(node)] + ("" if node.args.get("distinct") else " ALL")
    if word in {"INTERSECT ALL", "EXCEPT ALL"}:
        raise Refused(word, "SQLite has no such operator")
    order = node.args.get("order")
    terms = [_compound_order(one, fields) for one in order.expressions] if order is not None else []
    ordered = f" ORDER BY {', '.join(terms)}" if terms else ""
    sql = f"({left.sql}) {word} ({right.sql}){ordered}{limits(node, parent)}"
    return Query(
        sql=sql, fields=fields if named else {name: replace(term, column=None) for name, term in fields.items()}
    )


def _common(first: Term, second: Term) -> Term:
    if Storage.NULL in {first.storage, second.storage} and first.storage is not second.storage:
        other = second if first.storage is Storage.NULL else first
        if other.storage is not Storage.TEXT:
            raise Refused("NULL in a compound SELECT", "PostgreSQL takes it for a text", "CAST it")
        return replace(other, constant=None, sql="")
    _, storage = unified([of_one_class(first), of_one_class(second)], "a compound SELECT")
    if storage is Storage.TEXT and {first.collation or "BINARY", second.collation or "BINARY"} != {"BINARY"}:
        raise Refused("a compound SELECT of collated texts", "any of several equal texts may come out")
    return replace(first, constant=None, sql="", in_c=first.in_c or second.in_c, affinity=None)


def _compound_order(node: exp.Expression, fields: Mapping[str, Term]) -> str:
    """One ORDER BY term of a compound: a result column by number or name."""
    require(node, "this", "desc", "nulls_first")
    names = [fold(name) for name in fields]
    position = None
    if isinstance(node.this, exp.Literal) and str(node.this.this).isdigit():
        position = int(str(node.this.this))
    elif isinstance(node.this, exp.Column) and not node.this.text("table") and fold(node.this.name) in names:
        position = names.index(fold(node.this.name)) + 1
    if position is None or not 0 < position <= len(names):
        raise Refused("ORDER BY an expression in a compound SELECT", "no rule covers it", "order by a result column")
    term = list(fields.values())[position - 1]
    if term.storage is Storage.TEXT and not term.in_c:
        raise Refused("ORDER BY in a compound SELECT of literals", "PostgreSQL orders them by its own collation")
    return order_term(replace(term, sql=str(position), collation=None), node, not_null=False)


def result_texts(tokens: Sequence[Token], sql: str) -> list[str]:
    """The result expressions of the first SELECT, that of no subquery, as written: what SQLite names a column without
    alias after.
    """
    start = _first_select(tokens)
    if start is None:
        return []
    if tokens[start + 1 : start + 2] and tokens[start + 1].word() in {"DISTINCT", "ALL"}:
        start += 1
    texts, depth, first = [], 0, start + 1
    for place in range(start + 1, len(tokens) + 1):
        token = tokens[place] if place < len(tokens) else None
        ends = (
            token is None
            or (depth == 0 and (token.text == "," or token.word() in _AFTER_RESULTS))
            or (depth == 0 and token.text == ")")
        )
        if ends and place > first:
            texts.append(sql[tokens[first].start : tokens[place - 1].end])
            first = place + 1
        if token is None or (ends and token.text != ","):
            break
        depth += {"(": 1, ")": -1}.get(token.text, 0)
    return texts


def _first_select(tokens: Sequence[Token]) -> int | None:
    depth = 0
    for place, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word() == "SELECT":
            return place
    return None


_AFTER_RESULTS = frozenset({"FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT"})
