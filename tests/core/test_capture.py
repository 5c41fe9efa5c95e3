"""The capture and fence triggers on a live SQLite: each trap that is known by name.

`tests/property/test_missed_keys.py` searches for those that are not.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.generators.scratch import scratch

from dualdb.core.capture import (
    FENCE_MESSAGE,
    blockers,
    capture_names,
    capture_triggers,
    fence_names,
    fence_triggers,
    installed_capture,
)
from dualdb.core.probe import rowid_name
from dualdb.stores.catalog import read_schema

JOURNAL = (Path(__file__).parents[2] / "sql/source/journal.sql").read_text()


class Captured:
    """A database whose tables are all under capture."""

    def __init__(self, *setup: str, later: str = "") -> None:
        self.connection = scratch(*setup)
        self.schema = read_schema(self.connection)
        self.connection.executescript(JOURNAL)
        for table in self.schema.tables.values():
            for sql in capture_triggers(table):
                self.connection.execute(sql)
        self.connection.executescript(later)

    def keys(self, sql: str, table: str = "t") -> set[object]:
        """The keys that one statement journals for a table, single-column keys as bare values."""
        self.connection.execute("DELETE FROM _dualdb_journal")
        try:
            self.connection.execute(sql)
        except sqlite3.IntegrityError:
            assert " OR FAIL " in sql
        found = self.schema.table(table)
        names = ", ".join(f"k{place + 1}" for place in range(len(found.key.columns)))
        rows = self.connection.execute(f"SELECT {names} FROM _dualdb_journal WHERE tbl = ?", (found.id,))
        return {row[0] if len(row) == 1 else row for row in rows}

    def all(self, sql: str) -> list[tuple[object, ...]]:
        """Every row of a query."""
        return self.connection.execute(sql).fetchall()


def test_every_row_of_a_statement_is_journaled() -> None:
    """Multi-row inserts, updates and a DELETE without WHERE; automatic ids under their real number."""
    database = Captured("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    assert database.keys("INSERT INTO t(a) VALUES (1), (2), (3)") == {1, 2, 3}
    assert database.keys("UPDATE t SET a = 9 WHERE id > 1") == {2, 3}
    assert database.keys("DELETE FROM t") == {1, 2, 3}


def test_a_changed_key_is_journaled_old_and_new() -> None:
    """By the key's own name, and by each of the rowid's."""
    database = Captured("CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "INSERT INTO t VALUES (1, 1)")
    assert database.keys("UPDATE t SET id = 5") == {1, 5}
    assert database.keys("UPDATE t SET _rowid_ = 6") == {5, 6}
    assert database.keys("UPDATE OR REPLACE t SET oid = rowid + 1") == {6, 7}


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_replace_journals_what_it_deletes_on_the_side(recursive: str) -> None:
    """One explicit id and two unique keys: three other rows go; recursive triggers change nothing."""
    database = Captured(
        f"PRAGMA recursive_triggers = {recursive}",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v UNIQUE)",
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)",
    )
    assert {1, 2, 3} <= database.keys("INSERT OR REPLACE INTO t VALUES (1, 2, 3)")
    assert database.all("SELECT * FROM t") == [(1, 2, 3), (4, 4, 4)]
    assert {1, 4} <= database.keys("UPDATE OR REPLACE t SET u = 4 WHERE id = 1")
    assert database.all("SELECT id FROM t") == [(1,)]


def test_a_policy_of_the_table_replaces_without_being_asked() -> None:
    """UNIQUE … ON CONFLICT REPLACE makes every plain INSERT delete other rows."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, UNIQUE(a, b) ON CONFLICT REPLACE)",
        "INSERT INTO t VALUES (1, 1, 1)",
    )
    assert database.keys("INSERT INTO t(a, b) VALUES (1, 1)") == {1, 2}


