"""Schemas read from live SQLite databases, and again from their kept sqlite_master rows."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.generators.scratch import Scratch, scratch
from tests.generators.statements import Workload

from dualdb.core.schema import ROWID_COLUMN, Affinity, Check, ForeignKey, IndexTerm, KeyKind, TargetType
from dualdb.errors import SchemaError
from dualdb.stores.catalog import (
    OUR_TABLES,
    catalog_database,
    inspect_stored,
    master_rows,
    read_numbering,
    read_schema,
    schema_from_rows,
    version_of,
)

if TYPE_CHECKING:
    from dualdb.core.schema import Schema, Table

pytestmark = pytest.mark.once

SOURCE_SQL = Path(__file__).parents[2] / "sql/source"
CONTROL = (SOURCE_SQL / "control.sql").read_text()


def schema_of(*setup: str) -> Schema:
    """The schema of an in-memory database."""
    return read_schema(scratch(*setup))


def table_of(*setup: str) -> Table:
    """Its table t."""
    return schema_of(*setup).table("T")


# Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "kind", "columns"),
    [
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a)", KeyKind.INTEGER_PRIMARY_KEY, ("id",)),
        ('CREATE TABLE t("I d" integer, PRIMARY KEY("i D" ASC))', KeyKind.INTEGER_PRIMARY_KEY, ("I d",)),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY DESC)", KeyKind.ROWID, (ROWID_COLUMN,)),
        ("CREATE TABLE t(id INT PRIMARY KEY)", KeyKind.ROWID, (ROWID_COLUMN,)),
        ("CREATE TABLE t(id TEXT PRIMARY KEY)", KeyKind.ROWID, (ROWID_COLUMN,)),
        ("CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY)", KeyKind.DECLARED, ("id",)),
        ("CREATE TABLE t(a INT NOT NULL, b NOT NULL, PRIMARY KEY(b, a))", KeyKind.DECLARED, ("b", "a")),
        ("CREATE TABLE t(a NOT NULL, b, PRIMARY KEY(b, a))", KeyKind.ROWID, (ROWID_COLUMN,)),
        ("CREATE TABLE t(a, b, PRIMARY KEY(b, a)) WITHOUT ROWID", KeyKind.DECLARED, ("b", "a")),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY) WITHOUT ROWID", KeyKind.DECLARED, ("id",)),
        ("CREATE TABLE t(id TEXT PRIMARY KEY) STRICT", KeyKind.DECLARED, ("id",)),
        ("CREATE TABLE t(a, b UNIQUE NOT NULL)", KeyKind.ROWID, (ROWID_COLUMN,)),
    ],
)
def test_the_key_is_what_never_is_null(sql: str, kind: KeyKind, columns: tuple[str, ...]) -> None:
    """The alias of the rowid, else a primary key that is NOT NULL, else the rowid; SQLite agrees about NULL."""
    table = table_of(sql)
    assert (table.key.kind, table.key.columns) == (kind, columns)
    if kind is KeyKind.DECLARED:
        connection = scratch(sql)
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        with pytest.raises(sqlite3.IntegrityError, match=r"NOT NULL|datatype mismatch"):
            connection.execute(f"INSERT INTO t({names}) VALUES ({', '.join('NULL' for _ in table.columns)})")


def test_a_long_key_gives_way_to_the_rowid() -> None:
    """The journal has eight key columns; a table without rowid is refused then."""
    names = ", ".join(f"c{place} NOT NULL" for place in range(9))
    key = ", ".join(f"c{place}" for place in range(9))
    assert table_of(f"CREATE TABLE t({names}, PRIMARY KEY({key}))").key.kind is KeyKind.ROWID
    with pytest.raises(SchemaError, match=r"9 columns and at most 8 .*; give"):
        schema_of(f"CREATE TABLE t({names}, PRIMARY KEY({key})) WITHOUT ROWID")


# What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        ("CREATE VIRTUAL TABLE t USING fts5(a)", r"virtual table t \(module fts5\)"),
        ("CREATE TABLE t(rowid, OID, _rowid_)", "nothing can name the rowid of table t"),
        ("CREATE TABLE _dualdb_mine(a)", "table _dualdb_mine has a name"),
        ("CREATE TABLE t(a); CREATE VIEW _DUALDB_v AS SELECT 1", "view _DUALDB_v has a name"),
        ("CREATE TABLE t(a); CREATE INDEX _dualdb_i ON t(a)", "index _dualdb_i has a name"),
        ("CREATE TABLE t(rowid NOT NULL PRIMARY KEY, oid, _rowid_)", "nothing can name the rowid of table t"),
        ("CREATE TABLE t(a, _dualdb_rowid)", "column t._dualdb_rowid has a name"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_a_remedy(sql: str, part: str) -> None:
    """The message names the object and, behind a semicolon, what to do."""
    with pytest.raises(SchemaError, match=f"{part}.*; "):
        schema_of(sql)


@pytest.mark.parametrize(
    ("key", "suffix", "others"),
    [("id INTEGER PRIMARY KEY", "", 1599), ("id INT", "", 1598), ("id TEXT PRIMARY KEY", " WITHOUT ROWID", 1599)],
)
def test_a_table_is_as_wide_as_postgresqls_can_be(key: str, suffix: str, others: int) -> None:
    """1,600 columns, with that for the rowid where nothing else holds it; generated columns are columns too."""
    generated = "g AS (1)"
    names = [f"c{place}" for place in range(others - 1)]
    assert len(table_of(f"CREATE TABLE t({', '.join([key, *names, generated])}){suffix}").columns) == others + 1
    with pytest.raises(SchemaError, match=rf"table t has {others + 2} columns and .* can make {others + 1}.*; move"):
        schema_of(f"CREATE TABLE t({', '.join([key, 'd', *names, generated])}){suffix}")


def test_a_row_that_makes_no_object_is_refused() -> None:
    """Kept rows may be damaged: SQLite's own reason is told."""
    with pytest.raises(SchemaError, match=r"the table t cannot be made .*incomplete input.*; "):
        schema_from_rows([("table", "t", "t", "CREATE TABLE t(")])


