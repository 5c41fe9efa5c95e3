"""Where an expression stands: which columns, aliases and aggregates it may use; resolves names as SQLite does.

The rule is lang_select.html and lang_expr.html: the columns of the innermost FROM first, then the aliases of its result
where the clause allows them, then the enclosing queries. Knows no operator and no function.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dualdb.core.names import quoted
from dualdb.core.schema import TargetType
from dualdb.core.sqltext import fold
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import STORED_AS, Term, constant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlglot import exp

    from dualdb.core.schema import Column, Table
    from dualdb.core.translate.work import Work

ROWID_NAMES = frozenset({"rowid", "oid", "_rowid_"})
"""What the rowid answers to where no column has the name (lang_createtable.html, section 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table, view or subquery of a FROM clause."""

    name: str
    """What it is called here: its alias or its own name."""
    fields: Mapping[str, Term]
    """Its columns by declared name, in order."""
    table: Table | None = None
    """The table, if it is one."""
    merged: frozenset[str] = frozenset()
    """Lower-cased names that JOIN … USING or NATURAL JOIN merged into a source further left."""
    shared: Mapping[str, Term] = field(default_factory=dict)
    """What a name means without a qualifier where a RIGHT or FULL JOIN has merged it: the value of either side."""

    def find(self, name: str) -> tuple[str, Term] | None:
        """The field of that name, case-insensitively."""
        wanted = fold(name)
        for declared, term in self.fields.items():
            if fold(declared) == wanted:
                return declared, term
        return None


def source_of(table: Table, name: str, *, qualifier: str | None = "") -> Source:
    """A table as a source; its columns are qualified with its name here, or with `qualifier`; None leaves them bare."""
    prefix = "" if qualifier is None else f"{quoted(qualifier or name)}."
    fields = {column.name: column_term(table, column, prefix) for column in table.columns}
    return Source(name=name, fields=fields, table=table)


def column_term(table: Table, column: Column, prefix: str) -> Term:
    """A reference to a table's column."""
    return Term(
        sql=prefix + quoted(column.name),
        storage=STORED_AS[column.stored],
        affinity=column.affinity,
        collation=column.collation.upper(),
        in_c=column.stored is TargetType.TEXT,
        column=column,
        label=f"{table.name}.{column.name}",
    )


@dataclass(slots=True, kw_only=True)
class Place:
    """The context of an expression."""

    work: Work
    sources: Sequence[Source] = ()
    parent: Place | None = None
    aliases: Mapping[str, exp.Expression] = field(default_factory=dict)
    """Result aliases that this clause may use, lower-cased."""
    aggregates: bool = False
    """Whether aggregate functions may stand here."""
    inside_aggregate: bool = False
    scan_order: str | None = None
    """The order in which SQLite feeds rows to an aggregate here, as ORDER BY terms; None when that is not provable."""
    groups: frozenset[str] = frozenset()
    """The texts of the GROUP BY terms."""
    bare: Callable[[Source, str, Term], Term] | None = None
    """What a column is that stands outside of aggregates in a query that aggregates; None where it is itself."""
    windows: Mapping[str, exp.Expression] = field(default_factory=dict)
    """The windows that the query names, lower-cased."""
    calls: list[str] = field(default_factory=list)
    """The texts of the aggregate functions met."""

    def term(self, node: exp.Expression) -> Term:
        """The expression translated; raises Refused when no rule claims it."""
        rule = self.work.grammar.nodes.get(type(node))
        if rule is None:
            raise Refused(f"{type(node).__name__.upper()}", "no rule covers it")
        if self.groups and self.bare is not None and not self.inside_aggregate:
            # What the query groups by is one value for all rows of a group, and so is an expression of such.
            with suppress(Refused):
                whole = rule(node, replace(self, bare=None, aggregates=False))
                if whole.sql in self.groups:
                    return whole
        return rule(node, self)

    def known(self, node: exp.Expression) -> Term:
        """The expression translated, its class known."""
        return self.work.known(self.term(node))

    def within_aggregate(self) -> Place:
        """The place of an aggregate function's arguments."""
        return Place(work=self.work, sources=self.sources, parent=self.parent, inside_aggregate=True)

    def resolve(self, node: exp.Column) -> Term:
        """The column, rowid, alias or doubtful string that a name stands for."""
        name, qualifier = node.name, node.text("table")
        if node.args.get("catalog"):
            raise Refused(f"the name {node.sql()}", "it has too many parts")
        place: Place | None = self
        while place is not None:
            found = place._find(name, qualifier)  # noqa: SLF001 - the same class
            if found is not None:
                return found
            if not qualifier and fold(name) in place.aliases:
                return place._alias(fold(name))  # noqa: SLF001 - the same class
            place = place.parent
        if not qualifier and name in self.work.strings:
            return constant(name)
        raise Refused(f"the column {name!r}", "the schema has none of that name", "correct the name")

    def _alias(self, name: str) -> Term:
        node = self.aliases[name]
        hidden = {alias: other for alias, other in self.aliases.items() if alias != name}
        inner = Place(
            work=self.work,
            sources=self.sources,
            parent=self.parent,
            aliases=hidden,
            aggregates=self.aggregates,
            inside_aggregate=self.inside_aggregate,
            scan_order=self.scan_order,
            groups=self.groups,
            bare=self.bare,
            windows=self.windows,
            calls=self.calls,
        )
        return inner.term(node)

    def _find(self, name: str, qualifier: str) -> Term | None:
        for source in self.sources if not qualifier else ():
            if fold(name) in source.shared:
                return self._used(source, name, source.shared[fold(name)])
        candidates = [
            (source, *found)
            for source in self.sources
            if (not qualifier or fold(source.name) == fold(qualifier))
            and (qualifier or fold(name) not in source.merged)
            and (found := source.find(name)) is not None
        ]
        if len(candidates) > 1:
            raise Refused(f"the column {name!r}", "several tables have it", "qualify it with its table")
        if not candidates:
            return self._rowid(name, qualifier)
        return self._used(*candidates[0])

    def _used(self, source: Source, declared: str, term: Term) -> Term:
        if self.bare is None or self.inside_aggregate:
            return term
        return self.bare(source, declared, term)

    def _rowid(self, name: str, qualifier: str) -> Term | None:
        if fold(name) not in ROWID_NAMES:
            return None
        sources = [source for source in self.sources if not qualifier or fold(source.name) == fold(qualifier)]
        if not sources:
            return None
        table = sources[0].table
        if len(sources) > 1 or table is None or table.rowid is None:
            raise Refused(f"the column {name!r}", "it is no table's rowid here", "name the table, or use its key")
        found = sources[0].fields.get(table.rowid.name)
        term = found or column_term(table, table.rowid, f"{quoted(sources[0].name)}.")
        return self._used(sources[0], table.rowid.name, term)


def require(node: exp.Expression, *names: str) -> None:
    """Refuse a node that carries more than the arguments that its rule reads: what is not read would be lost."""
    for name, value in node.args.items():
        if name not in names and value not in (None, False, [], ""):
            raise Refused(f"{type(node).__name__.upper()} with {name.strip('_').upper()}", "no rule covers it")