def test_an_upsert_is_an_update() -> None:
    """DO UPDATE journals the row that it changes; where its target does not collide, the table's policy replaces."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v UNIQUE ON CONFLICT REPLACE)",
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)",
    )
    assert 1 in database.keys("INSERT INTO t(u) VALUES (1) ON CONFLICT(u) DO UPDATE SET v = 7")
    assert {2, 3} <= database.keys("INSERT INTO t(u, v) VALUES (3, 2) ON CONFLICT(u) DO UPDATE SET v = 8")
    assert database.all("SELECT * FROM t") == [(1, 1, 7), (3, 3, 2)]


@pytest.mark.parametrize(
    ("index", "row"),
    [
        ("(lower(e))", "(9, 'ABC', NULL, NULL)"),
        ("(e COLLATE NOCASE)", "(9, 'ABC', NULL, NULL)"),
        ("(n COLLATE BINARY)", "(9, NULL, 'n', NULL)"),
        ("(n)", "(9, NULL, 'N', NULL)"),
        ("(c) WHERE e = 'abc'", "(9, 'abc', NULL, 7)"),
        ("(e || c, n)", "(9, 'abc', 'N', 7)"),
        ("(g)", "(9, 'x', NULL, 7)"),
        ("(g % 5) WHERE g IS NOT NULL", "(9, 'x', NULL, 12)"),
    ],
)
def test_replace_through_any_kind_of_unique_index(index: str, row: str) -> None:
    """Expressions, collations other than the column's, partial indexes, generated columns."""
    database = Captured(
        'CREATE TABLE t(id INTEGER PRIMARY KEY, e TEXT, "n" TEXT COLLATE NOCASE, c INT, g AS (c * 2))',
        f"CREATE UNIQUE INDEX i ON t {index}",
        "INSERT INTO t VALUES (1, 'abc', 'n', 7)",
    )
    assert blockers(database.schema.table("t")) == []
    assert database.keys(f"INSERT OR REPLACE INTO t VALUES {row}") == {1, 9}
    assert database.all("SELECT id FROM t") == [(9,)]


def test_null_collides_with_nothing() -> None:
    """A NULL in a unique column journals no other row, partial predicates included."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b)",
        "CREATE UNIQUE INDEX i ON t(b) WHERE a > 0",
        "INSERT INTO t VALUES (1, NULL, NULL), (2, NULL, 5)",
    )
    assert database.keys("INSERT OR REPLACE INTO t VALUES (3, NULL, 5)") == {3}


@pytest.mark.parametrize(
    ("definition", "stored"),
    [
        ("INT NOT NULL DEFAULT 5", "5"),
        ("TEXT NOT NULL DEFAULT 5", "'5'"),
        ("TEXT NOT NULL DEFAULT abc", "'abc'"),
        ("REAL NOT NULL DEFAULT '1'", "1.0"),
        ("TEXT NOT NULL DEFAULT (lower('ABC'))", "'abc'"),
        ("NOT NULL DEFAULT -1.5", "-1.5"),
    ],
)
def test_a_null_that_becomes_a_default_collides_as_the_default(definition: str, stored: str) -> None:
    """OR REPLACE turns NULL in a NOT NULL column into the default, after the BEFORE triggers have run."""
    database = Captured(
        f"CREATE TABLE t(id INTEGER PRIMARY KEY, u {definition} UNIQUE)", f"INSERT INTO t VALUES (1, {stored})"
    )
    assert blockers(database.schema.table("t")) == []
    assert database.keys("INSERT OR REPLACE INTO t VALUES (2, NULL)") == {1, 2}
    assert database.all("SELECT id FROM t") == [(2,)]
    database.connection.execute("INSERT INTO t VALUES (3, 'other')")
    assert database.keys("UPDATE OR REPLACE t SET u = NULL WHERE id = 3") == {2, 3}
    assert database.all("SELECT id FROM t") == [(3,)]


def test_a_default_of_now_is_the_same_throughout_a_statement() -> None:
    """CURRENT_TIMESTAMP is read once per statement, by the probe and by the row."""
    database = Captured("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP UNIQUE)")
    assert blockers(database.schema.table("t")) == []
    assert database.keys("INSERT OR REPLACE INTO t VALUES (1, NULL), (2, NULL)") == {1, 2}
    assert database.all("SELECT id FROM t") == [(2,)]


def test_a_default_within_an_expression_or_a_generated_column() -> None:
    """The generated value in NEW is made of the NULL, not yet of the default."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 5, g TEXT AS (a || 'x') UNIQUE)",
        "CREATE UNIQUE INDEX i ON t(a || 'y')",
        "INSERT INTO t(id, a) VALUES (1, '5')",
    )
    assert blockers(database.schema.table("t")) == []
    assert database.keys("INSERT OR REPLACE INTO t(id, a) VALUES (2, NULL)") == {1, 2}
    assert database.all("SELECT id, g FROM t") == [(2, "5x")]


