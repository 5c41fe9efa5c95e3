"""Two live databases of a real application go through all phases and back while it logs, and nothing differs."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dualdb
from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.core.sqltext import first_keyword, split_statements
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.shared_data import SharedData

APPLICATION = Path(__file__).with_name("training_application.py")
DATABASES = ("ml_experiments.db", "experiments.db")
ABSENT = {
    "ml_experiments.db": r"best_test_sharpe",
    "experiments.db": r"FROM (best_models|models|metrics)\b|\btags\b",
}
"""What the application asks for and only the other one of its databases has."""


@contextmanager
def training(database: str, folder: Path, jobs: int) -> Iterator[list[Path]]:
    """The application, logging in so many processes; they end well, or the test fails with what they said."""
    ledgers = [folder / f"job {number}" for number in range(jobs)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", str(APPLICATION), database, str(ledger), f"job-{number}"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, ledger in enumerate(ledgers)
    ]
    try:
        yield ledgers
        for ledger, process in zip(ledgers, processes, strict=True):
            assert process.poll() is None, process.communicate()[1]
            ledger.with_name(ledger.name + ".stop").touch()
        for process in processes:
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
            process.wait()


def progress(ledgers: list[Path], rows: int = 25) -> None:
    """Wait until every job has had so many more rows acknowledged."""
    goals = [lines(ledger) + rows for ledger in ledgers]
    deadline = time.monotonic() + 60
    while any(lines(ledger) < goal for ledger, goal in zip(ledgers, goals, strict=True)):
        assert time.monotonic() < deadline, f"the jobs stand still at {[lines(ledger) for ledger in ledgers]}"
        time.sleep(0.02)


def lines(ledger: Path) -> int:
    """How many rows a job has had acknowledged."""
    return ledger.read_text().count("\n") if ledger.exists() else 0


@pytest.mark.parametrize("name", DATABASES)
def test_through_all_phases_and_back_while_the_application_logs(
    name: str, shared_data: SharedData, target_dsn: str, tmp_path: Path
) -> None:
    """Every acknowledged row is there, each job read what it had written, and both sides are equal in the end."""
    database = str(shared_data.copy(name, tmp_path))
    initialise(database, target_dsn)
    with training(database, tmp_path, jobs=2) as ledgers:
        progress(ledgers)
        for _ in range(2):
            (step,) = advance(database, observer=unheard)
            progress(ledgers)
        assert step.after is Phase.POSTGRES
        rollback(database, observer=unheard)
        progress(ledgers)
        advance(database, Phase.POSTGRES, observer=unheard)
        progress(ledgers)
        rollback(database, observer=unheard)
        progress(ledgers)
    relay_until_aligned(database, within_s=60)
    with Pair.open(database) as pair:
        report = verify(pair, full=True)
    assert report.agrees, report.mismatches
    with closing(sqlite3.connect(database)) as connection:
        for ledger in ledgers:
            for table, row in re.findall(r"^(experiments|metrics) (\d+)$", ledger.read_text(), re.MULTILINE):
                found = connection.execute(f"SELECT count(*) FROM {table} WHERE id = ?", (row,)).fetchone()
                assert found == (1,), f"{table} {row} was acknowledged and is not there once"


@pytest.mark.parametrize("name", DATABASES)
def test_every_question_of_the_application_is_answered_alike(
    name: str, shared_data: SharedData, target_dsn: str, tmp_path: Path
) -> None:
    """In phase postgres each query gives what plain sqlite3 gives on the same rows: values, types, column names."""
    database = str(shared_data.copy(name, tmp_path))
    untouched = shared_data.copy(name, tmp_path / "untouched.db")  # sqlite_master shows what we add to the other
    initialise(database, target_dsn)
    advance(database, Phase.POSTGRES, observer=unheard)
    with closing(sqlite3.connect(untouched)) as plain, closing(dualdb.connect(database)) as moved:
        asked = [
            statement
            for statement in split_statements((shared_data / "application.sql").read_text())
            if first_keyword(statement) in ("SELECT", "PRAGMA")
        ]
        answered = [statement for statement in asked if answers_alike(plain, moved, statement)]
    assert answered == [statement for statement in asked if not re.search(ABSENT[name], statement)]


def answers_alike(plain: sqlite3.Connection, moved: sqlite3.Connection, statement: str) -> bool:
    """Whether plain sqlite3 can answer the statement; the other connection does as well as that, or fails alike."""
    for parameters in questions(statement):
        try:
            wanted = answer(plain, statement, parameters)
        except sqlite3.OperationalError as exc:
            with pytest.raises(sqlite3.OperationalError, match=re.escape(str(exc))):
                answer(moved, statement, parameters)
            return False
        assert answer(moved, statement, parameters) == wanted, statement
    return True


def answer(connection: sqlite3.Connection, statement: str, parameters: tuple[Any, ...]) -> tuple[list[str], list[Any]]:
    """Column names and rows, each value with its type; sorted where the statement leaves the order open."""
    cursor = connection.execute(statement, parameters)
    rows = [tuple((type(value), value) for value in row) for row in cursor.fetchall()]
    names = [column[0] for column in cursor.description]
    return names, rows if "ORDER BY" in statement.upper() else sorted(rows, key=repr)


def questions(statement: str) -> list[tuple[Any, ...]]:
    """Parameters for a statement of the application: something that is there, and something that is not."""
    wanted = statement.count("?")
    if "LIMIT" in statement and "LIKE" in statement:
        return [("completed", "%", 5, 0), ("running", "%A%", -1, 2), ("completed", "%rl%", 3, -1)]
    if "LIMIT" in statement:
        return [(1, 5), (7, -1)] if wanted == 2 else [(3,), (-1,)]
    if wanted == 3:
        return [(7, "train_return", "train"), (8, "loss", "val")]
    return [(number,) for number in range(1, 12)] if wanted else [()]
