"""Values brought to a class: into a column, a text, a number, a truth, a value of any class. Knows no syntax tree.

What is known of a term decides how: where its class is known, PostgreSQL's own cast or a function of the schema
`sqlite` over that class; else the function over values of any class (sql/sqlite/values.sql).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dualdb.core.names import literal
from dualdb.core.schema import Affinity, TargetType
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import NUMERIC_AFFINITIES, STORED_AS, Storage, Term, computed, constant, truth
from dualdb.core.types import apply_affinity, to_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dualdb.core.schema import Column
    from dualdb.core.translate.work import Work

_SAFE_DIGITS = 15


def literal_with_affinity(term: Term, affinity: Affinity) -> Term:
    """A literal after an affinity was applied to it (datatype3.html, section 3); anything else unchanged."""
    if term.constant is None or (isinstance(term.constant, float) and affinity is Affinity.TEXT):
        return term
    value = apply_affinity(term.constant, affinity)
    if isinstance(value, float) and isinstance(term.constant, str):
        read_float(term.constant.strip())
    if type(value) is type(term.constant) or not isinstance(value, int | float | str | bytes):
        return term
    return constant(value)


def read_float(text: str) -> float:
    """The float that SQLite reads; refused where its own reader (sqlite3AtoF) may differ from a correct one."""
    digits = re.sub(r"[eE].*|[^0-9]", "", text).strip("0")
    if len(digits) > _SAFE_DIGITS:
        raise Refused(
            f"the number {text}", "SQLite's versions read long decimals differently", "bind it as a parameter"
        )
    return float(text)


def plain_value(term: Term) -> Term:
    """The term as a value: a truth becomes the integer 0 or 1."""
    if term.storage is not Storage.TRUTH:
        return term
    return replace(term, sql=f"({term.sql})::int::bigint", storage=Storage.INTEGER)


def typed(term: Term) -> str:
    """The term's text such that PostgreSQL knows its type, which it does not of literals and NULL."""
    if term.storage is Storage.NULL or isinstance(term.constant, int | str):
        return f"{term.sql}::{term.storage.type_name}"
    return plain_value(term).sql


def as_truth(term: Term) -> Term:
    """The term as a condition: a number is true when it is not zero (lang_expr.html, section 14)."""
    match term.storage:
        case Storage.TRUTH:
            return term
        case Storage.NULL:
            return truth("NULL::boolean")
        case Storage.INTEGER | Storage.REAL | Storage.NUMBER:
            if isinstance(term.constant, int):
                return truth("TRUE" if term.constant else "FALSE")
            return truth(f"({term.sql} <> 0)")
        case Storage.TEXT:
            return truth(f"sqlite.is_true({typed(term)})")
    return truth(f"sqlite.is_true({encoded(term).sql})")


def as_text(term: Term) -> Term:
    """The term as SQLite prints it: CAST (x AS TEXT), which || and the functions of texts apply."""
    match term.storage:
        case Storage.TEXT:
            return term
        case Storage.NULL:
            return Term(sql="NULL::text", storage=Storage.NULL)
        case Storage.INTEGER | Storage.TRUTH:
            if isinstance(term.constant, int):
                return constant(str(term.constant))
            return computed(f"{plain_value(term).sql}::text", Storage.TEXT)
        case Storage.REAL:
            return computed(f"sqlite.to_text({term.sql})", Storage.TEXT)
    return computed(f"sqlite.to_text({encoded(term).sql})", Storage.TEXT)


def as_integer(term: Term) -> Term:
    """The term as an integer: CAST (x AS INTEGER)."""
    match term.storage:
        case Storage.INTEGER | Storage.TRUTH | Storage.NULL:
            return computed(typed(term) if term.storage is not Storage.NULL else "NULL::bigint", Storage.INTEGER)
        case Storage.REAL | Storage.NUMBER | Storage.TEXT:
            return computed(f"sqlite.to_integer({typed(term)})", Storage.INTEGER)
    return computed(f"sqlite.to_integer({encoded(term).sql})", Storage.INTEGER)


def as_real(term: Term) -> Term:
    """The term as a float: CAST (x AS REAL)."""
    match term.storage:
        case Storage.REAL | Storage.NUMBER:
            return computed(term.sql, Storage.REAL)
        case Storage.INTEGER | Storage.TRUTH | Storage.NULL:
            return computed(f"{plain_value(term).sql}::double precision", Storage.REAL)
        case Storage.TEXT:
            return computed(f"sqlite.to_real({typed(term)})", Storage.REAL)
    return computed(f"sqlite.to_real({encoded(term).sql})", Storage.REAL)


