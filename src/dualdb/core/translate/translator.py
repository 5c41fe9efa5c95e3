"""A statement of SQLite's SQL into the plan that PostgreSQL executes: prepare, parse, apply the rules, refuse the rest.

The world is closed: each node of the syntax tree is translated by the one rule that claims its type, a node or function
that none claims is refused, and so is a node with an argument that its rule does not read. The statement is assumed to
be one that SQLite accepts. Pure: the same text and schema always give the same plan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.sqltext import fold
from dualdb.core.statement import Kind, Plan
from dualdb.core.translate.change import delete, update
from dualdb.core.translate.commands import COMMANDS
from dualdb.core.translate.grammar import GRAMMAR
from dualdb.core.translate.insert import insert
from dualdb.core.translate.lexis import fingerprint, statement_tokens
from dualdb.core.translate.place import Place
from dualdb.core.translate.prepared import FUNCTION, prepare
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.result_names import result_texts
from dualdb.core.translate.select import subquery
from dualdb.core.translate.syntax import parse
from dualdb.core.translate.with_clause import with_clause
from dualdb.core.translate.work import Work
from dualdb.core.translate.written import result_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.schema import Schema, TargetType
    from dualdb.core.sqltext import Token


_QUERIES = frozenset({"SELECT", "WITH", "VALUES"})
_WRITES = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
_SESSION = frozenset({"changes", "last_insert_rowid", "total_changes"})
_SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"})


def translate(
    sql: str,
    schema: Schema,
    *,
    target_schema: str = "public",
    hints: Mapping[int | str, TargetType] | None = None,
    wide: bool = False,
) -> Plan:
    """The plan of one statement; raises Refused when it is not proven to mean the same on PostgreSQL.

    `hints` tells the class of the values bound to parameters (by `Parameter.source`); it types those parameters that
    their context does not, as in `SELECT ? || name`, and lets a column be compared with a value of another class.
    `wide` is for a statement that PostgreSQL has found out of range: its arithmetic then goes on in floats.
    """
    tokens = statement_tokens(sql)
    verb = tokens[0].word()
    if verb in COMMANDS:
        plan = COMMANDS[verb](tokens)
    elif verb in _QUERIES | _WRITES:
        plan = _translated(sql, tokens, Work(schema, target_schema, grammar=GRAMMAR, hints=hints, wide=wide))
    else:
        raise Refused(tokens[0].text.upper(), "no rule covers this statement")
    return replace(plan, verb=plan.verb or verb, fingerprint=fingerprint(tokens))


def _translated(sql: str, tokens: Sequence[Token], work: Work) -> Plan:
    prepared = prepare(tokens)
    node = parse(prepared)
    work.use(prepared)
    if isinstance(node, (exp.Insert, exp.Update, exp.Delete)):
        return _written(node, work, prepared.conflict)
    if reads_only_schema(node):
        return Plan(kind=Kind.CATALOG)
    query = subquery(node, Place(work=work), texts=result_texts(tokens, sql))
    return Plan(
        kind=Kind.READ,
        steps=(work.finish(query.sql),),
        columns=tuple(result_column(name, term) for name, term in query.fields.items()),
        reads=frozenset(work.reads),
        notes=tuple(work.notes),
    )


def _written(node: exp.Insert | exp.Update | exp.Delete, work: Work, conflict: str | None) -> Plan:
    """A statement that writes, and the queries that its WITH names, which are part of whatever reads them first."""
    prefix = work.prefix = with_clause(node, Place(work=work))
    match node:
        case exp.Insert():
            plan = insert(node, work, conflict)
        case exp.Update():
            plan = update(node, work, conflict)
        case exp.Delete():
            plan = delete(node, work)
    if prefix and len(plan.steps) > 1:
        raise Refused("WITH before this statement", "it is made of several", "write the queries where they are read")
    return plan


def reads_only_schema(node: exp.Expression) -> bool:
    """Whether a query reads no table of the application, so that a SQLite without rows gives SQLite's own answer."""
    if not isinstance(node, (exp.Select, exp.SetOperation, exp.Values)):
        raise Refused(f"{type(node).__name__.upper()}", "no rule covers this statement")
    if any(str(call.this).removeprefix(FUNCTION) in _SESSION for call in node.find_all(exp.Anonymous)):
        return False
    tables = [table for table in node.find_all(exp.Table) if not _is_common(table)]
    theirs = [table for table in tables if isinstance(table.this, exp.Identifier)]
    if all(fold(table.name) in _SCHEMA_TABLES for table in theirs):
        return True
    if any(fold(table.name) in _SCHEMA_TABLES for table in theirs):
        raise Refused("sqlite_master beside other tables", "the two are not kept in one place", "query them apart")
    return False


def _is_common(table: exp.Table) -> bool:
    """Whether the name is that of a query of a WITH around it."""
    if table.text("db"):
        return False
    query = table.find_ancestor(exp.Query)
    while query is not None:
        clause = query.args.get("with_")
        if clause is not None and any(fold(cte.alias) == fold(table.name) for cte in clause.expressions):
            return True
        query = query.find_ancestor(exp.Query)
    return False
