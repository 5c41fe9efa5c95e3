"""Verification finds every planted corruption and names it, and finds nothing where nothing was planted."""

from __future__ import annotations

import math
import random
import struct
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operations.sqlite_pair import SqlitePair, carried, connect, key_columns

from dualdb.core import ranges
from dualdb.operations import verify_pairs, verify_rows
from dualdb.operations.verify_pairs import Pairs
from dualdb.operations.verify_rows import RowVerification

if TYPE_CHECKING:
    from collections.abc import Callable

    from dualdb.core.schema import Table
    from dualdb.core.store import Key, Row, Value

KEYS = {
    "integer": "k INTEGER PRIMARY KEY",
    "text": "k TEXT NOT NULL PRIMARY KEY",
    "nocase": "k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY",
    "rtrim": "k TEXT COLLATE RTRIM NOT NULL PRIMARY KEY",
    "blob": "k BLOB NOT NULL PRIMARY KEY",
    "real": "k REAL NOT NULL PRIMARY KEY",
    "rowid": "k INTEGER",
}
PAYLOAD = "i INTEGER, r REAL, t TEXT, b BLOB, x"
LETTERS = "aAbBzZ é\U0001f600~"


def key_value(kind: str, number: int, source: random.Random) -> Value:
    """A key of that kind that no other number has."""
    word = "".join(source.choices(LETTERS, k=3)) + str(number)
    values: dict[str, Value] = {
        "integer": number * 3 - 50,
        "text": word,
        "nocase": word,
        "rtrim": word,
        "blob": word.encode(),
        "real": number / 8 - 3.0,
        "rowid": None,
    }
    return values[kind]


def payload(source: random.Random) -> tuple[Value, ...]:
    """Values that the columns may hold."""
    number = source.choice([0.0, -0.0, 1.5, 1e300, source.random(), math.inf, None])
    stamp = f"2024-03-0{source.randrange(1, 9)} 10:00:00.{source.randrange(10**6):06}"
    anything = source.choice([0, 0.0, -0.0, 1, 1.0, "1", b"1", None, source.random()])
    return source.choice([0, 1, -(2**63), None]), number, source.choice([stamp, "", "a"]), source.randbytes(3), anything


def next_bit(value: Value) -> Value:
    """A float's neighbour."""
    bits = struct.unpack("<q", struct.pack("<d", float(value or 0.5)))[0]  # type: ignore[arg-type]
    return float(struct.unpack("<d", struct.pack("<q", bits ^ 1))[0])


def one_microsecond_on(value: Value) -> Value:
    """A time stamp's text with another last digit."""
    return str(value)[:-1] + str((ord(str(value)[-1:] or "0") + 1) % 10)


CHANGES: dict[str, tuple[str, Callable[[Value], Value]]] = {
    "one bit of a float": ("r", next_bit),
    "the sign of a zero": (
        "x",
        lambda value: -0.0 if value == 0 and math.copysign(1.0, float(value or 0)) > 0 else 0.0,
    ),
    "a float for an integer": ("x", lambda value: 1.0 if isinstance(value, int) else 1),
    "a space behind": ("t", lambda value: f"{value!s} "),
    "a microsecond": ("t", one_microsecond_on),
    "a byte": ("b", lambda value: (value if isinstance(value, bytes) else b"") + b"\0"),
    "text for a blob": ("b", lambda _: "text"),
    "NULL": ("i", lambda value: None if value is not None else 0),
    "the key's case": ("k", lambda value: value.swapcase() if isinstance(value, str) else value),
}
PLANTS = [*CHANGES, "a missing row", "an extra row", "two rows' values swapped"]


def plant(pair: SqlitePair, table: Table, name: str, kind: str, source: random.Random) -> None:
    """Corrupt the follower in one way, somewhere."""
    where = " AND ".join(f"{column} IS ?" for column in key_columns(table))
    keys = list(contents(pair.target, table))
    if name == "an extra row" or len(keys) < 2:
        values = ", ".join("?" * 6)
        row = (key_value(kind, 5_000 + source.randrange(1_000), source), *payload(source))
        pair.on_follower(f"INSERT OR IGNORE INTO subject (k, i, r, t, b, x) VALUES ({values})", *row)
    elif name == "a missing row":
        pair.on_follower(f"DELETE FROM subject WHERE {where}", *source.choice(keys))
    elif name == "two rows' values swapped":
        one, other = source.sample(keys, 2)
        rows = {key: contents(pair.target, table)[key][-5:] for key in (one, other)}
        for key, values_of in ((one, other), (other, one)):
            pair.on_follower(
                f"UPDATE subject SET i = ?, r = ?, t = ?, b = ?, x = ? WHERE {where}", *rows[values_of], *key
            )
    else:
        column, change = CHANGES[name]
        key = source.choice(keys)
        row = contents(pair.target, table)[key]
        value = change(row[table.carried.index(column)])
        pair.on_follower(f"UPDATE OR IGNORE subject SET {column} = ? WHERE {where}", value, *key)


