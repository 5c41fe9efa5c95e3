"""Writable blobs on a mirrored file: incremental writes fire no trigger (sqlite.org/c3ref/blob_open.html).

So the row is journaled here, in the transaction that the blob is written in.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from dualdb.core.probe import key_names, rowid_name
from dualdb.core.schema import KeyKind
from dualdb.core.sqltext import fold, quote_name
from dualdb.driver.c_part import in_transaction
from dualdb.driver.failure import refused

if TYPE_CHECKING:
    from dualdb.driver.connection import SourceConnection


def journal(connection: SourceConnection, table_name: str, row: int) -> None:
    """Journal the row whose blob is about to be opened for writing.

    Raises NotSupportedError outside a transaction: the blob would be written, and committed, after its journal row.
    """
    from dualdb.stores.catalog import read_schema

    watch = connection._dualdb.watch
    if watch is None:
        return
    authority = watch.authority(watch.seen())
    if authority is None or not authority.mirrored:
        return
    own = sqlite3.connect(watch.path, isolation_level=None)
    try:
        table = read_schema(own).tables.get(fold(table_name))
    finally:
        own.close()
    if table is None:
        return
    if not in_transaction(connection):
        raise refused(
            f"a blob of {table_name} cannot be opened for writing outside a transaction while the file is mirrored",
            "execute BEGIN first, or open it with readonly=True",
        )
    names = key_names(table)
    rowid = names[0] if table.key.kind is KeyKind.INTEGER_PRIMARY_KEY else rowid_name(table)
    if rowid is None:
        raise refused(
            f"a blob of {table_name} cannot be opened for writing while the file is mirrored: rowid, oid and _rowid_"
            " are names of ordinary columns",
            "write the value with UPDATE, or open it with readonly=True",
        )
    slots = ", ".join(f"k{place}" for place, _ in enumerate(names, 1))
    sqlite3.Cursor(connection).execute(
        f"INSERT INTO _dualdb_journal(tbl, {slots}) SELECT ?, {', '.join(names)} FROM main.{quote_name(table.name)}"
        f" WHERE {rowid} = ?",
        (table.id, row),
    )
