"""What the schema `sqlite` does with JSON is what SQLite 3.40 does: each byte of a text, each error's message."""

from __future__ import annotations

import re
import sqlite3
import struct
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualdb.core.schema import TargetType
from dualdb.core.store import Undecodable
from dualdb.core.types import from_target, to_target
from dualdb.stores.target_functions import functions_sql
from tests.differential.functions import VALUES, check_alike
from tests.generators.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualdb.core.store import Value


def _text(raw: bytes) -> str | Undecodable:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Undecodable(raw)


SOURCE = scratch()
SOURCE.text_factory = _text

# Documents and paths -----------------------------------------------------------------------------------------------

SPACE = st.sampled_from(["", "", "", "", " ", "\n", "\t ", " \r\n"])
PIECES = ["a", "b", "null", " ", ",", ":", "]", "{", "é", "🙂", "\x7f", "\ufdd0", "\ufdd1", "0e1", "\u2028", "'"]
ESCAPES = [r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0061", r"\u00e9", r"\u20AC", r"\ud83d\ude00"]
BROKEN = [r"\u0000", r"\ud800", r"\uDC00", r"\ud800\ud800"]
STRINGS = st.lists(st.sampled_from(PIECES * 3 + ESCAPES * 2 + BROKEN), max_size=5).map(
    lambda parts: '"' + "".join(parts) + '"'
)
NUMERALS = st.one_of(
    st.integers(-3, 20).map(str),
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.sampled_from(
        ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "-0"]
    ),
)
SCALARS = st.one_of(NUMERALS, STRINGS, st.sampled_from(["true", "false", "null"]))
NAMES = ["a", "b", "c", "d1", "", "a b", "a_b", "0", "é", "null", r"\u0061", r"a\"b", r"\\", "\ufdd0"]
LABELS = st.one_of(st.sampled_from(NAMES[:3]), st.sampled_from(NAMES)).map(lambda name: f'"{name}"')


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    elements = st.lists(st.builds("{}{}{}".format, SPACE, inner, SPACE), max_size=4)
    members = st.lists(st.builds("{}{}{}:{}{}{}".format, SPACE, LABELS, SPACE, SPACE, inner, SPACE), max_size=4)
    arrays = st.builds(lambda space, items: "[" + (",".join(items) or space) + "]", SPACE, elements)
    objects = st.builds(lambda space, items: "{" + (",".join(items) or space) + "}", SPACE, members)
    return st.one_of(arrays, objects, objects)


WELL_FORMED = st.builds("{}{}{}".format, SPACE, st.recursive(SCALARS, _containers, max_leaves=15), SPACE)
CONTAINERS = st.recursive(SCALARS, _containers, max_leaves=15).filter(lambda text: text[0] in "[{")


def _damaged(document: str, place: int, size: int, other: str) -> str:
    place %= len(document) + 1
    return document[:place] + other + document[place + size :]


MALFORMED = st.builds(
    _damaged,
    WELL_FORMED,
    st.integers(0, 200),
    st.integers(0, 2),
    st.sampled_from(
        ["", ",", ":", '"', "\\", "]", "}", "[", "{", "0", ".", "e", "-", "n", "\x01", "\x0c", "\x1f", "\ufeff"]
    ),
)
DOCUMENTS = st.one_of(WELL_FORMED, WELL_FORMED, CONTAINERS, CONTAINERS, MALFORMED)
STEPS = [f".{name}" for name in NAMES if name] + [f'."{name}"' for name in NAMES if r"\"" not in name]
PLACES = ["[0]", "[1]", "[2]", "[3]", "[00]", "[#]", "[#-1]", "[#-2]", "[#-0]", "[4294967296]", "[4294967295]"]
WRONG = ["", "x", ".", "..a", "[", "[x]", "[1", "[-1]", "[#", "[#-", "[#-]", "[#-9", "[#x]", '."a', '."a"x', "['a']"]
PATHS = st.one_of(
    st.lists(st.sampled_from(STEPS[:3] * 4 + STEPS + PLACES[:3] * 4 + PLACES), max_size=3).map("".join),
    st.lists(st.sampled_from([*STEPS, *PLACES, *WRONG]), max_size=3).map("".join),
).map(lambda steps: "$" + steps)


