"""The application's schema, read from a live SQLite file or from kept sqlite_master rows.

Everything is asked of a private in-memory database that holds the schema and no rows (the *catalog database*), so a
file and a list of rows give the same answer. Only `inspect_stored` looks at the application's data. Knows nothing of
PostgreSQL and writes to no file.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from dualdb.core.ddltext import index_terms, read_table, virtual_module
from dualdb.core.names import is_built_in
from dualdb.core.probe import free_rowid_names
from dualdb.core.probe import rowid_name as rowid_name  # noqa: PLC0414 - other stores look for it here
from dualdb.core.schema import (
    HIDDEN_ROWID,
    ROWID_COLUMN,
    Affinity,
    Check,
    Column,
    ForeignKey,
    Index,
    IndexTerm,
    Key,
    KeyKind,
    Schema,
    Table,
    TargetType,
    Trigger,
    View,
)
from dualdb.core.sqltext import fold, quote_name
from dualdb.core.types import affinity_of, choose_stored, is_decided
from dualdb.errors import SchemaError
from dualdb.stores.private_database import private_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dualdb.core.ddltext import TableText

MasterRow: TypeAlias = "tuple[str, str, str, str]"
"""type, name, tbl_name, sql of one row of sqlite_master."""
Numbering: TypeAlias = "Mapping[str, tuple[int, Mapping[str, TargetType]]]"
"""What `_dualdb_table` holds: by lower-cased table name its number, and by column name what the target stores."""

OUR_TABLES = frozenset(
    f"_dualdb_{name}" for name in ("control", "table", "journal", "watermark", "copy", "quarantine", "trigger")
)
ASIDE = "_dualdb_aside_"
"""What the names of tables begin with that were made behind a fence and set aside."""
MAX_KEY_COLUMNS = 8
"""The journal has this many key columns."""
MAX_COLUMNS = 1600
"""A table of PostgreSQL's has at most this many (limits.html)."""
_OUR_TRIGGER = re.compile(r"_dualdb_[a-z_]+_[0-9]+")
_ORDER = {"table": 0, "index": 1, "view": 2, "trigger": 3}
_CLASSES = ("integer", "real", "text", "blob")
_COLUMNS_PER_SCAN = 500  # SQLite allows 2,000 result columns; each column here takes four


def read_schema(connection: sqlite3.Connection, numbering: Numbering | None = None) -> Schema:
    """The application's schema in the connection's current snapshot; raises SchemaError for what cannot be carried.

    Tables that have no number yet are numbered behind the others, and their columns are inspected.
    """
    if numbering is None:
        numbering = read_numbering(connection)
    return schema_from_rows(master_rows(connection), numbering, lambda table: inspect_stored(connection, table))


def read_schema_anew(connection: sqlite3.Connection) -> Schema:
    """The same with every column inspected, whatever it was stored as before; the tables keep their numbers."""
    return read_schema(connection, {name: (number, {}) for name, (number, _) in read_numbering(connection).items()})


def read_numbering(connection: sqlite3.Connection) -> Numbering:
    """The numbers and stored types that `_dualdb_table` holds, {} when there is no such table."""
    known = _query(connection, "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = '_dualdb_table'")
    if not known:
        return {}
    return {
        fold(name): (number, {column: TargetType(value) for column, value in json.loads(stored).items()})
        for number, name, stored in _query(connection, "SELECT id, name, stored FROM main._dualdb_table ORDER BY id")
    }


def master_rows(connection: sqlite3.Connection) -> list[MasterRow]:
    """The application's rows of sqlite_master in their own order: SQLite's and our objects left out."""
    rows = _query(connection, "SELECT type, name, tbl_name, sql FROM main.sqlite_master ORDER BY rowid")
    return [
        (kind, name, table, sql)
        for kind, name, table, sql in rows
        if sql is not None and not fold(name).startswith("sqlite_") and not _is_ours(kind, name, table)
    ]


def _is_ours(kind: str, name: str, table: str) -> bool:
    name, table = fold(name), fold(table)
    if name in OUR_TABLES or table in OUR_TABLES or table.startswith(ASIDE):
        return True
    return kind == "trigger" and bool(_OUR_TRIGGER.fullmatch(name))


