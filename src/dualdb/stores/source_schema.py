"""Bringing the tables of a SQLite file that follows to the authority's schema, by the application's own DDL.

Inside the caller's write transaction; knows no PostgreSQL.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from dualdb.core.capture import fence_names, fence_triggers
from dualdb.core.sqltext import fold, quote_name
from dualdb.stores import journal
from dualdb.stores.catalog import ASIDE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from dualdb.core.schema import Schema, Table


def follow(connection: sqlite3.Connection, now: Schema, wanted: Schema, carried: Collection[int]) -> frozenset[int]:
    """Make the file's schema the wanted one; the numbers of the tables that are empty now and must be copied.

    Of a table that is not among the `carried` ones nobody else holds the rows: SQLite's fence cannot forbid a program
    to make or remake a table. It is set aside under another name, rows and all, and never dropped.
    """
    _make_way(connection, now, wanted)
    tables = {name: table for name, table in now.tables.items() if table.id in carried}
    for name in now.tables.keys() - tables.keys():
        _set_aside(connection, now.tables[name])
    keep = {name for name, table in tables.items() if _same(table, wanted.tables.get(name))}
    for name, table in tables.items():
        if name not in keep:
            connection.execute(f"DROP TABLE main.{quote_name(table.name)}")
    for name, table in wanted.tables.items():
        if name in keep:
            _follow_indexes(connection, tables[name], table)
        else:
            _make(connection, table)
    for view in wanted.views.values():
        if now.views.get(fold(view.name)) != view:
            connection.execute(view.sql)
    for schema in (wanted, now):  # what a plain program made here is not known to the authority
        journal.keep_triggers(connection, schema)
    journal.write_numbering(connection, wanted)
    journal.prove(connection)
    return frozenset(table.id for name, table in wanted.tables.items() if name not in keep)


def _make_way(connection: sqlite3.Connection, now: Schema, wanted: Schema) -> None:
    """Drop what holds no rows and is not wanted; a trigger would fire when the relay writes."""
    for trigger in now.triggers:
        connection.execute(f"DROP TRIGGER main.{quote_name(trigger.name)}")
    for view in now.views.values():
        if wanted.views.get(fold(view.name)) != view:
            connection.execute(f"DROP VIEW main.{quote_name(view.name)}")


def _set_aside(connection: sqlite3.Connection, table: Table) -> None:
    """Give the table a name of ours, and free the names of its indexes and triggers."""
    for index in table.indexes:
        if index.sql is not None:
            connection.execute(f"DROP INDEX main.{quote_name(index.name)}")
    attached = "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?)"
    for (trigger,) in connection.execute(attached, (table.name,)).fetchall():
        connection.execute(f"DROP TRIGGER main.{quote_name(trigger)}")
    free = aside_name(connection, table.name)
    connection.execute(f"ALTER TABLE main.{quote_name(table.name)} RENAME TO {quote_name(free)}")


def aside_name(connection: sqlite3.Connection, name: str) -> str:
    """A free name for what is set aside from under that one."""
    taken = {fold(name) for (name,) in connection.execute("SELECT name FROM main.sqlite_master")}
    names = (f"{ASIDE}{number}_{name}" for number in count(1))
    return next(free for free in names if fold(free) not in taken)


def _same(table: Table, wanted: Table | None) -> bool:
    return wanted is not None and (table.id, table.sql) == (wanted.id, wanted.sql)


def _make(connection: sqlite3.Connection, table: Table) -> None:
    connection.execute(table.sql)
    for index in table.indexes:
        if index.sql is not None:
            connection.execute(index.sql)
    for name in fence_names(table.id):
        connection.execute(f"DROP TRIGGER IF EXISTS main.{quote_name(name)}")
    for trigger in fence_triggers(table):
        connection.execute(trigger)


def _follow_indexes(connection: sqlite3.Connection, now: Table, wanted: Table) -> None:
    before = {index.name: index.sql for index in now.indexes if index.sql is not None}
    after = {index.name: index.sql for index in wanted.indexes if index.sql is not None}
    for name, sql in before.items():
        if after.get(name) != sql:
            connection.execute(f"DROP INDEX main.{quote_name(name)}")
    for name, sql in after.items():
        if before.get(name) != sql:
            connection.execute(sql)