def test_a_declared_key_has_a_rowid_besides() -> None:
    """A statement that names the rowid can replace a row whose key it does not mention."""
    database = Captured(
        "CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY, rowid)",
        "INSERT INTO t(oid, id) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    )
    assert {"a", "z"} <= database.keys("INSERT OR REPLACE INTO t(oid, id) VALUES (1, 'z')")
    assert {"b", "c"} <= database.keys("UPDATE OR REPLACE t SET _rowid_ = 3 WHERE id = 'b'")
    assert database.all("SELECT oid, id FROM t ORDER BY 1") == [(1, "z"), (3, "b")]


def test_keys_that_a_collation_calls_equal() -> None:
    """NOCASE: 'A' replaces 'a', and an update from 'a' to 'A' is another key to the target."""
    for options in ("", " WITHOUT ROWID"):
        database = Captured(
            f"CREATE TABLE t(id TEXT NOT NULL COLLATE NOCASE PRIMARY KEY, a){options}", "INSERT INTO t VALUES ('a', 1)"
        )
        assert database.keys("INSERT OR REPLACE INTO t VALUES ('A', 2)") == {"a", "A"}
        assert database.keys("UPDATE t SET id = 'a'") == {"a", "A"}
        assert database.keys("UPDATE OR REPLACE t SET id = 'A'") == {"a", "A"}


def test_composite_keys_without_rowid() -> None:
    """Each key column has its own journal column, in the key's own order."""
    database = Captured(
        "CREATE TABLE t(b INT, a TEXT, u UNIQUE, PRIMARY KEY(a, b)) WITHOUT ROWID, STRICT".replace(
            "u UNIQUE", "u ANY UNIQUE"
        ),
        "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)",
    )
    assert database.keys("UPDATE OR REPLACE t SET u = 2, b = 7 WHERE b = 1") == {("x", 1), ("x", 7), ("y", 2)}
    assert database.all("SELECT * FROM t") == [(7, "x", 2)]


def test_cascades_journal_the_rows_that_they_reach() -> None:
    """ON DELETE CASCADE down a chain within one table, ON UPDATE CASCADE and SET NULL into another."""
    database = Captured(
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, up INT REFERENCES t(id) ON DELETE CASCADE, u INT UNIQUE)",
        "CREATE TABLE child(id INTEGER PRIMARY KEY, u INT REFERENCES t(u) ON UPDATE CASCADE ON DELETE SET NULL)",
        "INSERT INTO t VALUES (1, NULL, 1), (2, 1, 2), (3, 2, 3), (4, NULL, 4)",
        "INSERT INTO child VALUES (10, 3), (11, 4)",
    )
    assert database.keys("UPDATE t SET u = 40 WHERE id = 4", "child") == {11}
    assert {2, 3, 9} <= database.keys("INSERT OR REPLACE INTO t VALUES (9, NULL, 2)")
    assert database.all("SELECT id FROM t ORDER BY 1") == [(1,), (4,), (9,)]
    assert database.all("SELECT * FROM child") == [(10, None), (11, 40)]
    database.connection.execute("UPDATE child SET u = 2 WHERE id = 10")
    assert database.keys("DELETE FROM t", "child") == {10, 11}


def test_an_enforced_foreign_key_does_not_change_a_journaled_key() -> None:
    """Through an index of INT affinity SQLite makes OLD's text '05' the integer 5 before AFTER triggers see it."""
    database = Captured(
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY)",
        "CREATE TABLE child(r INT REFERENCES t(id))",
        "CREATE INDEX i ON child(r)",
        "INSERT INTO t VALUES ('05'), ('1e2')",
    )
    assert database.keys("UPDATE t SET id = '06' WHERE id = '05'") == {"05", "06"}
    assert database.keys("DELETE FROM t") == {"06", "1e2"}
    itself = Captured(
        "PRAGMA foreign_keys = ON", "CREATE TABLE t(id TEXT PRIMARY KEY, c INT REFERENCES t(id) UNIQUE) WITHOUT ROWID"
    )
    assert itself.keys("INSERT INTO t VALUES ('01', NULL), ('02', NULL)") == {"01", "02"}


def test_a_cascade_that_swallows_its_own_cause() -> None:
    """The row that moves onto the key of its parent replaces the parent, and is deleted with it: nothing was updated,
    and two rows are gone.
    """
    database = Captured(
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, up INT REFERENCES t(id) ON DELETE CASCADE)",
        "INSERT INTO t VALUES (1, NULL), (2, 1)",
    )
    assert database.keys("UPDATE OR REPLACE t SET id = 1 WHERE id = 2") == {1, 2}
    assert database.all("SELECT * FROM t") == []


