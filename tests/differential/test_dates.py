"""The date and time functions of the schema `sqlite` give what SQLite's own give."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualdb.core.schema import TargetType
from dualdb.core.types import from_target, to_target
from dualdb.stores.target_functions import functions_sql
from tests.differential.functions import FLOATS, INTEGERS, check_alike
from tests.generators.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dualdb.core.store import Value

SOURCE = scratch()
FUNCTIONS = ("date", "time", "datetime", "julianday", "unixepoch")
QUICKLY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Time values ----------------------------------------------------------------------------------------------------------

DATES = st.builds(
    "{}{:04}-{:02}-{:02}".format,
    st.sampled_from(["", "", "", "", "", "", "-"]),
    st.one_of(st.integers(1900, 2100), st.integers(0, 9999), st.sampled_from([0, 1900, 2000, 2024, 4712, 4713, 4714])),
    st.one_of(st.integers(1, 12), st.integers(0, 14), st.just(2)),
    st.one_of(st.integers(1, 28), st.integers(0, 33), st.integers(28, 31)),
)
FRACTIONS = st.one_of(
    st.just(""),
    st.from_regex(r"\A\.[0-9]{1,9}\Z"),
    st.from_regex(r"\A\.[0-9]{3}(5|4999|50|49|51)\Z"),
    st.from_regex(r"\A\.([0-9]{10,40}|9{1,20}|0{1,30}5|)\Z"),
)
ZONES = st.one_of(
    st.sampled_from(["", "", "", "", "Z", "z", " Z", "Z ", "x"]),
    st.builds(
        "{}{}{:02}:{:02}".format,
        st.sampled_from(["", " "]),
        st.sampled_from("+-"),
        st.integers(0, 15),
        st.integers(0, 60),
    ),
)
TIMES = st.one_of(
    st.builds("{:02}:{:02}{}".format, st.integers(0, 25), st.integers(0, 60), ZONES),
    st.builds(
        "{:02}:{:02}:{:02}{}{}".format, st.integers(0, 25), st.integers(0, 60), st.integers(0, 60), FRACTIONS, ZONES
    ),
)
MOMENTS = st.one_of(
    DATES,
    TIMES,
    st.builds("{}{}{}".format, DATES, st.sampled_from([" ", " ", "T", "", "  ", "\t", "T ", "t", "\xa0"]), TIMES),
)
NUMBERS = st.one_of(
    st.floats(0, 5373485),
    st.integers(-2, 5373486),
    st.integers(-210866760001, 253402300801),
    st.floats(-210866760001, 253402300801),
    st.builds(lambda whole, places: whole / 10**places, st.integers(0, 10**12), st.integers(0, 6)),
    st.sampled_from([5373484.5, 5373484.49999999999, 253402300799, 253402300799.9999, -210866760000.0005, 1721059.5]),
    INTEGERS,
    FLOATS,
)
NUMERALS = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "", "+", "-", " "]),
        NUMBERS,
        st.sampled_from(["", "", " ", "x", "e", "e1"]),
    ),
    st.from_regex(r"\A[0-9]{1,7}\.[0-9]{0,20}\Z"),
)
OTHER_TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(["", " ", "now ", "2024-1-1", "20240101", "2024-01-01 1:00", " 2024-01-01", "\\000", "nan", "inf"]),
)
TEXTS = st.one_of(MOMENTS, MOMENTS, NUMERALS, OTHER_TEXTS)
BLOBS = st.one_of(
    st.binary(max_size=4),
    st.builds(lambda text, rest: text.encode() + rest, MOMENTS, st.sampled_from([b"", b"\0", b"\0\xff", b"\xff"])),
)
VALUES = st.one_of(TEXTS, TEXTS, TEXTS, NUMBERS, NUMBERS, BLOBS)

# Modifiers ------------------------------------------------------------------------------------------------------------

AMOUNTS = st.one_of(
    st.integers(0, 100).map(str),
    st.integers(0, 10**6).map(str),
    st.builds("{:.{}f}".format, st.floats(0, 1000), st.integers(1, 20)),
    st.floats(0, 1e15).map(str),
    st.sampled_from(["176545", "176546", "14712", "14713", "5373484", "5373485", "128969998335", "128969998336"]),
    st.sampled_from(
        ["464269992787967", "464269992787968", ".5", "5.", "1.e1", "1e1", "1e", "1e-3", "1e400", "1_0", "-1"]
    ),
)
UNITS = st.builds(
    "{}{}".format,
    st.sampled_from(["second", "minute", "hour", "day", "month", "year"]),
    st.sampled_from(["", "s", "s", "ss", " "]),
)
SIGNS = st.sampled_from(["+", "-", "", "+", "-"])
MODIFIERS = st.one_of(
    st.builds("{}{}{}{}".format, SIGNS, AMOUNTS, st.sampled_from([" ", " ", "  ", "\t", ""]), UNITS),
    st.builds("{}{} {}".format, SIGNS, st.integers(0, 50), UNITS),
    st.builds("{}{}".format, SIGNS, TIMES),
    st.builds(
        "{}{:04}-{:02}-{:02}{}".format,
        st.sampled_from("+-"),
        st.integers(0, 15000),
        st.integers(0, 12),
        st.integers(0, 31),
        st.one_of(st.sampled_from(["", "", " ", "x"]), TIMES.map(" {}".format)),
    ),
    st.sampled_from(
        ["start of month", "start of year", "start of day", "Start Of Day", "start of week", "start of day "]
    ),
    st.builds("weekday {}".format, st.one_of(st.integers(-1, 8), st.sampled_from(["1.0", "2.5", " 3 ", "", "1x"]))),
    st.sampled_from(["unixepoch", "auto", "julianday", "UnixEpoch", " auto"]),
    st.sampled_from(["subsec", "subsecond", "floor", "ceiling"]),
    st.sampled_from([None, 1, 2.5, b"start of day", b"+1 day\0x", b"\xff", "", "days", "+1 day ago"]),
)

TEXT_FORMATS = st.one_of(
    st.lists(st.sampled_from(["%" + letter for letter in "dfHjJmMsSwWY%"] + ["-", "é", " "]), max_size=6).map("".join),
    st.lists(st.sampled_from(["%Y", "%m", "%d", "%H", "%M", "%S", "-", ":", "%%"]), max_size=6).map("".join),
    st.sampled_from("eFIklpPRTuUVGgqé% ").map("%{}".format),
    st.sampled_from(["", "%", "%Y%", "%%%Y", "%\n"]),
)
FORMATS = st.one_of(TEXT_FORMATS, TEXT_FORMATS, TEXT_FORMATS, st.sampled_from([None, 1, 1.5, b"%Y", b"%Y\0%q"]))


@pytest.fixture
def functions(target: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A connection to a database with the schema `sqlite`, which follows the SQLite that is asked here."""
    target.execute(functions_sql().encode())
    follow(target, sqlite3.sqlite_version_info)
    return target


