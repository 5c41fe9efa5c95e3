"""What must be true after every run, found out with sqlite3 and psycopg alone.

One side takes writes, and it is the one that the control rows name; every acknowledged operation is there once, every
other one at most once and whole; and, once the relay has caught up, both sides hold the same rows.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from tests.interleavings.workload import BEGINNING, PARTS, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.interleavings.ledger import Operation

_COLUMNS = {"entry": "id, writer, number, part, value", "tally": "name, value", "slot": "id, name, number"}
_COLUMNS["remark"] = "writer, number, part"
_CONTROL = "SELECT phase, epoch, move, move_state FROM "


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The control rows, and which side takes writes."""

    source: tuple[str, int, int, str]
    """Phase, epoch, number and state of the last move."""
    target: tuple[str, int, int, str]
    source_open: frozenset[str]
    """The tables that take writes."""
    target_open: frozenset[str]

    @property
    def phase(self) -> str:
        """The phase in force."""
        return max(self.source, self.target, key=lambda row: row[1])[0]

    @property
    def settled(self) -> bool:
        """Whether no move is under way."""
        return "moving" not in {self.source[3], self.target[3]}


def read_standing(database: str, dsn: str) -> Standing:
    """How things stand; writes nothing that stays."""
    with closing(sqlite3.connect(database, timeout=20, isolation_level=None)) as source:
        source_row = source.execute(_CONTROL + "_dualdb_control").fetchone()
        source_open = frozenset(table for table in TABLES if _source_takes(source, table))
    with closing(psycopg.connect(dsn, options="-c lock_timeout=2000")) as target:
        target_row = target.execute(_CONTROL + "dualdb.control").fetchone()
        target.rollback()
        target_open = frozenset(table for table in TABLES if _target_takes(target, table))
    assert target_row is not None
    return Standing(source=source_row, target=target_row, source_open=source_open, target_open=target_open)


def check_authority(standing: Standing) -> str:
    """Exactly one side takes writes, with all its tables, and it is the one that the control rows name; the phase."""
    everything, nothing = frozenset(TABLES), frozenset[str]()
    expected = (nothing, everything) if standing.phase == "postgres" else (everything, nothing)
    assert (standing.source_open, standing.target_open) == expected, f"phase and fences disagree: {standing}"
    return standing.phase


def check_never_two(standing: Standing) -> None:
    """At any moment: no two sides that take writes."""
    assert not (standing.source_open and standing.target_open), f"two authorities: {standing}"


def read_source_rows(database: str) -> dict[str, list[tuple[Any, ...]]]:
    """The application's rows in SQLite, ordered."""
    with closing(sqlite3.connect(database, timeout=20)) as source:
        return {table: source.execute(_select(table)).fetchall() for table in TABLES}


