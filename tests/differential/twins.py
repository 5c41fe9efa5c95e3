"""The same database twice, in SQLite and in PostgreSQL, and statements that run on both.

A small stand-in for the driver: it binds as that does, runs the plan's steps and decodes, and nothing else.
"""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from dualdb.core.names import qualified, quoted
from dualdb.core.schema import ROWID_COLUMN, Schema, TargetType
from dualdb.core.statement import Decoder, Kind, row_parameter
from dualdb.core.translate import translate
from dualdb.core.translate.ddl import target_ddl
from dualdb.core.types import from_target, misfits, to_target
from dualdb.driver.binding import Binder, values_of
from dualdb.driver.placeholders import Placeholders
from dualdb.stores.catalog import read_schema
from dualdb.stores.target_functions import functions_sql
from tests.generators.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.schema import Table
    from dualdb.core.statement import Plan, ResultColumn
    from dualdb.driver.binding import Bound

    Values = Sequence[Any] | Mapping[str, Any]


_OURS = {
    "DD003": "NotSupportedError",
    "DD004": "IntegrityError",
    "DD100": "OperationalError",
    "22021": "NotSupportedError",
}
"""What the driver makes of what PostgreSQL raises for values that it cannot hold, and in SQLite's stead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: rows, the row count, the id of the last row inserted, or an error's class."""

    rows: tuple[tuple[Any, ...], ...] = ()
    rowcount: int = -1
    last_id: int | None = None
    error: str | None = None


class Twins:
    """A SQLite database and its copy in PostgreSQL."""

    def __init__(
        self, source: sqlite3.Connection, target: psycopg.Connection[Any], target_schema: str = "public"
    ) -> None:
        self.source = source
        self.source.isolation_level = None
        self.target = target
        self.target_schema = target_schema
        self.schema = read_schema(source)
        self.refusals: Sequence[tuple[str, str]] = ()
        self._make()

    def _make(self) -> None:
        self.target.execute(functions_sql())
        self.target.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.target_schema)}")
        ddl = target_ddl(self.schema, self.target_schema)
        self.refusals = ddl.refusals
        for name, table in ddl.tables.items():
            self.target.execute(table.create)
            self._copy(self.schema.tables[name])
            for index in table.indexes:
                self.target.execute(index)
        for view in ddl.views.values():
            self.target.execute(view.create)

    def _copy(self, table: Table) -> None:
        names = ", ".join("rowid" if name == ROWID_COLUMN else quoted(name) for name in table.carried)
        columns = ", ".join(quoted(name) for name in table.carried)
        target = qualified(self.target_schema, table.name)
        rows = self.source.execute(f"SELECT {names} FROM {quoted(table.name)}").fetchall()
        for index in reversed(misfits(rows, table.carried_types)):  # the relay would quarantine these rows
            keys = [
                (name, rows[index][place]) for name, place in zip(table.key.columns, table.key_positions, strict=True)
            ]
            test = " AND ".join(f"{'rowid' if name == ROWID_COLUMN else quoted(name)} = ?" for name, _ in keys)
            self.source.execute(f"DELETE FROM {quoted(table.name)} WHERE {test}", [value for _, value in keys])
            del rows[index]
        with self.target.cursor() as cursor, cursor.copy(f"COPY {target} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(
                    [to_target(value, stored) for value, stored in zip(row, table.carried_types, strict=True)]
                )
        if table.rowid is not None:
            key = table.rowid.name
            sequence = f"pg_get_serial_sequence('{target}', '{key}')"
            (highest,) = self.source.execute(f"SELECT max(rowid) FROM {quoted(table.name)}").fetchone()
            if table.autoincrement:
                used = "SELECT max(seq) FROM sqlite_sequence WHERE name = ?"
                highest = max(highest or 0, self.source.execute(used, (table.name,)).fetchone()[0] or 0)
            if highest:
                self.target.execute(f"SELECT setval({sequence}, {highest})")

    def plan(self, sql: str, hints: Mapping[int | str, TargetType] | None = None) -> Plan:
        """The plan of a statement."""
        return translate(sql, self.schema, target_schema=self.target_schema, hints=hints)

    def on_source(self, sql: str, values: Values = ()) -> Answer:
        """SQLite's answer."""
        try:
            cursor = self.source.execute(sql, values)
            rows = tuple(tuple(row) for row in cursor.fetchall())
        except sqlite3.Error as exc:
            return Answer(error=type(exc).__name__)
        return Answer(rows=rows, rowcount=cursor.rowcount, last_id=cursor.lastrowid)

    def on_target(self, plan: Plan, values: Values = ()) -> Answer:
        """PostgreSQL's answer; a plan of kind CATALOG is SQLite's own business."""
        try:
            with self.target.transaction():
                return self._executed(plan, bound_to(plan, values))
        except psycopg.errors.IntegrityError:
            return Answer(error="IntegrityError")
        except psycopg.Error as error:
            if error.sqlstate not in _OURS:
                raise
            return Answer(error=_OURS[error.sqlstate])

    def _executed(self, plan: Plan, bound: Bound) -> Answer:
        for sql, parameters in [(step.sql.encode(), values_of(step, bound)) for step in plan.steps]:
            cursor = self.target.execute(sql, parameters, binary=True)
        rows = cursor.fetchall() if cursor.description else []
        if plan.each is not None:
            return self._executed_each(plan, plan.each, rows, bound)
        count = cursor.rowcount if plan.rows_written is None else plan.rows_written
        last_id = None
        if plan.insert_id:
            last_id = next((row[-1] for row in reversed(rows) if row[-1] is not None), None)
            rows = [row[:-1] for row in rows]
        return Answer(
            rows=tuple(decoded(plan.columns, row) for row in rows) if plan.columns is not None else (),
            rowcount=count if plan.kind is Kind.WRITE else -1,
            last_id=last_id,
        )

    def _executed_each(self, plan: Plan, each: Plan, rows: Sequence[Any], bound: Bound) -> Answer:
        answers = []
        for row in rows:
            values = decoded(plan.row_columns, row)
            known: dict[Any, Any] = dict(bound)
            known.update((row_parameter(place), value) for place, value in enumerate(values))
            answers.append(self._executed(each, known))
        return Answer(
            rows=tuple(row for answer in answers for row in answer.rows),
            rowcount=sum(answer.rowcount for answer in answers),
            last_id=next((one.last_id for one in reversed(answers) if one.last_id is not None), None),
        )

    def compare(
        self,
        sql: str,
        values: Values = (),
        *,
        hints: Mapping[int | str, TargetType] | None = None,
        refusable: bool = False,
    ) -> bool:
        """Fail unless both give the same answer: values, their Python types, row counts and ids. False when it is
        `refusable` and PostgreSQL cannot hold one of the values.
        """
        plan = self.plan(sql, hints)
        assert plan.kind in {Kind.READ, Kind.WRITE}, plan
        there = self.on_target(plan, values)
        if refusable and there.error == "NotSupportedError":
            return False
        here = self.on_source(sql, values)
        assert there.error == here.error, (sql, values, there, here, plan.steps)
        ordered = "ORDER BY" in sql.upper()
        assert exact(there.rows, ordered=ordered) == exact(here.rows, ordered=ordered), (sql, values, plan.steps)
        if plan.kind is Kind.WRITE and here.error is None and plan.verb != "WITH":  # sqlite3 counts none there
            assert there.rowcount == here.rowcount, (sql, values, there, here, plan.steps)
            if there.last_id is not None:
                assert there.last_id == here.last_id, (sql, values, there, here, plan.steps)
        return True

    def compare_tables(self) -> None:
        """Fail unless every table holds the same rows."""
        for table in self.schema.tables.values():
            names = ", ".join(quoted(column.name) for column in table.columns)
            here = self.source.execute(f"SELECT {names} FROM {quoted(table.name)}").fetchall()
            plan = self.plan(f"SELECT {names} FROM {quoted(table.name)}")
            assert exact(self.on_target(plan).rows, ordered=False) == exact(here, ordered=False), table.name


