"""What a connection remembers of its open transaction: the statements that open the same one elsewhere, while those
are all that was done in it.

One object for each connection, the same on both databases. BEGIN and savepoints do nothing by themselves and can be
executed again where the authority went; whatever read or wrote cannot. Knows texts and no database.
"""

from __future__ import annotations

_OPENING = frozenset({"BEGIN", "SAVEPOINT"})
_NESTING = ("SAVEPOINT", "RELEASE", "ROLLBACK")
_BEGUN = ("BEGIN",)
_COMMENTED = ("-", "/")


class TransactionMemory:
    """The memory of one transaction after the other."""

    __slots__ = ("opening",)

    opening: tuple[str, ...] | None
    """The statement that opened the transaction, if one is open; then the savepoints since. None: more was done.
    Written here alone.
    """

    def __init__(self) -> None:
        self.opening = _BEGUN

    def done(self, sql: str, *, inside: bool, still_open: bool) -> None:
        """A statement was executed; `inside`: a transaction was open before it."""
        if inside:
            if self.opening is not None:
                self.ran(sql, still_open=still_open)
        elif still_open:
            self.opening = (sql,)

    def began(self, sql: str) -> None:
        """A statement was executed outside a transaction, and one is open since."""
        self.opening = (sql,)

    def ran(self, sql: str, *, still_open: bool) -> None:
        """A statement was executed inside: SAVEPOINT, RELEASE, ROLLBACK, or something that is not repeated."""
        if not still_open:
            self.ended()
        elif self.opening is not None:
            self.opening = (*self.opening, sql) if _nests(sql) else None

    def failed(self, sql: str, *, inside: bool, still_open: bool, busy: bool) -> None:
        """A statement has failed: it leaves the transaction begun, or rolled back. `busy`: it got no lock, and has done
        nothing; else it may have read, and the application have seen it.
        """
        if not still_open:
            self.ended()
        elif not inside:
            if self.opening is not None:  # else what makes the rows has worked in it before
                self.opening = _BEGUN if busy else (sql,)
        elif not busy:
            self.worked()

    def worked(self) -> None:
        """It has read or written, or it is not known what it has done."""
        self.opening = None

    def reopened(self, statements: tuple[str, ...]) -> None:
        """These statements have opened it again, and nothing else was done in it."""
        self.opening = statements

    def ended(self) -> None:
        """It was committed or rolled back; with `autocommit=False` one is open again, and else the next one begins."""
        self.opening = _BEGUN

    @property
    def replay(self) -> tuple[str, ...] | None:
        """The statements that open the same transaction elsewhere; None when it has read or written."""
        from dualdb.core.sqltext import first_keyword

        if self.opening is None or first_keyword(self.opening[0]) not in _OPENING:
            return None
        return self.opening


def _nests(sql: str) -> bool:
    start = sql.lstrip()[:9].upper()
    if start.startswith(_COMMENTED):
        from dualdb.core.sqltext import first_keyword  # not while `dualdb` is imported: it compiles a large pattern

        return first_keyword(sql) in _NESTING
    return start.startswith(_NESTING)