def follow(target: psycopg.Connection[Any], version: tuple[int, ...]) -> None:
    """Let the schema `sqlite` follow a version of SQLite."""
    major, minor, patch = version
    target.execute(
        "CREATE OR REPLACE FUNCTION sqlite.version() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE"
        f" RETURN {major * 1_000_000 + minor * 1_000 + patch}".encode()
    )
    target.execute("DISCARD PLANS")  # which have its number in them


def variadic(count: int) -> str:
    """So many arguments, as the functions take them."""
    return "VARIADIC ARRAY[" + ", ".join(f"${number}" for number in range(1, count + 1)) + "]"


def parameters(count: int) -> str:
    """So many arguments, as SQLite takes them."""
    return ", ".join(f":{number}" for number in range(1, count + 1))


CALLS = st.integers(0, 3).flatmap(
    lambda modifiers: st.lists(st.tuples(VALUES, *[MODIFIERS] * modifiers), min_size=1, max_size=60)
)
"""Time values, each with so many modifiers."""


@pytest.mark.parametrize("name", FUNCTIONS)
@QUICKLY
@given(rows=CALLS)
def test_any_arguments(functions: psycopg.Connection[Any], name: str, rows: list[tuple[Value, ...]]) -> None:
    """Whatever the time value and its modifiers are: valid, odd, out of range, of any class."""
    count = len(rows[0])
    check_alike(functions, f"sqlite.{name}({variadic(count)})", f"{name}({parameters(count)})", rows, source=SOURCE)


