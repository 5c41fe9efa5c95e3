"""UPDATE and DELETE (lang_update.html, lang_delete.html)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dualdb.core.names import quoted
from dualdb.core.schema import KeyKind
from dualdb.core.sqltext import fold
from dualdb.core.statement import Kind, Plan
from dualdb.core.translate.conversion import as_truth, into_column, typed
from dualdb.core.translate.from_clause import from_clause
from dualdb.core.translate.place import ROWID_NAMES, Place, column_term, require, source_of
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.scan import fixed_columns, scan_order
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
    from collections.abc import Sequence

    from dualdb.core.schema import Column, Table
    from dualdb.core.statement import ResultColumn
    from dualdb.core.translate.place import Source
    from dualdb.core.translate.term import Term
    from dualdb.core.translate.work import Work


def update(node: exp.Update, work: Work, conflict: str | None) -> Plan:
    """The plan of an UPDATE."""
    require(node, "this", "expressions", "where", "returning", "from_", "with_")
    table, alias = written_table(node.this, work)
    policy = (conflict or "ABORT").upper()
    if policy not in _POLICIES:
        raise Refused(f"UPDATE OR {policy}", "SQLite has no such clause", "correct the statement")
    statement = _Update(node, work, table, alias)
    if policy == "ABORT" and statement.is_order_free():
        return statement.at_once()
    return replace(statement.by_row(policy), policy=policy if policy in {"FAIL", "ROLLBACK"} else "ABORT")


_POLICIES = frozenset({"ABORT", "REPLACE", "IGNORE", "FAIL", "ROLLBACK"})


_OTHER = '"_other".'


class _Update:
    """One UPDATE under way."""

    def __init__(self, node: exp.Update, work: Work, table: Table, alias: str) -> None:
        self.node, self.work, self.table, self.alias = node, work, table, alias
        self.source = source_of(table, alias)
        others: Sequence[Source] = ()
        self._from_sql = ""
        if node.args.get("from_") is not None:
            others = self._others(node.args["from_"])
        self.place = Place(work=work, sources=(self.source, *others))
        self.assigned = list(self._assignments())
        self.name = f"{target_of(table, work)}{'' if alias == table.name else f' AS {quoted(alias)}'}"

    def _others(self, clause: exp.From) -> Sequence[Source]:
        """UPDATE … FROM: whatever row of the others comes with a row, there must be one only."""
        this = clause.this.copy()
        joins = this.args.get("joins") or []
        this.set("joins", None)
        found = from_clause(exp.Select(from_=exp.From(this=this), joins=joins), Place(work=self.work))
        self._from_sql = found.sql
        if len(found.sources) != 1 or not self._finds_one(found.sources[0]):
            raise Refused(
                "UPDATE … FROM", "several rows may come with one, and SQLite takes any", "join by a unique key"
            )
        return found.sources

    def _finds_one(self, source: Source) -> bool:
        """Whether the condition holds all columns of one of the source's unique keys equal to something."""
        if source.table is None:
            return False
        fixed = fixed_columns(self.node, of=source.name)
        keys = [[fold(name) for name in source.table.key.columns]] if source.table.key.columns else []
        keys += [
            [fold(term.column or "") for term in index.terms]
            for index in source.table.indexes
            if index.unique and index.where is None
        ]
        return any(set(key) <= fixed for key in keys)

    def _assignments(self) -> Sequence[tuple[Column, Term]]:
        found: dict[str, tuple[Column, Term]] = {}
        for one in self.node.expressions:
            for name, value in _pairs(one):
                column = _assigned(self.table, name)
                term = into_column(self.place.term(value), column, f"{self.table.name}.{column.name}", self.work)
                if column == self.table.rowid:
                    term = replace(term, sql=claimed(self.table, column, term.sql, self.work))
                found.pop(column.name, None)  # assigned twice, SQLite keeps the last
                found[column.name] = (column, term)
                _check_reads(value, self.table, self.work)
        return list(found.values())

    def _condition(self) -> str:
        where = self.node.args.get("where")
        return as_truth(self.place.known(where.this)).sql if where is not None else ""

    def settings(self) -> str:
        """What SET says."""
        return ", ".join(f"{quoted(column.name)} = {term.sql}" for column, term in self.assigned)

    def is_order_free(self) -> bool:
        """Whether it does not matter in which order the rows are changed: both engines check uniqueness row by row."""
        return _touches_no_key(self.node, self.table, [column for column, _ in self.assigned])

    def at_once(self) -> Plan:
        """One statement of PostgreSQL's."""
        condition = self._condition()
        terms, columns = returning(self.node, self.source, self.work)
        clause = f" RETURNING {', '.join(terms)}" if terms else ""
        where = f" WHERE {condition}" if condition else ""
        sql = f"UPDATE {self.name} SET {self.settings()}{self._from_sql}{where}{clause}"
        return _plan(sql, self.table, columns, self.work)

    def by_row(self, policy: str) -> Plan:
        """The rows with what they shall become, in SQLite's order; then one after the other."""
        keys = [self.table.column(name) for name in self.table.key.columns]
        found = [column_term(self.table, column, f"{quoted(self.alias)}.") for column in keys]
        new = [term for _, term in self.assigned]
        condition = self._condition()
        texts = ", ".join([*(term.sql for term in found), *map(typed, new)])
        others = self._from_sql.replace(" FROM ", ", ", 1)
        sql = f"SELECT {texts} FROM {self.name}{others}" + (f" WHERE {condition}" if condition else "")
        columns = [*keys, *(column for column, _ in self.assigned)]
        inner = self.work.inner(len(columns))
        return Plan(
            kind=Kind.WRITE,
            steps=(self.work.finish(f"{sql} ORDER BY {self._order()}"),),
            row_columns=tuple(
                result_column(column.name, replace(term, column=None))
                for column, term in zip(columns, [*found, *new], strict=True)
            ),
            each=_Row(self, inner).plan(policy),
            columns=returning(self.node, self.source, self.work)[1],
            reads=frozenset({*self.work.reads, fold(self.table.name)}),
            writes=frozenset({fold(self.table.name)}),
            notes=tuple(self.work.notes),
        )

    def _order(self) -> str:
        """The order in which SQLite changes the rows: as it finds them; those that it joins first by their rowids."""
        select = exp.Select(where=self.node.args.get("where"), expressions=[])
        order = scan_order(select, (self.source,), writes=True)
        if self._from_sql and self.table.rowid is not None:
            return f"{quoted(self.alias)}.{quoted(self.table.rowid.name)}"
        if order is None or self._from_sql:
            raise Refused(
                f"UPDATE of a unique key of {self.table.name} in several rows",
                "whether it conflicts depends on the order of the rows, which is not provable",
                "update one row at a time, by its key",
            )
        return order


