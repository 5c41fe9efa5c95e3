"""The error of a statement that has no translation; knows nothing else."""

from __future__ import annotations

from dualdb.errors import DualdbError

_ELSE = "write it in another way, or stay with SQLite (dualdb rollback)"


class Refused(DualdbError):  # noqa: N818 - what the translator does, and the word for it everywhere
    """A statement means something on SQLite that is not proven to come out the same on PostgreSQL."""

    def __init__(self, construct: str, reason: str, remedy: str = _ELSE) -> None:
        super().__init__(f"{construct} is not translated to PostgreSQL: {reason}; {remedy}")
        self.construct = construct
        """What was met, in SQL's words."""
        self.reason = reason
        """Why it is not translated."""
        self.remedy = remedy
        """What to write instead."""