@QUICKLY
@given(rows=CALLS, formats=st.lists(FORMATS, min_size=60, max_size=60))
def test_any_format(functions: psycopg.Connection[Any], rows: list[tuple[Value, ...]], formats: list[Value]) -> None:
    """strftime() with every letter, known or not."""
    calls = [(form, *row) for form, row in zip(formats, rows, strict=False)]
    count = len(calls[0])
    check_alike(
        functions, f"sqlite.strftime({variadic(count)})", f"strftime({parameters(count)})", calls, source=SOURCE
    )


@pytest.mark.parametrize("name", FUNCTIONS)
@QUICKLY
@given(rows=st.lists(st.tuples(TEXTS), min_size=1, max_size=60))
def test_any_text(functions: psycopg.Connection[Any], name: str, rows: list[tuple[Value]]) -> None:
    """The functions of a text, which know the usual one by sight, give the same as of any value."""
    check_alike(functions, f"sqlite.{name}(sqlite.text_of($1))", f"{name}(:1)", rows, source=SOURCE)


@QUICKLY
@given(rows=st.lists(st.tuples(TEXT_FORMATS, TEXTS), min_size=1, max_size=60))
def test_any_format_of_any_text(functions: psycopg.Connection[Any], rows: list[tuple[Value, Value]]) -> None:
    """So does strftime()."""
    ours = "sqlite.strftime(sqlite.text_of($1), sqlite.text_of($2))"
    check_alike(functions, ours, "strftime(:1, :2)", rows, source=SOURCE)


NOT_OF_NUMBERS = MODIFIERS.filter(lambda modifier: not (isinstance(modifier, str) and modifier.lower() == "auto"))


@QUICKLY
@given(rows=st.lists(st.tuples(st.integers(0, 464269060799999), NOT_OF_NUMBERS), min_size=1, max_size=60))
def test_any_time_may_be_now(functions: psycopg.Connection[Any], rows: list[tuple[Value, Value]]) -> None:
    """The time that the function is told is what "now" is."""
    ours = "sqlite.datetime(sqlite.to_integer($1), ARRAY[sqlite.value('Now'), $2])"
    theirs = "datetime((:1 - 210866760000000) / 1000.0, 'unixepoch', :2)"
    check_alike(functions, ours, theirs, rows, source=SOURCE)


def test_now_is_the_time_of_the_statement(functions: psycopg.Connection[Any]) -> None:
    """With no time value it is the same."""
    row = functions.execute(
        """
        SELECT sqlite.julianday(VARIADIC ARRAY[]::bytea[]) = sqlite.julianday('now'),
          sqlite.date('now') = sqlite.current_date(),
          sqlite.time('now') = sqlite.current_time(), sqlite.datetime('now') = sqlite.current_timestamp(),
          sqlite.unixepoch('now') = floor(extract(epoch FROM statement_timestamp())),
          sqlite.strftime(sqlite.value('%s')) = sqlite.strftime('%s', 'now')
        """
    ).fetchone()
    assert row == (True,) * 6


def test_the_pure_ones_refuse_what_is_not_pure(functions: psycopg.Connection[Any]) -> None:
    """An index may stand on them; a row with "now" in it is refused, as it is by SQLite."""
    functions.execute("CREATE TABLE event (at bytea)")
    functions.execute("CREATE INDEX ON event (sqlite.date(NULL::bigint, ARRAY[at]))")
    functions.execute("INSERT INTO event VALUES (sqlite.value('2024-01-01 10:00'))")
    for text in ("now", "NOW"):
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="non-deterministic use of a date function"):
            functions.execute("INSERT INTO event VALUES (sqlite.value(%s::text))", (text,))
    for modifier in ("localtime", "utc"):
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="non-deterministic use of a date function"):
            functions.execute("SELECT sqlite.date(NULL, ARRAY[at, sqlite.value(%s::text)]) FROM event", (modifier,))


