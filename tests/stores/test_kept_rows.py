"""What a repair takes away from the follower can be read afterwards, to the bit."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from dualdb.core.compare import differences
from dualdb.core.phase import Side
from dualdb.core.store import Undecodable
from dualdb.core.types import decode_row
from dualdb.stores.catalog import read_schema
from dualdb.stores.kept_rows import KeptRows

if TYPE_CHECKING:
    from pathlib import Path

    from dualdb.core.schema import Table
    from dualdb.core.store import Row


def table_of(database: Path) -> Table:
    """A table with a key of two columns and one of every class."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t(a TEXT, b INTEGER, c REAL, d BLOB, PRIMARY KEY (b, a)) WITHOUT ROWID")
        return read_schema(connection).tables["t"]


def test_every_value_is_kept_to_the_bit(database: Path) -> None:
    """Deleted and overwritten rows, whatever their values; rows that are only missing are nobody's loss."""
    table = table_of(database)
    control: list[Row] = [("x", 1, 0.5, b""), ("only here", 2, None, None)]
    candidate: list[Row] = [
        ("x", 1, -0.0, b"\x00\xff"),
        ("\u20ac\n\u2028", 1 << 62, 5e-324, None),
        (Undecodable(b"\xff"), 3, None, b""),
    ]
    kept = KeptRows(str(database), Side.SOURCE)
    kept.keep(table, list(differences(control, candidate, table.key_positions)))
    assert kept.count == 3
    assert kept.path is not None
    with open(kept.path, encoding="ascii") as file:
        lines = [json.loads(line) for line in file]
    assert [(line["side"], line["table"], line["kind"]) for line in lines] == [
        ("source", "t", "different"),
        ("source", "t", "extra"),
        ("source", "t", "extra"),
    ]
    assert [repr(decode_row(json.dumps(line["row"]).encode())[1]) for line in lines] == list(map(repr, candidate))
    assert decode_row(json.dumps(lines[0]["key"]).encode()) == (("b", "a"), (1, "x"))


def test_each_repair_has_a_file_of_its_own_and_none_without_a_row(database: Path) -> None:
    """Readable by its user only; nothing that was kept before is written over."""
    table = table_of(database)
    paths: list[str] = []
    for _ in range(2):
        kept = KeptRows(str(database), Side.TARGET)
        kept.keep(table, list(differences([("x", 1, None, None)], [], table.key_positions)))
        before = sorted(database.parent.glob("*.jsonl"))
        assert [str(path) for path in before] == sorted(paths)
        for _ in range(2):
            kept.keep(table, list(differences([], [("x", 1, None, None)], table.key_positions)))
        paths.append(kept.path or "")
        with open(paths[-1], encoding="ascii") as file:
            assert len(file.readlines()) == 2
        assert os.stat(paths[-1]).st_mode & 0o777 == 0o600
    assert len(set(paths)) == len(paths)
