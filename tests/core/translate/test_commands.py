"""Statements without a query: transactions, DDL, PRAGMAs, and what the catalog database answers."""

from __future__ import annotations

import pytest

from dualdb.core.schema import Affinity, Column, Key, KeyKind, Schema, Table, TargetType
from dualdb.core.statement import Kind
from dualdb.core.translate import translate

COLUMN = Column(name="id", decltype="INTEGER", affinity=Affinity.INTEGER, stored=TargetType.BIGINT)
TABLE = Table(
    id=1, name="t", sql="", columns=(COLUMN,), key=Key(kind=KeyKind.INTEGER_PRIMARY_KEY, columns=("id",))
)  # fmt: skip
SCHEMA = Schema(tables={"t": TABLE})


@pytest.mark.parametrize(
    ("sql", "verb", "name"),
    [
        ("BEGIN", "BEGIN", None),
        ("begin transaction;", "BEGIN", None),
        ("BEGIN DEFERRED", "BEGIN", "DEFERRED"),
        ("Begin Immediate Transaction", "BEGIN", "IMMEDIATE"),
        ("BEGIN EXCLUSIVE", "BEGIN", "EXCLUSIVE"),
        ("COMMIT", "COMMIT", None),
        ("/* x */ commit transaction", "COMMIT", None),
        ("END", "COMMIT", None),
        ("END TRANSACTION", "COMMIT", None),
        ("ROLLBACK", "ROLLBACK", None),
        ("ROLLBACK TRANSACTION", "ROLLBACK", None),
        ("ROLLBACK TO s", "ROLLBACK", "s"),
        ("ROLLBACK TRANSACTION TO SAVEPOINT s", "ROLLBACK", "s"),
        ('rollback to "a b"', "ROLLBACK", "a b"),
        ("ROLLBACK TO SAVEPOINT savepoint", "ROLLBACK", "savepoint"),
        ("SAVEPOINT s -- here", "SAVEPOINT", "s"),
        ("RELEASE s", "RELEASE", "s"),
        ("RELEASE SAVEPOINT [a b]", "RELEASE", "a b"),
    ],
)
def test_transactions(sql: str, verb: str, name: str | None) -> None:
    """Every spelling of a transaction's statements is known."""
    plan = translate(sql, SCHEMA)
    assert (plan.kind, plan.verb, plan.name) == (Kind.TRANSACTION, verb, name)


@pytest.mark.parametrize(
    ("sql", "verb", "kind", "name", "if_exists"),
    [
        ("CREATE TABLE x (a)", "CREATE", "table", "x", False),
        ("create table if not exists main.[x y] (a)", "CREATE", "table", "x y", True),
        ("CREATE UNIQUE INDEX IF NOT EXISTS i ON t (id)", "CREATE", "index", "i", True),
        ("CREATE INDEX i ON t (id)", "CREATE", "index", "i", False),
        ('CREATE VIEW "v" AS SELECT 1', "CREATE", "view", "v", False),
        ("DROP TABLE x", "DROP", "table", "x", False),
        ("DROP TABLE IF EXISTS main.x", "DROP", "table", "x", True),
        ("DROP INDEX i", "DROP", "index", "i", False),
        ("DROP VIEW v;", "DROP", "view", "v", False),
    ],
)
def test_ddl(sql: str, verb: str, kind: str, name: str, if_exists: bool) -> None:
    """What is created or dropped is named; the statements for it come from the schema."""
    plan = translate(sql, SCHEMA)
    assert (plan.kind, plan.verb, plan.object, plan.name, plan.if_exists) == (Kind.DDL, verb, kind, name, if_exists)
    assert not plan.steps


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM sqlite_master WHERE type = 'table'",
        "SELECT count(*) FROM main.sqlite_schema",
        "SELECT m.name, p.* FROM sqlite_master m JOIN pragma_table_info(m.name) p",
        "SELECT 1",
        "SELECT ?, round(2.5), datetime('now'), sqlite_version()",
        "VALUES (1, 2)",
        "PRAGMA table_info(t)",
        "PRAGMA main.table_xinfo('t')",
        "PRAGMA table_info = t",
        "PRAGMA index_list(t)",
        "PRAGMA foreign_key_list(t)",
        "PRAGMA table_list",
        "PRAGMA user_version",
        "PRAGMA schema_version",
        "PRAGMA synchronous",
        "PRAGMA synchronous = OFF",
        "PRAGMA busy_timeout = 100",
        "PRAGMA main.cache_size = -4000",
        "EXPLAIN QUERY PLAN SELECT id FROM t",
    ],
)
def test_catalog(sql: str) -> None:
    """What reads no row of the application is left to a SQLite: one without rows, or the connection's own part."""
    assert translate(sql, SCHEMA).kind is Kind.CATALOG


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("PRAGMA journal_mode", (("wal",),)),
        ("PRAGMA journal_mode = DELETE", (("wal",),)),
        ("PRAGMA locking_mode = EXCLUSIVE", (("normal",),)),
        ("PRAGMA page_size = 512", ()),
        ("PRAGMA optimize", ()),
        ("VACUUM", ()),
        ("ANALYZE t", ()),
        ("REINDEX", ()),
    ],
)
def test_settings(sql: str, rows: tuple[tuple[int | str, ...], ...]) -> None:
    """A setting of SQLite's storage is answered with what is true and otherwise left alone."""
    plan = translate(sql, SCHEMA)
    assert plan.kind is Kind.PRAGMA
    assert plan.rows == rows
    assert (plan.columns is not None) == bool(rows)


def test_session_functions() -> None:
    """What the session knows is bound by the driver under the function's name."""
    plan = translate("SELECT last_insert_rowid(), changes()", SCHEMA)
    assert [parameter.source for parameter in plan.steps[0].parameters] == ["last_insert_rowid()", "changes()"]


def test_fingerprint() -> None:
    """Literals, parameters, comments, spacing and the length of a list do not count."""
    one = translate("SELECT id FROM t  WHERE id IN (1, 2, 3) -- x", SCHEMA).fingerprint
    assert one == translate("SELECT id FROM t WHERE id IN (?)", SCHEMA).fingerprint
    assert one == "SELECT id FROM t WHERE id IN ( ? )"
    assert one != translate("SELECT id FROM t WHERE id = 1", SCHEMA).fingerprint
