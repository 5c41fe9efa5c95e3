"""Which rows a new row would collide with in a unique index, as SQL conditions inside a trigger.

Knows how SQLite decides that two rows are equal in an index (affinity, collation, defaults of NOT NULL columns, partial
and expression indexes) and when that cannot be known before the statement has run; it makes no trigger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.ddltext import default_expression, functions_in, literal_value, names_in
from dualdb.core.schema import Affinity, KeyKind
from dualdb.core.sqltext import fold, quote_literal, quote_name, significant
from dualdb.core.types import apply_affinity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dualdb.core.schema import Column, Index, IndexTerm, Table

_STABLE_FUNCTIONS = frozenset(
    # Give the same answer each time they are evaluated within one statement: sqlite.org/deterministic.html, and for
    # 'now' lang_datefunc.html.
    {"abs", "char", "coalesce", "date", "datetime", "hex", "ifnull", "iif", "instr", "json", "json_array"}
    | {"json_object", "julianday", "length", "lower", "ltrim", "max", "min", "nullif", "printf", "quote", "replace"}
    | {"round", "rtrim", "strftime", "substr", "time", "trim", "typeof", "unicode", "unixepoch", "upper", "zeroblob"}
    | {"cast", "format"}
)
_COMPARING = frozenset({"=", "==", "<>", "!=", "<", ">", "<=", ">=", "IS", "IN", "BETWEEN", "CASE"})
_NOW = frozenset({"CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"})


def free_rowid_names(columns: Iterable[str]) -> tuple[str, ...]:
    """Which of rowid, oid and _rowid_ are no names of these columns (lang_createtable.html, section 5)."""
    taken = {fold(name) for name in columns}
    return tuple(name for name in ("rowid", "oid", "_rowid_") if name not in taken)


def rowid_names(table: Table) -> tuple[str, ...]:
    """The names by which SQL can reach the table's rowid; none in a WITHOUT ROWID table."""
    return () if table.without_rowid else free_rowid_names(column.name for column in table.columns)


def rowid_name(table: Table) -> str | None:
    """A name by which SQL can reach the table's rowid, None when there is none."""
    return next(iter(rowid_names(table)), None)


def key_names(table: Table) -> tuple[str, ...]:
    """The key's columns as SQL on the source names them, quoted: the rowid by one of its own names."""
    if table.key.kind is KeyKind.ROWID:
        name = rowid_name(table)
        assert name is not None, table.name  # noqa: S101 - the catalog refuses such a table
        return (name,)
    return tuple(quote_name(name) for name in table.key.columns)


def implied_by_key(table: Table, index: Index) -> bool:
    """Whether rows that collide in this index must have the very same key, which the AFTER triggers journal."""
    terms = {fold(term.column): term for term in index.terms if term.column is not None}
    if table.key.kind is KeyKind.INTEGER_PRIMARY_KEY:
        return fold(table.key.columns[0]) in terms
    if table.key.kind is KeyKind.ROWID:
        return False
    return all(
        fold(name) in terms
        and terms[fold(name)].collation == "BINARY"
        # Elsewhere equal values can differ: 1 and 1.0, 'a' and 'A', 0.0 and -0.0.
        and table.column(name).affinity in {Affinity.INTEGER, Affinity.TEXT}
        for name in table.key.columns
    )


def columns_of(table: Table, index: Index) -> tuple[str, ...]:
    """The names by which an UPDATE can change what the index holds for a row, quoted; perhaps more of them."""
    ordinary = _ordinary(table, _term_names(index) | names_in(index.where or "''"))
    names = [quote_name(column.name) for column in table.columns if fold(column.name) in ordinary]
    if table.key.kind is KeyKind.INTEGER_PRIMARY_KEY and fold(table.key.columns[0]) in ordinary:
        names += rowid_names(table)
    return tuple(names)


def _term_names(index: Index) -> set[str]:
    names: set[str] = set()
    for term in index.terms:
        names |= {fold(term.column)} if term.column is not None else names_in(term.expression or "''")
    return names


def _ordinary(table: Table, names: Iterable[str]) -> frozenset[str]:
    """Those of the names that are columns, each generated one replaced by what it is made of."""
    by_name = {fold(column.name): column for column in table.columns}
    found, pending = set[str](), [name for name in names if name in by_name]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        generated = by_name[name].generated
        if generated is not None:
            pending += [made_of for made_of in names_in(generated) if made_of in by_name]
    return frozenset(name for name in found if by_name[name].generated is None)


def probe_condition(table: Table, index: Index) -> str:
    """The WHERE of a probe: true for the rows of the table that NEW would collide with in this index.

    Each term's own text stands on the left, so that SQLite finds the rows by the index.

    The partial index's predicate is asked of the row that is there; whether NEW satisfies it is left open, which can
    only find a row too many.
    """
    conditions = [f"{_left(term)} COLLATE {quote_name(term.collation)} = {_right(table, term)}" for term in index.terms]
    if index.where is not None:
        conditions.append(f"({index.where})")
    return " AND ".join(conditions)


def _left(term: IndexTerm) -> str:
    return quote_name(term.column) if term.column is not None else f"({term.expression})"


def _right(table: Table, term: IndexTerm) -> str:
    """The value that the term will have for the new row."""
    if term.column is None:
        return _evaluated(table, term.expression or "NULL")
    column = table.column(term.column)
    if column.generated is None:
        return _new_value(column, _default(column))
    # The plus takes away the affinity that the expression may have, so that the column's own is applied.
    return "+" + _evaluated(table, column.generated) if _made_of_defaults(table, column) else _new(column)


