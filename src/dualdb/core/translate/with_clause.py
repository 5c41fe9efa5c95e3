"""WITH: named queries, recursive ones too (lang_with.html)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.sqltext import fold
from dualdb.core.translate.compound import branches, in_common, joined
from dualdb.core.translate.limits import limits
from dualdb.core.translate.place import Place, require
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.work import CommonQuery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dualdb.core.translate.term import Query, Term
    from dualdb.core.translate.work import Work

_ENDED = "\x02ended "
"""Begins the name of a recursive query's rows up to its LIMIT."""


def with_clause(node: exp.Expression, parent: Place) -> str:
    """The WITH clause of a query, '' when it has none; its queries are in scope from here on."""
    clause = node.args.get("with_")
    if clause is None:
        return ""
    require(clause, "expressions", "recursive")
    work = parent.work
    parts: list[str] = []
    # Each of them sees all the others (https://sqlite.org/lang_with.html), whatever tables have their names.
    work.queries.update({fold(cte.alias): None for cte in clause.expressions})
    recursive = False
    for cte in clause.expressions:
        require(cte, "this", "alias", "materialized")
        names = [column.name for column in cte.args["alias"].args.get("columns") or []]
        if _reads_itself(cte):
            recursive = True
            parts.extend(_recursive(cte, names, work))
        else:
            query = work.grammar.subquery(cte.this, Place(work=work), named=True)
            names, fields = _fields(cte.alias, names, query)
            order = "" if query.order == "" or query.is_single else None
            work.queries[fold(cte.alias)] = CommonQuery(name=cte.alias, fields=fields, order=order)
            parts.append(_written(cte.alias, names, query.sql))
    return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} "


def _written(name: str, columns: Sequence[str], sql: str) -> str:
    return f"{quoted(name)} ({', '.join(quoted(column) for column in columns)}) AS ({sql})"


def _fields(name: str, names: Sequence[str], query: Query) -> tuple[list[str], Mapping[str, Term]]:
    names = list(names) or list(query.fields)
    if len(names) != len(query.fields):
        raise Refused(f"WITH {name}", "it names another number of columns than it selects", "correct it")
    return names, dict(zip(names, query.fields.values(), strict=True))


def _reads_itself(cte: exp.Expression) -> bool:
    return any(_is_named(table, cte.alias) for table in cte.this.find_all(exp.Table))


def _is_named(table: exp.Table, name: str) -> bool:
    return not table.text("db") and fold(table.name) == fold(name)


def _recursive(cte: exp.Expression, names: Sequence[str], work: Work) -> Iterator[str]:
    """The recursive query, and where it has a LIMIT the rows up to that, by which others know it then.

    A column's class is that of the first part; one that the recursive parts bring to another class is of any class.
    """
    compound = cte.this
    if not isinstance(compound, exp.Union):
        raise Refused(f"WITH {cte.alias}", "it is read by itself and is no compound SELECT", "write it as UNION ALL")
    if compound.args.get("order") is not None:
        raise Refused(
            f"WITH {cte.alias}", "ORDER BY in a recursive query decides which row comes next", "order outside"
        )
    all_parts, words = branches(compound)
    firsts = [part for part in all_parts if not _has(part, cte.alias)]
    if firsts != all_parts[: len(firsts)] or not firsts or len(set(words[len(firsts) - 1 :])) > 1:
        raise Refused(f"WITH {cte.alias}", "its recursive parts are not the last ones", "write those last")
    begun = joined([work.grammar.subquery(part, Place(work=work), named=True) for part in firsts], words)
    names, fields = _fields(cte.alias, names, begun)
    for _ in range(len(fields) + 1):
        work.queries[fold(cte.alias)] = CommonQuery(name=cte.alias, fields=fields)
        steps = [work.grammar.subquery(part, Place(work=work), named=True) for part in all_parts[len(firsts) :]]
        wanted = [begun.renamed(names), *(step.renamed(names) for step in steps)]
        common = in_common(wanted)
        if all(
            common[name].storage is fields[name].storage and common[name].in_c == fields[name].in_c for name in names
        ):
            break
        fields = {name: replace(term, affinity=None, column=None) for name, term in common.items()}
    word = words[len(firsts) - 1]
    query = joined([begun.renamed(names), joined([step.renamed(names) for step in steps], [word] * len(steps))], [word])
    yield _written(cte.alias, names, query.sql)
    limit = limits(compound, Place(work=work))
    if limit:
        # PostgreSQL has no LIMIT inside, but goes on only as long as rows are asked for (queries-with.html).
        if len(all_parts) - len(firsts) > 1 or word != "UNION ALL":
            raise Refused(f"LIMIT in WITH {cte.alias}", "which rows come first is not provable", "limit it outside")
        ended = f"{_ENDED}{cte.alias}"
        yield _written(ended, names, f"SELECT * FROM {quoted(cte.alias)}{limit}")
        work.queries[fold(cte.alias)] = CommonQuery(name=ended, fields=fields, order="")


def _has(part: exp.Expression, name: str) -> bool:
    return any(_is_named(table, name) for table in part.find_all(exp.Table))
