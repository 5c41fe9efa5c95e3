"""What this process knows of a target's schema: the schema, the plans made from it, and the catalog database.

The catalog database is SQLite itself, with the schema and no rows: it says what is wrong with a statement in SQLite's
words, and answers what only the schema is asked for.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from dualdb.core.ddltext import inlined_calls
from dualdb.core.sqltext import explained, first_keyword, significant
from dualdb.core.statement import Kind, Plan
from dualdb.core.transaction import IMPLICIT_BEGIN
from dualdb.core.translate import Refused, translate
from dualdb.driver.placeholders import Placeholders
from dualdb.driver.write_access import called_functions, foreign_key_steps, used_collations, written_databases
from dualdb.stores.catalog import catalog_database, schema_from_rows, version_of
from dualdb.stores.forks import fork_gate
from dualdb.stores.target_catalog import read_numbering, read_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.schema import Schema, TargetType
    from dualdb.stores.catalog import MasterRow, Numbering
    from dualdb.stores.target_pool import Pool

    Classes = Mapping[int | str, TargetType]

_PLANS_AT_MOST = 2000
_CLOSE_S = 1.0
"""So long a fork waits for the end of a catalog database."""
_STEPS_FOR_NAMES = 1_000_000
"""Instructions after which SQLite need not go on to a first row only to tell how its columns are called."""
_NOT_EXPLAINED = frozenset({"EXPLAIN", "PRAGMA"})
"""What SQLite cannot explain, or does while it explains."""
_TRANSACTIONS = frozenset({"BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT"})
_ROWS = frozenset({"DELETE", "INSERT", "REPLACE", "SELECT", "UPDATE", "VALUES", "WITH"})
"""What may return rows of the application's."""
_BY_ROWS = frozenset({"CONFLICT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK", "SELECT"})
"""With one of these words the rows that are there may decide what an INSERT comes to, or its failure changes some."""
_COUNTS = frozenset({("changes", 0), ("last_insert_rowid", 0), ("total_changes", 0)})
"""What tells of the connection, and would tell of the catalog database."""
NOTHING = Plan(kind=Kind.PRAGMA)
"""The plan of a text without a statement."""


class Found(NamedTuple):
    """What the catalog database answered."""

    rows: list[tuple[Any, ...]]
    description: Any


class Statement:
    """One text of the application's: its placeholders, and its plans."""

    __slots__ = (
        "_classed",
        "_names",
        "_plan",
        "_refusal",
        "called",
        "collated",
        "enforced",
        "is_dml",
        "placeholders",
        "sql",
        "verb",
        "written",
    )

    def __init__(
        self, sql: str, placeholders: Placeholders, plan: Plan | Refused, names: Sequence[str] | None = None
    ) -> None:
        """`names` are those that SQLite gives the result's columns; None: it does not say, and the plan's will do."""
        self.sql = sql
        self.verb = first_keyword(sql)
        self.is_dml = self.verb in IMPLICIT_BEGIN and not _follows_nothing(sql)
        """Whether sqlite3 takes it for a write, begins a transaction before it and counts its rows."""
        self.placeholders = placeholders
        self._names = names
        self._plan = self._named(plan) if isinstance(plan, Plan) else None
        self._refusal = plan if isinstance(plan, Refused) else None
        self._classed: dict[tuple[Any, ...], Plan] = {}
        self.written: frozenset[int] | None = None
        """The databases that it writes in; None: nobody has asked yet."""
        self.called: frozenset[tuple[str, int]] | None = None
        """The functions that it calls, and their numbers of arguments; None likewise."""
        self.collated: frozenset[str] | None = None
        """The collations that it uses; None likewise."""
        self.enforced: bool | None = None
        """Whether a foreign key has a say in it; None: nobody has asked yet."""

    @property
    def plan(self) -> Plan | None:
        """The plan that does for any values; None when the values' classes decide."""
        return self._plan

    def plan_for(self, classes: Classes, schema: Schema, target_schema: str, *, wide: bool = False) -> Plan:
        """The plan for values of these classes, `wide` for results beyond the range of a type; raises Refused."""
        key = (wide, *classes.items())
        plan = self._classed.get(key)
        if plan is None:
            if self._refusal is not None and not classes:
                raise self._refusal
            plan = self._named(translate(self.sql, schema, target_schema=target_schema, hints=classes, wide=wide))
            if len(self._classed) > _PLANS_AT_MOST:
                self._classed.clear()
            self._classed[key] = plan
        return plan

    def _named(self, plan: Plan) -> Plan:
        if self._names is None or plan.columns is None or len(self._names) != len(plan.columns):
            return plan
        columns = zip(plan.columns, self._names, strict=True)
        return replace(plan, columns=tuple(replace(column, name=name) for column, name in columns))


