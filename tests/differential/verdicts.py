"""What one call gives on sqlite3 and through dualdb, and how the two compare: the measure of all differential runs."""

from __future__ import annotations

import sqlite3
import struct
import warnings
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.differential.case_files import Call

NO_ANSWER = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, TypeError)
"""What sqlite3 raises."""

_READABLE = 8


class Outcome(Enum):
    """How a case ends."""

    EQUAL = "equal"
    """All that an application can see is the same."""
    REFUSED = "refused"
    """NotSupportedError, with its cause."""
    ERROR = "error"
    """Another error than SQLite's."""
    DIFFERENT = "different"
    """Another answer, and nobody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a cursor shows after a call, or the error's class."""

    names: tuple[str, ...] | None = None
    rows: tuple[tuple[Any, ...], ...] = ()
    rowcount: int = -1
    lastrowid: int | None = None
    error: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a call or a case ends, and what there is to say about it."""

    outcome: Outcome
    reason: str = ""


class Rows(tuple[tuple[tuple[str, object], ...], ...]):
    """Rows of exact values, shown as an application sees them, as far as somebody might read."""

    __slots__ = ()

    def __str__(self) -> str:
        rows = [
            tuple(
                struct.unpack(">d", value)[0] if isinstance(value, bytes) and kind == "float" else value
                for kind, value in row
            )
            for row in self[:_READABLE]
        ]
        return ", ".join(map(repr, rows)) + (" …" if len(self) > len(rows) else "") or "no rows"


ALIKE = Verdict(outcome=Outcome.EQUAL)


def ask(connection: sqlite3.Connection, call: Call) -> Answer:
    """What a connection answers to a call; anything raised that sqlite3 would not raise is an error of its own name."""
    given = () if call.given is None or call.method == "executescript" else (call.given,)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a sequence bound to parameters with names
            cursor = getattr(connection.cursor(), call.method)(call.sql, *given)
        rows = tuple(tuple(exact(value) for value in row) for row in cursor.fetchall())
    except NO_ANSWER as error:
        return Answer(error=type(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001 - a driver that breaks is what is looked for
        return Answer(error=f"{type(error).__module__}.{type(error).__name__}", message=str(error))
    names = cursor.description and tuple(column[0] for column in cursor.description)
    return Answer(names=names, rows=rows, rowcount=cursor.rowcount, lastrowid=cursor.lastrowid)


def exact(value: object) -> tuple[str, object]:
    """A value in a form that is equal only when its type and its bits are."""
    return type(value).__name__, struct.pack(">d", value) if isinstance(value, float) else value


def judge(call: Call, expected: Answer, found: Answer) -> Verdict:
    """How dualdb's answer compares with sqlite3's."""
    if found.error != expected.error:
        return _judge_errors(expected, found)
    if found.error is not None:
        return ALIKE
    here, there = (_shown_by(answer, ordered=call.ordered) for answer in (expected, found))
    for what in here:
        if here[what] != there[what]:
            return different(what, here[what], there[what])
    return ALIKE


def _shown_by(answer: Answer, *, ordered: bool) -> dict[str, object]:
    """What there is to compare, in the order in which it is worth telling."""
    return {
        "columns": answer.names,
        "rows": Rows(answer.rows if ordered else sorted(answer.rows, key=repr)),
        "rowcount": answer.rowcount,
        "lastrowid": answer.lastrowid,
    }


def different(what: str, expected: object, found: object) -> Verdict:
    """The verdict on two answers that differ in something."""
    return Verdict(outcome=Outcome.DIFFERENT, reason=f"{what}: {expected} on SQLite, {found} on PostgreSQL")


def _judge_errors(expected: Answer, found: Answer) -> Verdict:
    if found.error == "NotSupportedError":
        return Verdict(outcome=Outcome.REFUSED, reason=found.message)
    if found.error is not None:
        theirs = f"{expected.error}: {expected.message}" if expected.error else f"{Rows(expected.rows)}"
        return Verdict(
            outcome=Outcome.ERROR, reason=f"{found.error}: {found.message} on PostgreSQL, {theirs} on SQLite"
        )
    return different("answer", f"{expected.error}: {expected.message}", Rows(found.rows))
