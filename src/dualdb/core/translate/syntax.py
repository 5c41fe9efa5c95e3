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
    return node
