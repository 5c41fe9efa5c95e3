"""INSERT with its conflict clauses, REPLACE and UPSERT (lang_insert.html, lang_conflict.html, lang_upsert.html).

The order of what OR REPLACE does to each row:

1. a NULL for a NOT NULL column that has a default becomes the default;
2. every row that conflicts on any unique key is deleted;
3. the row is inserted, with a new automatic id unless it names one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.schema import HIDDEN_ROWID
from dualdb.core.sqltext import fold
from dualdb.core.statement import Kind, Plan
from dualdb.core.translate.conversion import into_column
from dualdb.core.translate.place import ROWID_NAMES, Place, require, source_of
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.select import subquery
from dualdb.core.translate.term import STORED_AS, Storage, Term
from dualdb.core.translate.upsert import upsert_clause
from dualdb.core.translate.written import (
    check_sql,
    claimed,
    compared,
    default_term,
    result_column,
    returning,
    target_of,
    unique_keys,
    written_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dualdb.core.schema import Column, Table
    from dualdb.core.translate.work import Work


def insert(node: exp.Insert, work: Work, conflict: str | None) -> Plan:
    """The plan of an INSERT or REPLACE."""
    require(node, "this", "expression", "conflict", "returning", "default", "with_")
    schema = node.this if isinstance(node.this, exp.Schema) else None
    table, alias = written_table(schema.this if schema is not None else node.this, work)
    names = [one.name for one in schema.expressions] if schema is not None else None
    slots = _slots(table, names)
    policy = (conflict or "ABORT").upper()
    if policy not in {"ABORT", "REPLACE", "IGNORE", "FAIL", "ROLLBACK"}:
        raise Refused(f"INSERT OR {policy}", "SQLite has no such clause", "correct the statement")
    if policy in {"REPLACE", "IGNORE"} and node.args.get("conflict") is not None:
        raise Refused(f"INSERT OR {policy} … ON CONFLICT", "no rule covers both", "use one of them")
    statement = _Insert(node, work, table, alias, slots)
    if policy in {"FAIL", "ROLLBACK"}:
        return replace(statement.plan("ABORT", by_row=policy == "FAIL"), policy=policy)
    return statement.plan(policy)


def _slots(table: Table, names: Sequence[str] | None) -> list[Column]:
    """The columns that receive a value, the hidden rowid by one of its names among them."""
    if names is None:
        names = [column.name for column in table.columns if column.generated is None]
    slots = [_slot(table, name) for name in names]
    if len({slot.name for slot in slots}) < len(slots):
        raise Refused("a column named twice", "SQLite keeps only the first value", "name it once")
    return slots


def _slot(table: Table, name: str) -> Column:
    for column in table.columns:
        if fold(column.name) == fold(name):
            if column.generated is not None:
                raise Refused(f"a value for {table.name}.{column.name}", "the column is generated", "leave it out")
            return column
    if fold(name) in ROWID_NAMES and table.rowid is not None:
        return table.rowid
    raise Refused(f"the column {name!r}", f"{table.name} has none of that name", "correct the name")


class _Insert:
    """One INSERT under way."""

    def __init__(self, node: exp.Insert, work: Work, table: Table, alias: str, slots: Sequence[Column]) -> None:
        self.node, self.work, self.table, self.alias, self.slots = node, work, table, alias, slots
        self.target = target_of(table, work)
        self.as_alias = f" AS {quoted(alias)}" if alias != table.name else ""
        self.source = source_of(table, alias)
        self.columns = ", ".join(quoted(slot.name) for slot in slots)
        self.gives_id = table.rowid is not None and table.rowid not in slots
        """Whether the new rows get their rowids from the table."""
        on_conflict = node.args.get("conflict")
        self.upsert = upsert_clause(on_conflict, self.source, work) if on_conflict is not None else ""
        terms, self.result = returning(node, self.source, work)
        if table.rowid is not None:
            terms.append(self._id(table.rowid))
        self.returning = f" RETURNING {', '.join(terms)}" if terms else ""

    def _id(self, rowid: Column) -> str:
        """The new row's id; NULL for a row that an upsert found and changed, which leaves last_insert_rowid() alone."""
        name = quoted(self.source.name)
        column = f"{name}.{quoted(rowid.name)}"
        return f"CASE WHEN {name}.xmax = 0 THEN {column} END" if "DO UPDATE" in self.upsert else column

    def plan(self, policy: str, *, by_row: bool = False) -> Plan:
        """The plan under a conflict policy; `by_row` where the rows before one that fails shall stay."""
        what = self.node.expression
        if isinstance(what, exp.Values):
            several = len(what.expressions) > 1
            return self.by_row(policy) if several and (by_row or self._may_leave_id) else self.from_values(policy)
        if isinstance(what, (exp.Select, exp.SetOperation, exp.Subquery)):
            if by_row or policy != "ABORT" or self.upsert not in {"", " ON CONFLICT DO NOTHING"}:
                return self.by_row(policy)
            return self.from_query()
        if self.node.args.get("default") and policy == "ABORT":
            return self.of_defaults()
        raise Refused("this form of INSERT", "no rule covers it", "use VALUES or SELECT")

    def by_row(self, policy: str) -> Plan:
        """Row by row, as SQLite does: each sees what became of those before it."""
        query = subquery(self.node.expression, Place(work=self.work), named=True, ordered=True)
        if len(query.fields) != len(self.slots):
            raise Refused("this INSERT", f"{len(query.fields)} values for {len(self.slots)} columns", "correct it")
        if query.order is None:
            raise Refused("INSERT … SELECT", "it depends on an order of the rows that is not provable", "add ORDER BY")
        inner = self.work.inner(len(self.slots))
        bound = [exp.Placeholder(this=f"p{inner.row_begins + position}") for position in range(len(self.slots))]
        one = self.node.copy()
        one.set("expression", exp.Values(expressions=[exp.Tuple(expressions=bound)]))
        one.set("with_", None)
        each = _Insert(one, inner, self.table, self.alias, self.slots).from_values(policy)
        return Plan(
            kind=Kind.WRITE,
            steps=(self.work.finish(query.sql + query.order),),
            row_columns=tuple(result_column(name, term) for name, term in query.fields.items()),
            each=each,
            columns=each.columns,
            insert_id=each.insert_id,
            reads=frozenset(self.work.reads),
            writes=frozenset({fold(self.table.name)}),
            notes=tuple(self.work.notes),
        )

    def from_values(self, policy: str) -> Plan:
        """INSERT … VALUES."""
        rows = [self._row(row, policy) for row in self.node.expression.expressions]
        if policy == "REPLACE":
            return self._replaced(rows)
        if policy == "IGNORE":
            rows_sql = " UNION ALL ".join(self._ignored(row) for row in rows)
            columns = self.columns if self.used_up is None else f"{quoted(self.used_up.name)}, {self.columns}"
            return self._plan(
                [f"INSERT INTO {self.target}{self.as_alias} ({columns}) {rows_sql} ON CONFLICT DO NOTHING"]
            )
        values = ", ".join(self._written(row) for row in rows)
        columns = self.columns
        if self._may_leave_id and len(rows) == 1 and self.table.rowid is not None:
            columns = f"{quoted(self.table.rowid.name)}, {columns}"
            values = f"({self._id_unless_there(rows[0], self.table.rowid)}, {values[1:]}"
        return self._plan([f"INSERT INTO {self.target}{self.as_alias} ({columns}) VALUES {values}{self.upsert}"])

    @property
    def _may_leave_id(self) -> bool:
        """Whether an upsert that finds its row takes no id: AUTOINCREMENT takes one all the same."""
        return "DO UPDATE" in self.upsert and self.gives_id and not self.table.autoincrement

    def _id_unless_there(self, row: Sequence[Term], rowid: Column) -> str:
        """The new row's id, taken only if there is none that it conflicts with; -1 then, as SQLite has it."""
        claim = self._claimed(Term(sql="NULL::bigint", storage=Storage.INTEGER), rowid)
        conflicts = self._conflicts(row)
        if not conflicts:
            return claim
        return f"CASE WHEN EXISTS (SELECT FROM {self.target} WHERE {conflicts}) THEN -1 ELSE {claim} END"

    def from_query(self) -> Plan:
        """INSERT … SELECT."""
        query = subquery(self.node.expression, Place(work=self.work), named=True, ordered=True)
        if len(query.fields) != len(self.slots):
            raise Refused("this INSERT", f"{len(query.fields)} values for {len(self.slots)} columns", "correct it")
        values = []
        for position, (slot, term) in enumerate(zip(self.slots, query.fields.values(), strict=True), 1):
            field = replace(term, sql=f'"_row"."{position}"', constant=None)
            values.append(self._claimed_or_null(self._value(field, slot), slot))
        numbers = ", ".join(f'"{number}"' for number in range(1, len(self.slots) + 1))
        if query.order is None and self.gives_id:
            raise Refused("INSERT … SELECT", "the new ids depend on an order that is not provable", "add ORDER BY")
        rows = f"{query.sql}{query.order or ''}"
        select = f'SELECT {", ".join(values)} FROM ({rows}) AS "_row" ({numbers})'
        return self._plan([f"INSERT INTO {self.target}{self.as_alias} ({self.columns}) {select}{self.upsert}"])

    def of_defaults(self) -> Plan:
        """INSERT … DEFAULT VALUES."""
        return self._plan([f"INSERT INTO {self.target}{self.as_alias} DEFAULT VALUES"])

    def _plan(self, steps: list[str], *, rows_written: int | None = None) -> Plan:
        steps[-1] += self.returning
        name = fold(self.table.name)
        return Plan(
            kind=Kind.WRITE,
            steps=tuple(self.work.finish(step) for step in steps),
            columns=self.result,
            reads=frozenset(self.work.reads),
            writes=frozenset({name}),
            insert_id=self.table.rowid is not None,
            rows_written=rows_written,
            notes=tuple(self.work.notes),
        )

    def _row(self, node: exp.Expression, policy: str) -> list[Term]:
        values = (
            node.expressions if isinstance(node, exp.Tuple) else [node.this if isinstance(node, exp.Paren) else node]
        )
        if len(values) != len(self.slots):
            raise Refused("this INSERT", f"{len(values)} values for {len(self.slots)} columns", "correct it")
        place = Place(work=self.work)
        row = []
        for slot, value in zip(self.slots, values, strict=True):
            term = self._value(place.term(value), slot)
            row.append(self._with_default(term, slot) if policy == "REPLACE" else term)
        return row

    def _value(self, term: Term, slot: Column) -> Term:
        """A value as its column stores it; an id given by the application is claimed from the sequence."""
        name = "rowid" if slot is HIDDEN_ROWID else slot.name
        return into_column(term, slot, f"{self.table.name}.{name}", self.work)

    def _with_default(self, term: Term, column: Column) -> Term:
        if column == self.table.rowid or not column.not_null or column.default is None:
            return term
        default = default_term(self.table, column, self.work)
        return Term(sql=f"coalesce({term.sql}, {default.sql})", storage=STORED_AS[column.stored])

    def _written(self, row: Sequence[Term]) -> str:
        return "(" + ", ".join(self._claimed(term, slot) for term, slot in zip(row, self.slots, strict=True)) + ")"

    def _claimed(self, term: Term, slot: Column) -> str:
        if slot != self.table.rowid:
            return term.sql
        if term.storage is Storage.NULL:
            return "DEFAULT"
        return claimed(self.table, slot, term.sql, self.work)

    # OR REPLACE ---------------------------------------------------------------------------------------------------

    def _replaced(self, rows: Sequence[Sequence[Term]]) -> Plan:
        if self.node.args.get("returning") is not None and len(rows) > 1:
            raise Refused("REPLACE of several rows with RETURNING", "no rule covers it", "replace the rows one by one")
        steps = []
        for row in rows:
            conflicts = self._conflicts(row)
            if conflicts:
                steps.append(f"DELETE FROM {self.target} WHERE {conflicts}")
            steps.append(f"INSERT INTO {self.target}{self.as_alias} ({self.columns}) VALUES {self._written(row)}")
        return self._plan(steps, rows_written=len(rows))

    def _conflicts(self, row: Sequence[Term]) -> str:
        """The condition of the rows that share a unique key with this one; '' when there can be none."""
        given = {slot.name: term for slot, term in zip(self.slots, row, strict=True)}
        tests = []
        for key in unique_keys(self.table):
            terms = [self._key_value(column, given) for column, _ in key.columns]
            if any(term is None or term.storage is Storage.NULL for term in terms):
                continue
            pairs = zip(key.columns, terms, strict=True)
            tests.append(" AND ".join(_same(column, by, term) for (column, by), term in pairs if term is not None))
        if len(tests) == 1:
            return tests[0]
        return " OR ".join(f"({test})" for test in tests)

    def _key_value(self, column: Column, given: Mapping[str, Term]) -> Term | None:
        """The new row's value in a unique key's column; None for an automatic id, which conflicts with nothing."""
        if column.name in given:
            return given[column.name]
        if column == self.table.rowid:
            return None
        term = default_term(self.table, column, self.work)
        if not term.is_constant and term.storage is not Storage.NULL:
            raise Refused(f"OR REPLACE without {column.name}", "its default is part of a unique key", "give the value")
        return term

    # OR IGNORE ----------------------------------------------------------------------------------------------------

    def _ignored(self, row: Sequence[Term]) -> str:
        """A row as a query that is empty when a constraint would be violated (lang_conflict.html, IGNORE)."""
        given = {slot.name: term for slot, term in zip(self.slots, row, strict=True)}
        values = ", ".join(self._claimed_or_null(term, slot) for term, slot in zip(row, self.slots, strict=True))
        conditions = []
        for column in self.table.columns:
            if not column.not_null or column == self.table.rowid:
                continue
            if column.name in given:
                conditions.append(f"{given[column.name].sql} IS NOT NULL")
            elif column.default is None or default_term(self.table, column, self.work).storage is Storage.NULL:
                conditions.append("FALSE")
        conditions += [f"({check}) IS NOT FALSE" for check in self._checks(given)]
        if self.used_up is not None:
            return self._ignored_with_id(self.used_up, values, conditions)
        if self.table.rowid is not None:
            conflicts = self._conflicts(row)
            conditions += [f"NOT EXISTS (SELECT FROM {self.target} WHERE {conflicts})"] if conflicts else []
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {values}{where}"

    @property
    def used_up(self) -> Column | None:
        """The column of the id that a row uses up although it is left out, as AUTOINCREMENT does."""
        return self.table.rowid if self.table.autoincrement and self.gives_id else None

    def _ignored_with_id(self, rowid: Column, values: str, conditions: Sequence[str]) -> str:
        """The same with the id taken first; the condition looks at it, or PostgreSQL would not take it at all."""
        key = quoted(rowid.name)
        claimed = self._claimed(Term(sql="NULL::bigint", storage=Storage.INTEGER), rowid)
        test = " AND ".join(conditions) or "TRUE"
        taken = f'(SELECT {claimed} AS {key} OFFSET 0) AS "_id"'
        return (
            f'SELECT "_id".{key}, {values} FROM {taken} WHERE CASE WHEN "_id".{key} IS NULL THEN FALSE ELSE {test} END'
        )

    def _claimed_or_null(self, term: Term, slot: Column) -> str:
        if slot == self.table.rowid and term.storage is Storage.NULL:
            return self._claimed(Term(sql="NULL::bigint", storage=Storage.INTEGER), slot)
        return self._claimed(term, slot)

    def _checks(self, given: Mapping[str, Term]) -> list[str]:
        """The CHECKs over the new row's values."""
        if not self.table.checks:
            return []
        row = ", ".join(
            f"{(given.get(column.name) or default_term(self.table, column, self.work)).sql} AS {quoted(column.name)}"
            for column in self.table.columns
            if column.generated is None
        )
        checks = [check_sql(check.expression, self.table, self.work) for check in self.table.checks]
        return [f'SELECT {check} FROM (SELECT {row}) AS "_row"' for check in checks]


def _same(column: Column, collation: str, term: Term) -> str:
    return f"{compared(quoted(column.name), column, collation)} = {compared(term.sql, column, collation)}"
