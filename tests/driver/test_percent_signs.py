"""A `%` is a character like any other, and so are control characters: in texts, operators and names, with parameters
and without.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.twins import Twins

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.operations.transition import advance, rollback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEMA = """
CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, n INTEGER);
CREATE TABLE "a%b"("c%d" TEXT PRIMARY KEY, "%s" INTEGER UNIQUE, e TEXT DEFAULT '5%' CHECK (e LIKE '_%')) WITHOUT ROWID;
CREATE TABLE "%loose"("%" TEXT, "%(x)s" INTEGER);
CREATE INDEX "i%" ON t(n % 3) WHERE x LIKE 'a%';
CREATE VIEW "v%w" AS SELECT id % 2 AS odd, '%s' AS "p%q", x FROM t WHERE x NOT LIKE 'z%';
INSERT INTO t(x, n) VALUES ('a%', 7), ('%s', 8), ('b', -9);
INSERT INTO "a%b" VALUES ('100%', 1, '%%');
INSERT INTO "%loose" VALUES ('%', 1);
"""
TEXTS = ("100%", "%", "%s", "%%", "%%s", "%(x)s", "%b%t", "a%", "%1$s", "5 % 3", "é%ü", "\\%", "\x010\x02", "\x01%\x02")
WITHOUT_PARAMETERS = (
    "SELECT n % 2, n % 3, -n % 2 FROM t ORDER BY id",
    "SELECT x FROM t WHERE x LIKE 'a%' ORDER BY id",
    "SELECT x FROM t WHERE x LIKE '%s' ORDER BY id",
    "SELECT x FROM t WHERE x LIKE 'a!%' ESCAPE '!'",
    "SELECT '%s' || x AS \"100%\" FROM t ORDER BY id",
    "SELECT n % 2, count(*) FROM t GROUP BY n % 2 ORDER BY n % 2",
    'SELECT * FROM "a%b"',
    'SELECT "c%d", "%s" FROM "a%b" WHERE "c%d" LIKE \'100%\'',
    'SELECT "%", "%(x)s" FROM "%loose"',
    'SELECT odd, "p%q", x FROM "v%w" ORDER BY x',
    'WITH "w%"("k%") AS (SELECT n % 2 FROM t) SELECT "k%" FROM "w%" ORDER BY 1',
    "EXPLAIN SELECT n % 2 FROM t",
    "SELECT name FROM sqlite_master WHERE name LIKE 'i%'",
    "INSERT INTO t(x) VALUES ('a%') RETURNING id % 2 AS odd, x, '%s' AS s",
    "INSERT INTO t(id, x) VALUES (1, '%s') ON CONFLICT (id) DO UPDATE SET x = excluded.x || '%', n = t.n % 4",
    'INSERT OR REPLACE INTO "a%b"("c%d", "%s") VALUES (\'100%\', 1)',
    'INSERT OR IGNORE INTO "a%b"("c%d", "%s") VALUES (\'%s\', 1)',
    'INSERT INTO "a%b"("c%d", "%s") VALUES (\'100%\', 5)',
    "INSERT INTO \"a%b\"(\"c%d\", e) VALUES ('e', '')",
    "INSERT INTO \"%loose\" SELECT x || '%', n % 2 FROM t ORDER BY id",
    "UPDATE t SET x = x || '%', n = n % 2 WHERE x LIKE '%s%'",
    'UPDATE "a%b" SET e = \'%%\' WHERE "%s" % 2 = 1',
    "DELETE FROM t WHERE n % 2 = 1 OR x LIKE 'b%'",
    'DELETE FROM "a%b" WHERE "c%d" = \'100%\' RETURNING *',
    'SELECT * FROM "no%such"',
)
WITH_PARAMETERS = (
    ("SELECT n % ? FROM t ORDER BY id", (2,)),
    ("SELECT n % 2 FROM t WHERE id = ?", (1,)),
    ("SELECT x FROM t WHERE x LIKE ? ORDER BY id", ("a%",)),
    ("SELECT x FROM t WHERE x LIKE 'a%' AND id < :id", {"id": 100}),
    ("INSERT INTO t(x, n) VALUES ('100%', ?)", (4,)),
    ("INSERT INTO t(x, n) VALUES (:x, 5 % 3)", {"x": "%(x)s"}),
    ('SELECT * FROM "a%b" WHERE "c%d" = ?', ("100%",)),
    ('INSERT INTO "a%b"("c%d", "%s") VALUES (?, ?) RETURNING *', ("%s", 2)),
    ('INSERT OR REPLACE INTO "a%b"("c%d", "%s") VALUES (?, 1)', ("%%",)),
    ("UPDATE t SET x = ? || '%' WHERE x LIKE '%s'", ("%(x)s",)),
    ('DELETE FROM "a%b" WHERE "c%d" LIKE ?', ("%",)),
)
CONTENT = (
    "SELECT * FROM t ORDER BY id",
    'SELECT * FROM "a%b" ORDER BY 1',
    'SELECT * FROM "%loose" ORDER BY 1, 2',
    'SELECT * FROM "v%w" ORDER BY 1, 2, 3',
)


@pytest.fixture
def twins(database: Path, target_dsn: str) -> Iterator[Twins]:
    """Both connections, without implicit transactions."""
    with closing(Twins(database, target_dsn, SCHEMA, isolation_level=None)) as both:
        yield both


@pytest.mark.parametrize("inside", [False, True])
def test_a_literal_is_stored_as_it_is_written(twins: Twins, inside: bool) -> None:
    """Alone, and in a transaction, where the statement travels with others; executed once, and many times."""
    if inside:
        twins.execute("BEGIN")
    for text in TEXTS:
        twins.execute(f"INSERT INTO t(x) VALUES ('{text}')")
        twins.execute(f"INSERT INTO t(x) VALUES ('{text}')", ())
        twins.execute(f"INSERT INTO t(x) VALUES ('{text}')", {})
        twins.execute("INSERT INTO t(x) VALUES (?)", (text,))
        twins.execute(f"INSERT INTO t(x, n) VALUES ('{text}', ?)", (1,))
        twins.executemany(f"INSERT INTO t(x) VALUES ('{text}')", [(), (), ()])
        twins.executemany(f"INSERT INTO t(x, n) VALUES ('{text}', ?)", [(1,), (2,), (3,)])
        twins.executemany("INSERT INTO t(x) VALUES (:x)", [{"x": text}, {"x": f"%{text}"}])
        twins.execute(f"SELECT '{text}', x FROM t WHERE x = '{text}'")
    if inside:
        twins.execute("COMMIT")
    twins.all(*CONTENT)


@pytest.mark.parametrize("inside", [False, True])
def test_operators_patterns_and_names(twins: Twins, inside: bool) -> None:
    """Every kind of statement, its description, its errors, and what is there afterwards."""
    if inside:
        twins.execute("BEGIN")
    twins.all(*WITHOUT_PARAMETERS, *CONTENT)
    for sql, parameters in WITH_PARAMETERS:
        twins.execute(sql, parameters)
    if inside:
        twins.execute("COMMIT")
    twins.all(*CONTENT)


def test_a_script(twins: Twins) -> None:
    """Each of its statements goes without parameters."""
    script = ";".join(f"INSERT INTO t(x, n) VALUES ('{text}', 7 % 4)" for text in TEXTS)
    script += '; DELETE FROM "a%b" WHERE "c%d" LIKE \'1%\''
    twins.both(lambda connection: connection.executescript(script).rowcount)
    twins.all(*CONTENT)


def test_a_savepoint(twins: Twins) -> None:
    """Its name is the application's own."""
    twins.all('SAVEPOINT "s%s"', "INSERT INTO t(x) VALUES ('1%')", 'ROLLBACK TO "s%s"', 'RELEASE "s%s"', *CONTENT)


