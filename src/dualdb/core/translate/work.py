"""What is gathered while one statement is translated: parameters, tables touched, notes; and the finished text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dualdb.core.names import qualified
from dualdb.core.schema import TargetType
from dualdb.core.statement import Parameter, Target, row_parameter
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import STORED_AS, Storage, Term

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlglot import exp

    from dualdb.core.schema import Affinity, Schema, View
    from dualdb.core.translate.place import Place
    from dualdb.core.translate.prepared import Prepared
    from dualdb.core.translate.term import Query

    Rule = Callable[[exp.Expression, Place], Term]
    Function = Callable[[Sequence[exp.Expression], Place], Term]


class Subquery(Protocol):
    """What translates a query inside of another statement (`select.subquery`)."""

    def __call__(
        self,
        node: exp.Expression,
        parent: Place,
        *,
        named: bool = False,
        texts: Sequence[str] = (),
        ordered: bool = False,
    ) -> Query:
        """The query's text and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Everything that has a rule. The rules reach each other through it, as expressions hold queries and these hold
    expressions.
    """

    nodes: Mapping[type[exp.Expression], Rule]
    """The one rule for each kind of node."""
    functions: Mapping[str, Function]
    """The one rule for each scalar function."""
    subquery: Subquery
    view: Callable[[View, Work], Mapping[str, Term]]
    """The columns of a view with their types."""


_MARKER = re.compile("\0(\\d+);")
"""A placeholder until the text is finished. A statement's own text holds no NUL: sqlite3 refuses it."""


def holds_parameter(term: Term) -> bool:
    """Whether a placeholder is part of the term."""
    return _MARKER.search(term.sql) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonQuery:
    """A query that WITH has named."""

    name: str
    """As WITH spells it."""
    fields: Mapping[str, Term]
    order: str | None = None
    """'' when its rows come in SQLite's order as they are."""


class Work:
    """One translation under way."""

    def __init__(
        self,
        schema: Schema,
        target_schema: str,
        *,
        grammar: Grammar,
        hints: Mapping[int | str, TargetType] | None = None,
        wide: bool = False,
    ) -> None:
        self.schema = schema
        self.target_schema = target_schema
        self.grammar = grammar
        self.hints = hints or {}
        self.wide = wide
        """Whether arithmetic goes on in floats where integers end, and to infinity where floats do."""
        self.sources: Sequence[int | str] = ()
        self.strings: frozenset[str] = frozenset()
        self.parameters: list[Parameter] = []
        self.reads: set[str] = set()
        self.notes: list[str] = []
        self.queries: dict[str, CommonQuery | None] = {}
        """The queries of WITH in scope, by lower-cased name; None for one that is still to be translated."""
        self.pure = False
        """Whether the current time has no place here: in an index, a CHECK, a generated column."""
        self.row_begins = 0
        """Where the parameters that stand for a row's values begin among the sources."""
        self.prefix = ""
        """The WITH clause of a statement that writes, for its first step."""
        self.views_open: set[str] = set()
        """Views that are being translated, lower-cased."""
        self.views_read: set[str] = set()
        """Views that were read, those inside of views too, lower-cased."""

    def inner(self, count: int) -> Work:
        """A translation of its own for each row of so many values that this one finds (`Plan.each`)."""
        work = Work(self.schema, self.target_schema, grammar=self.grammar, hints=self.hints, wide=self.wide)
        work.sources = (*self.sources, *(row_parameter(position) for position in range(count)))
        work.strings = self.strings
        work.row_begins = len(self.sources)
        return work

    def row_value(self, position: int) -> Term:
        """A value of the row that this translation is for."""
        return Term(sql="", storage=Storage.OPEN, parameter=row_parameter(position))

    def use(self, prepared: Prepared) -> None:
        """Take the parameters and doubtful strings of a prepared statement."""
        self.sources = prepared.sources
        self.strings = prepared.strings

    def table(self, name: str) -> str:
        """A table, view or index of the application as it stands in PostgreSQL's text."""
        return qualified(self.target_schema, name)

    def function(self, name: str) -> Function:
        """The rule of a scalar function; raises Refused where there is none."""
        found = self.grammar.functions.get(name)
        if found is None:
            raise Refused(f"{name}()", "no rule covers this function")
        return found

    def placeholder(
        self, term: Term, storage: Storage, *, affinity: Affinity | None, stored: TargetType, label: str | None = None
    ) -> Term:
        """The term of class OPEN as a placeholder whose value the driver brings to this class."""
        if term.parameter is None:
            raise AssertionError("only a parameter becomes a placeholder")
        self.parameters.append(Parameter(source=term.parameter, affinity=affinity, stored=stored, column=label))
        marker = f"\0{len(self.parameters) - 1};"
        return Term(sql=f"{marker}::{storage.type_name}", storage=storage)

    def known(self, term: Term) -> Term:
        """The term with its class known: a parameter that no context has typed has that of its value, if told."""
        if term.storage is not Storage.OPEN:
            return term
        hint = self.hints.get(term.parameter, TargetType.ANY) if term.parameter is not None else TargetType.ANY
        return self.placeholder(term, STORED_AS[hint], affinity=None, stored=hint)

    def finish(self, sql: str) -> Target:
        """One step: the text as psycopg takes it, and its parameters in the order in which they stand in it."""
        sql, self.prefix = self.prefix + sql, ""
        if "\0" in _MARKER.sub("", sql):
            raise Refused("a NUL character", "PostgreSQL's text cannot hold one", "leave it out")
        order = [self.parameters[int(number)] for number in _MARKER.findall(sql)]
        if not order:
            return Target(sql=sql)  # sent as it is: only what has placeholders is searched for them
        return Target(sql=_MARKER.sub("%s", sql.replace("%", "%%")), parameters=tuple(order))
