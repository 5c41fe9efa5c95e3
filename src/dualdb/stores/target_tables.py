"""Bringing the application's tables on PostgreSQL, while it follows, to the authority's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.names import qualified, quoted
from dualdb.core.sqltext import fold
from dualdb.stores.target_apply import POISON
from dualdb.stores.target_catalog import read_target_schema
from dualdb.stores.target_journal import ddl_of, make_table, make_views, write_objects

if TYPE_CHECKING:
    from dualdb.core.schema import Schema, Table
    from dualdb.core.translate.ddl import Ddl
    from dualdb.stores.target_connection import Target


def follow(connection: Target, wanted: Schema, target_schema: str) -> frozenset[int]:
    """Make the tables those of the wanted schema; the numbers of the tables that are empty now and must be copied."""
    now = read_target_schema(connection)
    ddl = ddl_of(wanted, target_schema)
    for view in now.views.values():
        _run(connection, f"DROP VIEW IF EXISTS {qualified(target_schema, view.name)} CASCADE")
    remade = set()
    for name, table in now.tables.items():
        if name not in wanted.tables:
            _drop(connection, table, target_schema)
    for name, table in wanted.tables.items():
        before = now.tables.get(name)
        if before is None or not _keeps_rows(connection, before, table, ddl, target_schema):
            if before is not None:
                _drop(connection, before, target_schema)
            make_table(connection, table, ddl, target_schema, name)
            remade.add(table.id)
    make_views(connection, ddl)
    write_objects(connection, wanted)
    return frozenset(remade)


def _keeps_rows(connection: Target, before: Table, wanted: Table, ddl: Ddl, target_schema: str) -> bool:
    """Whether the table can stay as it is but for its indexes, which are brought along."""
    if (before.id, before.sql, before.columns) != (wanted.id, wanted.sql, wanted.columns):
        return False
    if before.indexes == wanted.indexes:
        return True
    texts = _index_texts(ddl, wanted)
    old = {index.name: index for index in before.indexes if index.sql is not None}
    new = {index.name: index for index in wanted.indexes if index.sql is not None}
    try:
        with connection.transaction():
            for name, index in old.items():
                if new.get(name) != index:
                    _run(connection, f"DROP INDEX IF EXISTS {qualified(target_schema, name)}")
            for name, index in new.items():
                if old.get(name) != index and name in texts:
                    _run(connection, texts[name])
    except POISON:  # some row is too long for the new index: it is found, and kept apart, when the table is copied
        return False
    return True


def _index_texts(ddl: Ddl, table: Table) -> dict[str, str]:
    texts = ddl.tables[fold(table.name)].indexes
    return {index.name: text for index in table.indexes for text in texts if f"INDEX {quoted(index.name)} ON" in text}


def _drop(connection: Target, table: Table, target_schema: str) -> None:
    _run(connection, f"DROP TABLE IF EXISTS {qualified(target_schema, table.name)} CASCADE")
    _run(connection, f"DROP FUNCTION IF EXISTS dualdb.capture_{table.id}() CASCADE")


def _run(connection: Target, text: str) -> None:
    connection.execute(text.encode())
