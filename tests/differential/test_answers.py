"""Statements over columns of every class, whose answers must be SQLite's own to the bit."""

# ruff: noqa: E501 - a statement stands on one line

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dualdb.core.schema import TargetType
from tests.differential.twins import twins_of

if TYPE_CHECKING:
    import psycopg

    from tests.differential.twins import Twins

SCRIPT = """
CREATE TABLE job (
  id INTEGER PRIMARY KEY, name TEXT, mixed VARCHAR(10) COLLATE NOCASE, n INTEGER, r REAL, d DECIMAL(10, 2), flag BOOLEAN,
  made TIMESTAMP, raw BLOB, needed TEXT NOT NULL DEFAULT 'none', CHECK (n < 1000000)
);
INSERT INTO job (id, name, mixed, n, r, d, flag, made, raw) VALUES
 (1, 'alpha', 'Abc', 7, 0.1, 1, 1, '2024-01-01 10:00:00', x'00ff'),
 (2, 'Beta', 'aBC', -7, 0.2, 2.5, 0, '2024-01-02 10:00:00', x''),
 (3, NULL, 'abd', NULL, NULL, NULL, NULL, NULL, NULL),
 (4, '', '', 0, -0.0, 0, 0, '', x'6162'),
 (5, 'straße', 'ÄB', 9, 1e100, -3.25, 1, '2023-12-31', x'10'),
 (6, 'a_b%c', 'äb', 2, 3.0, 100, 1, 'x', NULL),
 (7, '10', '9', 10, 2.5, 1000000, 0, 'now', NULL),
 (8, 'alpha', 'ABC', 7, 0.30000000000000004, 0.5, 1, '2024-01-01 10:00:00', x'00ff');
CREATE TABLE part (job_id INTEGER NOT NULL, position INTEGER NOT NULL, label TEXT, weight REAL,
  PRIMARY KEY (job_id, position)) WITHOUT ROWID;
INSERT INTO part VALUES (1, 1, 'x', 0.1), (1, 2, 'y', 0.7), (2, 1, 'z', NULL), (9, 1, NULL, 1e16), (9, 2, 'q', 1.0), (9, 3, 'p', -1e16);
CREATE TABLE loose (a INTEGER, b TEXT, UNIQUE (a, b));
INSERT INTO loose VALUES (1, 'one'), (NULL, 'none'), (NULL, 'none'), (2, NULL), (3, 'three');
CREATE INDEX job_name ON job (name);
CREATE INDEX job_n ON job (n DESC);
CREATE VIEW per_job AS SELECT j.id, j.name, count(p.position) AS parts, sum(p.weight) total FROM job j
  LEFT JOIN part p ON p.job_id = j.id GROUP BY j.id;
CREATE VIEW flagged AS SELECT * FROM job WHERE flag ORDER BY n DESC;
CREATE VIEW nested (job, "how many") AS SELECT id, parts + 1 FROM per_job WHERE parts > 0;
"""

