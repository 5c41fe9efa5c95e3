"""Columns whose values are of several classes: handed on, tested for NULL and counted, and refused everywhere else."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.generators.scratch import scratch

from dualdb.core.schema import Affinity, TargetType
from dualdb.core.statement import Decoder
from dualdb.core.translate import Refused, translate
from dualdb.core.translate.ddl import target_ddl
from dualdb.stores.catalog import read_schema

if TYPE_CHECKING:
    from dualdb.core.schema import Schema

SETUP = (
    "CREATE TABLE t(id INTEGER PRIMARY KEY, dim INTEGER DEFAULT '7', x DEFAULT x'00', n INTEGER)",
    "INSERT INTO t VALUES (1, x'00', 1, 1), (2, 3, 'text', 2)",
    "CREATE TABLE other(id INTEGER PRIMARY KEY, dim INTEGER, x TEXT)",
    "INSERT INTO other VALUES (1, x'00', x'00'), (2, 3, 'text')",
    "CREATE VIEW shown AS SELECT id, dim AS d FROM t WHERE dim IS NOT NULL",
)


@pytest.fixture(scope="module")
def schema() -> Schema:
    """Both tables have such columns, of three affinities."""
    return schema_of(*SETUP)


def schema_of(*setup: str) -> Schema:
    """The schema of a database made so."""
    with closing(scratch(*setup)) as connection:
        return read_schema(connection)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT dim FROM t", 'SELECT "t"."dim" FROM "public"."t"'),
        ("SELECT id FROM t WHERE dim IS NULL", '("t"."dim" IS NULL)'),
        ("SELECT id FROM t WHERE (dim) IS NOT NULL", '("t"."dim" IS NULL)'),
        ("SELECT dim AS d FROM t WHERE d ISNULL", '("t"."dim" IS NULL)'),
        ("SELECT count(dim) FROM t", 'count("t"."dim")'),
        ("SELECT * FROM shown", '"shown"."d"'),
        ("SELECT (SELECT dim FROM t WHERE id = 1), id FROM other", '(SELECT "t"."dim"'),
        ("WITH a AS (SELECT * FROM t) SELECT x FROM a", '"a"."x"'),
        ("INSERT INTO t(dim) VALUES (5)", "'\\x010000000000000005'::bytea"),
        ("INSERT INTO t(dim) VALUES ('5')", "'\\x010000000000000005'::bytea"),
        ("INSERT INTO t(dim) VALUES (-1.5)", "'\\x02bff8000000000000'::bytea"),
        ("INSERT INTO t(x) VALUES ('5')", "'\\x0335'::bytea"),
        ("INSERT INTO t(x) VALUES (x'05')", "'\\x0405'::bytea"),
        ("INSERT INTO t(dim) VALUES (NULL)", "NULL::bytea"),
        ("UPDATE t SET dim = 'é', x = 1", "\"dim\" = '\\x03c3a9'::bytea, \"x\" = '\\x010000000000000001'::bytea"),
        ("UPDATE t SET x = dim", '"x" = "t"."dim"'),
        ("INSERT INTO t(id, dim, x) SELECT id, dim, x FROM other ORDER BY id", '"_row"."2", "_row"."3"'),
        ("INSERT INTO t(id, dim) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET dim = excluded.dim", '"excluded"."dim"'),
        ("DELETE FROM t WHERE dim IS NULL RETURNING x", 'RETURNING "t"."x"'),
        ("SELECT id, dim FROM t GROUP BY id", 'GROUP BY "t"."id"'),
        ("SELECT DISTINCT id FROM t WHERE EXISTS (SELECT dim FROM other)", "EXISTS (SELECT"),
    ],
)
def test_what_hands_the_value_on(schema: Schema, sql: str, text: str) -> None:
    """The encoded value is selected, stored, counted or found to be NULL; a literal is encoded in its class."""
    assert any(text in step.sql for step in translate(sql, schema).steps), translate(sql, schema).steps


def test_the_driver_is_told(schema: Schema) -> None:
    """Results are decoded, also through views; parameters have the affinity applied and are encoded."""
    for sql in ("SELECT dim FROM t", "SELECT d FROM shown", "UPDATE t SET dim = NULL RETURNING dim"):
        (column,) = translate(sql, schema).columns or ()
        assert (column.decoder, column.decltype) == (Decoder.ANY, "INTEGER")
    (parameter,) = translate("UPDATE t SET dim = ?", schema).steps[0].parameters
    assert (parameter.affinity, parameter.stored) == (Affinity.INTEGER, TargetType.ANY)


REFUSED = (
    *(
        "dim = 3",
        "dim <> x",
        "3 < dim",
        "dim = ?",
        "dim IS 3",
        "dim BETWEEN 1 AND 2",
        "dim IN (1, 2)",
        "dim",
        "NOT dim",
    ),
    *(
        "1 IN (SELECT dim FROM t)",
        "dim IN (SELECT n FROM t)",
        "dim LIKE 'a%'",
        "n = (SELECT dim FROM t)",
        "dim IS TRUE",
    ),
    *("dim + 1", "-dim", "dim || 'a'", "dim & 1", "dim COLLATE NOCASE", "CAST(dim AS TEXT)", "+dim"),
    *("abs(dim)", "length(dim)", "typeof(dim)", "coalesce(dim, 1)", "ifnull(1, dim)", "nullif(dim, 1)", "hex(x)"),
    *("CASE WHEN n THEN dim END", "CASE dim WHEN 1 THEN 2 END", "iif(n, dim, 1)", "max(dim, 1)", "likely(dim)"),
)


@pytest.mark.parametrize("expression", REFUSED)
@pytest.mark.parametrize("sql", ["SELECT id FROM t WHERE {}", "SELECT {} AS a FROM t", "UPDATE t SET n = {}"])
def test_an_expression_over_it_is_refused(schema: Schema, sql: str, expression: str) -> None:
    """Wherever the expression stands; but for the column itself as a result."""
    if (sql, expression) == ("SELECT {} AS a FROM t", "dim"):
        return
    with pytest.raises(Refused):
        translate(sql.format(expression), schema)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT dim FROM t ORDER BY dim",
        "SELECT dim FROM t ORDER BY 1",
        "SELECT dim AS d FROM t ORDER BY d DESC",
        "SELECT DISTINCT dim FROM t",
        "SELECT DISTINCT * FROM t",
        "SELECT dim FROM t GROUP BY dim",
        "SELECT dim, count(*) FROM t GROUP BY 1",
        "SELECT dim FROM t UNION ALL SELECT dim FROM other",
        "SELECT dim FROM t UNION SELECT NULL",
        "SELECT NULL UNION ALL SELECT dim FROM t",
        "SELECT * FROM t JOIN other USING (dim)",
        "SELECT * FROM t NATURAL JOIN other",
        "SELECT * FROM t JOIN other ON t.dim = other.dim",
        *(f"SELECT {name}(dim) FROM t" for name in ("min", "max", "sum", "avg", "total", "group_concat")),
        "SELECT count(DISTINCT dim) FROM t",
        "SELECT n FROM t GROUP BY n HAVING max(dim) > 1",
        "SELECT d FROM shown WHERE d = 3",
        "INSERT INTO t(dim) SELECT x FROM other ORDER BY id",
        "INSERT INTO t(dim) SELECT n FROM t ORDER BY id",
        "INSERT INTO t(n) SELECT dim FROM t ORDER BY id",
        "UPDATE t SET dim = n",
        "UPDATE t SET dim = n + 1",
        "UPDATE t SET dim = x",
        "UPDATE t SET n = dim",
        "UPDATE t SET dim = CURRENT_TIMESTAMP",
    ],
)
def test_what_would_look_at_the_value_is_refused(schema: Schema, sql: str) -> None:
    """Order, equality and computing depend on each value's class."""
    with pytest.raises(Refused):
        translate(sql, schema)


