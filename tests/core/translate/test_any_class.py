"""Columns whose values are of several classes: how they are written, read, indexed and made."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.generators.scratch import scratch

from dualdb.core.schema import Affinity, TargetType
from dualdb.core.statement import Decoder
from dualdb.core.translate import translate
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


def test_the_table_is_made_with_encoded_defaults(schema: Schema) -> None:
    """The columns are bytea, a literal default has its affinity applied, and the view is there."""
    ddl = target_ddl(schema, "public")
    assert ddl.refusals == ()
    create = ddl.tables["t"].create
    assert "\"dim\" bytea DEFAULT '\\x010000000000000007'::bytea" in create
    assert "\"x\" bytea DEFAULT '\\x0400'::bytea" in create
    assert "shown" in ddl.views


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ("CREATE INDEX i ON t(dim)", '(sqlite.key("dim") NULLS FIRST)'),
        ("CREATE INDEX i ON t(n, dim DESC)", 'sqlite.key("dim") DESC NULLS LAST)'),
        ("CREATE INDEX i ON t(abs(dim))", 'sqlite.absolute("dim")'),
        ("CREATE INDEX i ON t(n) WHERE dim > 1", 'WHERE (sqlite.key("dim") > sqlite.key(1::bigint))'),
    ],
)
def test_indexes_are_made(definition: str, text: str) -> None:
    """Over keys, which PostgreSQL orders and compares as SQLite does the values."""
    ddl = target_ddl(schema_of(*SETUP, definition), "public")
    assert ddl.refusals == ()
    assert any(text in index for index in ddl.tables["t"].indexes), ddl.tables["t"].indexes


@pytest.mark.parametrize(
    "definition",
    [
        "CREATE VIEW v AS SELECT n FROM t ORDER BY dim",
        "CREATE TABLE c(a INTEGER CHECK (a > 0), b)",
        "CREATE TABLE c(a INTEGER DEFAULT CURRENT_TIMESTAMP, b)",
        "CREATE TABLE c(a INTEGER, b, g AS (typeof(a)))",
    ],
)
def test_nothing_is_left_out(definition: str) -> None:
    """Views, CHECKs, defaults and generated columns that look at such values are made too."""
    values = ["INSERT INTO c(a, b) VALUES (1, 2), ('x', NULL)"] if "TABLE" in definition else []
    assert target_ddl(schema_of(*SETUP, definition, *values), "public").refusals == ()


@pytest.mark.parametrize(
    ("definition", "what"),
    [
        ("CREATE UNIQUE INDEX i ON t(x COLLATE NOCASE)", "index i"),
        ("CREATE INDEX i ON t(length(x))", "index i"),
        ("CREATE INDEX i ON t(n) WHERE x || 'a' > 'b'", "index i"),
        ("CREATE TABLE c(a INTEGER CHECK (length(a) > 0), b)", "check of c"),
        ("CREATE TABLE c(a INTEGER, b, g AS (a + 1))", "generated column c.g"),
    ],
)
def test_what_may_fail_on_a_value_is_left_out(definition: str, what: str) -> None:
    """Else the mirror could not write the row: SQLite takes texts and blobs that PostgreSQL's text cannot hold."""
    values = ["INSERT INTO c(a, b) VALUES (1, 2), ('x', NULL)"] if "TABLE" in definition else []
    refusals = target_ddl(schema_of(*SETUP, definition, *values), "public").refusals
    assert [(name, "it may fail on PostgreSQL" in reason) for name, reason in refusals] == [(what, True)]
