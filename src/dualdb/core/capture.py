"""The triggers that journal which rows of a SQLite table change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dualdb.core.schema import Table


def rowid_name(table: Table) -> str | None:
    """A name by which SQL can reach the table's rowid; None in a WITHOUT ROWID table, and where columns have taken
    all three names.
    """
    return None if table.without_rowid else free_rowid_name(column.name for column in table.columns)


def free_rowid_name(columns: Iterable[str]) -> str | None:
    """Which of rowid, oid and _rowid_ is not the name of one of these columns (lang_createtable.html, section 5)."""
    taken = {name.lower() for name in columns}
    return next((name for name in ("rowid", "oid", "_rowid_") if name not in taken), None)