def as_number(term: Term) -> Term:
    """The number that arithmetic takes the term for: an integer, a float, or a value that is one of the two."""
    match term.storage:
        case Storage.INTEGER | Storage.REAL | Storage.NULL:
            return term
        case Storage.TRUTH:
            return plain_value(term)
        case Storage.TEXT:
            return computed(f"sqlite.number_in({typed(term)})", Storage.ANY)
        case Storage.NUMBER:
            return encoded(term)
    return computed(f"sqlite.number_in({encoded(term).sql})", Storage.ANY)


def encoded(term: Term) -> Term:
    """The term as a value of any class, tagged with its own; collation and affinity stay."""
    if term.storage is Storage.ANY:
        return term
    if term.constant is not None:
        value = to_target(term.constant, TargetType.ANY)
        if not isinstance(value, bytes):
            raise AssertionError("a constant has a class")
        sql = constant(value).sql
    elif term.storage is Storage.NULL:
        sql = "NULL::bytea"
    else:
        sql = f"{_ENCODE[term.storage]}({plain_value(term).sql})"
    return replace(term, sql=sql, storage=Storage.ANY, constant=None, in_c=False)


_ENCODE: Mapping[Storage, str] = {
    Storage.INTEGER: "sqlite.value",
    Storage.TRUTH: "sqlite.value",
    Storage.REAL: "sqlite.value",
    Storage.NUMBER: "sqlite.number_value",
    Storage.TEXT: "sqlite.value",
    Storage.BLOB: "sqlite.blob",
}


# Into a column ----------------------------------------------------------------------------------------------------


def into_column(term: Term, column: Column, label: str, work: Work) -> Term:
    """The term as the column stores it: its affinity applied (datatype3.html, section 3), of the column's class.

    Where only the value itself tells whether it is of that class, PostgreSQL raises an error for one that is not.
    """
    storage = STORED_AS[column.stored]
    if term.storage is Storage.OPEN:
        return work.placeholder(term, storage, affinity=column.affinity, stored=column.stored, label=label)
    if term.is_constant:
        term = literal_with_affinity(term, column.affinity)
    term = plain_value(term)
    if term.storage is Storage.NULL:
        return Term(sql=f"NULL::{storage.type_name}", storage=Storage.NULL)
    sql = _converted(term, column, storage)
    if sql == term.sql:
        return term
    if sql is None:
        if term.is_constant and column.stored is not TargetType.ANY and not _is_open_to(term, column):
            raise Refused(
                f"{term.storage.value} stored in {label}",
                f"the column holds {column.stored.value} on PostgreSQL",
                "store a value of the column's own class",
            )
        value = encoded(term).sql
        if not (term.storage is Storage.ANY and column.affinity in {term.affinity, Affinity.BLOB}):
            value = f"sqlite.stored({value}, '{column.affinity.value}')"
        sql = value if column.stored is TargetType.ANY else f"{_ONLY[column.stored]}({value}, {literal(label)})"
    return Term(sql=sql, storage=storage)


_ONLY: Mapping[TargetType, str] = {
    TargetType.BIGINT: "sqlite.only_integer",
    TargetType.DOUBLE: "sqlite.only_real",
    TargetType.NUMBER: "sqlite.only_number",
    TargetType.TEXT: "sqlite.only_text",
    TargetType.BYTEA: "sqlite.only_blob",
}


def _is_open_to(term: Term, column: Column) -> bool:
    """Whether a literal may still become the column's class."""
    return isinstance(term.constant, float) and column.affinity is Affinity.TEXT


def _may_become_number(term: Term, column: Column) -> bool:
    """Whether a column with a numeric affinity could turn this text into a number."""
    if column.affinity not in NUMERIC_AFFINITIES or term.storage is not Storage.TEXT:
        return False
    return not (term.is_constant or term.plain_text or term.affinity in NUMERIC_AFFINITIES)


def _converted(term: Term, column: Column, storage: Storage) -> str | None:
    """The conversion that needs no look at the value; None where there is none."""
    if term.storage is storage and storage is not Storage.ANY and not _may_become_number(term, column):
        # A column of floats keeps no sign of zero (sqlite3VdbeIntegerAffinity).
        return f"({term.sql} + 0)" if storage is Storage.REAL and not term.column and not term.constant else term.sql
    if column.stored is TargetType.ANY:
        return encoded(term).sql if term.constant is not None else None
    return _of_number(term, column) if term.storage in {Storage.INTEGER, Storage.REAL} else None


def _of_number(term: Term, column: Column) -> str | None:
    integer = term.storage is Storage.INTEGER
    match column.stored:
        case TargetType.DOUBLE if integer and column.affinity is Affinity.REAL:
            return f"{term.sql}::double precision"
        case TargetType.NUMBER if not integer:
            return term.sql
        case TargetType.NUMBER:
            return f"{term.sql}::double precision" if term.is_constant else f"sqlite.number({term.sql})"
        case TargetType.TEXT if column.affinity is Affinity.TEXT:
            return as_text(term).sql
    return None
