"""Values brought to a class: into a column, into a text, into a truth, into a plain value. Knows no syntax tree."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dualdb.core.schema import Affinity, TargetType
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import NUMERIC_AFFINITIES, STORED_AS, Storage, Term, constant, truth
from dualdb.core.types import apply_affinity, classes_declared, to_target

if TYPE_CHECKING:
    from dualdb.core.schema import Column
    from dualdb.core.translate.work import Work

_SAFE_DIGITS = 15


def literal_with_affinity(term: Term, affinity: Affinity) -> Term:
    """A literal after an affinity was applied to it (datatype3.html, section 3); anything else unchanged."""
    if term.constant is None:
        return term
    if isinstance(term.constant, float) and affinity is Affinity.TEXT:
        raise Refused("a float as text", "SQLite's spelling of floats is its own", "write the text")
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


def of_one_class(term: Term) -> Term:
    """The term, unless the class of its value varies by row: nothing on PostgreSQL compares or computes with those."""
    if term.storage is not Storage.ANY:
        return term
    if term.column is None or term.label is None:
        raise Refused(
            "a value of any class here", "PostgreSQL computes with one class only", "select the column itself"
        )
    name, table = term.column.name, term.label.removesuffix(f".{term.column.name}")
    reason = f"its values are of several classes (SELECT DISTINCT typeof({name}) FROM {table}), PostgreSQL's of one"
    classes = sorted(classes_declared(term.column.affinity, term.column.decltype))
    kept = ", ".join(f"'{name}'" for name in [*(classes or ["…"]), "null"])
    raise Refused(
        f"the column {term.label} here",
        reason,
        f"go back to phase sqlite, convert the odd ones (UPDATE {table} SET {name} = … WHERE typeof({name}) NOT IN"
        f" ({kept})), and advance",
    )


def plain_value(term: Term) -> Term:
    """The term as a value: a truth becomes the integer 0 or 1."""
    return replace(term, sql=f"({term.sql})::int", storage=Storage.INTEGER) if term.storage is Storage.TRUTH else term


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
    raise Refused(
        "a text or blob as a condition", "SQLite reads a number from its beginning", "compare it with a value"
    )


def as_text(term: Term) -> Term:
    """The term as SQLite prints it in a concatenation."""
    match term.storage:
        case Storage.TEXT:
            return term
        case Storage.INTEGER | Storage.TRUTH:
            if isinstance(term.constant, int):
                return constant(str(term.constant))
            return Term(sql=f"{plain_value(term).sql}::text", storage=Storage.TEXT, plain_text=False)
        case Storage.NULL:
            return Term(sql="NULL::text", storage=Storage.NULL)
    raise Refused("a float or blob as text", "SQLite's spelling of floats is its own", "format it in the application")


def as_integer(term: Term, what: str) -> Term:
    """The term, which must be an integer, as bigint."""
    if term.storage in {Storage.INTEGER, Storage.TRUTH}:
        value = plain_value(term)
        return replace(value, sql=f"{value.sql}::bigint") if value.is_constant or term is not value else value
    raise Refused(what, f"it is given {term.storage.value}, not an integer")


def into_column(term: Term, column: Column, label: str, work: Work) -> Term:
    """The term as the column stores it: its affinity applied (datatype3.html, section 3), of the column's class."""
    storage = STORED_AS[column.stored]
    if term.storage is Storage.OPEN:
        return work.placeholder(term, storage, affinity=column.affinity, stored=column.stored, label=label)
    if term.is_constant:
        term = literal_with_affinity(term, column.affinity)
    term = plain_value(term)
    if term.storage is Storage.NULL:
        return Term(sql=f"NULL::{storage.type_name}", storage=Storage.NULL)
    if column.stored is TargetType.ANY:
        return _of_any_class(term, column, label)
    if term.storage is storage and not _may_become_number(term, column):
        return term
    term = of_one_class(term)
    sql = _converted(term, column)
    if sql is None:
        raise Refused(
            f"{term.storage.value} stored in {label}",
            f"the column holds {column.stored.value} on PostgreSQL",
            "store a value of the column's own class",
        )
    return Term(sql=sql, storage=storage)


def _of_any_class(term: Term, column: Column, label: str) -> Term:
    """The term as a column of any class stores it; refused when neither the translator nor the driver can encode it."""
    if term.constant is not None:
        encoded = to_target(term.constant, TargetType.ANY)
        if isinstance(encoded, bytes):
            return Term(sql=constant(encoded).sql, storage=Storage.ANY)
    # Another column's values are encoded already, and its own affinity, or none, leaves them as they are.
    if term.storage is Storage.ANY and column.affinity in {term.affinity, Affinity.BLOB}:
        return Term(sql=term.sql, storage=Storage.ANY)
    raise Refused(
        f"this value stored in {label}",
        "the column's values are of several classes, and only a literal or a parameter tells its own",
        "bind the value as a parameter",
    )


def _may_become_number(term: Term, column: Column) -> bool:
    """Whether a column with a numeric affinity could turn this text into a number."""
    if column.affinity not in NUMERIC_AFFINITIES or term.storage is not Storage.TEXT:
        return False
    return not (term.is_constant or term.plain_text or term.affinity in NUMERIC_AFFINITIES)


def _converted(term: Term, column: Column) -> str | None:
    integer, real = term.storage is Storage.INTEGER, term.storage is Storage.REAL
    match column.stored:
        case TargetType.DOUBLE if integer and column.affinity is Affinity.REAL:
            return f"{term.sql}::double precision"
        case TargetType.NUMBER if real:
            return term.sql
        case TargetType.NUMBER if integer and isinstance(term.constant, int):
            return f"{term.sql}::double precision"
        case TargetType.NUMBER if integer:
            return f"sqlite.number({term.sql})"
        case TargetType.TEXT if integer and column.affinity is Affinity.TEXT:
            return f"{term.sql}::text"
    return None