# Tables -----------------------------------------------------------------------------------------------------------


def test_a_table_is_read_whole() -> None:
    """Types, collations, defaults, generated columns, checks, options: in SQLite's own words."""
    table = table_of(
        'CREATE TABLE "T" (id INTEGER PRIMARY KEY AUTOINCREMENT,'
        " \"select\" VARCHAR(9) COLLATE nocase NOT NULL DEFAULT 'it''s',"
        " [b c] DATETIME DEFAULT (datetime('now')), n DECIMAL(10, 2) COLLATE RTRIM CHECK (n > 0),"
        ' g INT GENERATED ALWAYS AS (n * 2) STORED, h AS (lower("select")),'
        " CONSTRAINT c2 CHECK (length([b c]) > 3))"
    )
    assert [column.name for column in table.columns] == ["id", "select", "b c", "n", "g", "h"]
    assert table.carried == ("id", "select", "b c", "n")
    assert table.column("SELECT").affinity is Affinity.TEXT
    assert [column.collation for column in table.columns] == ["BINARY", "NOCASE", "BINARY", "RTRIM", "BINARY", "BINARY"]
    assert [column.default for column in table.columns] == [None, "'it''s'", "datetime('now')", None, None, None]
    assert [column.generated for column in table.columns][4:] == ["n * 2", 'lower("select")']
    assert [column.not_null for column in table.columns] == [False, True, False, False, False, False]
    assert table.checks == (Check(name=None, expression="n > 0"), Check(name="c2", expression="length([b c]) > 3"))
    assert (table.autoincrement, table.without_rowid, table.strict) == (True, False, False)
    assert table.primary_key == ("id",)


def test_any_in_a_strict_table_converts_nothing() -> None:
    """Elsewhere ANY has NUMERIC affinity."""
    strict = table_of("CREATE TABLE t(a ANY, b INT) STRICT")
    assert strict.strict
    assert strict.column("a").affinity is Affinity.BLOB
    assert table_of("CREATE TABLE t(a ANY)").column("a").affinity is Affinity.NUMERIC


def test_indexes_are_read_with_their_terms() -> None:
    """Constraints and CREATE INDEX, expressions, collations, directions, partial predicates, in the order made."""
    table = table_of(
        "CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY, b, c, UNIQUE(c, b))",
        "CREATE INDEX plain ON t(b DESC)",
        'CREATE UNIQUE INDEX "odd (name" ON t(lower(a) COLLATE rtrim DESC, a COLLATE BINARY,'
        " b || ',') WHERE c IS NOT NULL",
    )
    by_origin = [(index.origin, index.unique, index.where) for index in table.indexes]
    assert by_origin == [
        ("pk", True, None),
        ("u", True, None),
        ("c", False, None),
        ("c", True, "c IS NOT NULL"),
    ]
    assert table.indexes[0].terms == (IndexTerm(column="a", expression=None, collation="NOCASE"),)
    assert [term.column for term in table.indexes[1].terms] == ["c", "b"]
    assert table.indexes[2].terms == (IndexTerm(column="b", expression=None, descending=True),)
    assert table.indexes[3].terms == (
        IndexTerm(column=None, expression="lower(a)", collation="RTRIM", descending=True),
        IndexTerm(column="a", expression=None, collation="BINARY"),
        IndexTerm(column=None, expression="b || ','"),
    )


