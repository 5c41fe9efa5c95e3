"""The error of a statement that has no translation; knows nothing of translating."""

from __future__ import annotations

from dualdb.core.sqltext import fold
from dualdb.errors import DualdbError

ANOTHER_WAY = "write it in another way"
"""What is left to do where no more is known."""
_INSTEAD = {"sqlite_sequence": "ask for the max() of the ids themselves; PostgreSQL's sequence is right by itself"}


class Refused(DualdbError):  # noqa: N818 - what the translator does, and the word for it everywhere
    """A statement means something on SQLite that is not proven to come out the same on PostgreSQL."""

    def __init__(self, construct: str, reason: str, remedy: str = ANOTHER_WAY) -> None:
        super().__init__(f"{construct} is not translated to PostgreSQL: {reason}; {remedy}")
        self.construct = construct
        """What was met, in SQL's words."""
        self.reason = reason
        """Why it is not translated."""
        self.remedy = remedy
        """What to write instead."""


def unknown_table(name: str) -> Refused:
    """For a table that the application's schema does not have, though SQLite may."""
    if fold(name).startswith("sqlite_"):
        return Refused(f"the table {name!r}", "SQLite keeps it for itself", _INSTEAD.get(fold(name), ANOTHER_WAY))
    return Refused(f"the table {name!r}", "the schema has none of that name", "correct the name")