def test_a_refusal_names_the_column_and_what_to_do(schema: Schema) -> None:
    """The column, how to see its classes, how to convert them."""
    with pytest.raises(Refused) as refused:
        translate("SELECT id FROM t WHERE dim > 2", schema)
    assert str(refused.value) == (
        "the column t.dim here is not translated to PostgreSQL: its values are of several classes"
        " (SELECT DISTINCT typeof(dim) FROM t), PostgreSQL's of one; go back to phase sqlite, convert the odd ones"
        " (UPDATE t SET dim = … WHERE typeof(dim) NOT IN ('integer', 'null')), and advance"
    )


@pytest.mark.parametrize(
    ("decltype", "kept"),
    [
        ("INT", "'integer', 'null'"),
        ("REAL", "'real', 'null'"),
        ("VARCHAR(3)", "'text', 'null'"),
        ("DECIMAL(10, 2)", "'integer', 'real', 'null'"),
        ("CASH", "'integer', 'real', 'null'"),
        ("BOOLEAN", "'integer', 'null'"),
        ("DATE", "'text', 'null'"),
        ("BLOB", "'blob', 'null'"),
        ("", "'…', 'null'"),
    ],
)
def test_the_classes_to_keep_are_those_that_the_column_declares(decltype: str, kept: str) -> None:
    """Once the others are converted the column is stored as one type; NULLs are left alone."""
    made = f"CREATE TABLE t(a {decltype})"
    odd = "INSERT INTO t VALUES (x'00'), ('x'), (1), (1.5)"
    with pytest.raises(Refused, match=re.escape(f"typeof(a) NOT IN ({kept})), and advance")):
        translate("SELECT a + 1 FROM t", schema_of(made, odd))
    one = {"integer": "1", "real": "1.5", "text": "'x'", "blob": "x'00'"}[kept.split("'")[1].replace("…", "text")]
    again = schema_of(made, odd, f"UPDATE t SET a = {one} WHERE typeof(a) NOT IN ({kept.replace('…', 'text')})")
    assert again.table("t").column("a").stored is not TargetType.ANY


