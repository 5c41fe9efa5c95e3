"""A change of the application's schema while PostgreSQL is the authority, inside the caller's transaction.

Objects that are new are made, captured from their first row on; those that are gone are dropped; then the schema is
described anew. Knows two schemas, not the statement that led from one to the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.names import qualified, quoted
from dualdb.core.translate.ddl import table_ddl, view_ddl, views_ddl
from dualdb.core.translate.refusal import Refused
from dualdb.stores.queries import query
from dualdb.stores.target_alter import settled, statements
from dualdb.stores.target_journal import capture_table, fence_table, write_objects
from dualdb.stores.target_read import ASK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dualdb.core.schema import Schema, Table
    from dualdb.core.translate.ddl import ViewDdl
    from dualdb.stores.target_alter import Alteration
    from dualdb.stores.target_connection import Target


class FencedError(Exception):
    """A move of authority is under way: the schema must not change now."""


def follow(
    connection: Target, before: Schema, after: Schema, target_schema: str, alteration: Alteration | None = None
) -> None:
    """Lead the objects from one schema to the other, a table that was altered with its rows. Raises Refused,
    FencedError, psycopg's errors.
    """
    # 1. hold the control row, so that no fence rises before this commits; 2. change; 3. describe.
    found = connection.execute(query("target/authority.sql", "share_control").encode()).fetchone()
    if found is None or found[0] != "postgres" or found[1] == "moving":
        raise FencedError
    for statement in _statements(before, after, target_schema, alteration):
        connection.execute(statement.encode())
    if alteration is not None:
        before = settled(before, alteration)
        capture_table(connection, alteration.new, target_schema, enabled=True)  # it speaks of names
    for name in after.tables.keys() - before.tables.keys():
        capture_table(connection, after.tables[name], target_schema, enabled=True)
        fence_table(connection, after.tables[name], target_schema, enabled=False)
    write_objects(connection, after)
    connection.execute(query("target/authority.sql", "change_schema").encode())
    connection.execute(query(ASK, "mark").encode())  # like any change it can be asked for when its COMMIT is lost


def _statements(before: Schema, after: Schema, target_schema: str, alteration: Alteration | None) -> Iterator[str]:
    standing, wanted = views_ddl(before, target_schema), views_ddl(after, target_schema)
    gone = _gone(standing, wanted, after, target_schema)
    for name in reversed(gone):
        yield f"DROP VIEW IF EXISTS {qualified(target_schema, before.views[name].name)}"
    if alteration is not None:
        yield from statements(alteration, target_schema)
        before = settled(before, alteration)
    for name, table in before.tables.items():
        yield from _dropped(table, after.tables.get(name), target_schema)
    for name, table in after.tables.items():
        yield from _made(before.tables.get(name), table, target_schema)
    for name in after.views.keys() - before.views.keys() - wanted.keys():
        view_ddl(after.views[name], after, target_schema)  # it says what is refused
    for name, view in wanted.items():
        if name in gone or name not in standing:
            yield view.create


def _gone(
    standing: Mapping[str, ViewDdl], wanted: Mapping[str, ViewDdl], after: Schema, target_schema: str
) -> Sequence[str]:
    """The views that do not stay as they are, each after those that it reads.

    SQLite keeps a view whose table was dropped, and takes it up again when there is a table of that name. Raises
    Refused when a view whose tables are all there would lose its translation.
    """
    gone: list[str] = []
    there = after.tables.keys() | after.views.keys()
    for name, view in standing.items():
        if wanted.get(name) == view and not view.reads & set(gone):
            continue
        if name in after.views and name not in wanted and view.reads <= there:
            view_ddl(after.views[name], after, target_schema)  # it says what is refused
        gone.append(name)
    return gone


def _dropped(old: Table, new: Table | None, target_schema: str) -> Iterator[str]:
    if new is None:
        yield f"DROP TABLE {qualified(target_schema, old.name)}"
        return
    kept = {index.name for index in new.indexes}
    for index in old.indexes:
        if index.name not in kept:
            yield f"DROP INDEX {qualified(target_schema, index.name)}"


def _made(old: Table | None, new: Table, target_schema: str) -> Iterator[str]:
    ddl, refusals = table_ddl(new, target_schema)
    known = {index.name for index in old.indexes} if old is not None else set()
    fresh = [index.name for index in new.indexes if index.name not in known]
    for what, reason in refusals:
        if old is None or any(what == f"index {name}" for name in fresh):
            raise Refused(what, reason)
    if old is None:
        yield ddl.create
    for statement in ddl.indexes:
        if old is None or any(f"INDEX {quoted(name)} ON " in statement for name in fresh):
            yield statement