READS = [
    "SELECT * FROM job ORDER BY id",
    "SELECT j.*, rowid FROM job AS j ORDER BY oid DESC",
    "SELECT rowid, * FROM loose ORDER BY rowid",
    "SELECT * FROM loose",
    "SELECT * FROM part ORDER BY position, job_id",
    "SELECT ID, Name FROM JOB ORDER BY iD",
    'SELECT "id", [name], `n` FROM "job" ORDER BY 1',
    'SELECT id FROM job WHERE name = "alpha" ORDER BY id',
    "SELECT id, name x, name AS 'y' FROM job ORDER BY x, id",
    "SELECT id FROM main.job ORDER BY id",
    # Conditions
    "SELECT id FROM job WHERE n ORDER BY id",
    "SELECT id FROM job WHERE NOT n ORDER BY id",
    "SELECT id FROM job WHERE r ORDER BY id",
    "SELECT id FROM job WHERE flag AND n > 1 OR name IS NULL ORDER BY id",
    "SELECT id, n > 1, n = 7 AND r < 1, NOT flag, n IS NULL, n IS NOT NULL, n IS 7, n IS NOT 7 FROM job ORDER BY id",
    "SELECT id, flag IS TRUE, flag IS FALSE, flag IS NOT TRUE, TRUE, FALSE FROM job ORDER BY id",
    "SELECT id, n IS NULL = 1 FROM job ORDER BY id",
    "SELECT id, n ISNULL, n NOTNULL, n NOT NULL FROM job ORDER BY id",
    "SELECT id FROM job WHERE n = '7' ORDER BY id",
    "SELECT id FROM job WHERE n = 7.0 ORDER BY id",
    "SELECT id FROM job WHERE n > 6.5 ORDER BY id",
    "SELECT id FROM job WHERE n < -6.999 ORDER BY id",
    "SELECT id FROM job WHERE r > 0 ORDER BY id",
    "SELECT id FROM job WHERE r = '0.1' ORDER BY id",
    "SELECT id FROM job WHERE r = 0.1 + 0.2 ORDER BY id",
    "SELECT id FROM job WHERE name = 10 ORDER BY id",
    "SELECT id FROM job WHERE name > 'a' ORDER BY id",
    "SELECT id FROM job WHERE n > r ORDER BY id",
    "SELECT id FROM job WHERE r <= n ORDER BY id",
    "SELECT id FROM job WHERE d = n ORDER BY id",
    "SELECT id FROM job WHERE d > 2 ORDER BY id",
    "SELECT id FROM job WHERE d IN (1, 2.5, '100') ORDER BY id",
    "SELECT id FROM job WHERE n BETWEEN 0 AND '9' ORDER BY id",
    "SELECT id FROM job WHERE n NOT BETWEEN 0 AND 8.5 ORDER BY id",
    "SELECT id FROM job WHERE n IN (7, 9, 2.0, NULL) ORDER BY id",
    "SELECT id FROM job WHERE n NOT IN (7, 9) ORDER BY id",
    "SELECT id FROM job WHERE n NOT IN (7, NULL) ORDER BY id",
    "SELECT id FROM job WHERE name IN ('alpha', 'Beta', 10) ORDER BY id",
    "SELECT id FROM job WHERE n IN () ORDER BY id",
    "SELECT id FROM job WHERE raw = x'00ff' ORDER BY id",
    "SELECT id FROM job WHERE made >= '2024-01-01 10:00:00' ORDER BY id",
    "SELECT id FROM job WHERE made < CURRENT_TIMESTAMP ORDER BY id",
    "SELECT id FROM job WHERE n = (SELECT max(n) FROM job) ORDER BY id",
    "SELECT id FROM job WHERE (n = 7) = flag ORDER BY id",
    # Collations and LIKE
    "SELECT id FROM job WHERE mixed = 'ABC' ORDER BY id",
    "SELECT id FROM job WHERE 'ABC' = mixed ORDER BY id",
    "SELECT id FROM job WHERE mixed = 'äB' ORDER BY id",
    "SELECT id FROM job WHERE mixed > 'abc' ORDER BY id",
    "SELECT id FROM job WHERE mixed IN ('ABC', '9') ORDER BY id",
    "SELECT id FROM job WHERE name COLLATE NOCASE = 'ALPHA' ORDER BY id",
    "SELECT id FROM job WHERE mixed = 'ABC' COLLATE BINARY ORDER BY id",
    "SELECT id FROM job WHERE name = 'alpha  ' COLLATE RTRIM ORDER BY id",
    "SELECT id, mixed FROM job ORDER BY mixed, id",
    "SELECT id, name FROM job ORDER BY name COLLATE NOCASE DESC, id",
    "SELECT id, name FROM job ORDER BY name, id",
    "SELECT id FROM job WHERE name LIKE 'A%' ORDER BY id",
    "SELECT id FROM job WHERE name LIKE 'a_b%c' ORDER BY id",
    "SELECT id FROM job WHERE name LIKE 'a!_b!%c' ESCAPE '!' ORDER BY id",
    "SELECT id FROM job WHERE name NOT LIKE '%A%' ORDER BY id",
    "SELECT id FROM job WHERE name LIKE 'STRASSE' OR name LIKE 'STRA_E' ORDER BY id",
    "SELECT id FROM job WHERE mixed LIKE 'äB' ORDER BY id",
    "SELECT id FROM job WHERE name LIKE '%\\%' ORDER BY id",
    "SELECT id FROM job WHERE n LIKE '1%' ORDER BY id",
    "SELECT id FROM job WHERE name GLOB 'a*' ORDER BY id",
    "SELECT id FROM job WHERE name GLOB '[A-B]*' OR name NOT GLOB '*[^a-z]*' ORDER BY id",
    "SELECT id FROM job WHERE name GLOB '?_?%?' ORDER BY id",
    "SELECT count(DISTINCT mixed), count(DISTINCT name) FROM job",
    # Arithmetic
    "SELECT id, n + 1, n - 2, n * 3, n / 2, n % 2, -n, +1, n / 0, n % 0, 7 / 2 FROM job ORDER BY id",
    "SELECT id, r + 1, r - n, r * 2, r / 3, r / 0, n / 2.0, n * 1.5, 1 / r, -r FROM job ORDER BY id",
    "SELECT id, n & 3, n | 8, ~n FROM job ORDER BY id",
    "SELECT 9223372036854775807 - n, -9223372036854775808 FROM job WHERE n > 0 ORDER BY id",
    "SELECT id, name || '-' || n, n || '', name || NULL FROM job ORDER BY id",
    "SELECT id, abs(n), abs(r), abs(-5) FROM job ORDER BY id",
    "SELECT id, round(r), round(r, 1), round(n), round(d, 1), round(r, -1) FROM job ORDER BY id",
    # Functions
    "SELECT id, length(name), length(raw), length(n), lower(name), upper(name) FROM job ORDER BY id",
    "SELECT id, trim('  ' || name || ' '), ltrim(name, 'a'), rtrim(name, 'ac'), replace(name, 'a', 'bb') FROM job ORDER BY id",
    "SELECT id, instr(name, 'a'), instr(name, ''), unicode(name), hex(raw), typeof(n), typeof(r), typeof(name) FROM job ORDER BY id",
    "SELECT id, coalesce(n, -1), ifnull(name, 'no'), nullif(n, 7), iif(n > 5, 'big', 'small'), likely(n) FROM job ORDER BY id",
    "SELECT id, CASE WHEN n > 5 THEN 'big' WHEN n IS NULL THEN NULL ELSE 'small' END FROM job ORDER BY id",
    "SELECT id, CASE n WHEN 7 THEN 1 WHEN '9' THEN 2 END, CASE WHEN flag THEN r END FROM job ORDER BY id",
    "SELECT id, CAST(r AS INTEGER), CAST(n AS TEXT), CAST(n AS REAL), CAST(name AS INTEGER), CAST(n AS INTEGER) FROM job ORDER BY id",
    "SELECT id, substr(name, 2), substr(name, -2), substr(name, 2, 2), substr(name, -3, 2), substr(name, 0, 3) FROM job ORDER BY id",
    "SELECT id, substr(name, 3, -2), substr(name, -1, -2), substr(name, -9, 3), substr(name, n, n) FROM job ORDER BY id",
    # Aggregates
    "SELECT count(*), count(n), count(DISTINCT n), sum(n), avg(n), total(n), min(n), max(n) FROM job",
    "SELECT sum(r), avg(r), total(r), min(r), max(r) FROM job WHERE id <> 5",
    "SELECT sum(n), avg(n), total(n), min(name), max(name), count(*) FROM job WHERE id > 100",
    "SELECT min(name), max(name), min(d), max(d), avg(d), total(d), max(made) FROM job",
    "SELECT name, count(*), sum(n) FROM job GROUP BY name ORDER BY name",
    "SELECT flag, avg(r), total(r) FROM job GROUP BY flag ORDER BY flag",
    "SELECT n % 2 AS odd, count(*) FROM job GROUP BY odd ORDER BY odd",
    "SELECT n % 2, count(*) FROM job GROUP BY n % 2 ORDER BY 1",
    "SELECT n % 2, count(*) FROM job GROUP BY 1 HAVING count(*) > 1 ORDER BY 2, 1",
    "SELECT count(*) FILTER (WHERE n > 5), max(n) FILTER (WHERE flag) FROM job",
    "SELECT job_id, sum(weight), total(weight), avg(weight) FROM part GROUP BY job_id ORDER BY job_id",
    "SELECT sum(weight) FROM part WHERE job_id = 9",
    "SELECT group_concat(label), group_concat(position, '-') FROM part WHERE job_id = 9",
    "SELECT DISTINCT name FROM job ORDER BY name",
    "SELECT DISTINCT n, flag FROM job ORDER BY 1, 2",
    # Joins and subqueries
    "SELECT j.id, p.label FROM job j JOIN part p ON p.job_id = j.id ORDER BY j.id, p.position",
    "SELECT j.id, p.label FROM job j LEFT JOIN part p ON p.job_id = j.id AND p.weight > 0.5 ORDER BY j.id, p.position",
    "SELECT j.id, p.label FROM job j, part p WHERE p.job_id = j.id ORDER BY j.id, p.position",
    "SELECT j.id, count(p.position) c FROM job j LEFT JOIN part p ON p.job_id = j.id GROUP BY j.id ORDER BY c DESC, j.id",
    "SELECT j.name, j.n, count(*) FROM job j, loose l GROUP BY j.id ORDER BY j.id",
    "SELECT a.id, b.id FROM job a JOIN job b USING (n) ORDER BY a.id, b.id",
    "SELECT * FROM (SELECT id, n FROM job) x NATURAL JOIN (SELECT n, count(*) AS c FROM job GROUP BY n) y ORDER BY id",
    "SELECT x.total FROM (SELECT n, sum(r) AS total FROM job GROUP BY n) AS x WHERE x.n = 7",
    "SELECT id FROM job WHERE id IN (SELECT job_id FROM part WHERE weight IS NOT NULL) ORDER BY id",
    "SELECT id FROM job WHERE id NOT IN (SELECT job_id FROM part) ORDER BY id",
    "SELECT id, (SELECT count(*) FROM part p WHERE p.job_id = job.id) AS c FROM job ORDER BY c DESC, id",
    "SELECT id FROM job j WHERE EXISTS (SELECT 1 FROM part WHERE job_id = j.id) ORDER BY id",
    "SELECT id FROM job j WHERE NOT EXISTS (SELECT 1 FROM part WHERE job_id = j.id) ORDER BY id DESC",
    "WITH big AS (SELECT id, n FROM job WHERE n > 5) SELECT count(*), sum(n) FROM big",
    "WITH a(x) AS (SELECT id FROM job), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a JOIN b ON x = y ORDER BY x",
    "SELECT id FROM job WHERE n = 7 UNION SELECT job_id FROM part ORDER BY 1",
    "SELECT id FROM job UNION ALL SELECT job_id FROM part ORDER BY id DESC LIMIT 5",
    "SELECT id FROM job INTERSECT SELECT job_id FROM part",
    "SELECT id FROM job EXCEPT SELECT job_id FROM part",
    "SELECT name FROM job UNION SELECT label FROM part ORDER BY name",
    # Views
    "SELECT * FROM per_job ORDER BY id",
    "SELECT * FROM flagged",
    "SELECT name, parts FROM per_job WHERE parts >= 1 ORDER BY parts DESC, id",
    "SELECT * FROM nested ORDER BY job",
    'SELECT "how many" FROM nested ORDER BY "how many", job',
    "SELECT count(*), max(parts) FROM per_job",
    # ORDER BY and LIMIT
    "SELECT id FROM job ORDER BY n, id",
    "SELECT id FROM job ORDER BY n DESC, id DESC",
    "SELECT id FROM job ORDER BY n NULLS LAST, id",
    "SELECT id FROM job ORDER BY n DESC NULLS FIRST, id",
    "SELECT id, n * 2 AS id2 FROM job ORDER BY id2, id",
    "SELECT id AS n FROM job ORDER BY n",
    "SELECT n AS id FROM job ORDER BY id, name, job.id",
    "SELECT id FROM job ORDER BY r * -1, id",
    "SELECT id FROM job ORDER BY id LIMIT 2 OFFSET 1",
    "SELECT id FROM job ORDER BY id LIMIT 3, 2",
    "SELECT id FROM job ORDER BY id LIMIT -1 OFFSET 6",
    "SELECT id FROM job ORDER BY id LIMIT 2 OFFSET -5",
    "SELECT id FROM job ORDER BY id LIMIT 0",
    "SELECT n AS m FROM job WHERE m > 5 ORDER BY m, id",
    "SELECT 1, 'a', 1.5, NULL, x'00', -1 FROM job WHERE id = 1",
]

