"""One term of ORDER BY, wherever it stands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dualdb.core.translate.comparison import folded, key_of, ordered_as_bytes
from dualdb.core.translate.term import Storage

if TYPE_CHECKING:
    from sqlglot import exp

    from dualdb.core.translate.term import Term


def order_term(term: Term, node: exp.Expression, *, not_null: bool) -> str:
    """One term of ORDER BY: NULLs are smaller than any value, texts are ordered by their collation."""
    collation = term.collation or "BINARY"
    if term.storage is Storage.ANY:
        term = replace(term, sql=key_of(term, collation))
    elif term.storage is Storage.TEXT:
        term = ordered_as_bytes(term) if collation == "BINARY" else folded(term, collation)
    if term.is_constant or term.storage is Storage.NULL:
        term = replace(term, sql=f"{term.sql}::{term.storage.type_name}")  # a bare number would be a position
    direction = " DESC" if node.args.get("desc") else ""
    nulls = "" if not_null else f" NULLS {'FIRST' if node.args.get('nulls_first') else 'LAST'}"
    return f"{term.sql}{direction}{nulls}"
