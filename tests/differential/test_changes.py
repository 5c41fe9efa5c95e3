"""Statements that write, run in order on both engines: row counts, ids, errors and then every row must agree."""

# ruff: noqa: E501 - a statement stands on one line

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.differential.twins import twins_of

if TYPE_CHECKING:
    import psycopg

    from tests.differential.twins import Twins

SCRIPT = """
CREATE TABLE run (
  id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, number INTEGER NOT NULL, score REAL, note TEXT DEFAULT 'new',
  level INTEGER NOT NULL DEFAULT 3, amount NUMERIC, made TIMESTAMP, CHECK (score < 100), UNIQUE (project, number)
);
CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, uses INTEGER DEFAULT 0);
CREATE TABLE link (run_id INTEGER NOT NULL, tag_id INTEGER NOT NULL, weight REAL, PRIMARY KEY (run_id, tag_id)) WITHOUT ROWID;
CREATE TABLE pair (a INTEGER, b TEXT, PRIMARY KEY (a, b));
CREATE TABLE named (name TEXT NOT NULL PRIMARY KEY, value BLOB);
CREATE TABLE "odd ""name" ("a column" INTEGER PRIMARY KEY, [select] TEXT, `é` REAL DEFAULT 1.5);
CREATE TABLE made (id INTEGER PRIMARY KEY, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, day TEXT DEFAULT CURRENT_DATE,
  clock TEXT DEFAULT (time('now')), stamp TEXT DEFAULT (datetime('now')));
CREATE TABLE derived (id INTEGER PRIMARY KEY, n INTEGER, double INTEGER AS (n * 2) STORED, low TEXT AS (lower(t)), t TEXT);
CREATE TABLE code (id INTEGER PRIMARY KEY, word TEXT);
CREATE UNIQUE INDEX code_word ON code (word COLLATE RTRIM);
"""

