"""The triggers that journal which rows of a SQLite table change, and the triggers that fence it.

Pure: a table in, CREATE TRIGGER statements out. The keys of the rows that a statement names are journaled directly.
What a conflict policy of REPLACE deletes on the side fires no trigger, so BEFORE triggers (*probes*) journal every row
that the new one would collide with in a unique index; `core.probe` knows which those are. That includes the row with
the new one's own key: when its deletion cascades, the statement can end without a trace of the new row.

Three facts about SQLite carry this:
1. Inside a trigger the conflict policy of the outer statement wins, so the journal has no constraint to violate.
2. A row's key can be journaled before its change or after it. It is taken before wherever it is known by then: where a
   foreign key is enforced through an index of another affinity, an AFTER trigger can see the text '05' as the integer
   5. An automatic id, and a default that stands in for NULL, are known after only.
3. The triggers of a table fire newest first. Ours must be the newest ones: an application's trigger that fires before
   them can end the statement (RAISE(IGNORE), or an error under OR FAIL) and keep a new row that is not journaled yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualdb.core.probe import (
    blocker_of,
    columns_of,
    implied_by_key,
    key_names,
    new_key,
    probe_condition,
    rowid_names,
)
from dualdb.core.schema import KeyKind
from dualdb.core.sqltext import fold, quote_literal, quote_name, significant, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dualdb.core.schema import Index, Table, Trigger

CAPTURE_KINDS = (
    "insert",
    "update",
    "moved",
    "delete",
    "insert_default",
    "moved_default",
    "probe_insert",
    "probe_update",
    "probe_rowid",
)
FENCE_KINDS = ("fence_i", "fence_u", "fence_d")
FENCE_MESSAGE = "dualdb:moved: this database is no longer the authority; open it with dualdb, or roll back"


def capture_names(table_id: int) -> tuple[str, ...]:
    """Every name that a capture trigger of this table can have; not every table has all of them."""
    return tuple(f"_dualdb_{kind}_{table_id}" for kind in CAPTURE_KINDS)


def fence_names(table_id: int) -> tuple[str, ...]:
    """The names of the table's fence triggers."""
    return tuple(f"_dualdb_{kind}_{table_id}" for kind in FENCE_KINDS)


def capture_triggers(table: Table) -> list[str]:
    """The CREATE TRIGGER statements that journal every changed key of the table."""
    moving = f"UPDATE OF {', '.join(_moving_names(table))}"
    new = [_journal(table, (f"NEW.{name}" for name in key_names(table)))]
    old = [_journal(table, (f"OLD.{name}" for name in key_names(table)))]
    triggers = [_trigger(table, "update", "BEFORE UPDATE", old), _trigger(table, "delete", "BEFORE DELETE", old)]
    if table.key.kind is KeyKind.DECLARED:
        early = [_journal(table, new_key(table))]
        triggers.append(_trigger(table, "insert", "BEFORE INSERT", early))
        triggers.append(_trigger(table, "moved", f"BEFORE {moving}", early))
        if early != new:
            triggers.append(_trigger(table, "insert_default", "AFTER INSERT", new))
            triggers.append(_trigger(table, "moved_default", f"AFTER {moving}", new))
    else:
        triggers.append(_trigger(table, "insert", "AFTER INSERT", new))
        triggers.append(_trigger(table, "moved", f"AFTER {moving}", new))
    probed = [index for index in table.indexes if index.unique and not _found_by_key(table, index)]
    conditions = [probe_condition(table, index) for index in probed]
    by_rowid = _rowid_conditions(table)
    body = [_probe(table, condition) for condition in [*conditions, *by_rowid]]
    triggers.append(_trigger(table, "probe_insert", "BEFORE INSERT", body))
    changed = list(dict.fromkeys(name for index in probed for name in columns_of(table, index)))
    if changed:
        body = [_probe(table, f"{condition} AND {_another_row(table)}") for condition in conditions]
        triggers.append(_trigger(table, "probe_update", f"BEFORE UPDATE OF {', '.join(changed)}", body))
    if by_rowid:
        body = [_probe(table, f"{condition} AND {_another_row(table)}") for condition in by_rowid]
        triggers.append(_trigger(table, "probe_rowid", f"BEFORE UPDATE OF {', '.join(_rowid_aliases(table))}", body))
    return triggers


def fence_triggers(table: Table) -> list[str]:
    """The CREATE TRIGGER statements that refuse every change of the table's rows but the relay's.

    RAISE(ROLLBACK), because after RAISE(ABORT) the writer would keep the write lock.
    """
    refusal = f"SELECT RAISE(ROLLBACK, {quote_literal(FENCE_MESSAGE)});"
    return [
        f"CREATE TRIGGER {quote_name(name)} BEFORE {event} ON {quote_name(table.name)}"
        f" WHEN (SELECT applying FROM _dualdb_control) = 0 BEGIN {refusal} END"
        for name, event in zip(fence_names(table.id), ("INSERT", "UPDATE", "DELETE"), strict=True)
    ]


