"""Whoever writes to yesterday's authority without dualdb is refused by that database, in every form of statement."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import pytest
from tests.interleavings import oracle

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interleavings.scene import Scene

_ENTRY = "entry (writer, number, part) VALUES ('raw', 1, 0)"
SQLITE_FORMS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "insert": lambda c: c.execute(f"INSERT INTO {_ENTRY}"),
    "insert or ignore": lambda c: c.execute(f"INSERT OR IGNORE INTO {_ENTRY}"),
    "insert or fail": lambda c: c.execute(f"INSERT OR FAIL INTO {_ENTRY}"),
    "insert or replace": lambda c: c.execute("INSERT OR REPLACE INTO tally VALUES ('all', -1)"),
    "replace": lambda c: c.execute("REPLACE INTO tally VALUES ('all', -1)"),
    "insert select": lambda c: c.execute("INSERT INTO remark SELECT writer, number, part FROM entry"),
    "default values": lambda c: c.execute("INSERT INTO remark DEFAULT VALUES"),
    "upsert": lambda c: c.execute("INSERT INTO tally VALUES ('all', 1) ON CONFLICT (name) DO UPDATE SET value = -1"),
    "upsert that does nothing": lambda c: c.execute("INSERT INTO tally VALUES ('new', 1) ON CONFLICT DO NOTHING"),
    "update": lambda c: c.execute("UPDATE tally SET value = -1"),
    "update or ignore": lambda c: c.execute("UPDATE OR IGNORE entry SET part = -1 WHERE number = 5"),
    "update or replace": lambda c: c.execute("UPDATE OR REPLACE entry SET id = 1 WHERE number = 5"),
    "update from": lambda c: c.execute("UPDATE entry SET part = -1 FROM tally WHERE number = 5"),
    "update returning": lambda c: c.execute("UPDATE tally SET value = -1 RETURNING value").fetchall(),
    "delete": lambda c: c.execute("DELETE FROM entry WHERE number = 5"),
    "delete all": lambda c: c.execute("DELETE FROM entry"),
    "delete with": lambda c: c.execute(
        "WITH old AS (SELECT 5 AS n) DELETE FROM entry WHERE number IN (SELECT n FROM old)"
    ),
    "executemany": lambda c: c.executemany("INSERT INTO remark VALUES (?, 1, 0)", [("a",), ("b",)]),
    "script": lambda c: c.executescript(f"BEGIN; INSERT INTO {_ENTRY}; COMMIT;"),
    "savepoint": lambda c: [c.execute("SAVEPOINT s"), c.execute(f"INSERT INTO {_ENTRY}"), c.execute("RELEASE s")],
    "temporary trigger": lambda c: [
        c.execute("CREATE TEMP TABLE own (a)"),
        c.execute("CREATE TEMP TRIGGER t AFTER INSERT ON own BEGIN DELETE FROM entry; END"),
        c.execute("INSERT INTO own VALUES (1)"),
    ],
    "without recursive triggers": lambda c: [c.execute("PRAGMA recursive_triggers = 0"), c.execute("DELETE FROM slot")],
}
LEVELS: tuple[Literal["DEFERRED", "IMMEDIATE", "EXCLUSIVE"] | None, ...] = (None, "DEFERRED", "IMMEDIATE", "EXCLUSIVE")
POSTGRES_FORMS: dict[str, str] = {
    "insert": f"INSERT INTO {_ENTRY}",
    "insert select": "INSERT INTO remark (writer, number, part) SELECT writer, number, part FROM entry",
    "insert nothing": "INSERT INTO remark (writer) SELECT writer FROM entry WHERE false",
    "upsert": "INSERT INTO slot (name, number) VALUES ('all', 1) ON CONFLICT (name) DO UPDATE SET number = -1",
    "update": "UPDATE tally SET value = -1",
    "update from": "UPDATE entry SET part = -1 FROM tally WHERE number = 5",
    "delete": "DELETE FROM entry WHERE number = 5",
    "delete returning": "WITH gone AS (DELETE FROM entry RETURNING id) SELECT count(*) FROM gone",
    "merge": "MERGE INTO tally USING (SELECT 'all' AS n) AS s ON name = s.n WHEN MATCHED THEN UPDATE SET value = -1",
    "truncate": "TRUNCATE entry",
    "truncate several": "TRUNCATE slot, entry CASCADE",
    "copy": "COPY entry (writer, number, part) FROM STDIN",
    "do": "DO $$ BEGIN UPDATE tally SET value = -1; END $$",
    "several": "SELECT 1; UPDATE tally SET value = -1; SELECT 2",
    "replica": "SET LOCAL session_replication_role = replica; DELETE FROM entry",
}


@pytest.fixture
def fenced_file(scene: Scene) -> Scene:
    scene.lead("postgres")
    scene.start_writer(operations=9, pause_s=0).succeeds(timeout_s=30)
    scene.writers.clear()
    scene.align()
    return scene


def test_a_plain_sqlite3_writer_is_refused_in_every_form(fenced_file: Scene) -> None:
    before = oracle.read_source_rows(fenced_file.database)
    for level in LEVELS:
        for name, form in SQLITE_FORMS.items():
            with closing(sqlite3.connect(fenced_file.database, timeout=5, isolation_level=level)) as connection:
                with pytest.raises(sqlite3.IntegrityError, match=r"^dualdb:moved") as refusal:
                    form(connection)
                assert "dualdb" in str(refusal.value), name
                assert not connection.in_transaction, f"{name} keeps the write lock"
                connection.commit()
    assert oracle.read_source_rows(fenced_file.database) == before
    fenced_file.check("postgres")


def test_a_plain_sqlite3_transaction_that_a_fence_has_met_is_gone_altogether(fenced_file: Scene) -> None:
    with closing(sqlite3.connect(fenced_file.database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS temp.own (a)")
        connection.execute("BEGIN")
        cursor = connection.execute("SELECT id FROM entry ORDER BY id")  # pending
        assert cursor.fetchone() is not None
        with pytest.raises(sqlite3.IntegrityError, match=r"^dualdb:moved"):
            connection.execute("DELETE FROM entry")
        assert not connection.in_transaction
    fenced_file.check("postgres")


def _send(connection: psycopg.Connection[Any], name: str, statement: str) -> None:
    if name == "copy":
        with connection.cursor().copy(statement.encode()) as copy:
            copy.write_row(("raw", 1, 0))
        return
    connection.execute(statement.encode(), prepare=False)


@pytest.mark.parametrize("level", list(psycopg.IsolationLevel), ids=lambda level: level.name.lower())
def test_a_plain_psycopg_writer_is_refused_in_every_form(scene: Scene, level: psycopg.IsolationLevel) -> None:
    scene.lead("dual_write")
    scene.start_writer(operations=9, pause_s=0).succeeds(timeout_s=30)
    scene.writers.clear()
    scene.align()
    before = oracle.read_target_rows(scene.dsn)
    for autocommit in (True, False):
        for name, statement in POSTGRES_FORMS.items():
            with closing(psycopg.connect(scene.dsn, autocommit=autocommit)) as connection:
                if not autocommit:
                    connection.isolation_level = level
                with pytest.raises(psycopg.Error, match="dualdb:moved") as refusal:
                    _send(connection, name, statement)
                assert refusal.value.sqlstate == "DD001", name
    assert oracle.read_target_rows(scene.dsn) == before
    scene.check("dual_write")
