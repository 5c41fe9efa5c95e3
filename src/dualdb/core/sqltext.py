"""SQLite's text: its tokens, its statements, its quoting.

Knows the lexical grammar (sqlite.org/lang_expr.html, tokenize.c) and no schema; it never judges whether a statement is
valid; `core.ddltext` reads CREATE statements. The driver loads it lazily in phase sqlite, so it imports nothing heavy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Token(NamedTuple):
    """One token: `kind` is space, comment, string, name, id, blob, number, param, op or illegal; `name` is a quoted
    identifier and `id` a bare word, keywords included.
    """

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where the text goes on behind it."""
        return self.start + len(self.text)

    def word(self) -> str:
        """A bare word in upper case, as it is when no keyword has such letters; '' for anything else."""
        if self.kind != "id":
            return ""
        return self.text.upper() if self.text.isascii() else self.text


_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\n\f\r\ufeff]+)
    | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<blob>[xX]'(?:[0-9A-Fa-f]{2})*')
    | (?P<string>'[^']*(?:''[^']*)*')
    | (?P<name>"[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`|\[[^\]]*\])
    | (?P<number>0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<param>\?[0-9]*|[:@\#$](?:[A-Za-z0-9_$\x80-\U0010ffff]|::)+(?:\([^\s)]*\))?)
    | (?P<id>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<op>->>|->|\|\||<<|>>|<=|>=|<>|!=|==|[-+*/%&|~=<>(),.;])
    | (?P<illegal>['"`\[].*\Z|.)
    """,
    re.VERBOSE | re.DOTALL,
)

_BEFORE = re.compile(r"(?:[ \t\n\f\r\ufeff;]+|--[^\n]*|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
_FIRST_KEYWORD = re.compile(_BEFORE.pattern + "([A-Za-z_]+)", re.DOTALL)


def tokens(sql: str) -> Iterator[Token]:
    """Every token of the text in order, spaces and comments included: their texts joined are the text."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup
        yield Token(kind or "illegal", match.group(), match.start())


def significant(sql: str) -> list[Token]:
    """The tokens of the text without spaces and comments."""
    return [token for token in tokens(sql) if token.kind not in {"space", "comment"}]


def explained(sql: str) -> str:
    """The text with EXPLAIN before its statement, which may stand behind empty ones."""
    before = _BEFORE.match(sql)
    start = 0 if before is None else before.end()
    return f"{sql[:start]}EXPLAIN {sql[start:]}"


def first_keyword(sql: str) -> str:
    """The statement's first word in upper case, comments and empty statements before it skipped; '' when none."""
    match = _FIRST_KEYWORD.match(sql)
    return match.group(1).upper() if match else ""


def split_statements(script: str) -> list[str]:
    """The script's statements without their final semicolons; a CREATE TRIGGER ends at `; END ;`, as
    sqlite3_complete() has it (sqlite.org/c3ref/complete.html). Empty statements are left out.
    """
    statements: list[str] = []
    pending: list[Token] = []
    begin = 0
    for token in tokens(script):
        if token.kind in {"space", "comment"}:
            continue
        if token.text == ";" and not _inside_trigger(pending):
            if pending:
                statements.append(script[begin : token.start].strip())
            pending, begin = [], token.end
            continue
        pending.append(token)
    if pending:
        statements.append(script[begin:].strip())
    return statements


def _inside_trigger(pending: Sequence[Token]) -> bool:
    """Whether a semicolon behind these tokens belongs to a trigger's body."""
    words = [token.word() for token in pending[:6]]
    if words[:1] == ["EXPLAIN"]:
        words = words[3:] if words[1:3] == ["QUERY", "PLAN"] else words[1:]
    if words[:1] != ["CREATE"]:
        return False
    if words[1:2] in (["TEMP"], ["TEMPORARY"]):
        words = words[1:]
    if words[1:2] != ["TRIGGER"]:
        return False
    return not (pending[-1].word() == "END" and pending[-2].text == ";")


# Quoting --------------------------------------------------------------------------------------------------------


def fold(name: str) -> str:
    """The name as SQLite compares names: its ASCII letters in lower case, no others (sqlite3StrICmp in util.c)."""
    return name.lower() if name.isascii() else name.translate(_ASCII_FOLDED)


_ASCII_FOLDED = {ord(letter): ord(letter.lower()) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def quote_name(name: str) -> str:
    """An identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def unquote(token: Token) -> str:
    """The name that an identifier token stands for, in whichever of SQLite's four ways it is written."""
    if token.kind not in {"name", "string"}:
        return token.text
    if token.text[0] == "[":
        return token.text[1:-1]
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


def quote_literal(value: object) -> str:
    """A SQL expression of constants whose value is exactly this one, storage class included.

    NaN is NULL, as for a bound parameter. Text that is not valid UTF-8 is an object with its bytes in `raw`.
    """
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return _integer_literal(int(value))
    if isinstance(value, float):
        return _float_literal(value)
    if isinstance(value, str):
        return _text_literal(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"x'{bytes(value).hex()}'"
    raw: object = getattr(value, "raw", None)
    if isinstance(raw, bytes):
        return f"CAST(x'{raw.hex()}' AS TEXT)"
    raise TypeError(f"a {type(value).__name__} is no SQLite value; give None, int, float, str or bytes")


def _integer_literal(value: int) -> str:
    if value == -(1 << 63):
        # The digits alone do not fit, so SQLite reads -9223372036854775808 as an integer only by a special case of
        # its parser that an expression around it can defeat.
        return "(-9223372036854775807-1)"
    return str(value)


def _text_literal(value: str) -> str:
    # char(0) rather than CAST(x'..' AS TEXT): the bytes of a blob are taken in the database's own encoding.
    parts = ["'" + part.replace("'", "''") + "'" for part in value.split("\0")]
    return parts[0] if len(parts) == 1 else "(" + "||char(0)||".join(parts) + ")"


def _float_literal(value: float) -> str:
    if value != value:  # noqa: PLR0124 - the one test for NaN that needs no import
        return "NULL"
    if value in {float("inf"), float("-inf")}:
        return "9e999" if value > 0 else "-9e999"
    if value == 0:
        return "(-1*0.0)" if str(value).startswith("-") else "0.0"
    text = repr(value)
    return text if _reads_back(text) else _exact_product(value)


def _reads_back(text: str) -> bool:
    """Whether every SQLite reads this numeral as the float it came from.

    SQLite does not round numerals correctly: versions differ in the precision of the one multiplication or division
    that they make (sqlite.org/floatingpoint.html). A short numeral that comes out the same in all of them is safe.
    """
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    digits = int(whole + fraction)
    power = int(exponent or 0) - len(fraction)
    if digits >= 10**15 or abs(power) > 22:  # noqa: PLR2004 - both factors are exact in a double up to here
        return False
    above, below = (digits * 10**power, 1) if power >= 0 else (digits, 10**-power)
    wanted = abs(float(text)).as_integer_ratio()
    return all(_rounded(*_rounded(above, below, bits), 53) == wanted for bits in (53, 64, 106, 113))


def _rounded(above: int, below: int, bits: int) -> tuple[int, int]:
    """The ratio rounded to that many significant bits, half to even, in lowest terms."""
    shift = bits - (above.bit_length() - below.bit_length())
    above, below = (above << shift, below) if shift >= 0 else (above, below << -shift)
    quotient, rest = divmod(above, below)
    if quotient.bit_length() > bits:
        below <<= 1
        shift -= 1
        quotient, rest = divmod(above, below)
    quotient += (2 * rest, quotient & 1) > (below, 0)
    while not quotient & 1:
        quotient >>= 1
        shift -= 1
    return (quotient << -shift, 1) if shift <= 0 else (quotient, 1 << shift)


def _exact_product(value: float) -> str:
    """The float as an integer times or over powers of two: each step is exact in any floating point."""
    above, below = value.as_integer_ratio()
    shift = 0
    while not above & 1:
        above >>= 1
        shift += 1
    operator, power = ("*", shift) if below == 1 else ("/", below.bit_length() - 1)
    factors = [1 << min(62, power - done) for done in range(0, power, 62)]
    return "(" + str(above) + "*1.0" + "".join(f"{operator}{factor}" for factor in factors) + ")"
