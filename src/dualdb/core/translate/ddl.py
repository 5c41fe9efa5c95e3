"""The schema of the application as PostgreSQL statements: tables, indexes, views, and what has no translation.

Faithful, not improved: 64-bit integers, doubles, text in byte order, no foreign keys. What cannot be translated is left
out and listed, because the tables are needed by the relay all the same. Executes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dualdb.core.ddltext import own_policies
from dualdb.core.names import is_built_in, key_term, qualified, quoted, rowid_index
from dualdb.core.schema import HIDDEN_ROWID, ROWID_COLUMN, KeyKind, Schema, TargetType
from dualdb.core.sqltext import fold
from dualdb.core.translate.comparison import in_collation, key_of
from dualdb.core.translate.conversion import into_column
from dualdb.core.translate.grammar import GRAMMAR
from dualdb.core.translate.place import column_term
from dualdb.core.translate.refusal import Refused
from dualdb.core.translate.term import Storage
from dualdb.core.translate.views import view_sql
from dualdb.core.translate.work import Work
from dualdb.core.translate.written import check_sql, default_term, table_term
from dualdb.core.types import PG_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dualdb.core.schema import Column, Index, IndexTerm, Table, View

    Refusals = list[tuple[str, str]]

T = TypeVar("T")

MAX_INDEX_TERMS = 32
"""An index of PostgreSQL's has at most this many (limits.html)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDdl:
    """One table's statements; the indexes may be made after its rows were copied."""

    create: str
    """CREATE TABLE with its columns, primary key and CHECKs."""
    indexes: Sequence[str]
    """CREATE INDEX statements, unique ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewDdl:
    """One view's statement."""

    create: str
    reads: frozenset[str]
    """Lower-cased names of the tables and views that it reads, what is read inside of these too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ddl:
    """A whole schema's statements."""

    tables: Mapping[str, TableDdl]
    """By lower-cased name."""
    views: Mapping[str, ViewDdl]
    """By lower-cased name, in an order in which each finds what it reads."""
    refusals: Sequence[tuple[str, str]]
    """What was left out, and why: (`view summary`, reason). It blocks phase postgres and nothing before it."""


def target_ddl(schema: Schema, target_schema: str) -> Ddl:
    """The PostgreSQL statements of a schema."""
    refusals: Refusals = []
    tables = {}
    for name, table in schema.tables.items():
        tables[name], refused = table_ddl(table, target_schema)
        refusals += refused
    return Ddl(tables=tables, views=_views(schema, target_schema, refusals), refusals=tuple(refusals))


def table_ddl(table: Table, target_schema: str) -> tuple[TableDdl, Sequence[tuple[str, str]]]:
    """One table's statements, and what was left out of them."""
    refusals: Refusals = []
    work = _work(Schema(tables={fold(table.name): table}), target_schema)
    parts = [_column(table, column, work, refusals) for column in table.columns]
    if table.rowid is HIDDEN_ROWID:
        # The last one, for those who write on PostgreSQL without naming columns.
        parts.append(f"{quoted(ROWID_COLUMN)} bigint {_identity(table, target_schema)}")
        if table.key.kind is not KeyKind.ROWID:
            parts.append(f"CONSTRAINT {quoted(rowid_index(table.name))} UNIQUE ({quoted(ROWID_COLUMN)})")
    primary = _primary_key(table)
    if primary:
        parts.append(f"CONSTRAINT {quoted(f'sqlite_key_{table.name}')} PRIMARY KEY ({primary})")
    parts += _checks(table, work, refusals)
    policies = own_policies(table.sql)
    if policies:
        reason = f"ON CONFLICT {', '.join(policies)} of a constraint: PostgreSQL's constraints only refuse"
        refusals.append((f"table {table.name}", reason))
    create = f"CREATE TABLE {qualified(target_schema, table.name)} (\n  " + ",\n  ".join(parts) + "\n)"
    return TableDdl(create=create, indexes=tuple(_indexes(table, work, refusals))), tuple(refusals)