def _follows_nothing(sql: str) -> bool:
    """Whether an empty statement or a byte order mark stands before it: CPython passes over spaces and comments only
    (lstrip_sql in its Modules/_sqlite/statement.c).
    """
    if ";" not in sql and "\ufeff" not in sql:
        return False
    first = next(iter(significant(sql)))
    return first.text == ";" or "\ufeff" in sql[: first.start]


class Catalogue:
    """One version of a schema; shared by this process's connections."""

    def __init__(self, rows: Sequence[MasterRow], numbering: Numbering, target_schema: str) -> None:
        self.rows = rows
        self.numbering = numbering
        self.target_schema = target_schema
        self.schema = schema_from_rows(rows, numbering)
        self._database = catalog_database(rows)
        self._lock = Lock()
        self._statements: dict[str, Statement] = {}

    def statement(self, sql: str) -> Statement:
        """A text, checked by SQLite and translated; raises what sqlite3 raises."""
        found = self._statements.get(sql)
        if found is None:
            found = self._compile(sql)
            if len(self._statements) > _PLANS_AT_MOST:
                self._statements.clear()
            self._statements[sql] = found
        return found

    def plan(self, statement: Statement, classes: Classes, *, wide: bool = False) -> Plan:
        """The plan for values of these classes, `wide` for results beyond the range of a type; raises Refused."""
        return statement.plan_for(classes, self.schema, self.target_schema, wide=wide)

    def ask(self, sql: str, parameters: Any) -> Found:
        """SQLite's answer to what only reads the schema."""
        with self._lock:
            cursor = self._database.execute(sql, parameters)
            return Found(cursor.fetchall(), cursor.description)

    def written_by(self, statement: Statement) -> frozenset[int]:
        """The databases that SQLite would begin to write in, by their numbers; none for BEGIN and its like."""
        if statement.written is None:
            statement.written = written_databases(self._instructions(statement))
        return statement.written

    def called_by(self, statement: Statement) -> frozenset[tuple[str, int]]:
        """The functions that SQLite would call, also behind operators, views, CHECKs: lower-cased, each with the number
        of its arguments, or -1.
        """
        if statement.called is None:
            statement.called = inlined_calls(statement.sql) | called_functions(self._instructions(statement))
        return statement.called

    def collated_by(self, statement: Statement) -> frozenset[str]:
        """The collations by which SQLite would compare or sort, lower-cased, with names of other things among them."""
        if statement.collated is None:
            statement.collated = used_collations(self._instructions(statement))
        return statement.collated

    def find_refusal(self, statement: Statement, parameters: Any) -> sqlite3.Error | None:
        """SQLite's own refusal of what an INSERT would store, by the type of a STRICT table, NOT NULL or CHECK.

        It is executed here, where there are no rows, and rolled back. None also where rows could decide: where values
        come from them, and where a conflict with them is passed over; and where SQLite would not only refuse, but roll
        the transaction back or keep the rows before.
        """
        words = {token.word() for token in significant(statement.sql)}
        if statement.verb != "INSERT" or words & _BY_ROWS or not _COUNTS.isdisjoint(self.called_by(statement)):
            return None
        with self._lock:
            self._database.execute("BEGIN")
            try:
                self._database.execute(statement.sql, parameters).close()
            except sqlite3.IntegrityError as error:
                return error
            except sqlite3.Error:
                return None
            finally:
                self._database.execute("ROLLBACK")
        return None

    def is_enforced(self, statement: Statement) -> bool:
        """Whether SQLite would refuse or do anything for a foreign key's sake that it does not when they are off.

        Raises what sqlite3 raises where a foreign key fits no parent.
        """
        if statement.enforced is None:
            with_keys = foreign_key_steps(self._instructions(statement, foreign_keys=True))
            statement.enforced = with_keys > foreign_key_steps(self._instructions(statement))
        return statement.enforced

    def _instructions(self, statement: Statement, *, foreign_keys: bool = False) -> list[tuple[Any, ...]]:
        if statement.verb in _NOT_EXPLAINED | _TRANSACTIONS or statement.plan is NOTHING:
            return []
        with self._lock:
            self._database.text_factory = bytes  # a blob among the constants is no text
            if foreign_keys:
                self._database.execute("PRAGMA foreign_keys = ON")
            try:
                found = self._database.execute(explained(statement.sql), statement.placeholders.nulls())
                return found.fetchall()
            finally:
                self._database.text_factory = str
                if foreign_keys:
                    self._database.execute("PRAGMA foreign_keys = OFF")

    def copy(self) -> sqlite3.Connection:
        """The catalog database once more, to try a change of the schema on."""
        return catalog_database(self.rows)

    def _check(self, sql: str, placeholders: Placeholders) -> None:
        """Let SQLite compile the statement, and raise what sqlite3 raises for it."""
        with self._lock:
            # Not one row of the answer is fetched: it shows constants, and a blob among them is no text.
            self._database.execute(explained(sql), placeholders.nulls()).close()

    def _compile(self, sql: str) -> Statement:
        placeholders = Placeholders(sql)
        if not [token for token in significant(sql) if token.text != ";"]:
            self.ask(sql, ())
            return Statement(sql, placeholders, NOTHING)
        if first_keyword(sql) not in _NOT_EXPLAINED:
            self._check(sql, placeholders)
        try:
            plan: Plan | Refused = translate(sql, self.schema, target_schema=self.target_schema)
        except Refused as refusal:
            plan = refusal
        executed = isinstance(plan, Refused) or plan.columns is not None
        return Statement(sql, placeholders, plan, self._names(sql, placeholders) if executed else None)

    def _names(self, sql: str, placeholders: Placeholders) -> Sequence[str] | None:
        """What SQLite calls the result's columns; None when it has none, or fails on made-up values.

        SQLite tells when it has executed the statement: here it finds no rows, and what it inserts is rolled back.
        """
        if first_keyword(sql) not in _ROWS:
            return None
        with self._lock:
            self._database.execute("BEGIN")
            self._database.set_progress_handler(lambda: 1, _STEPS_FOR_NAMES)
            try:
                cursor = self._database.execute(sql, placeholders.numbers())
                description = cursor.description
                cursor.close()
            except sqlite3.Error:
                return None
            finally:
                self._database.set_progress_handler(None, 0)
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
        return None if description is None else [column[0] for column in description]


class Catalogues:
    """This process's knowledge of one target's schema: the version in force."""

    __slots__ = ("_current", "_lock", "_seen")

    def __init__(self) -> None:
        self._current: Catalogue | None = None
        self._seen = -1
        self._lock = Lock()

    def current(self, seen: int, pool: Pool, target_schema: str) -> Catalogue:
        """The schema as of that counter of the hint; -1: as it is now. Raises TargetError, LineageError."""
        with self._lock:
            current = self._current
            if current is not None and seen == self._seen != -1:
                return current
            borrowed = pool.borrow()
            try:
                pool.prove(borrowed)
                rows = read_objects(borrowed.connection)
                numbering = read_numbering(borrowed.connection)
            finally:
                pool.give_back(borrowed)
            if current is None or version_of(rows) != current.schema.version or numbering != current.numbering:
                if current is not None:
                    pool.forget()  # their prepared statements know the schema of before
                current = Catalogue(rows, numbering, target_schema)
            self._current, self._seen = current, seen
            return current

    def close(self) -> bool:
        """Forget it."""
        with fork_gate().at_work(_CLOSE_S):  # SQLite's mutexes are held while the catalog database is closed
            self._current = None
        return True
