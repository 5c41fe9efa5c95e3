"""Capture and fence in the SQLite file: putting them in, proving them, taking them out.

Each function works inside the caller's write transaction. `core.capture` makes the triggers; the control row remembers
the catalog (`PRAGMA schema_version`) that they were last proven against: when the file's is another one, a table may
have been remade without its triggers, or VACUUM may have renumbered rows that only their rowid names.
"""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dualdb.core.capture import (
    CAPTURE_KINDS,
    FENCE_KINDS,
    capture_triggers,
    fence_names,
    fence_triggers,
    installed_capture,
)
from dualdb.core.schema import KeyKind
from dualdb.core.sqltext import fold, quote_name
from dualdb.core.store import Mended
from dualdb.stores.queries import query
from dualdb.stores.source_read import ASK, column_sql, journal_position

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from dualdb.core.schema import Schema, Table

_EVIDENCE = "source/evidence.sql"
_OURS = re.compile(r"_dualdb_([a-z_]+)_[0-9]+\Z")


def install_capture(connection: sqlite3.Connection, schema: Schema) -> None:
    """Journal every change from here on; whatever triggers of ours are there are made anew."""
    with _proving(connection) as proven:
        _drop_triggers(connection, CAPTURE_KINDS)
        for table in schema.tables.values():
            _create(connection, capture_triggers(table))
            if not proven and table.key.kind is KeyKind.ROWID:
                connection.execute(query(ASK, "restart"), (table.id,))
        write_numbering(connection, schema)
        connection.execute(query(ASK, "mark"))
        prove(connection)


def remove_capture(connection: sqlite3.Connection) -> None:
    """Journal nothing more."""
    with _proving(connection):
        _drop_triggers(connection, CAPTURE_KINDS)


def mend_capture(connection: sqlite3.Connection, schema: Schema) -> Mended:
    """Put capture back where it is missing, stale or on another table, and journal which tables must be copied anew.

    Where the catalog moved that is also every table whose rows only their rowid names, whatever moved it. VACUUM
    renumbers them (https://sqlite.org/lang_vacuum.html) and fires no trigger; in the file it leaves the same trace as
    any DDL, which is that `schema_version` is higher. A changed sqlite_master proves nothing: both may have happened.
    """
    with _proving(connection) as proven:
        numbered = {number for number, _ in connection.execute(query(ASK, "names"))}
        expected = {name for table in schema.tables.values() for name in _names(capture_triggers(table))}
        found = _triggers(connection)
        for name, _, _ in found:
            if _kind(name) in CAPTURE_KINDS and fold(name) not in expected:
                connection.execute(f"DROP TRIGGER main.{quote_name(name)}")
        missing, renumbered = set(), set()
        for table in schema.tables.values():
            if not installed_capture(found, table):
                if table.id in numbered:
                    missing.add(table.name)
                for name in _names(capture_triggers(table)):
                    connection.execute(f"DROP TRIGGER IF EXISTS main.{quote_name(name)}")
                _create(connection, capture_triggers(table))
            elif not proven and table.key.kind is KeyKind.ROWID:
                renumbered.add(table.name)
            else:
                continue
            connection.execute(query(ASK, "restart"), (table.id,))
        write_numbering(connection, schema)
        prove(connection)
    return Mended(missing=frozenset(missing), renumbered=frozenset(renumbered))


def install_fence(connection: sqlite3.Connection, schema: Schema) -> None:
    """Refuse every write but the relay's from here on."""
    with _proving(connection):
        _drop_triggers(connection, FENCE_KINDS)
        for table in schema.tables.values():
            _create(connection, fence_triggers(table))


def remove_fence(connection: sqlite3.Connection) -> None:
    """Accept writes again."""
    with _proving(connection):
        _drop_triggers(connection, FENCE_KINDS)


def mend_fence(connection: sqlite3.Connection, schema: Schema) -> tuple[frozenset[int], frozenset[int]]:
    """Put the fence back where it is missing; the tables where it was, and those whose rows VACUUM may have
    renumbered.
    """
    with _proving(connection) as proven:
        gone = frozenset(table.id for table in schema.tables.values()) - fenced(connection, schema)
        for table in schema.tables.values():
            if table.id in gone:
                for name in fence_names(table.id):
                    connection.execute(f"DROP TRIGGER IF EXISTS main.{quote_name(name)}")
                _create(connection, fence_triggers(table))
        prove(connection)
    rowids = {table.id for table in schema.tables.values() if table.key.kind is KeyKind.ROWID}
    return gone, frozenset() if proven else frozenset(rowids - gone)


def fenced(connection: sqlite3.Connection, schema: Schema) -> frozenset[int]:
    """The tables whose fence stands as it was made."""
    texts = {sql for _, _, sql in _triggers(connection)}
    return frozenset(table.id for table in schema.tables.values() if texts.issuperset(fence_triggers(table)))


