"""At every aligned boundary the follower equals the authority, whatever was written in between.

Forward: random schemas and random statements with every conflict policy on the SQLite file. Back: random transactions,
some of them side by side, on PostgreSQL. The seeds are fixed, so a failure repeats. A row in quarantine is the only
one that the follower may lack, and it may hold none that the authority does not have.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections import Counter
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
from tests.generators.statements import Workload
from tests.stores.mirrored import Mirrored

from dualdb.core.compare import key_of
from dualdb.stores.source_apply import key_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dualdb.core.schema import Table

ROUNDS = 6
STATEMENTS = 40
TABLES = """
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT UNIQUE, loss REAL, cost NUMERIC, note BLOB);
CREATE TABLE step (run INTEGER NOT NULL, at TEXT NOT NULL, value REAL, PRIMARY KEY (run, at)) WITHOUT ROWID;
CREATE TABLE tag (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, uses INT);
CREATE TABLE line (text TEXT, number INT);
"""


FEATURES = {
    "WITHOUT ROWID": r"\) WITHOUT ROWID",
    "a cascading delete": r"foreign_keys = ON(?s:.*)ON DELETE CASCADE",
    "a cascading key": r"foreign_keys = ON(?s:.*)ON UPDATE CASCADE",
    "a default that stands in for NULL": r"NOT NULL (ON CONFLICT REPLACE )?DEFAULT",
    "a second unique key": r"PRIMARY KEY.*( UNIQUE|UNIQUE\()",
    "a unique expression": r"CREATE UNIQUE INDEX .* \((lower|a\+b|a %|n \|\||substr)",
    "a partial unique index": r"CREATE UNIQUE INDEX .* WHERE ",
    "a trigger": r"CREATE TRIGGER",
}
"""What a schema has, by what its text holds."""
STREAM = {
    "a changed key": r"^UPDATE.* SET .*\b(id|rowid|_rowid_) = ",
    "OR REPLACE": r" OR REPLACE INTO ",
}
"""The same of statements that succeeded."""
WHILE_WRITING = "compared while a transaction was open that had written"
SEEDS = (1, 4, 13, 15, 26, 29, 31, 39)


def features(workload: Workload) -> set[str]:
    """Those of a random schema."""
    setup = "\n".join(workload.setup)
    return {name for name, pattern in FEATURES.items() if re.search(pattern, setup)}


def test_the_seeds_have_every_feature() -> None:
    """Each at least twice: the choice is worth what it holds."""
    found = Counter(name for seed in SEEDS for name in features(Workload(seed, exotic=False, mixed=False)))
    assert {name: found[name] for name in FEATURES if found[name] < 2} == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_statements_on_sqlite_arrive(seed: int, database: Path, target_dsn: str) -> None:
    """Every conflict policy, key and unique index, the application's triggers and cascades, now and then a VACUUM."""
    ran = _write_and_compare(seed, database, target_dsn)
    assert ran.keys() == STREAM.keys() | {WHILE_WRITING}


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_what_cannot_be_held_is_all_that_is_kept_apart(seed: int, database: Path, target_dsn: str) -> None:
    """Text among integers, fractions, columns without a type: whatever else there is arrives."""
    _write_and_compare(seed, database, target_dsn, mixed=True)


@pytest.mark.soak
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(100, 400))
def test_random_statements_on_sqlite_arrive_for_long(seed: int, mixed: bool, database: Path, target_dsn: str) -> None:
    """The same for many schemas."""
    _write_and_compare(seed, database, target_dsn, mixed=mixed)


def _write_and_compare(seed: int, database: Path, target_dsn: str, *, mixed: bool = False) -> Counter[str]:
    """Rounds of writing, carrying and comparing; how often each feature of a statement occurred.

    Some comparisons are made while the writer's transaction is open: neither side has what is not committed. Without
    values of a foreign class everything arrives; with them only rows that hold one are kept apart.
    """
    workload = Workload(seed, exotic=False, mixed=mixed)
    chance = random.Random(f"rounds of {seed}")
    looks = random.Random(f"looks at {seed}")
    ran: Counter[str] = Counter()
    pair = Mirrored(database, target_dsn, "".join(f"{sql};\n" for sql in workload.setup if not _is_pragma(sql)))
    for _ in range(ROUNDS):
        with closing(sqlite3.connect(pair.path, isolation_level=None)) as connection:
            for pragma in filter(_is_pragma, workload.setup):
                connection.execute(pragma)
            for _ in _write(connection, workload, chance, ran):
                if looks.random() < 0.1:
                    ran[WHILE_WRITING] += 1
                    _align_and_check(pair, mixed=mixed)
            if chance.random() < 0.2:
                connection.execute("VACUUM")
        _align_and_check(pair, mixed=mixed)
    return ran


