"""The rules of the translation: one literal table from node to rule, and where the other families are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.translate import functions, operators
from dualdb.core.translate.aggregates import aggregate, filtered, is_aggregate
from dualdb.core.translate.json import JSON
from dualdb.core.translate.select import subquery
from dualdb.core.translate.times import TIMES
from dualdb.core.translate.views import fields_of_view
from dualdb.core.translate.windows import window
from dualdb.core.translate.work import Grammar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dualdb.core.translate.place import Place
    from dualdb.core.translate.term import Term
    from dualdb.core.translate.work import Rule


def _call(node: exp.Expression, place: Place) -> Term:
    return aggregate(node, place) if is_aggregate(node) else functions.call(node, place)


RULES: Mapping[type[exp.Expression], Rule] = {
    # Literals and names
    exp.Literal: operators.literal,
    exp.HexString: operators.blob,
    exp.Null: operators.nothing,
    exp.Boolean: operators.boolean,
    exp.Placeholder: operators.placeholder,
    exp.Column: operators.name,
    exp.Paren: operators.parenthesised,
    # Comparisons and logic
    exp.EQ: operators.comparison,
    exp.NEQ: operators.comparison,
    exp.LT: operators.comparison,
    exp.LTE: operators.comparison,
    exp.GT: operators.comparison,
    exp.GTE: operators.comparison,
    exp.NullSafeEQ: operators.comparison,
    exp.NullSafeNEQ: operators.comparison,
    exp.Is: operators.is_value,
    exp.Not: operators.negation,
    exp.And: operators.logic,
    exp.Or: operators.logic,
    exp.Between: operators.between,
    exp.In: operators.membership,
    exp.Like: operators.like,
    exp.Escape: operators.escaped,
    exp.Glob: functions.glob_operator,
    # Arithmetic and text
    exp.Add: operators.arithmetic,
    exp.Sub: operators.arithmetic,
    exp.Mul: operators.arithmetic,
    exp.Div: operators.division,
    exp.Mod: operators.modulo,
    exp.BitwiseAnd: operators.bits,
    exp.BitwiseOr: operators.bits,
    exp.BitwiseNot: operators.complement,
    exp.BitwiseLeftShift: operators.shift,
    exp.BitwiseRightShift: operators.shift,
    exp.Neg: operators.minus,
    exp.DPipe: operators.concatenation,
    exp.Collate: operators.collate,
    # Conditional values and casts
    exp.Case: operators.case,
    exp.Cast: operators.cast,
    # Functions
    exp.Anonymous: _call,
    exp.Filter: filtered,
    exp.Window: window,
    exp.CurrentTimestamp: functions.current_timestamp,
    exp.CurrentDate: functions.current_date,
    exp.CurrentTime: functions.current_time,
    # Queries as values
    exp.Subquery: operators.scalar_query,
    exp.Exists: operators.exists,
}
"""The one rule for each kind of node. What is not here is refused."""

GRAMMAR = Grammar(nodes=RULES, functions={**functions.CORE, **TIMES, **JSON}, subquery=subquery, view=fields_of_view)