# Local time -----------------------------------------------------------------------------------------------------------

LOCALLY = st.one_of(
    st.datetimes().map(str),
    st.datetimes().filter(lambda value: 1970 <= value.year <= 2037).map(str),
    st.builds("{}{}".format, st.sampled_from(["2024-03-10 02:30", "2024-11-03 01:30", "2024-02-30"]), ZONES),
    st.integers(1721060, 5373483),
    TIMES,
)
LOCAL_MODIFIERS = st.sampled_from(
    ["localtime", "utc", "LocalTime", "+1 day", "start of month", "weekday 0", "-90 minutes"]
)


@pytest.fixture(params=["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The time zone that this process, and SQLite in it, is in."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@QUICKLY
@given(rows=st.lists(st.tuples(LOCALLY, LOCAL_MODIFIERS, LOCAL_MODIFIERS, LOCAL_MODIFIERS), min_size=1, max_size=60))
def test_local_time(functions: psycopg.Connection[Any], zone: str, rows: list[tuple[Value, ...]]) -> None:
    """Local time is that of the zone which PostgreSQL is told."""
    functions.execute("SELECT set_config('dualdb.time_zone', %s, false)", (zone,))
    check_alike(functions, f"sqlite.datetime({variadic(4)})", f"datetime({parameters(4)})", rows, source=SOURCE)


def test_local_time_of_nowhere_is_refused(functions: psycopg.Connection[Any]) -> None:
    """Without a zone there is no answer, whatever the session's own zone is."""
    functions.execute("SET TimeZone = 'Asia/Kolkata'")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="SET dualdb"):
        functions.execute("SELECT sqlite.datetime(sqlite.value('2024-01-01'), sqlite.value('localtime'))")


@pytest.mark.parametrize("modifier", ["localtime", "utc"])
def test_local_time_beyond_the_calendar_is_refused(functions: psycopg.Connection[Any], modifier: str) -> None:
    """There SQLite goes on as if it were the year 2000."""
    functions.execute("SET dualdb.time_zone = 'Europe/Berlin'")
    for value in (10**10, "9999-12-31 23:30"):
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="beyond the years -4713 to 9999"):
            _answer(functions, "SELECT sqlite.datetime(%s::bytea, %s::bytea, %s::bytea)", [value, "+1 month", modifier])


def test_more_decimals_than_a_float_counts_are_refused(functions: psycopg.Connection[Any]) -> None:
    """SQLite divides infinity by infinity there."""
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="a second with 400 decimals"):
        functions.execute("SELECT sqlite.time(%s::text)", ("10:00:00." + "1" * 400,))


# Later versions -------------------------------------------------------------------------------------------------------

SINCE = [
    ((3, 42, 0), "datetime", ("2024-03-05 10:20:30.25", "subsec"), "2024-03-05 10:20:30.250"),
    ((3, 42, 0), "time", ("10:20:30.25", "subsecond"), "10:20:30.250"),
    ((3, 42, 0), "unixepoch", ("2024-03-05 10:20:30.25", "subsec"), 1709634030.25),
    ((3, 42, 0), "strftime", ("%s", "2024-03-05 10:20:30.25", "subsec"), "1709634030.250"),
    ((3, 43, 0), "datetime", ("2024-01-31", "+0001-02-03"), "2025-04-03 00:00:00"),
    ((3, 43, 0), "datetime", ("2024-01-31", "-0001-02-03 04:05:06.789"), "2022-11-27 19:54:53"),
    ((3, 44, 0), "strftime", ("%e|%F|%I|%k|%l", "2024-03-05 07:08:09"), " 5|2024-03-05|07| 7| 7"),
    ((3, 44, 0), "strftime", ("%p|%P|%R|%T|%u", "2024-03-05 07:08:09"), "AM|am|07:08|07:08:09|2"),
    ((3, 44, 0), "strftime", ("%I|%l|%p|%P", "2024-03-05 12:08:09"), "12|12|PM|pm"),
    ((3, 44, 0), "strftime", ("%I|%k|%l|%p", "2024-03-05 00:08:09"), "12| 0|12|AM"),
    ((3, 46, 0), "datetime", ("2024-01-31", "+1 month", "floor"), "2024-02-29 00:00:00"),
    ((3, 46, 0), "datetime", ("2024-01-31", "+1 month", "ceiling"), "2024-03-02 00:00:00"),
    ((3, 46, 0), "date", ("2023-02-29", "floor"), "2023-02-28"),
    ((3, 46, 0), "strftime", ("%U|%V|%W|%G|%g", "2024-12-30"), "52|01|53|2025|25"),
    ((3, 46, 0), "strftime", ("%U|%V|%W|%G|%g", "2021-01-03"), "01|53|00|2020|20"),
    ((3, 46, 0), "strftime", ("%u|%U|%V|%W|%G", "2023-01-01"), "7|01|52|00|2022"),
]
"""What SQLite 3.51 gives; NULL before the version that brought it."""


