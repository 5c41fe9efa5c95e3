"""Comparisons as SQLite makes them: affinity, class, collation (datatype3.html, sections 4 and 7).

PostgreSQL compares two terms of one class by itself; values of different classes are compared by their keys
(sql/sqlite/values.sql). Knows no syntax tree.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from dualdb.core.names import collated, is_built_in
from dualdb.core.schema import Affinity, TargetType
from dualdb.core.translate.conversion import as_text, encoded, literal_with_affinity, plain_value, typed
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import (
    EXACT_FLOAT,
    INT64,
    NUMERIC_AFFINITIES,
    STORED_AS,
    STORES,
    Storage,
    Term,
    computed,
    constant,
    truth,
)

if TYPE_CHECKING:
    from dualdb.core.translate.work import Work


def compare(operator: str, left: Term, right: Term, work: Work) -> Term:
    """`left operator right`, operator being one of = <> < <= > >= or IS [NOT] DISTINCT FROM."""
    collation = collation_of(left, right)
    left, right = settle(left, right, work)
    if Storage.NULL in {left.storage, right.storage}:
        return _with_null(operator, left, right)
    if _mixes_integer_with_float(left, right) and (exactly := _integer_with_float(operator, left, right)) is not None:
        return exactly
    sides = _comparable(left, right, collation)
    return truth(f"({sides[0]} {operator} {sides[1]})")


def equal_sides(left: Term, right: Term, work: Work) -> tuple[str, str] | None:
    """The two texts that PostgreSQL's `=` may stand between and use an index, None when it takes more than that."""
    collation = collation_of(left, right)
    left, right = settle(left, right, work)
    if Storage.NULL in {left.storage, right.storage} or _mixes_integer_with_float(left, right):
        return None
    return _comparable(left, right, collation)


def equality_sides(left: Term, right: Term, work: Work) -> tuple[str, str]:
    """Two texts of one type such that PostgreSQL's `=` on them is SQLite's on the terms."""
    collation = collation_of(left, right)
    left, right = settle(left, right, work)
    if Storage.NULL in {left.storage, right.storage} or _mixes_integer_with_float(left, right):
        return key_of(left, collation), key_of(right, collation)
    return _comparable(left, right, collation)


def _comparable(left: Term, right: Term, collation: str) -> tuple[str, str]:
    if left.storage is Storage.TEXT and right.storage is Storage.TEXT:
        if collation != "BINARY":
            return folded(left, collation).sql, folded(right, collation).sql
        if left.in_c or right.in_c:
            return left.sql, right.sql
        return ordered_as_bytes(left).sql, right.sql
    numeric = left.storage.is_numeric and right.storage.is_numeric
    if (numeric and not _mixes_integer_with_float(left, right)) or left.storage is right.storage is Storage.BLOB:
        return left.sql, right.sql
    return key_of(left, collation), key_of(right, collation)


def key_of(term: Term, collation: str = "BINARY") -> str:
    """Bytes that PostgreSQL orders and compares as SQLite does values of any class, under a collation."""
    check_collation(collation)
    if term.storage in {Storage.INTEGER, Storage.REAL, Storage.NUMBER, Storage.TRUTH}:
        return f"sqlite.key({typed(term)})"
    value = encoded(term).sql
    if collation != "BINARY" and term.storage in {Storage.ANY, Storage.TEXT}:
        return f"sqlite.key({value}, '{collation}')"
    return f"sqlite.key({value})"


def is_told_by_bytes(term: Term) -> bool:
    """Whether equal values of any class have the same bytes, for their affinity makes 1 of 1.0, or a text of both."""
    return term.affinity in {Affinity.INTEGER, Affinity.NUMERIC, Affinity.TEXT} and (
        (term.collation or "BINARY") == "BINARY"
    )


def _mixes_integer_with_float(left: Term, right: Term) -> bool:
    storages = {left.storage, right.storage}
    return Storage.INTEGER in storages and bool(storages & {Storage.REAL, Storage.NUMBER})


def settle(left: Term, right: Term, work: Work) -> tuple[Term, Term]:
    """Both operands with affinity applied, and parameters with a class."""
    if left.storage is Storage.OPEN and right.storage is Storage.OPEN:
        left = work.known(left)
    if left.storage is Storage.OPEN:
        return _typed(left, right, work), plain_value(right)
    if right.storage is Storage.OPEN:
        return plain_value(left), _typed(right, left, work)
    return plain_value(_by_affinity_of(right, left)), plain_value(_by_affinity_of(left, right))


def _typed(parameter: Term, other: Term, work: Work) -> Term:
    """A parameter with the class that the other operand gives it; of any class where that gives none."""
    affinity = None
    if other.affinity in NUMERIC_AFFINITIES:
        affinity = Affinity.NUMERIC
    elif other.affinity is Affinity.TEXT:
        affinity = Affinity.TEXT
    hint = work.hints.get(parameter.parameter) if parameter.parameter is not None else None
    if other.storage in {Storage.NULL, Storage.ANY} or not _suits(hint, other):
        return plain_value(_by_affinity_of(other, work.known(parameter)))
    storage, stored = _compared_as(other, affinity, hint)
    return work.placeholder(parameter, storage, affinity=affinity, stored=stored, label=other.label)