def test_a_cascade_that_fails_behind_a_replaced_row() -> None:
    """The replaced row is gone and the new one never came: an application's trigger ended the statement in between."""
    database = Captured(
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "CREATE TABLE child(r INT REFERENCES t(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER own BEFORE DELETE ON child BEGIN SELECT RAISE(FAIL, 'no'); END",
        "INSERT INTO t VALUES (1, 1); INSERT INTO child VALUES (1)",
    )
    database.connection.execute("DELETE FROM _dualdb_journal")
    database.connection.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        database.connection.execute("INSERT OR REPLACE INTO t VALUES (1, 2)")
    database.connection.execute("UPDATE child SET r = NULL")
    database.connection.execute("COMMIT")
    assert database.all("SELECT * FROM t") == []
    assert (1,) in database.all("SELECT k1 FROM _dualdb_journal WHERE tbl = 1")


def test_the_applications_own_triggers_and_views() -> None:
    """Rows written by triggers, recursively suppressed or not, and through INSTEAD OF views."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, u UNIQUE)",
        "CREATE VIEW v AS SELECT a, u FROM t",
        "CREATE TRIGGER iv INSTEAD OF INSERT ON v BEGIN INSERT OR REPLACE INTO t(a, u) VALUES (NEW.a, NEW.u); END",
        "CREATE TRIGGER own AFTER INSERT ON t WHEN NEW.a = 1 BEGIN"
        " INSERT INTO t(a) VALUES (2); UPDATE t SET a = 5 WHERE id = 1; DELETE FROM t WHERE id = 2; END",
        "INSERT INTO t VALUES (1, 0, 1), (2, 0, 2)",
    )
    assert database.keys("INSERT INTO v VALUES (1, 1)") >= {1, 2, 3, 4}
    assert database.all("SELECT id, a FROM t") == [(3, 1), (4, 2)]


def test_the_outer_policy_does_not_reach_the_journal() -> None:
    """Every conflict policy, thrice: the journal has no constraint that a policy could act on."""
    database = Captured("CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE)", "INSERT INTO t VALUES (1, 1)")
    for policy in ("ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE"):
        for value in (2, 3, 4):
            assert 1 in database.keys(f"UPDATE OR {policy} t SET u = {value} WHERE id = 1")


def test_what_a_failed_statement_keeps_is_journaled() -> None:
    """OR FAIL keeps the rows before the failing one, even when an application's trigger ends the statement."""
    database = Captured(
        "CREATE TABLE log(x UNIQUE)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "CREATE TRIGGER own AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.a); END",
        "INSERT INTO log VALUES (5)",
    )
    assert database.keys("INSERT OR FAIL INTO t VALUES (1, 1), (2, 5), (3, 3)") == {1, 2}
    assert database.all("SELECT id FROM t") == [(1,), (2,)]


@pytest.mark.parametrize("name", ["new", "OLD", "select", 'we"ird; --', "ünï code"])
def test_any_name_will_do(name: str) -> None:
    """Tables and columns called like the trigger's own rows, like keywords, or with quotes in them."""
    quoted = '"' + name.replace('"', '""') + '"'
    database = Captured(
        f'CREATE TABLE {quoted}({quoted} INTEGER PRIMARY KEY, "a b" TEXT NOT NULL DEFAULT x, UNIQUE("a b"))',
        f'CREATE UNIQUE INDEX i ON {quoted}(lower("a b"))',
        f"INSERT INTO {quoted} VALUES (1, 'x'), (2, 'y')",
    )
    assert database.keys(f"INSERT OR REPLACE INTO {quoted} VALUES (3, NULL)", name) == {1, 3}
    assert database.keys(f"UPDATE OR REPLACE {quoted} SET \"a b\" = 'Y' WHERE {quoted} = 3", name) == {2, 3}


