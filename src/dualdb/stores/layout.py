"""The version of our own tables, which both sides carry in their control rows; knows no database.

Asked before anything else of those tables is: in another layout they may have other columns, or mean other things. On
the path of every application that never leaves SQLite, so it imports nothing heavy.
"""

from __future__ import annotations

import sqlite3

LAYOUT = 6
"""What `dualdb init` makes, what is ours in the application's tables among it, and the one that is known here."""

_OLDEST = (3, 35)
"""SQLite's library: the first with RETURNING and ALTER TABLE … DROP COLUMN."""


def find_unknown(what: str, layout: int) -> str | None:
    """What to tell of a file or target in that layout; None when it is the one that is known and SQLite is too."""
    if layout == LAYOUT:
        return find_old_library()
    return (
        f"{what} was prepared by another version of dualdb (layout {layout}, this one knows {LAYOUT});"
        " install the version that prepared it, or a newer one"
    )


def find_old_library() -> str | None:
    """What to tell of a SQLite library that our statements are too new for; None when it is new enough."""
    if sqlite3.sqlite_version_info >= _OLDEST:
        return None
    return (
        f"SQLite {sqlite3.sqlite_version} is too old for dualdb, which needs {'.'.join(map(str, _OLDEST))};"
        " run a Python that is linked with a newer one"
    )