CHANGES: list[tuple[str, Any]] = [
    # INSERT: ids, defaults, affinities
    ("INSERT INTO run (project, number, score) VALUES (?, ?, ?)", ("p", 1, 0.5)),
    ("INSERT INTO run (project, number, score) VALUES (?, ?, ?)", ("p", "2", "1")),
    ("INSERT INTO run (project, number, score, note) VALUES ('p', 3, 7, 12), ('p', '4', '2.5', NULL)", ()),
    ("INSERT INTO run (project, number, amount) VALUES ('q', 1, 1), ('q', 2, 2.0), ('q', 3, 2.5), ('q', 4, '7')", ()),
    ("INSERT INTO run (project, number, amount, made) VALUES (?, ?, ?, ?)", ("q", 5.0, 9.0, "2024-01-01 00:00:00")),
    ("INSERT INTO run (id, project, number) VALUES (?, ?, ?)", (50, "r", 1)),
    ("INSERT INTO run (project, number) VALUES ('r', 2)", ()),
    ("INSERT INTO run (id, project, number) VALUES (NULL, 'r', 3)", ()),
    ("INSERT INTO run (id, project, number) VALUES (?, 'r', 4)", (None,)),
    ("INSERT INTO run (id, project, number) VALUES (20, 'r', 5)", ()),
    ("INSERT INTO run (rowid, project, number) VALUES (60, 'r', 6)", ()),
    ("INSERT INTO run VALUES (70, 's', 1, 1.5, 'x', 2, NULL, NULL)", ()),
    ("INSERT INTO run (project, number) VALUES ('s', 2) RETURNING id, level, note, score IS NULL", ()),
    # An insert that fails uses up an id of PostgreSQL's sequence, so these name theirs.
    ("INSERT INTO run (id, project, number) VALUES (5, 'p', 1)", ()),
    ("INSERT INTO run (id, project, number) VALUES (5, NULL, 1)", ()),
    ("INSERT INTO run (id, project, number, score) VALUES (5, 't', 1, 100)", ()),
    ("INSERT INTO run (project, number) SELECT project || '2', number + 10 FROM run WHERE project = 'p'", ()),
    ("INSERT INTO pair VALUES (1, NULL), (1, NULL), (NULL, 'x'), (1, 'x')", ()),
    ("INSERT INTO pair (rowid, a) VALUES (?, 5)", (40,)),
    ("INSERT INTO pair (a) VALUES (6)", ()),
    ("INSERT INTO named VALUES ('k', x'0102')", ()),
    ("INSERT INTO named VALUES (?, ?)", ("l", b"\x00")),
    ("INSERT INTO \"odd \"\"name\" ([select]) VALUES ('it''s 100%')", ()),
    ('INSERT INTO "ODD ""NAME" ("A COLUMN", é) VALUES (7, 2)', ()),
    ("INSERT INTO derived (n, t) VALUES (4, 'ABC'), (NULL, NULL)", ()),
    # OR REPLACE
    ("INSERT OR REPLACE INTO run (project, number, score) VALUES (?, ?, ?)", ("p", 1, 9)),
    ("REPLACE INTO run (project, number, level) VALUES ('p', 2, NULL)", ()),
    ("INSERT OR REPLACE INTO run (id, project, number) VALUES (50, 'p', 3)", ()),
    ("INSERT OR REPLACE INTO run (project, number) VALUES ('p', 77), ('p', 77), ('p', 4)", ()),
    ("INSERT OR REPLACE INTO run (id, project, number) VALUES (5, ?, NULL)", ("p",)),
    ("INSERT OR REPLACE INTO tag (name) VALUES ('One')", ()),
    ("INSERT OR REPLACE INTO tag (name) VALUES ('ONE')", ()),
    ("INSERT OR REPLACE INTO tag (id, name) VALUES (9, 'two'), (9, 'three')", ()),
    ("INSERT OR REPLACE INTO tag (name) VALUES (?)", (None,)),
    ("INSERT OR REPLACE INTO link VALUES (1, 1, 0.5), (1, 2, 1), (1, 1, 2)", ()),
    ("INSERT OR REPLACE INTO pair VALUES (1, 'x'), (1, NULL)", ()),
    ("INSERT OR REPLACE INTO named VALUES ('k', NULL) RETURNING name, value", ()),
    ("INSERT OR REPLACE INTO code (word) VALUES ('a'), ('b'), ('a  ')", ()),
    # OR IGNORE and upserts
    ("INSERT OR IGNORE INTO run (project, number) VALUES ('p', 1)", ()),
    (
        "INSERT OR IGNORE INTO run (project, number, score) VALUES ('v', 1, 500), ('v', 2, 5), ('v', 2, 6), (NULL, 3, 1)",
        (),
    ),
    ("INSERT OR IGNORE INTO run (project, number, score) VALUES (?, ?, ?)", ("v", None, 1.0)),
    ("INSERT OR IGNORE INTO tag (name) VALUES ('THREE')", ()),
    ("INSERT OR IGNORE INTO tag (name) VALUES ('four')", ()),
    ("INSERT OR IGNORE INTO named VALUES ('k', x'09'), ('m', x'0a')", ()),
    ("INSERT INTO tag (name) VALUES ('five') ON CONFLICT DO NOTHING", ()),
    (
        "INSERT INTO tag (name, uses) VALUES ('FIVE', 1) ON CONFLICT (name) DO UPDATE SET uses = uses + excluded.uses",
        (),
    ),
    (
        "INSERT INTO tag (id, name, uses) VALUES (9, 'nine', 4) ON CONFLICT (id) DO UPDATE SET name = excluded.name, uses = 5",
        (),
    ),
    (
        "INSERT INTO link VALUES (1, 1, 3) ON CONFLICT (tag_id, run_id) DO UPDATE SET weight = excluded.weight WHERE weight < 1",
        (),
    ),
    ("INSERT INTO named VALUES ('z', NULL) ON CONFLICT (name) DO NOTHING RETURNING name", ()),
    # UPDATE
    ("UPDATE run SET score = score + 1 WHERE project = ? AND score IS NOT NULL", ("p",)),
    ("UPDATE run SET level = level * 2, note = note || '!' WHERE number IN (1, 2)", ()),
    ("UPDATE run SET amount = ?, made = ? WHERE id = ?", (3.0, "2024-05-05", 70)),
    ("UPDATE run SET score = NULL WHERE id BETWEEN ? AND ?", (2, 3)),
    ("UPDATE run SET note = CASE WHEN score > 1 THEN 'good' ELSE 'bad' END", ()),
    ("UPDATE run AS r SET note = 'tagged' WHERE EXISTS (SELECT 1 FROM link WHERE run_id = r.id)", ()),
    ("UPDATE run SET level = NULL WHERE id = 50", ()),
    ("UPDATE run SET score = 1000 WHERE id = 50", ()),
    ("UPDATE run SET number = number + 100 WHERE id = 50", ()),
    ("UPDATE run SET level = (SELECT count(*) FROM tag) WHERE id = 60 RETURNING id, level", ()),
    ("UPDATE run SET score = level, level = 1.0 WHERE id = 60", ()),
    ("UPDATE named SET value = x'ff' WHERE name = 'k'", ()),
    ("UPDATE pair SET b = 'changed' WHERE rowid = 40", ()),
    ("UPDATE run SET note = 'none' WHERE id = -1", ()),
    ("UPDATE derived SET n = n + 1", ()),
    # DELETE
    ("DELETE FROM run WHERE id = ?", (70,)),
    ("DELETE FROM run WHERE project = 'q' AND amount > 2 RETURNING id, amount", ()),
    ("DELETE FROM run WHERE id NOT IN (SELECT max(id) FROM run GROUP BY project)", ()),
    ("DELETE FROM link WHERE run_id = 1 AND tag_id = 2", ()),
    ("DELETE FROM pair", ()),
    ("INSERT INTO run (project, number) VALUES ('after', 1)", ()),
]


@pytest.fixture
def twins(target: psycopg.Connection[Any]) -> Twins:
    """Empty tables in both engines."""
    return twins_of(SCRIPT, target)


def test_changes(twins: Twins) -> None:
    """Every write does on PostgreSQL what it does on SQLite."""
    assert twins.refusals == ()
    found = []
    for sql, values in CHANGES:
        try:
            twins.compare(sql, values)
            twins.compare_tables()
        except Exception as exc:  # noqa: BLE001 - the statement is told, whatever went wrong with it
            found.append(f"{sql} {values}: {type(exc).__name__}: {exc}")
            break
    assert found == []


def test_time_defaults(twins: Twins) -> None:
    """CURRENT_TIMESTAMP and its kin are texts in UTC of the same form on both engines."""
    sql = "INSERT INTO made (id) VALUES (1) RETURNING at, day, clock, stamp"
    plan = twins.plan(sql)
    for (row,) in (twins.on_target(plan).rows, twins.on_source(sql).rows):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row[0])
        assert row[1] == row[0][:10]
        assert row[2:] == (row[0][11:], row[0])


def test_returning_gives_a_whole_number_of_a_real_column_as_a_float(twins: Twins) -> None:
    """As typeof() says, and as a later SELECT gives it; SQLite 3.40 itself gives the integer, 3.54 the float."""
    plan = twins.plan("INSERT INTO run (project, number, score) VALUES ('real', 1, 1) RETURNING score, typeof(score)")
    ((score, kind),) = twins.on_target(plan).rows
    assert (type(score), score, kind) == (float, 1.0, "real")
