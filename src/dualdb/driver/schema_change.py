"""CREATE, ALTER and DROP while PostgreSQL is the authority: tried on a copy of the catalog database, then made in one
transaction: the objects, their capture and fence, and the description of the schema.

SQLite itself judges the statement; whoever else has the file open learns of the change through the hint.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dualdb.core.sqltext import first_keyword
from dualdb.core.translate import Refused
from dualdb.driver.catalogue import Catalogue
from dualdb.driver.diagnosis import untranslated
from dualdb.errors import SchemaError
from dualdb.stores.catalog import master_rows
from dualdb.stores.target_alter import find_alteration, numbering_after
from dualdb.stores.target_change import follow

if TYPE_CHECKING:
    from dualdb.driver.remote import Remote


def change(remote: Remote, sql: str) -> None:
    """Carry out one DDL statement; raises what sqlite3 raises, NotSupportedError, MovedError."""
    before = remote.catalogue
    copy = before.copy()
    try:
        copy.execute(sql)
        rows = master_rows(copy)
    finally:
        copy.close()
    if rows == list(before.rows):
        return  # IF [NOT] EXISTS has found it so
    # A table that comes back under an old name keeps the number, not what its columns were stored as.
    numbering = {
        name: (number, stored if name in before.schema.tables else {})
        for name, (number, stored) in before.numbering.items()
    }
    alteration = None
    try:
        after = Catalogue(rows, numbering, before.target_schema)
        if first_keyword(sql) == "ALTER":
            alteration = find_alteration(before.schema, after.schema)
            after = Catalogue(rows, numbering_after(alteration, numbering), before.target_schema)
            alteration = replace(alteration, new=after.schema.table(alteration.new.name))
    except (SchemaError, Refused) as exc:  # a table that could not be mirrored back
        raise sqlite3.NotSupportedError(str(exc)) from None

    def make(connection: Any) -> None:
        follow(connection, before.schema, after.schema, before.target_schema, alteration)

    try:
        remote.change_schema(make, after)
    except Refused as refusal:
        raise untranslated(refusal, remote.way_back) from None