PARAMETERS: list[tuple[str, Any]] = [
    ("SELECT id FROM job WHERE n = ? ORDER BY id", (7,)),
    ("SELECT id FROM job WHERE n = ? ORDER BY id", ("7",)),
    ("SELECT id FROM job WHERE n = ? ORDER BY id", (7.0,)),
    ("SELECT id FROM job WHERE n = ? ORDER BY id", (None,)),
    ("SELECT id FROM job WHERE n IS ? ORDER BY id", (None,)),
    ("SELECT id FROM job WHERE flag = ? ORDER BY id", (True,)),
    ("SELECT id FROM job WHERE r > ? ORDER BY id", (0,)),
    ("SELECT id FROM job WHERE r > ? ORDER BY id", ("0.15",)),
    ("SELECT id FROM job WHERE d >= ? ORDER BY id", (2.5,)),
    ("SELECT id FROM job WHERE d = ? ORDER BY id", (100.0,)),
    ("SELECT id FROM job WHERE name = ? ORDER BY id", (10,)),
    ("SELECT id FROM job WHERE name = ?2 OR n = ?1 ORDER BY id", (9, "Beta")),
    ("SELECT id FROM job WHERE name = :name OR n = @n OR id = $id ORDER BY id", {"name": "Beta", "n": 9, "id": 1}),
    ("SELECT id FROM job WHERE n IN (?, ?, 9) ORDER BY id", (7, 2)),
    ("SELECT id FROM job WHERE mixed = ? ORDER BY id", ("ABC",)),
    ("SELECT id FROM job WHERE name LIKE ? ORDER BY id", ("%A%",)),
    ("SELECT id FROM job WHERE name LIKE '%' || name || '%' AND id < ? ORDER BY id", (3,)),
    ("SELECT id FROM job WHERE made BETWEEN ? AND ? ORDER BY id", ("2024-01-01", "2024-12-31")),
    ("SELECT id FROM job WHERE raw = ? ORDER BY id", (b"\x00\xff",)),
    ("SELECT id FROM job WHERE length(name) = ? ORDER BY id", (5,)),
    ("SELECT id FROM job WHERE lower(name) = ? ORDER BY id", ("beta",)),
    ("SELECT name, count(*) FROM job GROUP BY name HAVING count(*) > ? ORDER BY name", (1,)),
    ("SELECT id FROM job ORDER BY id LIMIT ? OFFSET ?", (3, 2)),
    ("SELECT id FROM job ORDER BY id LIMIT ?1 OFFSET ?2", (-1, -1)),
    ("SELECT id, coalesce(n, ?) FROM job ORDER BY id", (1,)),
]