def _is_text_too(value: Value) -> bool:
    """A blob that is read as text must be one for PostgreSQL."""
    if not isinstance(value, bytes):
        return True
    try:
        return b"\0" not in value and bool(value.decode() or True)
    except UnicodeDecodeError:
        return False


def _has_one_spelling(value: Value) -> bool:
    """Not a float of more than 15 digits, whose text SQLite's own arithmetic decides."""
    return not isinstance(value, float) or float(f"{value:.15g}") == value


SPELLED = VALUES.filter(_has_one_spelling)
ANY = SPELLED.filter(_is_text_too)
X = st.one_of(DOCUMENTS, DOCUMENTS, DOCUMENTS, CONTAINERS, WELL_FORMED.map(str.encode), ANY)
P = st.one_of(PATHS, PATHS, PATHS, PATHS, ANY)
ABBREVIATED = st.one_of(P, st.sampled_from([*NAMES, *PLACES, *WRONG, "a.b", "12", "1x", "$"]), st.integers(-1, 3))
V = st.one_of(SPELLED, DOCUMENTS)

# Comparison --------------------------------------------------------------------------------------------------------

# PostgreSQL ends a statement at its first error, so each call is one of its own; an error is a text by itself.
TRIED = """
CREATE FUNCTION pg_temp.tagged(value bytea) RETURNS bytea LANGUAGE sql RETURN value;
CREATE FUNCTION pg_temp.tagged(value text) RETURNS bytea LANGUAGE sql RETURN sqlite.value(value);
CREATE FUNCTION pg_temp.tried(expression text, v bytea[]) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
  result bytea;
BEGIN
  EXECUTE format('SELECT pg_temp.tagged(%s) FROM (SELECT $1 AS v) AS given', expression) INTO result USING v;
  RETURN result;
EXCEPTION
  WHEN SQLSTATE 'DD100' THEN RETURN sqlite.value('error: ' || SQLERRM);
  WHEN character_not_in_repertoire THEN RETURN sqlite.value('no text'::text);
END
$$
"""


def _bits(value: float) -> int:
    (bits,) = struct.unpack(">q", struct.pack(">d", value))
    return int(bits)


def _alike(here: object, expected: object) -> bool:
    """Errors by their message; floats to the last bits, where SQLite's own reading of a long numeral is off.

    Half of a surrogate pair is a value like any, but nothing that a text is made with.
    """
    if isinstance(expected, Exception):
        return here == f"error: {expected}"
    if isinstance(here, float) and isinstance(expected, float):
        return abs(_bits(here) - _bits(expected)) <= 2
    if isinstance(expected, Undecodable) and here == "no text":
        return True
    return type(here) is type(expected) and here == expected


A, B, C, D = (f"sqlite.to_text(v[{number}])" for number in range(1, 5))
Call = tuple[str, str, tuple[st.SearchStrategy[Any], ...]]
"""The expression on PostgreSQL over the array `v`, text or a value; the one on SQLite; what its parameters are."""


def _change(mode: str, count: int) -> Call:
    numbers = range(2, 2 * count + 2, 2)
    paths = ", ".join(f"sqlite.to_text(v[{number}])" for number in numbers)
    given_values = ", ".join(f"v[{number + 1}]" for number in numbers)
    are_json = ", ".join(["false"] * count)
    parameters = "".join(f", :{number}, :{number + 1}" for number in numbers)
    ours = f"sqlite.json_change('{mode}', {A}, ARRAY[{paths}], ARRAY[{given_values}], ARRAY[{are_json}])"
    return ours, f"json_{mode}(:1{parameters})", (X, *((P, V) * count))