def test_probes_find_rows_by_the_index() -> None:
    """No probe scans the table: expressions, partial indexes and collations included."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, e TEXT, n TEXT COLLATE NOCASE NOT NULL DEFAULT d, c INT,"
        " g AS (c * 2) UNIQUE)",
        "CREATE UNIQUE INDEX i1 ON t(lower(e), c)",
        "CREATE UNIQUE INDEX i2 ON t(n COLLATE BINARY) WHERE c > 5",
        "CREATE UNIQUE INDEX i3 ON t(e DESC, n)",
        "CREATE UNIQUE INDEX i4 ON t(n || 'x')",
    )
    for sql in ("INSERT INTO t(e) VALUES ('x')", "UPDATE t SET e = 'y', n = 'z', c = 7 WHERE id = 1"):
        opcodes = [row[1] for row in database.all(f"EXPLAIN {sql}")]
        assert opcodes.count("Program") >= 2  # the programs of the triggers are listed with it
        assert not {"Rewind", "Last", "AutoIndex", "OpenAutoindex"} & set(opcodes[opcodes.index("Halt") + 1 :])


def test_nothing_is_probed_needlessly() -> None:
    """The key's own probe finds every collision that means the same key; an update probes only what it sets."""
    plain = Captured("CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "CREATE UNIQUE INDEX i ON t(a, id)").schema.table("t")
    assert not any('"a"' in sql for sql in capture_triggers(plain))
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, a)", "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)"
    )
    database.keys("UPDATE t SET a = 5")
    assert database.all("SELECT count(*) FROM _dualdb_journal") == [(2,)]
    database.keys("UPDATE t SET u = 9 WHERE id = 1")
    assert database.all("SELECT count(*) FROM _dualdb_journal") == [(1,)]


# What cannot be captured for certain ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setup", "part"),
    [
        (["CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "CREATE UNIQUE INDEX i ON t(id % 10)"], "automatic id"),
        (["CREATE TABLE t(id INTEGER PRIMARY KEY, g AS (id % 10) UNIQUE)"], "automatic id"),
        (["CREATE TABLE t(id INTEGER PRIMARY KEY, u NOT NULL DEFAULT (random()) UNIQUE)"], "random"),
        (["CREATE TABLE t(id INTEGER PRIMARY KEY, u NOT NULL DEFAULT (hex(randomblob(4))) UNIQUE)"], "randomblob"),
        (
            [
                "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT '5')",
                "CREATE UNIQUE INDEX i ON t(a = 5)",
            ],
            "default cannot be put into it",
        ),
        (
            ['CREATE TABLE "new"(id INTEGER PRIMARY KEY, a, b)', 'CREATE UNIQUE INDEX i ON "new"(a) WHERE "new".b > 0'],
            "own row",
        ),
        (
            [
                "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, UNIQUE(a, b))",
                "CREATE TRIGGER x BEFORE UPDATE OF a ON t BEGIN UPDATE t SET b = 9 WHERE id = NEW.id; END",
            ],
            "trigger x changes rows",
        ),
    ],
)
def test_what_might_escape_is_named_with_a_remedy(setup: list[str], part: str) -> None:
    """Each has a reason, and a remedy behind a semicolon."""
    schema = Captured(*setup).schema
    (table,) = schema.tables.values()
    (found,) = blockers(table, schema.triggers)
    assert part in found
    assert "; " in found


@pytest.mark.parametrize(
    "setup",
    [
        ["CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "CREATE UNIQUE INDEX i ON t(id % 10, id)"],
        ["CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "CREATE UNIQUE INDEX i ON t(a) WHERE id > 10"],
        ["CREATE TABLE t(id INTEGER PRIMARY KEY, g AS (id % 10)) WITHOUT ROWID", "CREATE UNIQUE INDEX i ON t(id % 10)"],
        ["CREATE TABLE t(id TEXT NOT NULL DEFAULT (hex(randomblob(8))) PRIMARY KEY)"],
        ["CREATE TABLE t(id INTEGER PRIMARY KEY, u DEFAULT (random()) UNIQUE)"],
        [
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, UNIQUE(a, b))",
            "CREATE TRIGGER x AFTER UPDATE OF a ON t BEGIN UPDATE t SET b = 9 WHERE id = NEW.id; END",
        ],
    ],
)
def test_what_cannot_escape_is_not_blocked(setup: list[str]) -> None:
    """Close to the above, and yet certain."""
    schema = Captured(*setup).schema
    assert blockers(schema.table("t"), schema.triggers) == []


def test_the_blocked_index_really_loses_a_row() -> None:
    """The reason is a fact: an expression over an automatic id replaces a row that no trigger can foresee."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "CREATE UNIQUE INDEX i ON t(id % 2)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
    )
    assert database.keys("INSERT OR REPLACE INTO t(a) VALUES (3)") == {3}
    assert database.all("SELECT id FROM t") == [(2,), (3,)]


# Whether it is all there ------------------------------------------------------------------------------------------


def triggers_of(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """All triggers, oldest first."""
    sql = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
    return connection.execute(sql).fetchall()


def test_installed_capture_is_recognised() -> None:
    """Complete and unaltered; not with one missing, one altered, one too many, or an application's newer trigger."""
    database = Captured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE)",
        "CREATE TRIGGER own AFTER INSERT ON t BEGIN SELECT 1; END",
    )
    table = database.schema.table("t")
    rows = triggers_of(database.connection)
    assert installed_capture(rows, table)
    assert {name for name, _, _ in rows} - {"own"} <= set(capture_names(table.id))
    ours = [row for row in rows if row[0] != "own"]
    assert not installed_capture([], table)
    for row in ours:
        assert not installed_capture([other for other in rows if other != row], table)
        altered = (row[0], row[1], row[2].replace("NEW", "OLD").replace("t", "T"))
        assert not installed_capture([altered if other == row else other for other in rows], table)
    assert not installed_capture([*rows, (f"_dualdb_probe_rowid_{table.id}", "t", "CREATE TRIGGER …")], table)
    assert not installed_capture([*rows, ("newer", "t", "CREATE TRIGGER …")], table)
    assert installed_capture([*rows, ("elsewhere", "u", "CREATE TRIGGER …")], table)


