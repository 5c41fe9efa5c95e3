"""Comparisons as SQLite makes them: affinity, class, collation (datatype3.html, sections 4 and 7).

PostgreSQL compares two terms of one class; where SQLite's answer hangs on values of different classes, the statement is
refused. Knows no syntax tree.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from dualdb.core.names import collated, is_built_in
from dualdb.core.schema import Affinity, TargetType
from dualdb.core.translate.conversion import literal_with_affinity, of_one_class, plain_value
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import EXACT_FLOAT, INT64, NUMERIC_AFFINITIES, STORES, Storage, Term, constant, truth

if TYPE_CHECKING:
    from dualdb.core.translate.work import Work

_CLASSES = "comparing values of different classes"


def compare(operator: str, left: Term, right: Term, work: Work) -> Term:
    """`left operator right`, operator being one of = <> < <= > >= or IS [NOT] DISTINCT FROM."""
    left, right = settle(left, right, work)
    if Storage.NULL in {left.storage, right.storage}:
        return _with_null(operator, left, right)
    if left.storage is Storage.TEXT:
        left, right = _same_collation(left, right)
    elif _mixes_integer_with_float(left, right):
        return _integer_with_float(operator, left, right)
    return truth(f"({left.sql} {operator} {right.sql})")


def equal_sides(left: Term, right: Term, work: Work) -> tuple[str, str] | None:
    """The two texts that PostgreSQL's `=` may stand between, None when an equality takes more than that."""
    left, right = settle(left, right, work)
    if Storage.NULL in {left.storage, right.storage}:
        return None
    if left.storage is Storage.TEXT:
        left, right = _same_collation(left, right)
    elif _mixes_integer_with_float(left, right):
        return None
    return left.sql, right.sql


def _mixes_integer_with_float(left: Term, right: Term) -> bool:
    storages = {left.storage, right.storage}
    return Storage.INTEGER in storages and bool(storages & {Storage.REAL, Storage.NUMBER})


def settle(left: Term, right: Term, work: Work) -> tuple[Term, Term]:
    """Both operands with affinity applied and of one family of classes; raises Refused when that is not provable."""
    left, right = of_one_class(left), of_one_class(right)
    if left.storage is Storage.OPEN and right.storage is Storage.OPEN:
        left = work.known(left)
    if left.storage is Storage.OPEN:
        return _typed(left, right, work), plain_value(right)
    if right.storage is Storage.OPEN:
        return plain_value(left), _typed(right, left, work)
    left, right = plain_value(_by_affinity_of(right, left)), plain_value(_by_affinity_of(left, right))
    if Storage.NULL in {left.storage, right.storage}:
        return left, right
    if left.storage.is_numeric and right.storage.is_numeric:
        return left, right
    if left.storage is right.storage:
        return left, right
    raise Refused(
        f"{_CLASSES} ({left.storage.value}, {right.storage.value})",
        "SQLite orders them by class, PostgreSQL does not",
        "CAST one of them, or compare with a value of the column's own class",
    )


def _typed(parameter: Term, other: Term, work: Work) -> Term:
    """A parameter with the class that the other operand gives it."""
    if other.storage is Storage.NULL:
        raise Refused("a parameter compared with NULL", "nothing tells its class", "write IS NULL")
    affinity = None
    if other.affinity in NUMERIC_AFFINITIES:
        affinity = Affinity.NUMERIC
    elif other.affinity is Affinity.TEXT:
        affinity = Affinity.TEXT
    hint = work.hints.get(parameter.parameter) if parameter.parameter is not None else None
    storage, stored = _compared_as(other, affinity, hint)
    return work.placeholder(parameter, storage, affinity=affinity, stored=stored, label=other.label)


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
        if term.storage is Storage.TEXT and not term.plain_text:
            raise Refused(
                f"{_CLASSES} ({other.storage.value}, text)",
                "SQLite turns a text that looks like a number into one",
                "CAST one of them",
            )
    if other.affinity is Affinity.TEXT and term.affinity is None:
        if term.is_constant:
            return literal_with_affinity(term, Affinity.TEXT)
        if term.storage in {Storage.INTEGER, Storage.TRUTH}:
            return Term(sql=f"{plain_value(term).sql}::text", storage=Storage.TEXT)
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


def _same_collation(left: Term, right: Term) -> tuple[Term, Term]:
    collation = collation_of(left, right)
    if collation == "BINARY":
        if left.in_c or right.in_c:
            return left, right
        return ordered_as_bytes(left), right
    return folded(left, collation), folded(right, collation)


def folded(term: Term, collation: str) -> Term:
    """The text as the collation compares it."""
    return replace(ordered_as_bytes(term), sql=in_collation(ordered_as_bytes(term).sql, collation))


def in_collation(sql: str, collation: str) -> str:
    """A text such that `=` and order on it are those of the collation; raises Refused for one of the application's."""
    if not is_built_in(collation):
        raise Refused(f"COLLATE {collation}", "it is not one of SQLite's own collations")
    return collated(sql, collation)


def ordered_as_bytes(term: Term) -> Term:
    """The text with PostgreSQL's collation "C", which is SQLite's BINARY."""
    return term if term.in_c else replace(term, sql=f'({term.sql} COLLATE "C")', in_c=True)


def _integer_with_float(operator: str, left: Term, right: Term) -> Term:
    """An integer against a float, exactly: PostgreSQL alone would round the integer to a float first."""
    if isinstance(right.constant, float) and left.storage is Storage.INTEGER:
        return truth(f"({left.sql} {operator} {_exact(right.constant).sql})")
    if isinstance(left.constant, float) and right.storage is Storage.INTEGER:
        return truth(f"({_exact(left.constant).sql} {operator} {right.sql})")
    for term in (left, right):
        if isinstance(term.constant, int) and abs(term.constant) <= EXACT_FLOAT:
            return truth(f"({left.sql} {operator} {right.sql})")
    if "DISTINCT" in operator:
        raise Refused("IS between an integer and a float", "PostgreSQL would round the integer", "use =")
    if left.storage is Storage.INTEGER:
        return truth(f"(sqlite.compare({left.sql}, {right.sql}) {operator} 0)")
    return truth(f"(0 {operator} sqlite.compare({right.sql}, {left.sql}))")


def _exact(value: float) -> Term:
    if math.isinf(value):
        raise Refused(
            "an infinite number", "no integer is comparable with it in PostgreSQL", "leave the comparison out"
        )
    if value.is_integer() and int(value) in INT64:
        return constant(int(value))
    return Term(sql=f"{Decimal(value):f}::numeric", storage=Storage.NUMBER)