ALIKE: dict[str, Call] = {
    "json": (f"sqlite.json({A})", "json(:1)", (X,)),
    "valid": (f"sqlite.value(sqlite.json_valid({A})::integer::bigint)", "json_valid(:1)", (X,)),
    "quote": ("sqlite.json_quote(v[1])", "json_quote(:1)", (V,)),
    "type": (f"sqlite.json_type({A}, {B})", "json_type(:1, :2)", (X, P)),
    "type of all": (f"sqlite.json_type({A}, '$')", "json_type(:1)", (X,)),
    "length": (f"sqlite.value(sqlite.json_array_length({A}, {B}))", "json_array_length(:1, :2)", (X, P)),
    "length of all": (f"sqlite.value(sqlite.json_array_length({A}, '$'))", "json_array_length(:1)", (X,)),
    "extract": (f"sqlite.json_extract({A}, {B})", "json_extract(:1, :2)", (X, P)),
    "extract two": (f"sqlite.json_extract_array({A}, {B}, {C})", "json_extract(:1, :2, :3)", (X, P, P)),
    "->": (f"sqlite.json_extract_item({A}, sqlite.json_path({B}))", ":1 -> :2", (X, ABBREVIATED)),
    "->>": (f"sqlite.json_extract({A}, sqlite.json_path({B}))", ":1 ->> :2", (X, ABBREVIATED)),
    "array": ("sqlite.json_array(sqlite.json_quote(v[1]), sqlite.json_quote(v[2]))", "json_array(:1, :2)", (V, V)),
    "array of json": (
        f"sqlite.json_array(sqlite.json({A}), sqlite.json_quote(v[2]))",
        "json_array(json(:1), :2)",
        (X, V),
    ),
    "array of what is extracted": (
        f"""sqlite.json_array(CASE
          WHEN sqlite.json_type({A}, {B}) IN ('array', 'object') THEN sqlite.json_extract_item({A}, {B})
          ELSE sqlite.json_quote(sqlite.json_extract({A}, {B}))
        END)""",
        "json_array(json_extract(:1, :2))",
        (X, PATHS),
    ),
    "object": (
        "sqlite.json_object(sqlite.json_member(v[1], sqlite.json_quote(v[2])))",
        "json_object(:1, :2)",
        (V, V.filter(lambda value: not isinstance(value, bytes))),
    ),
    "object of two": (
        f"""sqlite.json_object(
          sqlite.json_member('a'::text, sqlite.json({A})), sqlite.json_member('b'::text, sqlite.json_quote(v[2])))""",
        "json_object('a', json(:1), 'b', :2)",
        (X, V),
    ),
    "group array": (
        "(SELECT sqlite.json_group_array(sqlite.json_quote(x)) FROM unnest(v) AS x)",
        "json_group_array(x) FROM (SELECT :1 AS x UNION ALL SELECT :2 UNION ALL SELECT :3)",
        (V, V, V),
    ),
    "group array of none": (
        "(SELECT sqlite.json_group_array(sqlite.json_quote(x)) FROM unnest(v) AS x WHERE false)",
        "json_group_array(x) FROM (SELECT :1 AS x) WHERE false",
        (V,),
    ),
    "group object": (
        """(SELECT sqlite.json_group_object(sqlite.json_group_member(sqlite.to_text(x), sqlite.json_quote(v[3])))
          FROM unnest(v[1:2]) AS x)""",
        "json_group_object(x, :3) FROM (SELECT :1 AS x UNION ALL SELECT :2)",
        (ANY, ANY, V),
    ),
    "patch": (f"sqlite.json_patch({A}, {B})", "json_patch(:1, :2)", (X, X)),
    "remove": (f"sqlite.json_remove({A}, {B})", "json_remove(:1, :2)", (X, P)),
    "remove three": (f"sqlite.json_remove({A}, {B}, {C}, {D})", "json_remove(:1, :2, :3, :4)", (X, P, P, P)),
    **{f"{mode} {count}": _change(mode, count) for mode in ("set", "insert", "replace") for count in (1, 3)},
    "set json": (
        f"sqlite.json_change('set', {A}, ARRAY[{B}], ARRAY[sqlite.value(sqlite.json({C}))], ARRAY[true])",
        "json_set(:1, :2, json(:3))",
        (X, P, WELL_FORMED),
    ),
}


