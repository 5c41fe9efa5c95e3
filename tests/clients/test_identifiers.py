"""Whatever SQLite lets a table, column, index or view be called, it has that name in all phases and back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.core.sqltext import quote_name
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair

if TYPE_CHECKING:
    from pathlib import Path

LONG = "a name that SQLite takes and PostgreSQL cuts after 63 bytes: here|"
"""65 bytes: names that begin with it are equal in their first 63."""
NAMES = {
    "case": ("Mixed", "lower", "UPPER", "CamelCase"),
    "reserved": ("order", "group", "user", "select", "table", "offset", "window", "all", "end", "returning", "do"),
    "unicode": ("ä", "Ö", "中", "🙂", "e\u0301", "ſ", "İ", "ẞ"),
    "capitals beyond ASCII": ("é", "É", "ß", "ẞ", "s", "ſ", "i", "İ", "ı", "σ", "ς", "Σ"),
    "punctuation": (
        " ",
        "two words",
        "a.b",
        ".",
        "a'b",
        "''",
        'a"b',
        '""',
        "\\",
        "a\\nb",
        ";--",
        "/*",
        "$1",
        "{}",
        "?",
    ),
    "percent": ("%", "%s", "%%", "%(a)s", "100 %"),
    "long": (f"{LONG}1", f"{LONG}2", "ä" * 32, "ä" * 33, "x" * 64),
    "system": ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid", "rowid"),
    "system in capitals": ("CTID", "Xmin", "XMAX", "cMin", "CMAX", "TableOID", "OID"),
    "leading": ("_a", "1", "1a", "$a", "-", "@x", ":x", "#"),
    "ours": (
        "_row",
        "_id",
        "new_rows",
        "old_rows",
        "new",
        "old",
        "d",
        "t",
        "k1",
        "tg_op",
        "found",
        "$body$",
        "journal",
    ),
    "target": ("pg_class", "public", "dualdb", "sqlite", "now", "date", "int", "current_user", "value", "type"),
}
"""By what is odd about them."""


def statements(names: tuple[str, ...]) -> list[str]:
    """A table per name, whose key column has it too, then all names as columns of one; an index and a view for each."""
    made = []
    for number, name in enumerate(names):
        table, column = quote_name(name), quote_name(name)
        made += [
            f"CREATE TABLE {table} ({column} INTEGER PRIMARY KEY{' AUTOINCREMENT' * (number % 2)}, other TEXT)",
            f"INSERT INTO {table} (other) VALUES ('one'), ('two'), ('three')",
            f"CREATE INDEX {quote_name(f'{name} by')} ON {table} (other, {column})",
            f"CREATE VIEW {quote_name(f'{name} seen')} AS SELECT {column}, other FROM {table}",
        ]
    columns = ", ".join(f"{quote_name(name)} TEXT NOT NULL" for name in names)
    marks = ", ".join(f"'{number}'" for number in range(len(names)))
    key = ", ".join(map(quote_name, names[:8]))
    checks = ", ".join(f"CONSTRAINT {quote_name(name)} CHECK ({quote_name(name)} <> 'bad')" for name in names)
    return [
        *made,
        f"CREATE TABLE every ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID",
        f"CREATE TABLE hidden ({columns}, other INTEGER, {checks})",
        f"INSERT INTO every VALUES ({marks})",
        f"INSERT INTO hidden VALUES ({marks}, 1), ({marks}, 2)",
        f"CREATE UNIQUE INDEX {quote_name(f'{names[0]} unique')} ON hidden ({quote_name(names[0])}, other)",
    ]


def writes(names: tuple[str, ...], round_: int) -> list[str]:
    """What an application does to them."""
    every = [quote_name(name) for name in names]
    made = []
    for name in every:
        made += [
            f"INSERT INTO {name} (other) VALUES ('{round_}')",
            f"INSERT INTO {name} ({name}, other) VALUES ({100 * round_}, 'given')",
            f"UPDATE {name} SET other = other || '!' WHERE {name} = 2",
            f"DELETE FROM {name} WHERE {name}.{name} = {100 * round_ + 1}",
            f"INSERT OR REPLACE INTO {name} ({name}, other) VALUES (1, 'replaced {round_}')",
            f"INSERT OR IGNORE INTO {name} ({name}, other) VALUES (1, 'ignored')",
            f"INSERT INTO {name} ({name}) VALUES (2) ON CONFLICT ({name}) DO UPDATE SET other = excluded.{name}",
        ]
    marks = ", ".join(f"'{round_} {number}'" for number in range(len(names)))
    return [
        *made,
        f"INSERT INTO every VALUES ({marks})",
        f"INSERT INTO hidden ({', '.join(every)}) VALUES ({marks})",
        f"UPDATE hidden SET {every[-1]} = {every[0]} WHERE {every[0]} = '0'",
    ]


def reads(names: tuple[str, ...]) -> list[str]:
    """How an application reads them."""
    every = [quote_name(name) for name in names]
    made = []
    for name, plain in zip(every, names, strict=True):
        made += [
            f"SELECT * FROM {name} ORDER BY 1",
            f"SELECT {name}.{name}, other FROM {name} WHERE {name}.{name} > 1 ORDER BY {name}",
            f"SELECT {name}, count(*) AS {quote_name(f'{plain} n')} FROM {name} GROUP BY {name} ORDER BY {name}",
            f"SELECT * FROM {quote_name(f'{plain} seen')} ORDER BY 1",
            f"WITH cte AS (SELECT {name} AS {quote_name(f'{plain} k')} FROM {name}) SELECT * FROM cte ORDER BY 1",
            f"SELECT i.{name} FROM (SELECT {name}, other FROM {name}) AS i JOIN every ON i.{name} > 0 ORDER BY 1",
        ]
    columns = ", ".join(every)
    return [*made, f"SELECT {columns} FROM every ORDER BY 1", f"SELECT * FROM hidden ORDER BY {columns}"]


def refused(names: tuple[str, ...]) -> list[str]:
    """What breaks a constraint, which SQLite then names."""
    marks = ["'x'"] * len(names)
    columns = ", ".join(map(quote_name, names))
    numbers = ", ".join(f"'{number}'" for number in range(len(names)))
    broken = []
    for place in range(len(names)):
        for value in ("NULL", "'bad'"):
            values = ", ".join([*marks[:place], value, *marks[place + 1 :]])
            broken.append(f"INSERT INTO hidden ({columns}) VALUES ({values})")
    return [
        *broken,
        f"INSERT INTO hidden ({columns}, other) VALUES ({numbers}, 1)",
        "INSERT INTO every SELECT * FROM every",
        *(f"INSERT INTO {name} ({name}) VALUES (1)" for name in map(quote_name, names)),
    ]


class Twin:
    """The file that moves, and one of the same history that only sqlite3 ever saw."""

    def __init__(self, database: Path, names: tuple[str, ...]) -> None:
        self.names, self.round = names, 0
        self.database, self.plain = str(database), str(database.with_name("plain.db"))
        for path in (self.database, self.plain):
            with closing(sqlite3.connect(path)) as connection, connection:
                for statement in statements(names):
                    connection.execute(statement)

    def check(self, *, verified: bool = True) -> None:
        """Write to both, and see the same in both; verification finds no difference."""
        self.round += 1
        with closing(sqlite3.connect(self.plain)) as plain, closing(dualdb.connect(self.database)) as ours:
            for sql in writes(self.names, self.round):
                expected, found = plain.execute(sql), ours.execute(sql)
                assert (found.rowcount, found.lastrowid) == (expected.rowcount, expected.lastrowid), sql
            plain.commit()
            ours.commit()
            for sql in reads(self.names):
                assert seen(ours, sql) == seen(plain, sql), sql

        if verified:
            with Pair.open(self.database) as pair:
                report = verify(pair)
            assert report.agrees, report

    def check_refusals(self) -> None:
        """What breaks a constraint is refused in the same words. To be checked last: it uses up PostgreSQL's ids."""
        with closing(sqlite3.connect(self.plain)) as plain, closing(dualdb.connect(self.database)) as ours:
            for sql in refused(self.names):
                assert said(ours, sql) == said(plain, sql), sql


