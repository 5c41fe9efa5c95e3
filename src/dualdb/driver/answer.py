"""What PostgreSQL answered, as sqlite3 gives it to the application: rows, converters, row factories, description.

Knows no connection. Row factories get the cursor itself, and `sqlite3.Row` a genuine description: the cursor's C part
runs an empty SELECT with the same column names.
"""

from __future__ import annotations

import re
import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any

from dualdb.core.schema import TargetType
from dualdb.core.sqltext import quote_name
from dualdb.core.statement import Decoder
from dualdb.core.store import Undecodable
from dualdb.core.types import from_target, integral, number_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dualdb.core.statement import ResultColumn

    Convert = Callable[[Any], Any]
    Converts = Sequence[Convert | None]
    Rows = Sequence[tuple[Any, ...]]


# Both are loops over a column's name in CPython's Modules/_sqlite/cursor.c.
_CUT = re.compile(r" ?\[.*", re.DOTALL)
_NAMED_TYPE = re.compile(r"[^\[]*\[(?:[^\]]*\[)?([^\[\]]*)\]", re.DOTALL)
"""The type in brackets: what stands between the first `]` behind a `[` and the last `[` before it."""


_UNASKED = object()


class Answer:
    """One statement's answer; rows are handed out one after the other."""

    __slots__ = (
        "_columns",
        "_converts",
        "_declared",
        "_factory",
        "_final",
        "_left",
        "_rows",
        "description",
        "lastrowid",
        "primed",
        "rowcount",
    )

    def __init__(
        self,
        *,
        rows: Rows = (),
        columns: Sequence[ResultColumn] = (),
        detect_types: int = 0,
        description: Any = None,
        rowcount: int = -1,
        lastrowid: int | None = None,
        final: int | None = None,
    ) -> None:
        """`columns` tell how the rows are decoded; without them they are handed out as they are."""
        self._rows = iter(rows)
        self._left = len(rows)
        self._columns = columns
        # sqlite3 looks for converters when it executes, and asks the text factory when it fetches.
        self._declared = [_declared(column, detect_types) if detect_types else None for column in columns]
        self._factory: Any = _UNASKED
        self._converts: Converts = ()
        self.description = description
        self.rowcount = rowcount
        """sqlite3 counts what a RETURNING statement wrote when its last row was fetched: `final` follows then."""
        self.lastrowid = lastrowid
        self.primed = False
        """Whether the cursor's C part knows the description."""
        self._final = rowcount if final is None else final
        if not rows:
            self.rowcount = self._final

    @property
    def has_rows(self) -> bool:
        """Whether rows are left."""
        return self._left > 0

    def drop(self) -> None:
        """The rows that are left are not wanted."""
        self._rows = iter(())

    def next(self, text_factory: Any) -> tuple[Any, ...] | None:
        """The next row, None behind the last. A row that cannot be decoded is asked for again the next time."""
        row = next(self._rows, None)  # threads may share the cursor, and no two get the same
        if row is None:
            return None
        if text_factory is not self._factory:
            self._factory, self._converts = text_factory, self._converters(text_factory)
        if self._converts:
            try:
                decoded = [
                    value if convert is None else convert(value)
                    for value, convert in zip(row, self._converts, strict=True)
                ]
            except BaseException:
                self._rows = chain((row,), self._rows)
                raise
            row = tuple(decoded)
        self._left -= 1
        if self._left == 0:
            self.rowcount = self._final
        return row

    def _converters(self, text_factory: Any) -> Converts:
        """What gives each value the type that sqlite3 would have given; none when all are as they are."""
        converts = [
            _converter(column, declared, text_factory)
            for column, declared in zip(self._columns, self._declared, strict=True)
        ]
        return converts if any(converts) else ()


def described(names: Sequence[str]) -> Any:
    """A `description`: names, and nothing known besides."""
    return tuple((name, None, None, None, None, None, None) for name in names)


def shown_names(columns: Sequence[ResultColumn], detect_types: int) -> list[str]:
    """Column names as `description` has them: with PARSE_COLNAMES a name ends before `[`, and a blank before that."""
    names = [column.name for column in columns]
    return [_CUT.sub("", name) for name in names] if detect_types & sqlite3.PARSE_COLNAMES else names


def prime(cursor: sqlite3.Cursor, answer: Answer) -> None:
    """Give the cursor's C part the description, which `sqlite3.Row` takes its keys from; reads and locks nothing."""
    listed = ", ".join(f"NULL AS {quote_name(name)}" for name, *_ in answer.description)
    sqlite3.Cursor.execute(cursor, f"SELECT {listed} WHERE 0")
    answer.primed = True


def _converter(column: ResultColumn, declared: Convert | None, text_factory: Any) -> Convert | None:
    decode = _DECODERS[column.decoder]
    if declared is None:
        if column.decoder is Decoder.ANY:
            return _of_any_class(column.name, text_factory)
        if decode is not None:
            return decode
        return None if text_factory is str else _texter(text_factory)

    def convert(value: Any) -> Any:
        return None if value is None else declared(_image(value if decode is None else decode(value)))

    return convert


def _declared(column: ResultColumn, detect_types: int) -> Convert | None:
    converters: dict[str, Convert] = sqlite3.converters
    found = None
    if detect_types & sqlite3.PARSE_COLNAMES:
        named = _NAMED_TYPE.match(column.name)
        found = converters.get(named[1].upper()) if named is not None else None
    if found is None and detect_types & sqlite3.PARSE_DECLTYPES and column.decltype:
        found = converters.get(column.decltype.split("(")[0].split(" ")[0].upper())
    return found


def _image(value: Any) -> bytes:
    """A value as sqlite3_column_blob gives it."""
    if isinstance(value, bytes | Undecodable):
        return value if isinstance(value, bytes) else value.raw
    return (value if isinstance(value, str) else number_text(value)).encode()


def _number(value: Any) -> Any:
    return integral(value) if isinstance(value, float) else value


def _any(value: Any) -> Any:
    return from_target(value, TargetType.ANY)


_DECODERS: dict[Decoder, Convert | None] = {Decoder.AS_IS: None, Decoder.NUMBER: _number, Decoder.ANY: _any}


def _of_any_class(name: str, text_factory: Any) -> Convert:
    """Values of each row's own class; raises what sqlite3 does for a text that is not UTF-8."""
    factory = None if text_factory is str else _texter(text_factory)

    def convert(value: Any) -> Any:
        value = _any(value)
        if not isinstance(value, Undecodable):
            return value if factory is None else factory(value)
        if factory is None:
            shown = value.raw.split(b"\0")[0].decode("ascii", "replace")
            message = f"Could not decode to UTF-8 column '{name}' with text '{shown}'"
            raise sqlite3.OperationalError(message)
        return text_factory(value.raw)

    return convert


def _texter(text_factory: Any) -> Convert:
    def convert(value: Any) -> Any:
        return text_factory(value.encode()) if isinstance(value, str) else value

    return convert