def _new(column: Column) -> str:
    return f"NEW.{quote_name(column.name)}"


def _new_value(column: Column, default: str) -> str:
    """NEW's value as it will be stored: under OR REPLACE a NULL in a NOT NULL column becomes the default, and BEFORE
    triggers run before that (lang_conflict.html).
    """
    return f"coalesce({_new(column)}, {default})" if _replaced_by_default(column) else _new(column)


def new_key(table: Table) -> tuple[str, ...]:
    """The declared key that the new row will have, as a BEFORE trigger can tell it."""
    return tuple(_new_value(column, _stored_default(column)) for column in map(table.column, table.key.columns))


def _replaced_by_default(column: Column) -> bool:
    return column.not_null and column.default is not None and column.generated is None


def _made_of_defaults(table: Table, column: Column) -> bool:
    """Whether a generated column's value in NEW can differ from the one that will be stored."""
    return column.generated is not None and any(
        _replaced_by_default(table.column(name)) for name in _ordinary(table, [fold(column.name)])
    )


def _default(column: Column) -> str:
    return default_expression(column.default or "NULL")


def _stored_default(column: Column) -> str:
    """The default as it will be stored, where that can be told beforehand."""
    known, value = literal_value(_default(column))
    return quote_literal(apply_affinity(value, column.affinity)) if known else _default(column)


def _evaluated(table: Table, expression: str) -> str:
    """The expression's value for the new row, its text untouched: its columns come from a row made of NEW."""
    used = names_in(expression)
    fields = [f"{_field(column)} AS {quote_name(column.name)}" for column in table.columns if fold(column.name) in used]
    return f"(SELECT {expression} FROM (SELECT {', '.join(fields)}))" if fields else f"({expression})"


def _field(column: Column) -> str:
    if not _replaced_by_default(column):
        return _new(column)
    return f"{_new_value(column, _stored_default(column))} COLLATE {quote_name(column.collation)}"


# What cannot be known beforehand ----------------------------------------------------------------------------------


def blocker_of(table: Table, index: Index) -> str | None:
    """Why the rows that a new one collides with in this index cannot be known for certain, None when they can."""
    if implied_by_key(table, index):
        return None
    ordinary = _ordinary(table, _term_names(index))
    reason = _automatic_id(table, index, ordinary)
    for column in table.columns:
        if reason is None and fold(column.name) in ordinary and _replaced_by_default(column):
            reason = _unstable_default(index, column) or _lost_affinity(table, index, column)
    if reason is None and index.where is not None and _is_pseudo_row(table) and "." in _texts(index.where):
        reason = (
            f"the WHERE of index {index.name} is qualified with the table's name, which a trigger takes for its own row"
        )
        return f"{reason}; take the qualification out of the index"
    return reason


def _automatic_id(table: Table, index: Index, ordinary: frozenset[str]) -> str | None:
    if table.key.kind is not KeyKind.INTEGER_PRIMARY_KEY or fold(table.key.columns[0]) not in ordinary:
        return None
    return (
        f"unique index {index.name} of table {table.name} is made of the automatic id {table.key.columns[0]}, which is"
        " not known before the row is stored, so a row that OR REPLACE deletes could be missed; make the index of"
        " other columns, or add the id itself to it"
    )


def _unstable_default(index: Index, column: Column) -> str | None:
    unstable = functions_in(_default(column)) - _STABLE_FUNCTIONS
    if not unstable:
        return None
    return (
        f"column {column.name} in unique index {index.name} is NOT NULL with a default that calls"
        f" {', '.join(sorted(unstable))}, which gives another value each time, so a row that OR REPLACE deletes could"
        " be missed; drop NOT NULL or the default, or the index"
    )


def _lost_affinity(table: Table, index: Index, column: Column) -> str | None:
    """A default that stands in for NULL has no affinity inside an expression."""
    for expression in _evaluated_texts(table, index):
        if fold(column.name) not in _ordinary(table, names_in(expression)):
            continue
        nested = [name for name in names_in(expression) if _is_made_of_defaults(table, name)]
        settled = literal_value(_default(column))[0] or column.affinity is Affinity.BLOB or _is_now(_default(column))
        if nested or not settled or _COMPARING & _texts(expression):
            return (
                f"unique index {index.name} is made of the expression {expression} over the NOT NULL column"
                f" {column.name}, whose default cannot be put into it beforehand, so a row that OR REPLACE deletes"
                " could be missed; drop NOT NULL or the default, or the index"
            )
    return None


def _evaluated_texts(table: Table, index: Index) -> Iterator[str]:
    for term in index.terms:
        if term.column is None:
            yield term.expression or "NULL"
            continue
        generated = table.column(term.column).generated
        if generated is not None and _made_of_defaults(table, table.column(term.column)):
            yield generated


def _is_made_of_defaults(table: Table, name: str) -> bool:
    return any(fold(column.name) == name and _made_of_defaults(table, column) for column in table.columns)


def _is_now(default: str) -> bool:
    return default.upper() in _NOW


def _is_pseudo_row(table: Table) -> bool:
    return fold(table.name) in {"new", "old"}


def _texts(expression: str) -> frozenset[str]:
    return frozenset(token.word() or token.text for token in significant(expression))