def test_an_older_trigger_cannot_hide_a_row_but_a_newer_one_can() -> None:
    """Why ours must be the newest: RAISE(IGNORE) keeps the row and ends the triggers that follow."""
    ignoring = "CREATE TRIGGER own AFTER INSERT ON t BEGIN SELECT RAISE(IGNORE); END"
    table = "CREATE TABLE t(id INTEGER PRIMARY KEY)"
    assert Captured(table, ignoring).keys("INSERT INTO t VALUES (1)") == {1}
    newer = Captured(table, later=ignoring)
    assert newer.keys("INSERT INTO t VALUES (1)") == set()
    assert newer.all("SELECT * FROM t") == [(1,)]
    assert not installed_capture(triggers_of(newer.connection), newer.schema.table("t"))


def test_a_rowid_has_a_name_unless_columns_took_all() -> None:
    """rowid, oid and _rowid_ in turn, in any case of letters; none without a rowid."""
    names = {
        "CREATE TABLE t(a)": "rowid",
        'CREATE TABLE t("RowID" INT)': "oid",
        "CREATE TABLE t(rowid, oid)": "_rowid_",
        "CREATE TABLE t(rowid, oid, _rowid_, id INTEGER PRIMARY KEY)": None,
        "CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID": None,
    }
    assert {sql: rowid_name(Captured(sql).schema.table("t")) for sql in names} == names


# The fence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR IGNORE INTO t VALUES (2)",
        "INSERT OR REPLACE INTO t VALUES (1)",
        "UPDATE OR IGNORE t SET id = 2",
        "DELETE FROM t",
        "DELETE FROM parent",
    ],
)
def test_the_fence_refuses_every_write_and_ends_the_transaction(sql: str) -> None:
    """Whatever the policy, through cascades too; the writer keeps no lock and nothing of its transaction stays."""
    connection = scratch(
        "PRAGMA foreign_keys = ON; CREATE TABLE parent(id INTEGER PRIMARY KEY); CREATE TABLE free(a);"
        "CREATE TABLE t(id INTEGER PRIMARY KEY REFERENCES parent(id) ON DELETE CASCADE);"
        "INSERT INTO parent VALUES (1), (2); INSERT INTO t VALUES (1);"
    )
    table = read_schema(connection).table("t")
    connection.executescript("CREATE TABLE _dualdb_control(applying INT); INSERT INTO _dualdb_control VALUES (0)")
    for trigger in fence_triggers(table):
        connection.execute(trigger)
    assert {name for name, _, _ in triggers_of(connection)} == set(fence_names(table.id))
    connection.execute("BEGIN")
    connection.execute("INSERT INTO free VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError, match="dualdb:moved") as refused:
        connection.execute(sql)
    assert str(refused.value) == FENCE_MESSAGE
    assert not connection.in_transaction
    assert connection.execute("SELECT (SELECT count(*) FROM free), (SELECT sum(id) FROM t)").fetchone() == (0, 1)
    connection.execute("UPDATE _dualdb_control SET applying = 1")
    connection.execute(sql)
