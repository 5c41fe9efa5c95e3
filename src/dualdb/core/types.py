"""SQLite's types and the target's: affinities, what a column is stored as, what the target can hold, exact row images.

Pure functions over values; knows no table and no database. The rules are SQLite's datatype3.html unless said otherwise.
"""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING, Any

from dualdb.core.schema import Affinity, TargetType
from dualdb.core.sqltext import fold
from dualdb.core.store import Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dualdb.core.store import Row, Value

PG_TYPE: dict[TargetType, str] = {
    TargetType.BIGINT: "bigint",
    TargetType.DOUBLE: "double precision",
    TargetType.TEXT: 'text COLLATE "C"',
    TargetType.BYTEA: "bytea",
    TargetType.NUMBER: "double precision",
    TargetType.ANY: "bytea",
}
"""What stands in CREATE TABLE."""

PG_COPY_TYPE: dict[TargetType, str] = {
    TargetType.BIGINT: "int8",
    TargetType.DOUBLE: "float8",
    TargetType.TEXT: "text",
    TargetType.BYTEA: "bytea",
    TargetType.NUMBER: "float8",
    TargetType.ANY: "bytea",
}
"""Names for psycopg's Copy.set_types."""

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_FLOAT_EXACT = 1 << 53
"""Up to here every integer is a float."""


# Affinity -------------------------------------------------------------------------------------------------------


def affinity_of(decltype: str) -> Affinity:
    """The affinity of a declared type (section 3.1); in a STRICT table the type ANY has BLOB instead."""
    name = fold(decltype)
    if "int" in name:
        return Affinity.INTEGER
    if "char" in name or "clob" in name or "text" in name:
        return Affinity.TEXT
    if "blob" in name or not name.strip():
        return Affinity.BLOB
    if "real" in name or "floa" in name or "doub" in name:
        return Affinity.REAL
    return Affinity.NUMERIC


def apply_affinity(value: Value, affinity: Affinity) -> Value:
    """What SQLite stores when this value is put into a column of this affinity (section 3).

    A numeral of more than 15 digits becomes the nearest float here; SQLite itself, depending on its version, may be
    off by the last bit there (floatingpoint.html).
    """
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN becomes NULL
        return None
    if affinity is Affinity.BLOB or value is None or isinstance(value, bytes | Undecodable):
        return value
    if affinity is Affinity.TEXT:
        return value if isinstance(value, str) else number_text(value)
    number = parse_number(value) if isinstance(value, str) else value
    if affinity is Affinity.REAL and not isinstance(number, str):
        # A real column keeps small integral values as integers on disk and reads them back as floats, which loses
        # the sign of zero.
        return float(number) + 0.0
    return integral(number) if isinstance(number, float) else number


def integral(value: float) -> int | float:
    """The float as an integer where a NUMERIC or INTEGER column would store one (sqlite3VdbeIntegerAffinity)."""
    return int(value) if _INT64_MIN < value < _INT64_MAX and value.is_integer() else value


_NUMERAL = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]+)?)[ \t\n\v\f\r]*\Z")


def parse_number(text: str) -> int | float | str:
    """The number that a text is in a numeric column, the text itself when it is none."""
    match = _NUMERAL.match(text)
    if match is None:
        return text
    numeral, *fractions = match.groups()
    if not any(fractions) and len(numeral) < 25 and _INT64_MIN <= int(numeral) <= _INT64_MAX:  # noqa: PLR2004 - bound
        return int(numeral)
    return float(numeral)


def number_text(value: float) -> str:
    """The text that a number becomes in a TEXT column: an integer's digits, or printf's '%!.15g'.

    Where the 16th digit is a 5 SQLite itself rounds now up, now down, depending on its version; here to even.
    """
    if isinstance(value, int):
        return str(int(value))
    if value in {float("inf"), float("-inf")}:
        return "Inf" if value > 0 else "-Inf"
    text = f"{value:.15g}" if value else "0"
    mantissa, mark, exponent = text.partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + mark + exponent