def test_foreign_keys_are_read_in_the_order_declared() -> None:
    """A parent's columns that are not named are its primary key's; actions are told."""
    table = table_of(
        "CREATE TABLE parent(x, y, PRIMARY KEY(y, x))",
        "CREATE TABLE t(a REFERENCES missing, b, c, d REFERENCES t(d) ON DELETE CASCADE,"
        " FOREIGN KEY(b, c) REFERENCES parent ON UPDATE SET NULL)",
    )
    assert table.foreign_keys == (
        ForeignKey(columns=("a",), parent="missing", parent_columns=()),
        ForeignKey(columns=("d",), parent="t", parent_columns=("d",), on_delete="CASCADE"),
        ForeignKey(columns=("b", "c"), parent="parent", parent_columns=("y", "x"), on_update="SET NULL"),
    )


# Rows of sqlite_master --------------------------------------------------------------------------------------------


def test_our_own_objects_are_no_part_of_the_schema() -> None:
    """Neither our tables and triggers nor SQLite's: the schema and its version are as if we were never there."""
    setup = (
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)",
        "CREATE VIEW v AS SELECT * FROM later",
        "CREATE VIEW later AS SELECT a FROM t",
        "CREATE TRIGGER own AFTER INSERT ON t BEGIN SELECT 1; END",
    )
    plain = schema_of(*setup)
    prepared = scratch(*setup, CONTROL, "CREATE TRIGGER _dualdb_probe_insert_1 BEFORE INSERT ON t BEGIN SELECT 1; END")
    prepared.execute("ANALYZE")
    assert read_schema(prepared) == plain
    assert [view.name for view in plain.views.values()] == ["v", "later"]
    assert [(trigger.name, trigger.table) for trigger in plain.triggers] == [("own", "t")]


def test_every_table_of_ours_is_known_as_such() -> None:
    """Whatever `sql/source` makes is left out of the application's schema."""
    made = [
        name.lower()
        for file in SOURCE_SQL.glob("*.sql")
        for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", file.read_text(), re.IGNORECASE)
    ]
    assert set(made) == OUR_TABLES


def test_the_version_changes_with_every_object_and_with_nothing_else() -> None:
    """Rows do not change it, nor does VACUUM; any DDL does, and taking it back restores it."""
    connection = scratch("CREATE TABLE t(a, b)", "CREATE VIEW v AS SELECT 1", "CREATE INDEX i ON t(a)")
    before = read_schema(connection).version
    connection.executescript("INSERT INTO t VALUES (1, 2); DROP VIEW v; CREATE VIEW v AS SELECT 1; VACUUM")
    assert read_schema(connection).version == before
    for change, back in (
        ("CREATE INDEX j ON t(b)", "DROP INDEX j"),
        ("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "DROP TRIGGER x"),
        ("ALTER TABLE t ADD COLUMN c", "ALTER TABLE t DROP COLUMN c"),
    ):
        connection.execute(change)
        assert read_schema(connection).version != before
        connection.execute(back)
        assert read_schema(connection).version == before


def test_rows_alone_give_the_same_schema() -> None:
    """What is kept on the target is enough to read the schema again, to the last value."""
    for seed in range(40):
        connection = scratch(*Workload(seed).setup)
        schema = read_schema(connection)
        numbering = {
            name: (table.id, {column.name: column.stored for column in table.columns})
            for name, table in schema.tables.items()
        }
        rows = master_rows(connection)
        assert schema_from_rows(rows, numbering) == schema
        assert schema_from_rows(rows[::-1], numbering).version == schema.version == version_of(rows)


def test_the_catalog_database_is_the_schema_without_its_rows() -> None:
    """Statements run on it, and its own sqlite_master gives the very same rows."""
    connection = scratch(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)",
        "CREATE VIEW v AS SELECT a FROM t",
        "INSERT INTO t VALUES (1, 'x')",
    )
    rows = master_rows(connection)
    with closing(catalog_database(rows)) as catalog:
        assert master_rows(catalog) == rows
        assert catalog.execute("SELECT * FROM v").fetchall() == []
        assert [part[0] for part in catalog.execute("SELECT a AS b, id FROM t").description] == ["b", "id"]


def test_functions_and_collations_of_the_application_are_stood_in_for() -> None:
    """A schema that names them can be read without them."""
    connection = scratch()
    connection.create_function("mine", 1, lambda value: value, deterministic=True)
    connection.create_collation("odd one", lambda left, right: (left > right) - (left < right))
    connection.execute('CREATE TABLE t(a COLLATE "odd one", b CHECK (mine(b) > 0), g AS (mine(a)))')
    connection.execute('CREATE UNIQUE INDEX i ON t(mine(a), b COLLATE "odd one")')
    table = schema_from_rows(master_rows(connection)).table("t")
    assert table.column("a").collation == "odd one"
    assert [(term.expression, term.collation) for term in table.indexes[0].terms] == [
        ("mine(a)", "BINARY"),
        (None, "odd one"),
    ]