class _Row:
    """The update of one row, by its key, to values that are known (`Plan.each`)."""

    def __init__(self, whole: _Update, work: Work) -> None:
        self.table, self.alias, self.node, self.name, self.work = (
            whole.table, whole.alias, whole.node, whole.name, work,
        )  # fmt: skip
        self.source = whole.source
        keys = [self.table.column(name) for name in self.table.key.columns]
        self._tests = [
            f"{quoted(self.alias)}.{quoted(column.name)} = {self._value(position, column).sql}"
            for position, column in enumerate(keys)
        ]
        self.assigned = [
            (column, self._value(position, column)) for position, (column, _) in enumerate(whole.assigned, len(keys))
        ]

    def _value(self, position: int, column: Column) -> Term:
        return into_column(self.work.row_value(position), column, f"{self.table.name}.{column.name}", self.work)

    def plan(self, policy: str) -> Plan:
        """The plan under a conflict policy."""
        steps, tests = [], list(self._tests)
        if policy == "REPLACE":
            self.assigned = [(column, self.with_default(column, term)) for column, term in self.assigned]
            others = self.others_in_conflict()
            if others:
                where = f"{' AND '.join(tests)} AND {others}"
                steps.append(
                    f'DELETE FROM {target_of(self.table, self.work)} AS "_other" USING {self.name} WHERE {where}'
                )
        elif policy == "IGNORE":
            tests += self.obedient()
        terms, columns = returning(self.node, self.source, self.work)
        clause = f" RETURNING {', '.join(terms)}" if terms else ""
        settings = ", ".join(f"{quoted(column.name)} = {term.sql}" for column, term in self.assigned)
        steps.append(f"UPDATE {self.name} SET {settings} WHERE {' AND '.join(tests)}{clause}")
        return Plan(kind=Kind.WRITE, steps=tuple(self.work.finish(step) for step in steps), columns=columns)

    def with_default(self, column: Column, term: Term) -> Term:
        """A NULL for a NOT NULL column becomes its default where it has one (lang_conflict.html, REPLACE)."""
        if not column.not_null or column.default is None:
            return term
        default = default_term(self.table, column, self.work)
        return replace(term, sql=f"coalesce({term.sql}, {default.sql})", constant=None)

    def others_in_conflict(self) -> str:
        """The condition of the other rows that share a unique key with the changed row; '' when there can be none."""
        new = {column.name: term.sql for column, term in self.assigned}
        alias = quoted(self.alias)
        found = []
        for key in unique_keys(self.table):
            if not any(column.name in new for column, _ in key.columns):
                continue
            same = [
                f"{compared(_OTHER + quoted(column.name), column, by)}"
                f" = {compared(new.get(column.name, f'{alias}.{quoted(column.name)}'), column, by)}"
                for column, by in key.columns
            ]
            found.append(f"({' AND '.join(same)})")
        if not found:
            return ""
        itself = [f'"_other".{quoted(name)} = {alias}.{quoted(name)}' for name in self.table.key.columns]
        return f"NOT ({' AND '.join(itself)}) AND ({' OR '.join(found)})"

    def obedient(self) -> list[str]:
        """Conditions under which the changed row violates nothing (lang_conflict.html, IGNORE)."""
        found = [f"{term.sql} IS NOT NULL" for column, term in self.assigned if column.not_null]
        new = {column.name: term.sql for column, term in self.assigned}
        row = ", ".join(
            f"{new.get(column.name, f'{quoted(self.alias)}.{quoted(column.name)}')} AS {quoted(column.name)}"
            for column in self.table.columns
            if column.generated is None
        )
        found += [
            f'(SELECT {check_sql(check.expression, self.table, self.work)} FROM (SELECT {row}) AS "_row") IS NOT FALSE'
            for check in self.table.checks
        ]
        others = self.others_in_conflict()
        if others:
            found.append(f'NOT EXISTS (SELECT FROM {target_of(self.table, self.work)} AS "_other" WHERE {others})')
        return found