def test_what_is_made_on_postgresql(twins: Twins) -> None:
    """Tables, indexes and views whose definitions hold one, and what is written through them."""
    twins.all(
        "CREATE TABLE \"c%s\"(x TEXT DEFAULT '5%', \"%n\" INTEGER, CHECK (x LIKE 'a%' OR x LIKE '5%'))",
        'CREATE UNIQUE INDEX "u%s" ON "c%s"("%n" % 5) WHERE x LIKE \'a%\'',
        'CREATE VIEW "made%" AS SELECT "%n" % 2 AS "odd%", x || \'%s\' FROM "c%s"',
        'INSERT INTO "c%s"("%n") VALUES (3)',
        "INSERT INTO \"c%s\" VALUES ('a%', 4)",
        "INSERT INTO \"c%s\" VALUES ('a%%', 9)",
        "INSERT INTO \"c%s\" VALUES ('b', 5)",
        'SELECT * FROM "made%" ORDER BY 1',
        'SELECT * FROM "c%s" ORDER BY 2',
        'DROP VIEW "made%"',
        'DROP INDEX "u%s"',
        'DROP TABLE "c%s"',
    )


def test_what_is_carried_there_and_back(database: Path, target_dsn: str) -> None:
    """Objects made while SQLite is the authority are followed, their rows relayed, and both come back alike."""
    twins = Twins(database, target_dsn, SCHEMA, phase=Phase.DUAL_WRITE, isolation_level=None)
    content = ('SELECT * FROM "lv%s" ORDER BY 1, 2', 'SELECT * FROM "late%s" ORDER BY 2', *CONTENT)
    twins.all(
        "CREATE TABLE \"late%s\"(x TEXT DEFAULT '5%', \"%n\" INTEGER, CHECK (x LIKE 'a%' OR x LIKE '5%'))",
        'CREATE INDEX "l%s" ON "late%s"("%n" % 5) WHERE x LIKE \'a%\'',
        'CREATE VIEW "lv%s" AS SELECT "%n" % 2 AS "odd%", x || \'%s\' AS y FROM "late%s"',
        'INSERT INTO "late%s"("%n") VALUES (3)',
        "INSERT INTO \"late%s\" VALUES ('a%', 4)",
        *content,
    )
    advance(str(database), Phase.POSTGRES, observer=unheard)
    twins.all(
        "INSERT INTO \"late%s\" VALUES ('a%s', 5)",
        'INSERT INTO "late%s"("%n") VALUES (7)',
        "INSERT INTO \"late%s\" VALUES ('b', 5)",
        *content,
    )
    rollback(str(database), observer=unheard)
    twins.all("INSERT INTO \"late%s\"(rowid, x) VALUES (20, 'a%%')", *content)
    twins.close()