def _align_and_check(pair: Mirrored, *, mixed: bool) -> None:
    pair.align()
    _check(pair)
    reasons = [reason for _, _, reason in pair.quarantined()]
    assert all(mixed and " in a column of " in reason for reason in reasons), reasons


@pytest.mark.parametrize("seed", range(6))
def test_random_transactions_on_postgresql_arrive(seed: int, database: Path, target_dsn: str) -> None:
    """Changed keys, swaps, deletes, TRUNCATE and overlapping transactions that commit in another order."""
    chance = random.Random(f"back {seed}")
    pair = Mirrored(database, target_dsn, TABLES)
    pair.align()
    pair.to_postgres()
    for _ in range(ROUNDS):
        with ExitStack() as stack:
            sessions = [stack.enter_context(closing(psycopg.connect(pair.dsn))) for _ in range(3)]
            for session in sessions:
                session.execute("SET lock_timeout = '50ms'")
                session.commit()
            for _ in range(STATEMENTS):
                _change(chance.choice(sessions), chance)
                if chance.random() < 0.1:
                    pair.align()
            for session in chance.sample(sessions, len(sessions)):
                session.commit()
        pair.align()
        _check(pair)
    pair.back()
    assert pair.differences() == {}


def _is_pragma(sql: str) -> bool:
    return sql.startswith("PRAGMA")


def _write(
    connection: sqlite3.Connection, workload: Workload, chance: random.Random, ran: Counter[str]
) -> Iterator[None]:
    """One round of statements; a pause after each that has written into a transaction which is still open."""
    for _ in range(STATEMENTS):
        if not connection.in_transaction and chance.random() < 0.3:
            connection.execute("BEGIN")
        with suppress(sqlite3.Error):
            sql = workload.statement()
            if connection.execute(sql).rowcount > 0:
                ran.update(name for name, pattern in STREAM.items() if re.search(pattern, sql))
                if connection.in_transaction:
                    yield
        if connection.in_transaction and chance.random() < 0.3:
            connection.execute(chance.choice(("COMMIT", "COMMIT", "ROLLBACK")))
    if connection.in_transaction:
        connection.execute("COMMIT")


def _change(session: psycopg.Connection[Any], chance: random.Random) -> None:
    number, other = chance.randrange(1, 12), chance.randrange(1, 12)
    letter = chance.choice("aAbBcCdD")
    statement = chance.choice(
        (
            f"INSERT INTO run VALUES ({number}, '{letter}', {number} / 7.0, {chance.choice(('2', '2.5'))}, '\\x00')",
            f"UPDATE run SET id = {other} WHERE id = {number}",
            f"UPDATE run SET name = '{letter}', cost = NULL WHERE id = {number}",
            f"DELETE FROM run WHERE id % 3 = {number % 3}",
            f"INSERT INTO step SELECT {number}, '{letter}' || i, i / 3.0 FROM generate_series(1, {other}) AS i",
            f"UPDATE step SET at = '{letter}' || at WHERE run = {number}",
            f"DELETE FROM step WHERE run = {number}",
            f"INSERT INTO tag VALUES ('{letter}{number % 3}', {number})",
            f"UPDATE tag SET name = CASE WHEN name = upper(name) THEN lower(name) ELSE upper(name) END, uses = {other}",
            f"DELETE FROM tag WHERE uses = {number}",
            f"INSERT INTO line (text, number) VALUES ('{letter}', {number}), (NULL, NULL)",
            f"UPDATE line SET number = number + 1 WHERE text = '{letter}'",
            "TRUNCATE line" if number == 1 else f"DELETE FROM line WHERE number > {number}",
        )
    )
    try:
        with session.transaction(force_rollback=chance.random() < 0.1):
            session.execute(statement.encode())
    except psycopg.Error:
        pass  # a clash or a lock that another session holds
    if chance.random() < 0.2:
        session.rollback() if chance.random() < 0.3 else session.commit()


def _check(pair: Mirrored) -> None:
    differences = pair.differences()
    kept_apart = {(table, key) for table, key, _ in pair.quarantined()}
    with pair.pair() as opened, opened.authority.snapshot() as snapshot:
        tables = snapshot.schema.tables
        for name, (only_source, only_target) in differences.items():
            assert only_target == [], name
            missing = {(tables[name].name, _key(tables[name], cast(Any, row))) for row in only_source}
            assert missing <= kept_apart, name


def _key(table: Table, row: Sequence[tuple[str, Any]]) -> str:
    values = tuple(float.fromhex(value) if kind == "float" else value for kind, value in row)
    return key_text(key_of(table.key_positions)(values))