HINTED: list[tuple[str, Any, dict[int | str, TargetType]]] = [
    ("SELECT id FROM job WHERE n > ? ORDER BY id", (6.5,), {0: TargetType.DOUBLE}),
    ("SELECT id, ? || name FROM job ORDER BY id", ("x",), {0: TargetType.TEXT}),
    ("SELECT id, ? FROM job ORDER BY id", (1.5,), {0: TargetType.DOUBLE}),
    ("SELECT id, n * ? FROM job ORDER BY id", (0.1,), {0: TargetType.DOUBLE}),
    ("SELECT id FROM job WHERE round(r, 1) = ? ORDER BY id", (3,), {0: TargetType.BIGINT}),
    ("SELECT id FROM job WHERE length(name) > ? ORDER BY id", (2.5,), {0: TargetType.DOUBLE}),
]


@pytest.fixture
def twins(target: psycopg.Connection[Any]) -> Twins:
    """The jobs in both engines."""
    return twins_of(SCRIPT, target, "app")


def test_nothing_of_the_schema_is_left_out(twins: Twins) -> None:
    """The schema of these tests is translated whole."""
    assert twins.refusals == ()


def test_reads(twins: Twins) -> None:
    """A query gives the same values of the same types, in the same order where it names one."""
    assert _different(twins, [(sql, ()) for sql in READS]) == []


@pytest.mark.filterwarnings("ignore:Binding:DeprecationWarning")
def test_parameters(twins: Twins) -> None:
    """A bound value is compared and converted as SQLite does."""
    assert _different(twins, PARAMETERS) == []


def test_hints(twins: Twins) -> None:
    """Where the context does not type a parameter, the class of its value does."""
    for sql, values, hints in HINTED:
        twins.compare(sql, values, hints=hints)


def _different(twins: Twins, cases: list[tuple[str, Any]]) -> list[str]:
    found = []
    for sql, values in cases:
        try:
            twins.compare(sql, values)
        except Exception as exc:  # noqa: BLE001 - each statement is told, whatever went wrong with it
            found.append(f"{sql} {values}: {type(exc).__name__}: {exc}")
    return found