def _suits(hint: TargetType | None, other: Term) -> bool:
    """Whether a value of that class is compared within the other operand's class."""
    if hint is None or hint is STORES[other.storage]:
        return True
    return STORED_AS[hint].is_numeric and other.storage.is_numeric


def _compared_as(other: Term, affinity: Affinity | None, hint: TargetType | None) -> tuple[Storage, TargetType]:
    """The class in which a parameter meets the other operand."""
    integral = other.storage in {Storage.INTEGER, Storage.TRUTH}
    if integral and hint in {TargetType.DOUBLE, TargetType.NUMBER}:
        return (Storage.REAL, TargetType.DOUBLE) if affinity is None else (Storage.NUMBER, TargetType.NUMBER)
    if other.storage is Storage.REAL and (affinity is not None or hint is TargetType.BIGINT):
        return Storage.NUMBER, TargetType.NUMBER  # any number compares with a float
    return (Storage.INTEGER if integral else other.storage), STORES[other.storage]


def _by_affinity_of(other: Term, term: Term) -> Term:
    """The term after the other operand's affinity was applied to it (datatype3.html, section 4.2)."""
    if other.affinity in NUMERIC_AFFINITIES and term.affinity not in NUMERIC_AFFINITIES:
        if term.is_constant:
            return literal_with_affinity(term, Affinity.NUMERIC)
        if term.storage is Storage.ANY or (term.storage is Storage.TEXT and not term.plain_text):
            return replace(term, sql=f"sqlite.as_number({encoded(term).sql})", storage=Storage.ANY, in_c=False)
    if other.affinity is Affinity.TEXT and term.affinity is None:
        if term.is_constant:
            term = literal_with_affinity(term, Affinity.TEXT)
        if term.storage.is_numeric:
            return as_text(term)
        if term.storage is Storage.ANY:
            return computed(f"sqlite.as_text({term.sql})", Storage.ANY)
    return term


def _with_null(operator: str, left: Term, right: Term) -> Term:
    match operator:
        case "IS NOT DISTINCT FROM":
            return truth(f"({(right if left.storage is Storage.NULL else left).sql} IS NULL)")
        case "IS DISTINCT FROM":
            return truth(f"({(right if left.storage is Storage.NULL else left).sql} IS NOT NULL)")
    return truth("NULL::boolean")


def collation_of(left: Term, right: Term) -> str:
    """The collation of a comparison: an explicit one first, then a column's, the left before the right (7.1)."""
    for term in (left, right):
        if term.explicit and term.collation:
            return term.collation
    return left.collation or right.collation or "BINARY"


def folded(term: Term, collation: str) -> Term:
    """The text as the collation compares it."""
    return replace(ordered_as_bytes(term), sql=in_collation(ordered_as_bytes(term).sql, collation))


def check_collation(collation: str) -> None:
    """Refuse a collation of the application's."""
    if not is_built_in(collation):
        raise Refused(f"COLLATE {collation}", "it is not one of SQLite's own collations")


def in_collation(sql: str, collation: str) -> str:
    """A text such that `=` and order on it are those of the collation; raises Refused for one of the application's."""
    check_collation(collation)
    return collated(sql, collation)


def ordered_as_bytes(term: Term) -> Term:
    """The text with PostgreSQL's collation "C", which is SQLite's BINARY."""
    return term if term.in_c else replace(term, sql=f'({term.sql} COLLATE "C")', in_c=True)


def _integer_with_float(operator: str, left: Term, right: Term) -> Term | None:
    """An integer against a float, exactly: PostgreSQL alone would round the integer to a float first."""
    if isinstance(right.constant, float) and left.storage is Storage.INTEGER and not math.isinf(right.constant):
        return truth(f"({left.sql} {operator} {_exact(right.constant).sql})")
    if isinstance(left.constant, float) and right.storage is Storage.INTEGER and not math.isinf(left.constant):
        return truth(f"({_exact(left.constant).sql} {operator} {right.sql})")
    for term in (left, right):
        if isinstance(term.constant, int) and abs(term.constant) <= EXACT_FLOAT:
            return truth(f"({left.sql} {operator} {right.sql})")
    if "DISTINCT" in operator:
        return None
    if left.storage is Storage.INTEGER:
        return truth(f"(sqlite.compare({typed(left)}, {right.sql}) {operator} 0)")
    return truth(f"(0 {operator} sqlite.compare({typed(right)}, {left.sql}))")


def _exact(value: float) -> Term:
    if value.is_integer() and int(value) in INT64:
        return constant(int(value))
    return Term(sql=f"{Decimal(value):f}::numeric", storage=Storage.NUMBER)