@pytest.fixture
def functions(target: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A connection to a database with the schema `sqlite`, and a way to try a call."""
    target.execute(functions_sql().encode())
    target.execute(TRIED.encode())
    return target


LABEL_THAT_IS_NONE = re.compile(r"[\]}]\s*:")
STRING = re.compile(r'"(\\.|[^"\\])*"', re.DOTALL)


def _holds_no_label_that_is_none(row: tuple[Value, ...]) -> bool:
    """SQLite 3.40 reads beyond what it has parsed where a label is an array or an object; that is refused."""
    texts = (value.decode() if isinstance(value, bytes) and _is_text_too(value) else value for value in row)
    return not any(isinstance(text, str) and LABEL_THAT_IS_NONE.search(STRING.sub("", text)) for text in texts)


@pytest.mark.parametrize("name", ALIKE)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_document(functions: psycopg.Connection[Any], name: str, data: st.DataObject) -> None:
    """Both give the same value, or the same error."""
    ours, theirs, strategies = ALIKE[name]
    rows = data.draw(st.lists(st.tuples(*strategies).filter(_holds_no_label_that_is_none), min_size=1, max_size=40))
    numbers = ", ".join(f"${number}" for number in range(1, len(strategies) + 1))
    call = f"pg_temp.tried($tried${ours}$tried$, ARRAY[{numbers}])"
    check_alike(functions, call, theirs, rows, source=SOURCE, equal=_alike)


@pytest.mark.parametrize("name", ["json_each", "json_tree"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.tuples(st.one_of(CONTAINERS, X), st.one_of(st.just("$"), P)), min_size=1, max_size=15))
def test_any_table(functions: psycopg.Connection[Any], name: str, rows: list[tuple[Value, Value]]) -> None:
    """Both give the same rows in the same order, with the same ids and names, or the same error."""
    statement = f"SELECT * FROM sqlite.{name}(sqlite.to_text(%s::bytea), sqlite.to_text(%s::bytea))"
    for row in filter(_holds_no_label_that_is_none, rows):
        expected = _rows_or_error(SOURCE, f"SELECT * FROM {name}(?, ?)", row)
        found = _rows_or_error(functions, statement, [to_target(value, TargetType.ANY) for value in row])
        if isinstance(expected, str) or isinstance(found, str):
            assert found == expected, row
            continue
        here = [[from_target(v, TargetType.ANY) if isinstance(v, bytes) else v for v in cells] for cells in found]
        assert len(here) == len(expected), (row, here, expected)
        for mine, theirs in zip(here, expected, strict=True):
            assert all(map(_alike, mine, theirs)), (row, mine, theirs)


def _rows_or_error(database: Any, statement: str, parameters: Sequence[Value]) -> list[Any] | str:  # noqa: ANN401 - either
    try:
        if isinstance(database, sqlite3.Connection):
            return database.execute(statement, parameters).fetchall()
        found: list[Any] = database.execute(statement.encode(), parameters, binary=True).fetchall()
        return found
    except sqlite3.OperationalError as error:
        return str(error)
    except psycopg.Error as error:
        return str(error.diag.message_primary)


@pytest.mark.parametrize("depth", [1999, 2000, 2001])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_depth(functions: psycopg.Connection[Any], depth: int, pair: tuple[str, str]) -> None:
    """JSON is well-formed down to the same depth, by itself and within what is long enough to be deeper."""
    document = pair[0] * depth + "1" + pair[1] * depth
    calls = [(document,), (f"[{document[: -len(pair[1])][len(pair[0]) :]},{[[]] * 3000}]",)]
    check_alike(functions, "sqlite.json_valid(sqlite.to_text($1))", "json_valid(:1)", calls, source=SOURCE)


def test_a_label_that_is_an_array_is_refused(functions: psycopg.Connection[Any]) -> None:
    """SQLite 3.40 takes it for well-formed, and what it makes of it is not there to be read."""
    document = '{["a"]:1}'
    assert SOURCE.execute("SELECT json_valid(?)", [document]).fetchone() == (1,)
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        functions.execute("SELECT sqlite.json_valid(%s)", [document])


def test_what_a_query_does_not_use_is_not_computed(functions: psycopg.Connection[Any]) -> None:
    """json_each() is planned as part of its query: without `id` nothing is counted."""
    statement = "EXPLAIN (VERBOSE) SELECT {} FROM (VALUES ('[1]')) AS t (x), sqlite.json_each(x, '$')"
    plans = [
        "\n".join(line for (line,) in functions.execute(statement.format(column).encode()))
        for column in ("id", "value")
    ]
    assert ["WindowAgg" in plan for plan in plans] == [True, False]