def added_column(table: Table, column: Column, old: Table, target_schema: str) -> tuple[str, Sequence[str]]:
    """A column that ALTER TABLE has added to `old`, and the CHECKs that came with it; raises Refused."""
    refusals: Refusals = []
    work = _work(Schema(tables={fold(table.name): table}), target_schema)
    text = _column(table, column, work, refusals)
    known = _checks(old, _work(Schema(tables={fold(old.name): old}), target_schema), [])
    checks = [check for check in _checks(table, work, refusals) if check not in known]
    for what, reason in refusals:
        raise Refused(what, reason)
    return text, checks


def views_ddl(schema: Schema, target_schema: str) -> Mapping[str, ViewDdl]:
    """The views that have a translation, in an order in which each finds what it reads."""
    return _views(schema, target_schema, [])


def view_ddl(view: View, schema: Schema, target_schema: str) -> ViewDdl:
    """One view's statement; raises Refused."""
    work = _work(schema, target_schema)
    create = view_sql(view, work)
    return ViewDdl(create=create, reads=frozenset(work.reads | work.views_read))


def _work(schema: Schema, target_schema: str) -> Work:
    return Work(schema, target_schema, grammar=GRAMMAR)


_PARTIAL = re.compile(
    r"sqlite\.(only_\w+|to_text|text_of|length|part|instr|quote|char|minimum|maximum|json(?!_valid)\w*)\("
    r"|sqlite\.key\([^()]*, '"
)
"""What fails on some values: of another class than a column's, or of a text that PostgreSQL cannot hold."""


def _total(sql: str) -> str:
    """The text, unless it may fail on a value that SQLite takes: no row of the mirror may be refused for that."""
    found = _PARTIAL.search(sql)
    if found is not None:
        what = found[1] or "a collation of values of any class"
        raise Refused(what, "it may fail on PostgreSQL for a value that SQLite takes, and the row with it")
    return sql


def _attempt(what: str, make: Callable[[], T], refusals: Refusals) -> T | None:
    """What is made, or None when it was refused, which is then on the list."""
    try:
        return make()
    except Refused as refusal:
        refusals.append((what, f"{refusal.construct}: {refusal.reason}"))
    except RecursionError:  # of so many terms that Python's stack ends before SQLite's patience does
        refusals.append((what, "it is nested too deeply"))
    return None


# Columns and constraints ------------------------------------------------------------------------------------------


def _column(table: Table, column: Column, work: Work, refusals: Refusals) -> str:
    text = f"{quoted(column.name)} {PG_TYPE[column.stored]}"
    label = f"{table.name}.{column.name}"
    if column.stored is TargetType.TEXT and not is_built_in(column.collation):
        refusals.append((f"column {label}", f"COLLATE {column.collation}: it is not one of SQLite's own collations"))
    if column.generated is not None:
        expression = column.generated

        def generated() -> str:
            return _total(into_column(table_term(expression, table, work), column, label, work).sql)

        made = _attempt(f"generated column {label}", generated, refusals)
        return f"{text} GENERATED ALWAYS AS ({made}) STORED" if made else text
    if column == table.rowid:
        return f"{text} {_identity(table, work.target_schema)}"
    if column.default is not None:
        default = _attempt(f"default of {label}", lambda: _total(default_term(table, column, work).sql), refusals)
        text += f" DEFAULT {default}" if default else ""
    return text + (" NOT NULL" if column.not_null else "")


def _identity(table: Table, target_schema: str) -> str:
    """An automatic id. The sequence's name cannot be any table's: SQLite keeps `sqlite_…` for itself."""
    sequence = qualified(target_schema, f"sqlite_sequence_{table.name}")
    return f"GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME {sequence})"


def _primary_key(table: Table) -> str:
    """The columns of the PRIMARY KEY constraint; '' when the key's collation needs an index on an expression."""
    columns = [table.column(name) for name in table.key.columns]
    if any(_collation(column) != "BINARY" for column in columns):
        return ""
    return ", ".join(quoted(column.name) for column in columns)