def test_the_table_is_made_with_encoded_defaults(schema: Schema) -> None:
    """The columns are bytea, a literal default has its affinity applied, and the view is there."""
    ddl = target_ddl(schema, "public")
    assert ddl.refusals == ()
    create = ddl.tables["t"].create
    assert "\"dim\" bytea DEFAULT '\\x010000000000000007'::bytea" in create
    assert "\"x\" bytea DEFAULT '\\x0400'::bytea" in create
    assert "shown" in ddl.views


@pytest.mark.parametrize(
    ("definition", "refused"),
    [
        ("CREATE INDEX i ON t(dim)", ["index i"]),
        ("CREATE INDEX i ON t(n, dim DESC)", ["index i"]),
        ("CREATE INDEX i ON t(abs(dim))", ["index i"]),
        ("CREATE INDEX i ON t(n) WHERE dim > 1", ["index i"]),
        ("CREATE INDEX i ON t(n) WHERE dim IS NOT NULL", []),
        ("CREATE VIEW v AS SELECT dim FROM t", []),
        ("CREATE VIEW v AS SELECT n FROM t ORDER BY dim", ["view v"]),
        ("CREATE TABLE c(a INTEGER CHECK (a IS NOT NULL OR b IS NULL), b)", []),
        ("CREATE TABLE c(a INTEGER CHECK (a > 0), b)", ["check of c"]),
        ("CREATE TABLE c(a INTEGER DEFAULT CURRENT_TIMESTAMP, b)", ["default of c.a"]),
        ("CREATE TABLE c(a INTEGER, b, g AS (a + 1))", ["generated column c.g"]),
    ],
)
def test_definitions_that_look_at_the_value_are_left_out(definition: str, refused: list[str]) -> None:
    """They block phase postgres, and the tables are made all the same."""
    values = ["INSERT INTO c(a, b) VALUES (1, 2), ('x', NULL)"] if "TABLE" in definition else []
    ddl = target_ddl(schema_of(*SETUP, definition, *values), "public")
    assert [what for what, _ in ddl.refusals] == refused