def bound_to(plan: Plan, values: Values) -> Bound:
    """What SQLite would be given for each of the plan's parameters, as the driver's binder says."""
    given: Any = values
    steps = [*plan.steps, *(plan.each.steps if plan.each is not None else ())]
    found = dict.fromkeys(parameter.source for step in steps for parameter in step.parameters)
    sources = [source for source in found if not str(source).startswith("row.")]
    binder = Binder()
    try:
        bound = binder.bind(Placeholders(", ".join("?" * len(sources))), [given[source] for source in sources])
    finally:
        binder.close()
    return dict(zip(sources, bound.values(), strict=True))


def decoded(columns: Sequence[ResultColumn], row: Sequence[Any]) -> tuple[Any, ...]:
    """A row as sqlite3 would have returned it."""
    stored = {Decoder.NUMBER: TargetType.NUMBER, Decoder.ANY: TargetType.ANY}
    return tuple(
        value if column.decoder is Decoder.AS_IS else from_target(value, stored[column.decoder])
        for column, value in zip(columns, row, strict=True)
    )


def exact(rows: Sequence[Sequence[Any]], *, ordered: bool) -> list[tuple[Any, ...]]:
    """Rows in a form that is equal only when types and bits are."""
    images = [
        tuple((type(value).__name__, struct.pack(">d", value) if isinstance(value, float) else value) for value in row)
        for row in rows
    ]
    return images if ordered else sorted(images, key=repr)


def twins_of(script: str, target: psycopg.Connection[Any], target_schema: str = "public") -> Twins:
    """Twins made from a script of SQLite's SQL."""
    source = sqlite3.connect(":memory:", factory=Scratch)
    source.executescript(script)
    return Twins(source, target, target_schema)


def copied(path: str) -> sqlite3.Connection:
    """A private copy in memory of a SQLite file."""
    copy = sqlite3.connect(":memory:", factory=Scratch)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as original:
        original.backup(copy)
    return copy


def empty_schema() -> Schema:
    """A schema without tables."""
    return Schema(tables={})