# What the target stores ------------------------------------------------------------------------------------------


_BY_NAME: tuple[tuple[tuple[str, ...], TargetType], ...] = (
    (("date", "time"), TargetType.TEXT),
    (("bool", "bit"), TargetType.BIGINT),
    (("dec", "num", "money", "currency", "fixed"), TargetType.NUMBER),
    (("blob", "binary", "bytea"), TargetType.BYTEA),
)
_BY_AFFINITY = {
    Affinity.INTEGER: TargetType.BIGINT,
    Affinity.REAL: TargetType.DOUBLE,
    Affinity.TEXT: TargetType.TEXT,
}


def is_decided(affinity: Affinity) -> bool:
    """Whether the affinity alone says what the target stores; otherwise the column's data does."""
    return affinity in _BY_AFFINITY


def choose_stored(
    affinity: Affinity, decltype: str, classes_found: Mapping[str, int], *, one_class: bool = False
) -> TargetType:
    """What the target stores a column as, from how often `typeof` gave each storage class in its data.

    A column whose values do not fit one type keeps the class of each, and so does one without a type that has none yet.
    Told that it must be `one_class`, as a key is looked up by value, the majority decides; rows with other values are
    quarantined then.
    """
    if not one_class and affinity is Affinity.BLOB and not any(classes_found.values()) and _by_name(decltype) is None:
        return TargetType.ANY
    chosen = _of_majority(affinity, decltype, classes_found)
    found = {name for name, count in classes_found.items() if count}
    return chosen if one_class or found <= _fitting(affinity, chosen) else TargetType.ANY


def _fitting(affinity: Affinity, stored: TargetType) -> frozenset[str]:
    """The storage classes that a column stored so holds without loss; NULL fits everywhere."""
    if stored is TargetType.NUMBER and affinity is Affinity.BLOB:
        return frozenset({"null"})  # without a numeric affinity 1 and 1.0 are two values
    return _FITTING[stored]


_FITTING: dict[TargetType, frozenset[str]] = {
    TargetType.BIGINT: frozenset({"integer", "null"}),
    TargetType.DOUBLE: frozenset({"real", "null"}),
    TargetType.TEXT: frozenset({"text", "null"}),
    TargetType.BYTEA: frozenset({"blob", "null"}),
    TargetType.NUMBER: frozenset({"integer", "real", "null"}),
}


def _of_majority(affinity: Affinity, decltype: str, classes_found: Mapping[str, int]) -> TargetType:
    if affinity in _BY_AFFINITY:
        return _BY_AFFINITY[affinity]
    integers, reals = classes_found.get("integer", 0), classes_found.get("real", 0)
    texts, blobs = classes_found.get("text", 0), classes_found.get("blob", 0)
    most = max(integers + reals, texts, blobs)
    if most == 0:
        return _by_name(decltype) or TargetType.TEXT
    if integers + reals == most:
        return _numeric(affinity, decltype, integers, reals)
    return TargetType.TEXT if texts == most else TargetType.BYTEA


def classes_declared(affinity: Affinity, decltype: str) -> frozenset[str]:
    """The storage classes of the one type that a declaration speaks of; none where it leaves that open."""
    stored = _BY_AFFINITY.get(affinity) or _by_name(decltype)
    if stored is None and affinity is Affinity.NUMERIC:
        stored = TargetType.NUMBER
    return frozenset() if stored is None else _FITTING[stored] - {"null"}


def _by_name(decltype: str) -> TargetType | None:
    name = fold(decltype)
    return next((stored for parts, stored in _BY_NAME if any(part in name for part in parts)), None)


def _numeric(affinity: Affinity, decltype: str, integers: int, reals: int) -> TargetType:
    if integers and reals:
        return TargetType.NUMBER
    if affinity is Affinity.BLOB:
        return TargetType.BIGINT if integers else TargetType.DOUBLE
    # A DECIMAL column that has held only whole numbers so far will not always; one declared BOOLEAN or DATE will.
    return TargetType.NUMBER if reals or _by_name(decltype) is TargetType.NUMBER else TargetType.BIGINT