def version_of(rows: Sequence[MasterRow]) -> str:
    """`Schema.version`: a digest of the rows, whatever their order (VACUUM changes it)."""
    return hashlib.sha256(json.dumps(sorted(rows)).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def catalog_database(rows: Sequence[MasterRow]) -> sqlite3.Connection:
    """A private in-memory database with these objects and no rows, in autocommit mode.

    Functions and collations of the application that its definitions name stand in there as dummies.
    """
    database = private_database()
    for kind, name, _, sql in sorted(rows, key=lambda row: _ORDER[row[0]]):
        try:
            with_dummies(database, sql)
        except sqlite3.Error as error:
            database.close()
            raise SchemaError(
                f"the {kind} {name} cannot be made again from its own definition ({error}); correct its definition in"
                " the SQLite file"
            ) from error
    return database


_NO_FUNCTION = re.compile("(no such|unknown) function: ")
_MISSING = re.compile(
    r"no such collation sequence: (?P<collation>.+)|no such function: (?P<function>.+)"
    r"|unknown function: (?P<other>.+)\(\)",
    re.DOTALL,
)
"""What SQLite says where one is called; of a column that it computes itself it says the last."""


def with_dummies(database: sqlite3.Connection, sql: str) -> sqlite3.Cursor:
    """Execute a statement that needs no functions and collations of the application's but their names: dummies stand in
    for those that the connection lacks.
    """
    while True:
        try:
            return database.execute(sql)
        except sqlite3.OperationalError as error:
            missing = _MISSING.fullmatch(str(error))
            if missing is None:
                raise
            if missing["collation"] is not None:
                database.create_collation(missing["collation"], _dummy_collation)
            else:
                name = missing["function"] or missing["other"]
                database.create_function(name, -1, _dummy_function, deterministic=True)


def _dummy_function(*_values: object) -> None:
    return None


def _dummy_collation(left: str, right: str) -> int:
    return (left > right) - (left < right)


def schema_from_rows(
    rows: Sequence[MasterRow],
    numbering: Numbering | None = None,
    inspect: Callable[[Table], Mapping[str, TargetType]] | None = None,
) -> Schema:
    """The schema that these sqlite_master rows describe; raises SchemaError for what cannot be carried.

    A column that the numbering does not know is stored as `inspect` says, else as its declaration alone suggests.
    """
    _check_rows(rows)
    numbers = numbering or {}
    following = max((number for number, _ in numbers.values()), default=0) + 1
    database = catalog_database(rows)
    try:
        tables: dict[str, Table] = {}
        for kind, name, _, sql in rows:
            if kind != "table":
                continue
            number, stored = numbers.get(fold(name), (following, {}))
            following = max(following, number + 1)
            table = _with_stored(_read_table(database, number, name, sql), stored, inspect)
            tables[fold(name)] = replace(table, indexes=tuple(_indexes(database, name, rows)))
    finally:
        database.close()
    return Schema(
        tables=tables,
        views={fold(name): View(name=name, sql=sql) for kind, name, _, sql in rows if kind == "view"},
        triggers=tuple(
            Trigger(name=name, table=table, sql=sql) for kind, name, table, sql in rows if kind == "trigger"
        ),
        version=version_of(rows),
    )


def _check_rows(rows: Sequence[MasterRow]) -> None:
    for kind, name, _, sql in rows:
        if fold(name).startswith("_dualdb_"):
            raise SchemaError(f"the {kind} {name} has a name that dualdb keeps for itself; rename it")
        module = virtual_module(sql) if kind == "table" else None
        if module is not None:
            raise SchemaError(
                f"the virtual table {name} (module {module}) cannot be mirrored; drop it, or move it to a database"
                " file of its own"
            )


def inspect_stored(connection: sqlite3.Connection, table: Table) -> dict[str, TargetType]:
    """What the target stores each column as, from an exact count of the storage classes in the data, in one scan of the
    table.
    """
    open_columns = [
        column for column in table.columns if _is_open(table, column) and _is_computable(connection, table, column)
    ]
    stored = {column.name: column.stored for column in table.columns}
    for begin in range(0, len(open_columns), _COLUMNS_PER_SCAN):
        part = open_columns[begin : begin + _COLUMNS_PER_SCAN]
        counts = ", ".join(
            f"count(*) FILTER (WHERE typeof({quote_name(column.name)}) = '{kind}')"
            for column in part
            for kind in _CLASSES
        )
        (row,) = _query(connection, f"SELECT {counts} FROM main.{quote_name(table.name)}")
        for place, column in enumerate(part):
            found = dict(zip(_CLASSES, row[4 * place : 4 * place + 4], strict=True))
            one_class = _has_one_class(table, column)
            stored[column.name] = choose_stored(column.affinity, column.decltype, found, one_class=one_class)
    return stored


def _is_open(table: Table, column: Column) -> bool:
    """Whether only the data can tell what the target stores this column as."""
    return not (is_decided(column.affinity) and (table.strict or _has_one_class(table, column)))


def _is_computable(connection: sqlite3.Connection, table: Table, column: Column) -> bool:
    """False for a generated column that calls a function of the application's; such a one is not translated either."""
    if column.generated is None:
        return True
    try:
        _query(connection, f"SELECT {quote_name(column.name)} FROM main.{quote_name(table.name)} LIMIT 0")
    except sqlite3.OperationalError as error:
        if _NO_FUNCTION.match(str(error)) is None:
            raise
        return False
    return True


def _has_one_class(table: Table, column: Column) -> bool:
    """Whether the column must be stored by value: rows are found by it, or PostgreSQL itself computes it."""
    return column.name in table.key.columns or column.generated is not None


def _with_stored(
    table: Table, known: Mapping[str, TargetType], inspect: Callable[[Table], Mapping[str, TargetType]] | None
) -> Table:
    if inspect is not None and any(column.name not in known and _is_open(table, column) for column in table.columns):
        known = {**inspect(table), **known}
    return replace(
        table, columns=tuple(replace(column, stored=known.get(column.name, column.stored)) for column in table.columns)
    )


def _read_table(database: sqlite3.Connection, number: int, name: str, sql: str) -> Table:
    """The table without its indexes, each column stored as its declaration suggests."""
    text = read_table(sql)
    facts = _query(database, f"PRAGMA table_xinfo({quote_name(name)})")
    primary_key = tuple(fact[1] for fact in sorted(facts, key=lambda fact: fact[5]) if fact[5])
    columns = tuple(_columns(database, name, sql, text, facts))
    table = Table(
        id=number,
        name=name,
        sql=sql,
        columns=columns,
        key=_key(database, name, columns, primary_key, without_rowid=text.without_rowid),
        primary_key=primary_key,
        autoincrement=text.autoincrement,
        without_rowid=text.without_rowid,
        strict=text.strict,
        checks=tuple(Check(name=label, expression=expression) for label, expression in text.checks),
        foreign_keys=tuple(_foreign_keys(database, name)),
    )
    _check_width(table)
    return replace(table, columns=tuple(_as_declared(table, column) for column in columns))


def _as_declared(table: Table, column: Column) -> Column:
    one_class = _has_one_class(table, column)
    return replace(column, stored=choose_stored(column.affinity, column.decltype, {}, one_class=one_class))


def _check_width(table: Table) -> None:
    hidden = int(table.rowid is HIDDEN_ROWID)
    most = MAX_COLUMNS - hidden
    if len(table.columns) > most:
        beside = ", beside one of dualdb's for the rowid" if hidden else ""
        raise SchemaError(
            f"table {table.name} has {len(table.columns)} columns and PostgreSQL can make {most}{beside};"
            " move some of them to a second table"
        )


def _columns(
    database: sqlite3.Connection, table: str, sql: str, text: TableText, facts: Sequence[tuple[Any, ...]]
) -> Iterator[Column]:
    collations = _collations(database, table, facts) if "COLLATE" in sql.upper() else {}
    for _, name, decltype, not_null, default, place_in_key, hidden in facts:
        if fold(name).startswith("_dualdb_"):
            raise SchemaError(
                f"the column {table}.{name} has a name that dualdb keeps for itself; rename it (ALTER TABLE … RENAME"
                " COLUMN)"
            )
        affinity = Affinity.BLOB if text.strict and decltype.upper() == "ANY" else affinity_of(decltype)
        yield Column(
            name=name,
            decltype=decltype,
            affinity=affinity,
            stored=choose_stored(affinity, decltype, {}, one_class=True),
            collation=collations.get(name, "BINARY"),
            not_null=bool(not_null) or (bool(place_in_key) and text.without_rowid),
            default=default if isinstance(default, str) else None,
            generated=text.generated[fold(name)] if hidden in {2, 3} else None,
        )


def _collations(database: sqlite3.Connection, table: str, facts: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """Each column's collation: no PRAGMA tells it but an index's, so the catalog database gets one for a moment."""
    names = ", ".join(quote_name(str(fact[1])) for fact in facts)
    database.execute(f"CREATE INDEX _dualdb_scratch ON {quote_name(table)} ({names})")
    try:
        found = _query(database, "PRAGMA index_xinfo(_dualdb_scratch)")
    finally:
        database.execute("DROP INDEX _dualdb_scratch")
    return {str(facts[cid][1]): _spelled(collation) for _, cid, _, _, collation, is_term in found if is_term}


def _spelled(collation: str) -> str:
    """SQLite's own collations in upper case, however they were written."""
    return collation.upper() if is_built_in(collation) else collation


def _key(
    database: sqlite3.Connection,
    table: str,
    columns: Sequence[Column],
    primary_key: tuple[str, ...],
    *,
    without_rowid: bool,
) -> Key:
    by_name = {column.name: column for column in columns}
    if len(primary_key) == 1 and not without_rowid and not _has_primary_key_index(database, table):
        return Key(kind=KeyKind.INTEGER_PRIMARY_KEY, columns=primary_key)
    if not without_rowid and not free_rowid_names(by_name):
        raise SchemaError(
            f"nothing can name the rowid of table {table}: rowid, oid and _rowid_ are all names of ordinary columns;"
            " rename one of them, or give it an INTEGER PRIMARY KEY"
        )
    unknown = _collation_of_application(database, table)
    never_null = primary_key and all(by_name[name].not_null for name in primary_key)
    if never_null and len(primary_key) <= MAX_KEY_COLUMNS and unknown is None:
        return Key(kind=KeyKind.DECLARED, columns=primary_key)
    if without_rowid and unknown is not None:
        raise SchemaError(
            f"the primary key of table {table} is in the application's own collation {unknown}, by which dualdb cannot"
            " find its rows; make it a table with rowids, or its key one in BINARY, NOCASE or RTRIM"
        )
    if without_rowid:
        raise SchemaError(
            f"the primary key of table {table} has {len(primary_key)} columns and at most {MAX_KEY_COLUMNS} can be"
            " journaled; give the table a shorter primary key"
        )
    return Key(kind=KeyKind.ROWID, columns=(ROWID_COLUMN,))


def _collation_of_application(database: sqlite3.Connection, table: str) -> str | None:
    """The collation of the primary key's index that is none of SQLite's own, None when there is no such one."""
    for _, name, _, origin, _ in _query(database, f"PRAGMA index_list({quote_name(table)})"):
        if origin == "pk":
            terms = _query(database, f"PRAGMA index_xinfo({quote_name(name)})")
            return next((term[4] for term in terms if term[5] and not is_built_in(term[4])), None)
    return None


def _has_primary_key_index(database: sqlite3.Connection, table: str) -> bool:
    """False for an alias of the rowid only: `INTEGER PRIMARY KEY DESC` has an index and is no alias."""
    return any(fact[3] == "pk" for fact in _query(database, f"PRAGMA index_list({quote_name(table)})"))


def _indexes(database: sqlite3.Connection, table: str, rows: Sequence[MasterRow]) -> Iterator[Index]:
    texts = {name: sql for kind, name, _, sql in rows if kind == "index"}
    for _, name, unique, origin, _ in reversed(_query(database, f"PRAGMA index_list({quote_name(table)})")):
        sql = texts.get(name)
        expressions, where = index_terms(sql) if sql is not None else ([], None)
        terms = []
        for place, cid, column, descending, collation, is_term in _query(
            database, f"PRAGMA index_xinfo({quote_name(name)})"
        ):
            if is_term:
                terms.append(
                    IndexTerm(
                        column=column if cid >= 0 else None,
                        expression=None if cid >= 0 else expressions[place],
                        collation=_spelled(collation),
                        descending=bool(descending),
                    )
                )
        yield Index(
            name=name, table=table, unique=bool(unique), origin=origin, terms=tuple(terms), where=where, sql=sql
        )


def _foreign_keys(database: sqlite3.Connection, table: str) -> Iterator[ForeignKey]:
    found: dict[int, list[tuple[str, str, str | None, str, str]]] = {}
    for number, _, parent, column, parent_column, on_update, on_delete, _ in _query(
        database, f"PRAGMA foreign_key_list({quote_name(table)})"
    ):
        found.setdefault(number, []).append((parent, column, parent_column, on_update, on_delete))
    for number in sorted(found, reverse=True):
        parent, _, _, on_update, on_delete = found[number][0]
        named = tuple(parent_column for _, _, parent_column, _, _ in found[number] if parent_column is not None)
        yield ForeignKey(
            columns=tuple(column for _, column, _, _, _ in found[number]),
            parent=parent,
            parent_columns=named or _primary_key(database, parent),
            on_update=on_update,
            on_delete=on_delete,
        )


def _primary_key(database: sqlite3.Connection, table: str) -> tuple[str, ...]:
    facts = _query(database, f"PRAGMA table_info({quote_name(table)})")
    return tuple(fact[1] for fact in sorted(facts, key=lambda fact: fact[5]) if fact[5])


def _query(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql).fetchall()
