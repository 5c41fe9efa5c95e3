"""What PostgreSQL answered, as sqlite3 gives it to the application: rows, converters, row factories, description.

Knows no connection. Row factories get the cursor itself, and `sqlite3.Row` a genuine description: the cursor's C part
runs an empty SELECT with the same column names.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from dualdb.core.schema import TargetType
from dualdb.core.sqltext import quote_name
from dualdb.core.statement import Decoder
from dualdb.core.store import Undecodable
from dualdb.core.types import from_target, integral, number_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dualdb.core.statement import ResultColumn

    Convert = Callable[[Any], Any]
    Rows = Sequence[tuple[Any, ...]]


class Answer:
    """One statement's answer; rows are handed out one after the other."""

    __slots__ = ("_final", "_left", "_rows", "description", "lastrowid", "primed", "rowcount")

    def __init__(
        self,
        *,
        rows: Rows = (),
        description: Any = None,
        rowcount: int = -1,
        lastrowid: int | None = None,
        final: int | None = None,
    ) -> None:
        self._rows: Iterator[tuple[Any, ...]] = iter(rows)
        self._left = len(rows)
        self.description = description
        self.rowcount = rowcount
        """sqlite3 counts what a RETURNING statement wrote when its last row was fetched: `final` follows then."""
        self.lastrowid = lastrowid
        self.primed = False
        """Whether the cursor's C part knows the description."""
        self._final = rowcount if final is None else final
        if not rows:
            self.rowcount = self._final

    def drop(self) -> None:
        """The rows that are left are not wanted."""
        self._rows = iter(())

    def next(self) -> tuple[Any, ...] | None:
        """The next row, None behind the last."""
        row = next(self._rows, None)
        if row is not None:
            self._left -= 1
            if self._left == 0:
                self.rowcount = self._final
        return row


def described(names: Sequence[str]) -> Any:
    """A `description`: names, and nothing known besides."""
    return tuple((name, None, None, None, None, None, None) for name in names)


def shown_names(columns: Sequence[ResultColumn], detect_types: int) -> list[str]:
    """Column names as `description` has them: with PARSE_COLNAMES a name ends before ` [type]`."""
    names = [column.name for column in columns]
    return [name.split(" [")[0] for name in names] if detect_types & sqlite3.PARSE_COLNAMES else names


def decoded(rows: Rows, columns: Sequence[ResultColumn], text_factory: Any, detect_types: int) -> Rows:
    """The rows with every value of the type that sqlite3 would have given."""
    converts = [_converter(column, text_factory, detect_types) for column in columns]
    if not any(converts):
        return rows
    return [
        tuple(value if convert is None else convert(value) for value, convert in zip(row, converts, strict=True))
        for row in rows
    ]


def prime(cursor: sqlite3.Cursor, names: Sequence[str]) -> None:
    """Give the cursor's C part a description, which `sqlite3.Row` takes its keys from; reads and locks nothing."""
    listed = ", ".join(f"NULL AS {quote_name(name)}" for name in names)
    sqlite3.Cursor.execute(cursor, f"SELECT {listed} WHERE 0")


def _converter(column: ResultColumn, text_factory: Any, detect_types: int) -> Convert | None:
    chosen = _declared(column, detect_types) if detect_types else None
    decode = _DECODERS[column.decoder]
    if chosen is None:
        if column.decoder is Decoder.ANY:
            return _of_any_class(column.name, text_factory)
        if decode is not None:
            return decode
        return None if text_factory is str else _texter(text_factory)

    def convert(value: Any) -> Any:
        return None if value is None else chosen(_image(value if decode is None else decode(value)))

    return convert


def _declared(column: ResultColumn, detect_types: int) -> Convert | None:
    converters: dict[str, Convert] = sqlite3.converters
    if detect_types & sqlite3.PARSE_COLNAMES and "[" in column.name:
        found = converters.get(column.name.split("[", 1)[1].split("]")[0].upper())
        if found is not None:
            return found
    if detect_types & sqlite3.PARSE_DECLTYPES and column.decltype:
        return converters.get(column.decltype.split("(")[0].split(" ")[0].upper())
    return None


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
