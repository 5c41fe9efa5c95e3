"""A table whose declared key is no integer has a rowid as well, in phase postgres as in SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.driver.twins import Twins, move

import dualdb
from dualdb.core.phase import Phase
from dualdb.operations.transition import rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE named (name TEXT NOT NULL PRIMARY KEY, value INTEGER);
CREATE TABLE pair (a INT NOT NULL, b TEXT NOT NULL, rowid TEXT, PRIMARY KEY (a, b));
CREATE TABLE folded (name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, value TEXT);
CREATE TABLE keyed (name TEXT NOT NULL PRIMARY KEY, value INTEGER) WITHOUT ROWID;
CREATE TABLE loose (a TEXT, b TEXT UNIQUE);
CREATE INDEX loose_a ON loose (a);
INSERT INTO named (rowid, name) VALUES (-3, 'before'), (7, 'seventh'), (40, 'gone');
DELETE FROM named WHERE name = 'gone';
INSERT INTO pair VALUES (1, 'x', NULL), (1, 'y', 'mine');
INSERT INTO loose (rowid, a, b) VALUES (5, 'z', '1'), (6, 'y', '2'), (7, 'x', '3');
"""
STATEMENTS: list[tuple[str, Any]] = [
    ("INSERT INTO named VALUES ('a', 1)", ()),
    ("INSERT INTO named VALUES ('b', 2), ('c', 3)", ()),
    ("INSERT INTO named (rowid, name) VALUES (?, ?)", (20, "twentieth")),
    ("INSERT INTO named (name) VALUES (?)", ("d",)),
    ("INSERT OR REPLACE INTO named VALUES ('b', 22)", ()),
    ("INSERT INTO named VALUES ('a', 5) ON CONFLICT (name) DO UPDATE SET value = excluded.value", ()),
    ("INSERT OR IGNORE INTO named VALUES ('a', 6)", ()),
    ("INSERT INTO named (oid, name) VALUES (20, 'again')", ()),
    ("INSERT INTO named (oid, name) VALUES (19, 'a')", ()),
    ("INSERT OR IGNORE INTO named (oid, name) VALUES (20, 'again')", ()),
    ("INSERT OR REPLACE INTO named (oid, name) VALUES (20, 'again')", ()),
    ("INSERT OR REPLACE INTO named (oid, name) VALUES (1, 'again'), (20, 'd')", ()),
    ("SELECT last_insert_rowid()", ()),
    ("SELECT rowid, * FROM named ORDER BY rowid", ()),
    ("SELECT name FROM named WHERE rowid = '20' OR oid BETWEEN ? AND 7 ORDER BY name", (-5,)),
    ("SELECT n._rowid_, count(*) FROM named AS n GROUP BY n.rowid ORDER BY 1", ()),
    ("SELECT group_concat(value) FROM named", ()),
    ("UPDATE named SET value = 100 WHERE rowid = 20", ()),
    ("DELETE FROM named WHERE _rowid_ < 0", ()),
    ("INSERT INTO pair (a, b) VALUES (2, 'x')", ()),
    ("SELECT oid, rowid, a, b FROM pair ORDER BY oid DESC", ()),
    ("INSERT INTO folded VALUES ('One', '1'), ('Two', '2')", ()),
    ("INSERT OR REPLACE INTO folded VALUES ('ONE', '3')", ()),
    ("SELECT rowid, name FROM folded ORDER BY rowid", ()),
    ("INSERT INTO keyed VALUES ('k', 1)", ()),
    ("SELECT last_insert_rowid()", ()),
    ("INSERT INTO loose (rowid, a, b) VALUES (7, 'w', '4')", ()),
    ("INSERT OR REPLACE INTO loose (rowid, a, b) VALUES (7, 'w', '1')", ()),
    ("SELECT rowid, a, b FROM loose ORDER BY rowid", ()),
]


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """The same rows on both sides."""
    with closing(Twins(database, target_dsn, SCHEMA, isolation_level=None)) as both:
        yield both


def test_each_statement_sees_and_gives_the_rowids_of_sqlite(twins: Twins) -> None:
    for sql, values in STATEMENTS:
        twins.execute(sql, values)


def test_a_table_whose_rows_go_through_an_index_is_not_said_to_be_in_rowid_order(twins: Twins) -> None:
    """An index holds the rowid too, so SQLite may read it instead of the table."""
    sql = "SELECT group_concat(rowid || a) FROM loose"
    assert twins.plain.execute(sql).fetchone() == ("7x,6y,5z",)
    with pytest.raises(sqlite3.NotSupportedError):
        twins.ours.execute(sql)


def test_rowids_go_to_postgresql_and_come_back(database: Path, target_dsn: str) -> None:
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
        before = plain.execute("SELECT rowid, name FROM named ORDER BY rowid").fetchall()
    move(database, target_dsn)
    with closing(dualdb.connect(database)) as ours:
        assert ours.execute("SELECT rowid, name FROM named ORDER BY rowid").fetchall() == before
        ours.execute("INSERT INTO named VALUES ('new', 1)")
        ours.execute("INSERT INTO named (rowid, name) VALUES (100, 'hundredth')")
        ours.commit()
        after = ours.execute("SELECT rowid, name FROM named ORDER BY rowid").fetchall()
    rollback(str(database), observer=lambda _event: None)
    with Pair.open(str(database)) as pair:
        assert verify(pair, full=True).agrees
    with closing(sqlite3.connect(database)) as plain:
        assert plain.execute("SELECT rowid, name FROM named ORDER BY rowid").fetchall() == after


def test_a_changed_rowid_is_carried(database: Path, target_dsn: str) -> None:
    """Neither the key nor a column has changed then."""
    with closing(sqlite3.connect(database)) as plain:
        plain.executescript(SCHEMA)
    move(database, target_dsn, Phase.DUAL_WRITE)
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("UPDATE named SET rowid = rowid + 100")
        plain.execute("UPDATE OR REPLACE named SET rowid = 97 WHERE name = 'seventh'")
        plain.commit()
        expected = plain.execute("SELECT rowid, name FROM named ORDER BY rowid").fetchall()
    assert expected == [(97, "seventh")]
    with Pair.open(str(database)) as pair:
        assert verify(pair, full=True).agrees