def set_aside_triggers(connection: sqlite3.Connection, schema: Schema) -> None:
    """Take the application's own triggers out of the file and keep them verbatim, in their order."""
    with _proving(connection):
        for trigger in schema.triggers:
            connection.execute(f"DROP TRIGGER main.{quote_name(trigger.name)}")
        keep_triggers(connection, schema)


def keep_triggers(connection: sqlite3.Connection, schema: Schema) -> None:
    """Remember the application's triggers, besides those that are remembered; touches none in the file."""
    connection.executemany(query(ASK, "keep_trigger"), [(trigger.name, trigger.sql) for trigger in schema.triggers])


def restore_triggers(connection: sqlite3.Connection) -> None:
    """Put the application's triggers back, in their order.

    One that SQLite does not take any more (what it is on is gone, or its name was given away) stays where it was kept,
    with the reason: it must not keep the file from becoming the authority.
    """
    with _proving(connection):
        present = {sql for _, _, sql in _triggers(connection)}
        for ordinal, _, sql in connection.execute(query(ASK, "kept_triggers")).fetchall():
            if sql in present:
                continue
            try:
                connection.execute(sql)
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # the disk, say: no fault of the trigger's
                    raise
                connection.execute(query(ASK, "keep_broken_trigger"), (str(exc), ordinal))
        connection.execute(query(ASK, "forget_triggers"))


def journal_head(connection: sqlite3.Connection) -> str:
    """The position of everything journaled so far."""
    return journal_position(connection)


def sequence_marks(connection: sqlite3.Connection, schema: Schema) -> Mapping[str, int]:
    """By table name the largest id ever used, as far as SQLite remembers: of AUTOINCREMENT, else of the rows there."""
    marks: dict[str, int] = {}
    for table in schema.tables.values():
        if table.rowid is not None:
            column = column_sql(table, table.rowid.name)
            largest = connection.execute(f"SELECT max({column}) FROM main.{quote_name(table.name)}").fetchone()[0]
            marks[table.name] = largest or 0
    if _has_sequences(connection):
        for name, seq in connection.execute(query(_EVIDENCE, "sequences")).fetchall():
            if name in marks and isinstance(seq, int):
                marks[name] = max(marks[name], seq)
    return marks


def raise_sequences(connection: sqlite3.Connection, at_least: Mapping[str, int]) -> None:
    """Let no AUTOINCREMENT table give an id again that was ever used, on either side."""
    if not _has_sequences(connection):
        return
    for name, sql in connection.execute(query(ASK, "definitions")).fetchall():
        mark = at_least.get(name, 0)
        if mark <= 0 or sql is None or "AUTOINCREMENT" not in sql.upper():
            continue
        cursor = connection.execute(query(ASK, "raise_sequence"), (mark, name))
        if cursor.rowcount == 0:
            connection.execute(query(ASK, "make_sequence"), (name, mark))


def write_numbering(connection: sqlite3.Connection, schema: Schema) -> None:
    """Keep the tables' numbers and stored types; a number is never forgotten, so never given to another table."""
    connection.executemany(query(ASK, "retire_number"), [(table.name, table.id) for table in schema.tables.values()])
    connection.executemany(
        query(ASK, "set_number"),
        [(table.id, table.name, stored_text(table)) for table in schema.tables.values()],
    )


def stored_text(table: Table) -> str:
    """How the target stores the table's columns, as both sides keep it."""
    return json.dumps({column.name: column.stored.value for column in table.columns})


def prove(connection: sqlite3.Connection) -> None:
    """Remember that our triggers are right for the catalog as it is in this transaction."""
    connection.execute(query(ASK, "prove"), connection.execute("PRAGMA schema_version").fetchone())


@contextmanager
def _proving(connection: sqlite3.Connection) -> Iterator[bool]:
    """Whether the catalog is the proven one; what is done within leaves it so: our DDL must not look like VACUUM."""
    proven = connection.execute(query(ASK, "proven")).fetchone()
    found = proven == connection.execute("PRAGMA schema_version").fetchone()
    yield found
    if found:
        prove(connection)


def _triggers(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return connection.execute(query(ASK, "triggers")).fetchall()


def _drop_triggers(connection: sqlite3.Connection, kinds: Collection[str]) -> None:
    for name, _, _ in _triggers(connection):
        if _kind(name) in kinds:
            connection.execute(f"DROP TRIGGER main.{quote_name(name)}")


def _kind(name: str) -> str:
    match = _OURS.match(fold(name))
    return match[1] if match else ""


def _names(statements: Sequence[str]) -> list[str]:
    """The trigger names in `core.capture`'s statements, which quote them."""
    return [statement.split('"', 2)[1] for statement in statements]


def _create(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(statement)


def _has_sequences(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute(query(_EVIDENCE, "has_sequences")).fetchone()[0])