def installed_capture(rows: Iterable[tuple[str, str, str]], table: Table) -> bool:
    """Whether the table's capture triggers are all there, unaltered, and newer than the application's own.

    `rows` are name, tbl_name and sql of the triggers in sqlite_master, oldest first.
    """
    names = set(capture_names(table.id))
    expected = sorted(capture_triggers(table))
    found: list[str] = []
    for name, table_name, sql in rows:
        if fold(name) in names:
            found.append(sql)
        elif found and fold(table_name) == fold(table.name) and not fold(name).startswith("_dualdb_"):
            return False
    return sorted(found) == expected


def blockers(table: Table, triggers: Iterable[Trigger] = ()) -> list[str]:
    """Why some change of the table might escape its capture triggers, each with its remedy; [] when none can.

    `triggers` are the application's own.
    """
    reasons = [blocker_of(table, index) for index in table.indexes if index.unique]
    found = [reason for reason in reasons if reason is not None]
    if any(_spans_columns(table, index) for index in table.indexes if index.unique):
        found += [_reloading(table, trigger) for trigger in triggers if _may_change_the_row(table, trigger)]
    return found


def _trigger(table: Table, kind: str, event: str, body: Sequence[str]) -> str:
    name = quote_name(f"_dualdb_{kind}_{table.id}")
    return (
        f"CREATE TRIGGER {name} {event} ON {quote_name(table.name)} BEGIN {' '.join(f'{step};' for step in body)} END"
    )


def _journal(table: Table, values: Iterable[str]) -> str:
    columns = ", ".join(f"k{place}" for place in range(1, len(table.key.columns) + 1))
    return f"INSERT INTO _dualdb_journal(tbl, {columns}) SELECT {table.id}, {', '.join(values)}"


def _rowid_aliases(table: Table) -> tuple[str, ...]:
    """Every name by which a statement can set the row's rowid."""
    alias = key_names(table) if table.key.kind is KeyKind.INTEGER_PRIMARY_KEY else ()
    return (*alias, *rowid_names(table))


def _moving_names(table: Table) -> tuple[str, ...]:
    """The names by which an UPDATE can give a row another key."""
    return key_names(table) if table.key.kind is KeyKind.DECLARED else _rowid_aliases(table)


def _another_row(table: Table) -> str:
    """Leaves out the row that is updated: it collides with itself, and is journaled as such.

    Keys are compared as bytes: a column may call two keys equal that are two rows.
    """
    return "NOT (" + " AND ".join(f"{name} IS OLD.{name} COLLATE BINARY" for name in key_names(table)) + ")"


def _probe(table: Table, condition: str) -> str:
    # A table called new or old would hide the trigger's own rows of that name.
    alias = " AS _dualdb_row" if fold(table.name) in {"new", "old"} else ""
    return f"{_journal(table, key_names(table))} FROM {quote_name(table.name)}{alias} WHERE {condition}"


def _found_by_key(table: Table, index: Index) -> bool:
    """Whether the probe of the key itself finds what collides here."""
    return index.origin != "pk" and implied_by_key(table, index)


def _rowid_conditions(table: Table) -> list[str]:
    """A row collides by its rowid too, which a statement can name even where another key is declared. An automatic id
    is -1 before the row is stored: no such row, or one row too many.
    """
    return [f"{name} = NEW.{name}" for name in _rowid_aliases(table)[:1]]


def _spans_columns(table: Table, index: Index) -> bool:
    return not implied_by_key(table, index) and len(columns_of(table, index)) > 1


def _may_change_the_row(table: Table, trigger: Trigger) -> bool:
    """Whether this is a BEFORE UPDATE trigger of the table that writes to the table itself."""
    found = significant(trigger.sql)
    words = [token.word() for token in found]
    begin = words.index("BEGIN")
    head = words[:begin]
    if fold(trigger.table) != fold(table.name) or "UPDATE" not in head or {"AFTER", "INSTEAD"} & set(head):
        return False
    return any(
        fold(unquote(found[place])) == fold(table.name) and {"UPDATE", "INTO"} & set(words[place - 3 : place])
        for place in range(begin + 1, len(found))
    )


def _reloading(table: Table, trigger: Trigger) -> str:
    return (
        f"trigger {trigger.name} changes rows of {table.name} before they are updated, which SQLite calls undefined, so"
        f" a row that OR REPLACE deletes could be missed; make it an AFTER trigger"
    )