@pytest.mark.parametrize(("since", "name", "arguments", "expected"), SINCE)
def test_what_later_versions_brought(
    functions: psycopg.Connection[Any], since: tuple[int, ...], name: str, arguments: tuple[Value, ...], expected: Value
) -> None:
    """A modifier and a letter are known from the version on that brought them."""
    question = f"SELECT sqlite.{name}({', '.join(['%s::bytea'] * len(arguments))})"
    follow(functions, since)
    assert _answer(functions, question, arguments) == expected
    follow(functions, (3, since[1] - 1, 99))
    assert _answer(functions, question, arguments) is None


CHANGED = [
    ((3, 45, 0), "date", "2024-02-30", ("2024-02-30", "2024-03-01")),
    ((3, 47, 0), "julianday", "-0100-03-01", (1684595.5, 1684594.5)),
    ((3, 47, 0), "date", 1684594.5, ("-0100-02-29", "-0100-03-01")),
    ((3, 49, 0), "unixepoch", "2024-01-01 00:00:59.9999", (1704067260, 1704067259)),
]
"""What is answered before a version, and from it on."""


@pytest.mark.parametrize(("since", "name", "value", "expected"), CHANGED)
def test_what_later_versions_changed(
    functions: psycopg.Connection[Any], since: tuple[int, ...], name: str, value: Value, expected: tuple[Value, Value]
) -> None:
    """An answer is that of the version which is followed."""
    answers = []
    for version in ((3, since[1] - 1, 99), since):
        follow(functions, version)
        answers.append(_answer(functions, f"SELECT sqlite.{name}(%s::bytea)", [value]))
    assert tuple(answers) == expected


DIFFERENCES = [
    (("2024-03-05", "2023-12-31 10:00"), "+0000-02-02 14:00:00.000"),
    (("2023-12-31 10:00", "2024-03-05"), "-0000-02-04 14:00:00.000"),
    (("2024-03-31", "2024-02-29"), "+0000-01-02 00:00:00.000"),
    (("2024-03-05", "2024-03-05 00:00:00.001"), "-0000-00-00 00:00:00.001"),
    (("0000-02-30T08:54:34.4", "0000-01-29 24:05:59z"), "+0000-00-30 08:48:35.400"),
    ((0, 5373484), "-14712-01-07 00:00:00.000"),
    (("2024-03-05", None), None),
    (("2024-03-05", "x"), None),
]
"""What SQLite 3.51 gives."""


@pytest.mark.parametrize(("arguments", "expected"), DIFFERENCES)
def test_timediff(functions: psycopg.Connection[Any], arguments: tuple[Value, Value], expected: str | None) -> None:
    """Years, months, days and time from the second moment to the first."""
    follow(functions, (3, 51, 1))
    assert _answer(functions, "SELECT sqlite.timediff(%s::bytea, %s::bytea)", arguments) == expected


def _answer(functions: psycopg.Connection[Any], question: str, arguments: Sequence[Value]) -> Value:
    values = [to_target(argument, TargetType.ANY) for argument in arguments]
    (answer,) = functions.execute(question.encode(), values, binary=True).fetchone() or (None,)
    return from_target(answer, TargetType.ANY) if isinstance(answer, bytes) else answer