def read_target_rows(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """The application's rows in PostgreSQL, ordered."""
    with closing(psycopg.connect(dsn)) as target:
        target.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return {table: target.execute(_select(table).encode()).fetchall() for table in TABLES}


def check_equal(source: Mapping[str, Sequence[object]], target: Mapping[str, Sequence[object]]) -> None:
    """Both sides hold the same rows, value by value."""
    for table in TABLES:
        here, there = source[table], target[table]
        if here != there:  # each in their order, so this alone is enough
            only_here, only_there = list(set(here) - set(there)), list(set(there) - set(here))
            raise AssertionError(f"{table}: only in SQLite {only_here[:5]}, only in PostgreSQL {only_there[:5]}")


def check_ledgers(
    rows: Mapping[str, Sequence[tuple[Any, ...]]], ledgers: Iterable[Sequence[Operation]], beginning: int
) -> None:
    """Every acknowledged operation once, every other one at most once and whole, nothing that nobody did."""
    entries: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for rowid, writer, number, part, _ in rows["entry"]:
        entries[writer, number].append((part, rowid))
    remarks: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for writer, number, part in rows["remark"]:
        remarks[writer, number].append((part, 0))
    operations = [operation for ledger in ledgers for operation in ledger]
    removals = {(found.writer, found.removes): found for found in operations if found.removes is not None}
    for operation in operations:
        key = operation.writer, operation.number
        kept = remarks if operation.kind == "remark" else entries
        _check_operation(operation, sorted(kept.pop(key, [])), removals.get(key))
    for number in range(beginning):
        assert len(entries.pop((BEGINNING, number), [])) == 1, f"row {number} of the beginning is lost or doubled"
    assert not entries, f"nobody wrote these: {dict(entries)}"
    assert not remarks, f"nobody wrote these: {dict(remarks)}"
    _check_tally(rows["tally"], operations)
    _check_slots(rows["slot"], operations)


def _check_operation(operation: Operation, found: list[tuple[int, int]], removal: Operation | None) -> None:
    parts = [part for part, _ in found]
    whole = list(range(PARTS[operation.kind]))
    allowed = []
    if not operation.refused and (removal is None or not removal.acknowledged):
        allowed.append(whole)
    if not operation.acknowledged or (removal is not None and not removal.refused):
        allowed.append([])
    assert parts in allowed, f"rows {found}, which is none of {allowed}, for {operation}, removed by {removal}"
    if parts and operation.rowid is not None:
        assert found[0][1] == operation.rowid, f"the writer was told another rowid than {found[0][1]}: {operation}"


def _check_tally(rows: Sequence[tuple[Any, ...]], operations: Sequence[Operation]) -> None:
    tallies = [operation for operation in operations if operation.kind == "tally"]
    least = sum(operation.acknowledged for operation in tallies)
    most = sum(not operation.refused for operation in tallies)
    assert [name for name, _ in rows] == ["all"]
    assert least <= rows[0][1] <= most, f"the tally is {rows[0][1]}, and {least} to {most} additions were made"


def _check_slots(rows: Sequence[tuple[Any, ...]], operations: Sequence[Operation]) -> None:
    found = {name: number for _, name, number in rows}
    assert len(found) == len(rows), f"a unique name is there twice: {rows}"
    allowed: dict[str, set[int | None]] = {name: {None} for name in found}
    for operation in operations:
        if operation.kind == "replace" and not operation.refused:
            before = set() if operation.acknowledged else allowed.get(operation.writer, {None})
            allowed[operation.writer] = before | {operation.number}
    for writer, numbers in allowed.items():
        assert found.get(writer) in numbers, f"slot {writer} holds {found.get(writer)}, and should one of {numbers}"


def _select(table: str) -> str:
    return f"SELECT {_COLUMNS[table]} FROM {table} ORDER BY {_COLUMNS[table]}"


def _source_takes(source: sqlite3.Connection, table: str) -> bool:
    column = _COLUMNS[table].rpartition(" ")[2]
    try:
        source.execute("BEGIN IMMEDIATE")
        source.execute(f"INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE 0")
        source.execute(f"UPDATE {table} SET {column} = {column} WHERE rowid = (SELECT min(rowid) FROM {table})")
        if source.execute("SELECT changes()").fetchone() == (0,):
            source.execute(f"INSERT INTO {table} VALUES ({_blank(table)})")
    except sqlite3.IntegrityError as exc:
        if str(exc).startswith("dualdb:moved"):
            return False
        raise
    finally:
        if source.in_transaction:
            source.execute("ROLLBACK")
    return True


def _target_takes(target: psycopg.Connection[Any], table: str) -> bool:
    column = _COLUMNS[table].rpartition(" ")[2]
    try:
        target.execute(f"UPDATE {table} SET {column} = {column} WHERE false".encode())
    except psycopg.errors.UndefinedTable:
        return False  # phase sqlite: nothing was mirrored yet
    except psycopg.errors.LockNotAvailable:
        return False  # a process that was stopped in a transaction keeps everybody out
    except psycopg.Error as exc:
        if exc.sqlstate == "DD001":
            return False
        raise
    finally:
        target.rollback()
    return True


def _blank(table: str) -> str:
    return ", ".join("0" for _ in _COLUMNS[table].split(","))
