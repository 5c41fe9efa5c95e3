"""The one place that calls sqlglot's parser: a prepared statement in, its syntax tree out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite

from dualdb.core.translate.refusal import Refused

if TYPE_CHECKING:
    from dualdb.core.translate.prepared import Prepared


def parse(prepared: Prepared) -> exp.Expression:
    """The syntax tree of a prepared statement; raises Refused when sqlglot cannot read it."""
    try:
        node = sqlglot.parse_one(prepared.text, read=SQLite)
    except (sqlglot.errors.SqlglotError, RecursionError) as exc:
        raise Refused("this statement", "its syntax is not understood") from exc
    if not isinstance(node, exp.Expression):
        raise Refused("this statement", "its syntax is not understood")
    for member in node.find_all(exp.In):
        _name_query(member)
    return node


def _name_query(node: exp.In) -> None:
    """X IN table, which is x IN (SELECT * FROM table): so that whoever looks for tables finds it."""
    name = node.args.get("field")
    if name is None:
        return
    if not isinstance(name, exp.Column):
        raise Refused("IN", "what follows is no list, query or table", "write a subquery")
    table = exp.Table(this=name.this.copy(), db=name.args["table"].copy() if name.args.get("table") else None)
    select = exp.Select(expressions=[exp.Star()], from_=exp.From(this=table))
    node.set("field", None)
    node.set("query", exp.Subquery(this=select))