def contents(path: Path, table: Table) -> dict[Key, Row]:
    """Every row by its key."""
    with closing(connect(path)) as connection:
        rows = connection.execute(f"SELECT {carried(table)} FROM subject").fetchall()
    return {tuple(row[position] for position in table.key_positions): row for row in rows}


def literal(value: Value) -> str:
    """A value as nothing else is written."""
    return f"{type(value).__name__} {value!r}"


def truth(pair: SqlitePair, table: Table) -> set[tuple[str, str]]:
    """Every difference between the two files: kind and key, by looking at everything and in another way."""
    control, candidate = (
        {tuple(map(literal, key)): row for key, row in contents(path, table).items()}
        for path in (pair.source, pair.target)
    )
    found = {("missing", str(key)) for key in control.keys() - candidate.keys()}
    found |= {("extra", str(key)) for key in candidate.keys() - control.keys()}
    return found | {
        ("different", str(key))
        for key in control.keys() & candidate.keys()
        if list(map(literal, control[key])) != list(map(literal, candidate[key]))
    }


@pytest.mark.parametrize("kind", KEYS)
@given(
    st.integers(0, 2**32),
    st.integers(0, 300),
    st.lists(st.sampled_from(PLANTS), min_size=1, max_size=6),
    st.sampled_from([ranges.MOST_BYTES, 2_000, 100]),
)
@settings(max_examples=25, deadline=None)
def test_reports_the_truth(kind: str, seed: int, rows: int, plants: list[str], most_bytes: int) -> None:
    """What verification reports is what differs; also where rows are large for what is held of them at once."""
    source = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        pair = SqlitePair(Path(folder), f"CREATE TABLE subject ({KEYS[kind]}, {PAYLOAD});")
        with closing(connect(pair.source)) as connection:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO subject (k, i, r, t, b, x) VALUES (?, ?, ?, ?, ?, ?)",
                [(key_value(kind, number, source), *payload(source)) for number in range(rows)],
            )
            connection.execute("COMMIT")
        pair.relay()
        with pair.authority.snapshot() as snapshot:
            table = snapshot.schema.table("subject")
        for name in plants:
            plant(pair, table, name, kind, source)
        verification = RowVerification(Pairs(pair.authority, pair.follower))
        with pytest.MonkeyPatch.context() as patch:
            for module in (ranges, verify_rows):
                patch.setattr(module, "MOST_BYTES", most_bytes)
            verification.compare()
            verification.settle()
        found = {(one.kind.value, str(tuple(map(literal, one.key)))) for one in verification.mismatches}
        assert found == truth(pair, table)
        assert len(verification.mismatches) == len(found) == verification.mismatched


@pytest.mark.parametrize("kind", ["integer", "nocase", "rowid"])
def test_while_writers_write(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While writers write there is no false alarm and no missed corruption."""
    monkeypatch.setattr(verify_pairs, "PAIR_S", 0.02)
    source = random.Random(kind)
    pair = SqlitePair(tmp_path, f"CREATE TABLE subject ({KEYS[kind]}, {PAYLOAD});")
    with closing(connect(pair.source)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO subject (k, i, r, t, b, x) VALUES (?, ?, ?, ?, ?, ?)",
            [(key_value(kind, number, source), *payload(source)) for number in range(2_000)],
        )
        connection.execute("COMMIT")
    pair.relay()
    over = threading.Event()

    def write() -> None:
        own = random.Random(2)
        with closing(connect(pair.source)) as connection:
            number = 10_000
            while not over.is_set():
                row = own.randrange(100, 2_000)
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE subject SET r = ?, t = t || '.' WHERE rowid = ?", (own.random(), row))
                connection.execute("DELETE FROM subject WHERE rowid = ?", (own.randrange(100, 2_000),))
                number += 1
                values = (key_value(kind, number, own), *payload(own))
                connection.execute("INSERT INTO subject (k, i, r, t, b, x) VALUES (?, ?, ?, ?, ?, ?)", values)
                connection.execute("COMMIT")
                time.sleep(0.0005)

    def relay() -> None:
        while not over.is_set():
            pair.relay()
            time.sleep(0.005)

    threads = [threading.Thread(target=write), threading.Thread(target=relay)]
    for thread in threads:
        thread.start()
    try:
        clean = RowVerification(Pairs(pair.authority, pair.follower))
        clean.compare()
        clean.settle()
        clean.count()
        pair.on_follower(
            "UPDATE subject SET r = 12.25 WHERE rowid IN (SELECT rowid FROM subject WHERE rowid < 90 LIMIT 2)"
        )
        corrupted = RowVerification(Pairs(pair.authority, pair.follower))
        corrupted.compare()
        corrupted.settle()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert (clean.mismatched, [one.unsettled for one in clean.tables()]) == (0, [0])
    assert [one.control_count for one in clean.tables()] == [one.candidate_count for one in clean.tables()]
    assert [(one.kind.value, one.columns) for one in corrupted.mismatches] == [("different", ("r",))] * 2