# Numbers and stored types -----------------------------------------------------------------------------------------


def test_what_a_column_holds_decides_how_it_is_stored() -> None:
    """Every class is counted exactly, also in tables of more columns than one scan takes."""
    many = ", ".join(f"c{place}" for place in range(600))
    connection = scratch(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n NUMERIC, d DATETIME, x, y BLOB, e, g AS (n + 1))",
        "INSERT INTO t(n, d, x, y) VALUES (1, 'now', 1, 'text'), (1.5, 5, 2, 'text'), (2, 'then', NULL, x'00')",
        f"CREATE TABLE wide({many})",
        "INSERT INTO wide(c0, c499, c500, c599) VALUES (1, 2.5, x'00', 'x')",
    )
    schema = read_schema(connection)
    assert {column.name: column.stored for column in schema.table("t").columns} == {
        "id": TargetType.BIGINT,
        "n": TargetType.NUMBER,
        "d": TargetType.ANY,
        "x": TargetType.BIGINT,
        "y": TargetType.ANY,
        "e": TargetType.ANY,
        "g": TargetType.NUMBER,
    }
    wide = inspect_stored(connection, schema.table("wide"))
    assert [wide[name] for name in ("c0", "c1", "c499", "c500", "c599")] == [
        TargetType.BIGINT,
        TargetType.ANY,
        TargetType.DOUBLE,
        TargetType.BYTEA,
        TargetType.TEXT,
    ]


def test_only_a_key_has_one_class_whatever_it_holds() -> None:
    """An affinity promises no class, so every other column is looked at; a STRICT table's columns but ANY are not."""
    connection = scratch(
        "CREATE TABLE t(k INTEGER, l, n INTEGER, r REAL, s TEXT, u UNIQUE, PRIMARY KEY(k, l)) WITHOUT ROWID",
        "INSERT INTO t VALUES ('x', 1, x'00', 'much', x'01', 1), (2, 2, 3, 1.5, 'text', 'a'), (3, 'l', 4, 2.5, 5, 2)",
        "CREATE TABLE strict_one(n INTEGER, a ANY) STRICT",
        "INSERT INTO strict_one VALUES (1, 1), (2, 'text')",
    )
    schema = read_schema(connection)
    assert [column.stored for column in schema.table("t").columns] == [
        TargetType.BIGINT,
        TargetType.BIGINT,
        *[TargetType.ANY] * 4,
    ]
    assert [column.stored for column in schema.table("strict_one").columns] == [TargetType.BIGINT, TargetType.ANY]


def test_numbers_once_given_are_kept() -> None:
    """`_dualdb_table` is obeyed, whatever the data says by now; new tables and columns come behind."""
    connection = scratch(
        "CREATE TABLE old(a, b)",
        'CREATE TABLE "New"(c)',
        CONTROL,
        "INSERT INTO old VALUES (1, 1)",
        "INSERT INTO _dualdb_table VALUES (7, 'Old', '{\"a\": \"text\"}'), (9, 'dropped', '{}')",
    )
    assert read_numbering(connection) == {"old": (7, {"a": TargetType.TEXT}), "dropped": (9, {})}
    schema = read_schema(connection)
    assert {table.name: table.id for table in schema.tables.values()} == {"old": 7, "New": 10}
    assert [column.stored for column in schema.table("OLD").columns] == [TargetType.TEXT, TargetType.BIGINT]


def test_a_connection_of_any_taste_can_be_read() -> None:
    """A row factory of the caller's own changes nothing."""
    connection = scratch("CREATE TABLE t(a, b)", "INSERT INTO t VALUES (1, 'x')")
    connection.row_factory = lambda _cursor, row: {"row": row}
    assert [column.stored for column in read_schema(connection).table("t").columns] == [
        TargetType.BIGINT,
        TargetType.TEXT,
    ]


def test_the_schema_belongs_to_the_callers_snapshot(tmp_path: Path) -> None:
    """Inside a read transaction the schema is the one of its beginning, whatever others do meanwhile."""
    path = tmp_path / "a file.db"
    reader, writer = (sqlite3.connect(path, isolation_level=None, factory=Scratch) for _ in range(2))
    writer.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t(a)")
    reader.execute("BEGIN")
    before = read_schema(reader)
    writer.execute("ALTER TABLE t ADD COLUMN b")
    assert read_schema(reader) == before
    reader.execute("COMMIT")
    assert [column.name for column in read_schema(reader).table("t").columns] == ["a", "b"]