def _collation(column: Column) -> str:
    return column.collation.upper() if column.stored is TargetType.TEXT else "BINARY"


def _checks(table: Table, work: Work, refusals: Refusals) -> list[str]:
    found: list[str] = []
    names: set[str] = set()
    for check in table.checks:
        made = _attempt(f"check of {table.name}", partial(_check, check.expression, table, work), refusals)
        if made is None:
            continue
        named = check.name is not None and fold(check.name) not in names
        names.add(fold(check.name or ""))
        constraint = f"CONSTRAINT {quoted(check.name)} " if check.name is not None and named else ""
        found.append(f"{constraint}CHECK ({made})")
    return found


def _check(expression: str, table: Table, work: Work) -> str:
    return _total(check_sql(expression, table, work))


# Indexes ----------------------------------------------------------------------------------------------------------


def _indexes(table: Table, work: Work, refusals: Refusals) -> list[str]:
    made = []
    for index in sorted(table.indexes, key=lambda index: not index.unique):
        if index.origin == "pk" and table.key.kind is not KeyKind.ROWID and _primary_key(table):
            continue
        sql = _attempt(f"index {index.name}", partial(_index, table, index, work), refusals)
        if sql is not None:
            made.append(sql)
    if (
        table.key.kind is KeyKind.DECLARED
        and not _primary_key(table)
        and not any(i.origin == "pk" for i in table.indexes)
    ):
        terms = ", ".join(key_term(table.column(name)) for name in table.key.columns)
        name = quoted(f"sqlite_key_{table.name}")
        made.insert(0, f"CREATE UNIQUE INDEX {name} ON {qualified(work.target_schema, table.name)} ({terms})")
    return made


def _index(table: Table, index: Index, work: Work) -> str:
    if len(index.terms) > MAX_INDEX_TERMS:
        raise Refused(
            f"index {index.name}",
            f"it has {len(index.terms)} columns and PostgreSQL's have at most {MAX_INDEX_TERMS}",
            "index fewer columns",
        )
    terms = _total(", ".join(_index_term(table, term, work) for term in index.terms))
    unique = "UNIQUE " if index.unique else ""
    where = f" WHERE {_check(index.where, table, work)}" if index.where else ""
    return f"CREATE {unique}INDEX {quoted(index.name)} ON {qualified(work.target_schema, table.name)} ({terms}){where}"


def _index_term(table: Table, term: IndexTerm, work: Work) -> str:
    direction = " DESC" if term.descending else ""
    nulls = f" NULLS {'LAST' if term.descending else 'FIRST'}"  # so that ORDER BY, as translated, can use the index
    if term.column is None:
        expression = table_term(term.expression or "", table, work)
        text, is_text = expression.sql, expression.storage is Storage.TEXT
        if is_text and not expression.in_c:
            text = f'({text}) COLLATE "C"'
        folded = in_collation(text, term.collation) if is_text else text
        return f"({folded}){direction}{nulls}"
    column = table.column(term.column)
    text = column_term(table, column, "").sql
    if column.stored is TargetType.TEXT:
        text = in_collation(text, term.collation)
    elif column.stored is TargetType.ANY:
        text = key_of(column_term(table, column, ""), term.collation.upper())
    return f"{text}{direction}{'' if column.not_null or column.name in table.key.columns else nulls}"


# Views ------------------------------------------------------------------------------------------------------------


def _views(schema: Schema, target_schema: str, refusals: Refusals) -> dict[str, ViewDdl]:
    """Views after those that they read."""
    made: dict[str, ViewDdl] = {}
    for name, view in schema.views.items():
        ddl = _attempt(f"view {view.name}", partial(view_ddl, view, schema, target_schema), refusals)
        if ddl is not None:
            made[name] = ddl
    ordered: dict[str, ViewDdl] = {}
    while len(ordered) < len(made):
        ready = [name for name in made if name not in ordered and made[name].reads & made.keys() <= ordered.keys()]
        ordered.update({name: made[name] for name in ready})
    return ordered
