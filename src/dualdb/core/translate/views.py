"""Views of the application: their columns, and their text on PostgreSQL. Knows no statement but CREATE VIEW."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.names import quoted
from dualdb.core.sqltext import fold, unquote
from dualdb.core.translate.lexis import statement_tokens
from dualdb.core.translate.place import Place
from dualdb.core.translate.prepared import prepare
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.result_names import result_texts
from dualdb.core.translate.select import subquery
from dualdb.core.translate.syntax import parse
from dualdb.core.translate.term import Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.schema import View
    from dualdb.core.sqltext import Token
    from dualdb.core.translate.term import Term
    from dualdb.core.translate.work import Work


def fields_of_view(view: View, work: Work) -> Mapping[str, Term]:
    """The columns of a view with their types."""
    return query_of_view(view, work).fields


def view_sql(view: View, work: Work) -> str:
    """The CREATE VIEW statement for PostgreSQL; raises Refused when the view's query has no translation."""
    query = query_of_view(view, work)
    columns = ", ".join(quoted(name) for name in query.fields)
    return f"CREATE VIEW {work.table(view.name)} ({columns}) AS {query.sql}"


def query_of_view(view: View, work: Work) -> Query:
    """The query that a view stands for, its columns under the view's names."""
    if fold(view.name) in work.views_open:
        raise Refused(f"the view {view.name!r}", "it reads itself", "correct the view")
    tokens = statement_tokens(view.sql)
    columns, start = _header(tokens)
    prepared = prepare(tokens[start:])
    sources, strings, queries = work.sources, work.strings, work.queries
    work.use(prepared)
    work.queries = {}  # a view sees nothing of the statement that reads it
    work.views_open.add(fold(view.name))
    try:
        node = parse(prepared)
        texts = result_texts(tokens[start:], view.sql)
        query = subquery(node, Place(work=work), named=True, texts=texts)
    finally:
        work.views_open.discard(fold(view.name))
        work.sources, work.strings, work.queries = sources, strings, queries
    if not columns:
        return query
    return Query(sql=query.sql, fields=dict(zip(columns, query.fields.values(), strict=True)))


def _header(tokens: Sequence[Token]) -> tuple[list[str], int]:
    """The column names of CREATE VIEW name (columns) AS, and where its query begins."""
    start = next(place for place, token in enumerate(tokens) if token.word() == "AS")
    if tokens[start - 1].text != ")":
        return [], start + 1
    opening = next(place for place, token in enumerate(tokens) if token.text == "(")
    return [unquote(token) for token in tokens[opening + 1 : start - 1] if token.text != ","], start + 1
