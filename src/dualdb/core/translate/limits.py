"""LIMIT and OFFSET."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.schema import Affinity, TargetType
from dualdb.core.translate.conversion import encoded
from dualdb.core.translate.place import Place, require
from dualdb.core.translate.term import Storage

if TYPE_CHECKING:
    from sqlglot import exp


def limits(node: exp.Expression, place: Place) -> str:
    """LIMIT and OFFSET: a negative limit is none, a negative offset is zero (lang_select.html, section 5)."""
    text = ""
    for name in ("limit", "offset"):
        clause = node.args.get(name)
        if clause is None:
            continue
        require(clause, "expression")
        value = Place(work=place.work).term(clause.expression)
        if isinstance(value.constant, int):
            if value.constant >= 0 and not (name == "offset" and value.constant == 0):
                text += f" {name.upper()} {value.constant}"
            continue
        if value.storage is Storage.OPEN:
            value = place.work.placeholder(
                value, Storage.INTEGER, affinity=Affinity.INTEGER, stored=TargetType.BIGINT, label=name.upper()
            )
        elif value.storage is not Storage.INTEGER:
            value = place.work.known(value)
        # Anything else that is an integer without loss will do (OP_MustBeInt).
        number = value.sql if value.storage is Storage.INTEGER else f"sqlite.must_be_integer({encoded(value).sql})"
        text += f" {name.upper()} sqlite.row_{name}({number})"
    return text