def seen(connection: sqlite3.Connection, sql: str) -> tuple[Any, list[Any]]:
    """What a statement gives an application."""
    cursor = connection.execute(sql)
    return cursor.description, cursor.fetchall()


def said(connection: sqlite3.Connection, sql: str) -> str:
    """How a statement is refused."""
    with pytest.raises(sqlite3.IntegrityError) as caught:
        connection.execute(sql)
    connection.rollback()
    return str(caught.value)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_a_name_is_kept_in_every_phase(database: Path, target_dsn: str, names: tuple[str, ...]) -> None:
    """Written and read there and back and there again, each by its own name, and no row differs."""
    twin = Twin(database, names)
    initialise(twin.database, target_dsn)
    twin.check(verified=False)
    for phase in (Phase.DUAL_WRITE, Phase.POSTGRES):
        advance(twin.database, phase, observer=unheard)
        twin.check()
    rollback(twin.database, observer=unheard)
    twin.check()
    advance(twin.database, Phase.POSTGRES, observer=unheard)
    twin.check()
    twin.check_refusals()


@pytest.mark.parametrize("schema", ["xmin", "Two \"Words'", "ä.%s", LONG])
def test_a_schema_and_what_is_made_there_later(database: Path, target_dsn: str, schema: str) -> None:
    """The target's schema may be called anything too, and so may what is made, and goes, while PostgreSQL leads."""
    names = ("ctid", f"{LONG}1", f"{LONG}2", 'a"b', "found")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"CREATE TABLE {quote_name(schema)} (id INTEGER PRIMARY KEY)")
    initialise(str(database), target_dsn, schema=schema)
    advance(str(database), Phase.POSTGRES, observer=unheard)
    with closing(dualdb.connect(database)) as connection:
        for sql in statements(names):
            connection.execute(sql)
        connection.execute(f"DROP INDEX {quote_name(f'{names[1]} by')}")
        connection.execute(f"DROP VIEW {quote_name(f'{names[0]} seen')}")
        connection.execute(f"DROP TABLE {quote_name(names[0])}")
        connection.commit()
    rollback(str(database), observer=unheard)
    with closing(sqlite3.connect(database)) as connection:
        for name in map(quote_name, names[1:]):
            assert connection.execute(f"SELECT {name} FROM {name} ORDER BY 1").fetchall() == [(1,), (2,), (3,)]
        assert connection.execute("SELECT count(*) FROM hidden").fetchone() == (2,)
    with Pair.open(str(database)) as pair:
        assert verify(pair).agrees


@pytest.mark.parametrize("ddl", ["t (rowid, b)", "t (id INTEGER PRIMARY KEY, rowid, oid, _rowid_, b)"])
def test_a_blob_of_a_row_whose_columns_took_the_names_of_the_rowid(database: Path, target_dsn: str, ddl: str) -> None:
    """The row that is journaled is the one whose blob is written, not one that another column names."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"CREATE TABLE {ddl}")
        connection.executemany("INSERT INTO t (rowid, b) VALUES (?, x'00')", [(2,), (7,)])
    initialise(str(database), target_dsn)
    advance(str(database), Phase.DUAL_WRITE, observer=unheard)
    with closing(dualdb.connect(database)) as connection, connection:
        connection.execute("BEGIN")
        with connection.blobopen("t", "b", 1) as blob:
            blob.write(b"\1")
    with Pair.open(str(database)) as pair:
        assert verify(pair).agrees