def _pairs(node: exp.Expression) -> Sequence[tuple[str, exp.Expression]]:
    """The columns of one assignment and what each is set to."""
    if isinstance(node, exp.EQ) and isinstance(node.this, exp.Column) and not node.this.text("table"):
        return [(node.this.name, node.expression)]
    if isinstance(node, exp.EQ) and isinstance(node.this, exp.Tuple) and isinstance(node.expression, exp.Tuple):
        names = [column.name for column in node.this.expressions]
        if len(names) == len(node.expression.expressions):
            return list(zip(names, node.expression.expressions, strict=True))
    raise Refused("this assignment", "no rule covers it", "assign one column at a time")


def delete(node: exp.Delete, work: Work) -> Plan:
    """The plan of a DELETE."""
    require(node, "this", "where", "returning", "with_")
    table, alias = written_table(node.this, work)
    source = source_of(table, alias)
    where = node.args.get("where")
    condition = ""
    if where is not None:
        condition = f" WHERE {as_truth(Place(work=work, sources=(source,)).known(where.this)).sql}"
    terms, columns = returning(node, source, work)
    clause = f" RETURNING {', '.join(terms)}" if terms else ""
    name = f"{target_of(table, work)}{'' if alias == table.name else f' AS {quoted(alias)}'}"
    return _plan(f"DELETE FROM {name}{condition}{clause}", table, columns, work)


def _plan(sql: str, table: Table, columns: Sequence[ResultColumn] | None, work: Work) -> Plan:
    return Plan(
        kind=Kind.WRITE,
        steps=(work.finish(sql),),
        columns=columns,
        reads=frozenset({*work.reads, fold(table.name)}),
        writes=frozenset({fold(table.name)}),
        notes=tuple(work.notes),
    )


def _assigned(table: Table, name: str) -> Column:
    try:
        column = table.column(name)
    except KeyError:
        raise Refused(f"the column {name!r}", f"{table.name} has none of that name", "correct the name") from None
    if column.generated is not None:
        raise Refused(f"a value for {table.name}.{column.name}", "the column is generated", "leave it out")
    return column


def _check_reads(node: exp.Expression, table: Table, work: Work) -> None:
    """SQLite evaluates SET row by row, so a subquery on the same table sees the rows changed before it."""
    if any(True for _ in node.find_all(exp.Select)) and fold(table.name) in work.reads:
        raise Refused("a subquery on the updated table in SET", "SQLite sees rows that it has changed already")


def _touches_no_key(node: exp.Update, table: Table, changed: Sequence[Column]) -> bool:
    """Both engines check uniqueness row by row, in an order of their own: only one row may change its key."""
    keys = [index for index in table.indexes if index.unique]
    names = {fold(column.name) for column in changed}
    touched = [key for key in keys if any(term.column is None or fold(term.column) in names for term in key.terms)]
    if not touched and table.rowid not in changed:
        return True
    fixed = fixed_columns(node)
    pinned = [[fold(name) for name in table.key.columns]] if table.key.kind is not KeyKind.ROWID else []
    pinned += [[name] for name in ROWID_NAMES if all(fold(column.name) != name for column in table.columns)]
    pinned += [[fold(term.column) for term in key.terms if term.column] for key in keys if key.where is None]
    return any(columns and set(columns) <= fixed for columns in pinned)
