"""What dualdb raises from its own commands; the application only ever meets `sqlite3`'s classes.

A message is one lower-case sentence with the values, then `; ` and the remedy.
"""

from __future__ import annotations


class DualdbError(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""


class NotPreparedError(DualdbError):
    """The file was never `dualdb init`-ed."""


class LayoutError(DualdbError):
    """Another version of dualdb prepared the file or its target, and this one does not know its tables; or SQLite's
    library does not.
    """


class PhaseError(DualdbError):
    """The step asked for cannot follow from the phase that the file is in."""


class BusyError(DualdbError):
    """Somebody else holds what this step needs; trying again may succeed."""


class SourceError(DualdbError):
    """The SQLite file cannot be used: missing, locked, corrupt, no database, or on a file system without WAL."""


class TargetError(DualdbError):
    """PostgreSQL cannot be used: unreachable, too old, refused the password, or not empty."""


class TargetLostError(TargetError):
    """The connection to PostgreSQL went away; what it was doing may or may not have been committed."""


class SchemaError(DualdbError):
    """The schema holds something that dualdb cannot carry: a virtual table, a table that cannot be keyed."""


class LineageError(DualdbError):
    """The two databases do not belong together: one of them was restored or replaced."""


class OvertakenError(DualdbError):
    """A compare-and-set found another value: somebody else moved on first, and nothing was written."""


class MismatchError(DualdbError):
    """Verification found rows that differ."""
