"""The version of our own tables, which both sides carry in their control rows; knows no database.

Asked before anything else of those tables is: in another layout they may have other columns, or mean other things. On
the path of every application that never leaves SQLite, so it imports nothing heavy.
"""

from __future__ import annotations

LAYOUT = 5
"""What `dualdb init` makes, what is ours in the application's tables among it, and the one that is known here."""


def find_unknown(what: str, layout: int) -> str | None:
    """What to tell of a file or target in that layout; None when it is the one that is known."""
    if layout == LAYOUT:
        return None
    return (
        f"{what} was prepared by another version of dualdb (layout {layout}, this one knows {LAYOUT});"
        " install the version that prepared it, or a newer one"
    )