# How the target writes values ------------------------------------------------------------------------------------
#
# A value of `TargetType.ANY` is one byte that tells its storage class, by SQLite's own numbers (c3ref/c_blob.html), and
# then the value:
#
#   01  integer   8 bytes, big-endian, two's complement
#   02  real      8 bytes, IEEE 754, big-endian
#   03  text      its bytes in UTF-8, or whatever SQLite has in their place; NUL characters too
#   04  blob      its bytes
#
# So two encoded values are equal when class and bits are, and NULL is NULL.

_INTEGER, _REAL, _TEXT, _BLOB = b"\1", b"\2", b"\3", b"\4"
_DOUBLE = struct.Struct(">d")
_NUMBER_LENGTH = 9


def to_target(value: Value, stored: TargetType) -> Value:
    """What the target is given for a value in a column stored so; the value must be representable."""
    if stored is not TargetType.ANY or value is None:
        return value
    if isinstance(value, int):
        return _INTEGER + value.to_bytes(8, "big", signed=True)
    if isinstance(value, float):
        return _REAL + _DOUBLE.pack(value)
    if isinstance(value, str):
        return _TEXT + value.encode()
    return _TEXT + value.raw if isinstance(value, Undecodable) else _BLOB + value


def from_target(value: Value, stored: TargetType) -> Value:
    """The value as SQLite has it, from what the target gave for a column stored so; ValueError for no encoding."""
    if stored is TargetType.ANY and isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, float) and stored is TargetType.NUMBER:
        return integral(value)
    return value


def _decoded(encoded: bytes) -> Value:
    tag, payload = encoded[:1], encoded[1:]
    if tag == _INTEGER and len(encoded) == _NUMBER_LENGTH:
        return int.from_bytes(payload, "big", signed=True)
    if tag == _REAL and len(encoded) == _NUMBER_LENGTH:
        value: float = _DOUBLE.unpack(payload)[0]
        return value
    if tag == _BLOB:
        return payload
    if tag != _TEXT:
        message = f"{encoded[:16]!r} is no encoded value; write 01, 02, 03 or 04 for its class before it"
        raise ValueError(message)
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return Undecodable(payload)


# What the target can hold ----------------------------------------------------------------------------------------


def representable(value: Value, stored: TargetType) -> str | None:
    """None when the target can hold this value and give back the same one, else the reason why not."""
    if value is None:
        return None
    return _REASONS[stored](value)


def _class_of(value: Value) -> str:
    if isinstance(value, Undecodable):
        return "text that is not UTF-8"
    names = {int: "an integer", float: "a float", str: "text", bytes: "a blob"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)


def _not_bigint(value: Value) -> str | None:
    if not isinstance(value, int):
        return f"{_class_of(value)} in a column of integers"
    return None if _INT64_MIN <= value <= _INT64_MAX else "an integer beyond 64 bits"


def _not_double(value: Value) -> str | None:
    return None if isinstance(value, float) else f"{_class_of(value)} in a column of floats"


def _not_text(value: Value) -> str | None:
    if isinstance(value, Undecodable):
        return "text that is not UTF-8"
    if not isinstance(value, str):
        return f"{_class_of(value)} in a column of text"
    if "\0" in value:
        return "text with a NUL character"
    return "text with a lone surrogate" if _has_surrogate(value) else None


def _not_bytea(value: Value) -> str | None:
    return None if isinstance(value, bytes) else f"{_class_of(value)} in a column of blobs"


def _not_number(value: Value) -> str | None:
    if isinstance(value, float):
        return None if isinstance(integral(value), float) else "a float that would read back as an integer"
    if not isinstance(value, int):
        return f"{_class_of(value)} in a column of numbers"
    back = integral(float(value)) if abs(value) <= 1 << 63 else None
    return None if back == value and isinstance(back, int) else "an integer that a float cannot hold exactly"


