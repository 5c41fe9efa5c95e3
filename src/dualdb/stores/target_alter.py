"""ALTER TABLE while PostgreSQL is the authority, told from the schema before and after it (lang_altertable.html).

One table is renamed, or one of its columns is added, renamed or dropped; the rows stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dualdb.core.names import qualified, quoted, rowid_index
from dualdb.core.schema import HIDDEN_ROWID, KeyKind
from dualdb.core.sqltext import fold
from dualdb.core.translate.ddl import added_column, table_ddl
from dualdb.core.translate.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dualdb.core.schema import Column, Schema, Table, TargetType


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """What ALTER TABLE has done to one table."""

    old: Table
    new: Table
    renamed: tuple[Column, Column] | None = None
    """A column before and after."""
    added: Column | None = None
    dropped: Column | None = None


def find_alteration(before: Schema, after: Schema) -> Alteration:
    """The table that is another one, and how; raises Refused for what no ALTER TABLE does."""
    gone, come = before.tables.keys() - after.tables.keys(), after.tables.keys() - before.tables.keys()
    if len(gone) == len(come) == 1:
        return Alteration(old=before.tables[gone.pop()], new=after.tables[come.pop()])
    changed = [name for name, table in after.tables.items() if before.tables[name].sql != table.sql]
    # Renaming a column also changes the text of tables whose foreign keys speak of it.
    found = [one for name in changed if (one := _of_columns(before.tables[name], after.tables[name])) is not None]
    if len(found) > 1 or not changed:
        raise Refused("this ALTER", "what it changes is not understood", "change one column at a time")
    if not found:  # a name in another spelling
        return Alteration(old=before.tables[changed[0]], new=after.tables[changed[0]])
    return found[0]


def _of_columns(old: Table, new: Table) -> Alteration | None:
    names, wanted = [column.name for column in old.columns], [column.name for column in new.columns]
    if names == wanted:
        return None
    added = [column for column in new.columns if column.name not in names]
    dropped = [column for column in old.columns if column.name not in wanted]
    if len(added) == len(dropped) == 1 and len(names) == len(wanted):
        return Alteration(old=old, new=new, renamed=(dropped[0], added[0]))
    if len(added) + len(dropped) != 1:
        raise Refused("this ALTER", "what it changes is not understood", "change one column at a time")
    return Alteration(old=old, new=new, added=added[0] if added else None, dropped=dropped[0] if dropped else None)


def numbering_after(
    alteration: Alteration, numbering: Mapping[str, tuple[int, Mapping[str, TargetType]]]
) -> dict[str, tuple[int, Mapping[str, TargetType]]]:
    """The tables' numbers and stored types: the altered table keeps its own, under its names now."""
    numbers = dict(numbering)
    number, stored = numbers.pop(fold(alteration.old.name), (alteration.old.id, {}))
    if alteration.renamed is not None:
        old, new = alteration.renamed
        stored = {new.name if name == old.name else name: one for name, one in stored.items()}
    numbers[fold(alteration.new.name)] = (number, stored)
    return numbers


def statements(alteration: Alteration, target_schema: str) -> Iterator[str]:
    """PostgreSQL's statements."""
    old, new = alteration.old, alteration.new
    name = qualified(target_schema, new.name)
    if old.name != new.name:
        yield f"ALTER TABLE {qualified(target_schema, old.name)} RENAME TO {quoted(new.name)}"
        yield from _renamed_parts(old, new, target_schema)
    if alteration.renamed is not None:
        before, after = alteration.renamed
        yield f"ALTER TABLE {name} RENAME COLUMN {quoted(before.name)} TO {quoted(after.name)}"
    elif alteration.added is not None:
        text, checks = added_column(new, alteration.added, old, target_schema)
        yield f"ALTER TABLE {name} ADD COLUMN {text}"
        for check in checks:
            yield f"ALTER TABLE {name} ADD {check}"
    elif alteration.dropped is not None:
        yield f"ALTER TABLE {name} DROP COLUMN {quoted(alteration.dropped.name)}"


def _renamed_parts(old: Table, new: Table, target_schema: str) -> Iterator[str]:
    """What carries the table's name in its own."""
    name = qualified(target_schema, new.name)
    if old.rowid is not None:
        sequence = qualified(target_schema, f"sqlite_sequence_{old.name}")
        yield f"ALTER SEQUENCE IF EXISTS {sequence} RENAME TO {quoted(f'sqlite_sequence_{new.name}')}"
    if "PRIMARY KEY" in table_ddl(old, target_schema)[0].create:
        key, wanted = quoted(f"sqlite_key_{old.name}"), quoted(f"sqlite_key_{new.name}")
        yield f"ALTER TABLE {name} RENAME CONSTRAINT {key} TO {wanted}"
    if old.rowid is HIDDEN_ROWID and old.key.kind is not KeyKind.ROWID:
        yield f"ALTER TABLE {name} RENAME CONSTRAINT {quoted(rowid_index(old.name))} TO {quoted(rowid_index(new.name))}"
    for before, after in zip(old.indexes, new.indexes, strict=True):
        if before.name != after.name:
            yield f"ALTER INDEX IF EXISTS {qualified(target_schema, before.name)} RENAME TO {quoted(after.name)}"


def settled(schema: Schema, alteration: Alteration) -> Schema:
    """The schema before, with the table as it is now: what remains are indexes and views."""
    tables = {name: table for name, table in schema.tables.items() if name != fold(alteration.old.name)}
    tables[fold(alteration.new.name)] = alteration.new
    return replace(schema, tables=tables)