def _not_any(value: Value) -> str | None:
    """Only what is no value of SQLite's has a reason."""
    if isinstance(value, int):
        return _not_bigint(value)
    return "text with a lone surrogate" if isinstance(value, str) and _has_surrogate(value) else None


_REASONS: dict[TargetType, Callable[[Value], str | None]] = {
    TargetType.BIGINT: _not_bigint,
    TargetType.DOUBLE: _not_double,
    TargetType.TEXT: _not_text,
    TargetType.BYTEA: _not_bytea,
    TargetType.NUMBER: _not_number,
    TargetType.ANY: _not_any,
}


def _has_surrogate(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


_CLASSES: dict[TargetType, frozenset[type]] = {
    TargetType.BIGINT: frozenset({int, type(None)}),
    TargetType.DOUBLE: frozenset({float, type(None)}),
    TargetType.TEXT: frozenset({str, type(None)}),
    TargetType.BYTEA: frozenset({bytes, type(None)}),
    TargetType.NUMBER: frozenset({int, float, type(None)}),
    TargetType.ANY: frozenset({float, bytes, Undecodable, type(None)}),
}


def misfits(rows: Sequence[Row], stored_types: Sequence[TargetType]) -> list[int]:
    """Indexes of the rows that hold a value which the target cannot.

    On the path of every copied row, so a whole column is looked at by built-ins and value by value only when something
    in it may be wrong.
    """
    wrong: set[int] = set()
    for column, stored in zip(zip(*rows, strict=True), stored_types, strict=False):
        if not _surely_fits(column, stored):
            check = _REASONS[stored]
            wrong.update(place for place, value in enumerate(column) if value is not None and check(value) is not None)
    return sorted(wrong)


def _surely_fits(column: tuple[Any, ...], stored: TargetType) -> bool:
    classes = set(map(type, column))
    if not classes <= _CLASSES[stored]:
        return False
    if stored is TargetType.TEXT:
        joined = "".join(filter(None, column))
        return "\0" not in joined and not _has_surrogate(joined)
    if int in classes:
        bound = _INT64_MAX if stored is TargetType.BIGINT else _FLOAT_EXACT
        whole = [value for value in column if type(value) is int] if len(classes) > 1 else column
        if min(whole) < -bound or max(whole) > bound:
            return False
    if stored is TargetType.NUMBER and float in classes:
        return not any(type(value) is float and value.is_integer() for value in column)
    return True


# Exact images of rows ---------------------------------------------------------------------------------------------


def encode_row(names: Sequence[str], values: Sequence[Value]) -> bytes:
    """The row as JSON in ASCII that names each value's storage class: readable, and exact to the bit."""
    return json.dumps(dict(zip(names, map(_tagged, values), strict=True))).encode("ascii")


def decode_row(image: bytes) -> tuple[tuple[str, ...], Row]:
    """Names and values of a row from its image."""
    tagged: dict[str, dict[str, Any] | None] = json.loads(image)
    return tuple(tagged), tuple(map(_untagged, tagged.values()))


def _tagged(value: Value) -> dict[str, object] | None:
    if value is None:
        return None
    if isinstance(value, int):
        return {"integer": value}
    if isinstance(value, float):
        return {"real": value.hex(), "about": repr(value)}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Undecodable):
        return {"text_hex": value.raw.hex()}
    return {"blob_hex": value.hex()}


def _untagged(tagged: dict[str, Any] | None) -> Value:
    if tagged is None:
        return None
    if "real" in tagged:
        return float.fromhex(tagged["real"])
    if "blob_hex" in tagged:
        return bytes.fromhex(tagged["blob_hex"])
    if "text_hex" in tagged:
        return Undecodable(bytes.fromhex(tagged["text_hex"]))
    value: int | str = tagged["integer"] if "integer" in tagged else tagged["text"]
    return value
