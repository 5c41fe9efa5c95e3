"""The demo's final check finds what it exists to find, in rows that the demo's own writer made."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from dualdb.entrypoints.demo_application import Tracker, build
from dualdb.entrypoints.demo_ledger import Ledger, Reading
from dualdb.entrypoints.demo_oracle import compare, judge
from dualdb.entrypoints.demo_tables import SourceTables
from dualdb.entrypoints.demo_writer import Assignment, Writer
from dualdb.errors import DualdbError

if TYPE_CHECKING:
    from pathlib import Path

    from dualdb.entrypoints.demo_oracle import Verdict

OPERATIONS = 400


@dataclass(frozen=True, slots=True)
class Workplace:
    """A database that one writer has worked on, and all that the oracle is given."""

    beginning: Path
    database: Path
    ledger: Path

    def verdict(self) -> Verdict:
        """The oracle's judgement of the database as it is now."""
        beginning, actual = SourceTables(self.beginning), SourceTables(self.database)
        try:
            return judge(beginning, [Reading(self.ledger, 1).entries()], actual)
        finally:
            beginning.close()
            actual.close()

    def tamper(self, statement: str, *parameters: object) -> None:
        """Change the database behind the writer's back; exactly one row."""
        with closing(sqlite3.connect(self.database)) as conn, conn:
            assert conn.execute(statement, parameters).rowcount == 1

    def note(self, **line: object) -> None:
        """Append one line to the ledger."""
        with self.ledger.open("a") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a writer's work on a small database, done once with plain sqlite3."""
    folder = tmp_path_factory.mktemp("finished")
    place = _workplace(folder)
    build(str(place.database), 1500, seed=1)
    shutil.copy(place.database, place.beginning)
    with closing(sqlite3.connect(place.database)) as conn:
        conn.execute("PRAGMA journal_mode = WAL")
    ledger = Ledger(place.ledger)
    assignment = Assignment(
        number=1,
        database=str(place.database),
        ledger=str(place.ledger),
        module="sqlite3",
        seed=7,
        rate=1e9,
        old_experiment=1,
        parent=0,
    )
    calls = count()
    Writer(assignment, ledger).work(lambda: next(calls) >= OPERATIONS)
    ledger.close()
    return folder


@pytest.fixture
def workplace(finished: Path, tmp_path: Path) -> Workplace:
    """The test's own copy of it."""
    return _workplace(shutil.copytree(finished, tmp_path / "work place"))


def _workplace(folder: Path) -> Workplace:
    return Workplace(folder / "beginning.db", folder / "experiments.db", folder / "writer-1.jsonl")


def test_an_untouched_result_is_without_fault(workplace: Workplace) -> None:
    """Every row of the beginning and of the writer is found as it should be, and every kind of operation was there."""
    verdict = workplace.verdict()

    assert (verdict.faults, verdict.examples) == (0, [])
    assert verdict.rows > 1500
    assert {entry.action for entry in Reading(workplace.ledger, 1).entries()} == {
        "start_experiment",
        "log_metric",
        "finish_episode",
        "correct_metric",
        "save_checkpoint",
        "delete_metrics",
        "finish_experiment",
    }
    assert Reading(workplace.ledger, 1).remarks() == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM metrics WHERE token = (SELECT max(token) FROM metrics WHERE token LIKE 'writer%')",
        "DELETE FROM metrics WHERE token = 'first-700'",
        "DELETE FROM episodes WHERE id = (SELECT max(id) FROM episodes)",
        "DELETE FROM hyperparameters WHERE (experiment_id, name) = (SELECT max(id), 'note' FROM experiments)",
        "DELETE FROM checkpoints WHERE id = (SELECT max(id) FROM checkpoints)",
        "DELETE FROM experiments WHERE id = (SELECT max(id) FROM experiments)",
        "DELETE FROM totals",
    ],
)
def test_a_lost_row_is_found(workplace: Workplace, statement: str) -> None:
    """A row that was acknowledged, or there from the beginning, and is gone."""
    workplace.tamper(statement)

    verdict = workplace.verdict()

    assert (verdict.lost, verdict.doubled, verdict.different) == (1, 0, 0)


@pytest.mark.parametrize("token", ["first-700", "writer-1-3", "nobody's"])
def test_a_doubled_row_is_found(workplace: Workplace, token: str) -> None:
    """A row that is there twice, and one that nobody wrote."""
    workplace.tamper(
        "INSERT INTO metrics (experiment_id, name, step, value, token) VALUES (2, 'loss', 0, 0.5, ?)", token
    )

    verdict = workplace.verdict()

    assert (verdict.lost, verdict.doubled, verdict.different) == (0, 1, 0)


def test_a_row_that_came_back_is_found(workplace: Workplace) -> None:
    """A row that the writer deleted, as it was."""
    deletions = [e for e in Reading(workplace.ledger, 1).entries() if e.action == "delete_metrics"]
    token = deletions[-1].arguments["tokens"][0]
    workplace.tamper(
        "INSERT INTO metrics (experiment_id, name, step, value, token) VALUES (2, 'loss', 0, 0.5, ?)", token
    )

    assert workplace.verdict().doubled == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE metrics SET value = value + 1e-15 WHERE token = 'first-700'",
        "UPDATE metrics SET value = 2 WHERE token = (SELECT max(token) FROM metrics WHERE token LIKE 'writer%')",
        "UPDATE metrics SET logged_at = datetime(logged_at, '+5 minutes') WHERE token = 'writer-1-3'",
        "UPDATE metrics SET id = id + 1000 WHERE id = (SELECT max(id) FROM metrics)",
        "UPDATE checkpoints SET weights = zeroblob(length(weights) + 1) WHERE id = (SELECT max(id) FROM checkpoints)",
        "UPDATE episodes SET is_best = 1 - is_best WHERE id = (SELECT max(id) FROM episodes)",
        "UPDATE totals SET value = value - 1",
    ],
)
def test_a_changed_row_is_found(workplace: Workplace, statement: str) -> None:
    """A value other than the one acknowledged, however little it differs; a lost addition to the shared row."""
    workplace.tamper(statement)

    verdict = workplace.verdict()

    assert (verdict.lost, verdict.doubled, verdict.different) == (0, 0, 1)


@pytest.mark.parametrize("happened", [True, False])
def test_an_operation_without_an_answer_may_have_happened_or_not(workplace: Workplace, happened: bool) -> None:
    """Both outcomes are right; a half of one is not."""
    entries = Reading(workplace.ledger, 1).entries()
    parameters = {"gamma": "0.9", "clip": "1"}
    arguments = {"name": "the last one", "learning_rate": 0.5, "hyperparameters": parameters}
    workplace.note(n=entries[-1].number + 1, do="start_experiment", **{"with": arguments}, at=entries[-1].began_at)
    if happened:
        Tracker(sqlite3, str(workplace.database)).start_experiment("the last one", 0.5, parameters)
    assert workplace.verdict().faults == 0

    if happened:
        workplace.tamper("DELETE FROM hyperparameters WHERE name = 'clip' AND value = '1'")
        assert workplace.verdict().lost == 1
    else:
        workplace.tamper("INSERT INTO hyperparameters VALUES (99999, 'clip', '1')")
        assert workplace.verdict().doubled == 1


def test_an_operation_that_was_turned_away_must_not_have_happened(workplace: Workplace) -> None:
    """The fence lets nothing through: unlike one without an answer, its row is one that nobody wrote."""
    arguments = {"experiment": 1, "name": "loss", "step": 1, "value": 0.5, "token": "refused"}
    workplace.note(n=9999, do="log_metric", **{"with": arguments}, at=0.0)
    workplace.note(n=9999, refused="dualdb:moved", at=1.0)
    assert workplace.verdict().faults == 0

    Tracker(sqlite3, str(workplace.database)).log_metric(1, "loss", 1, 0.5, "refused")
    assert workplace.verdict().doubled == 1


def test_a_ledger_that_allows_everything_is_refused(workplace: Workplace) -> None:
    """Too many unanswered operations are an error, not a licence."""
    for number in range(10_000, 10_009):
        workplace.note(n=number, do="delete_metrics", **{"with": {"tokens": []}}, at=0.0)

    with pytest.raises(DualdbError, match="without an answer 9 times"):
        workplace.verdict()


def test_a_line_that_is_still_being_written_waits(workplace: Workplace) -> None:
    """A reader takes whole lines only and goes on where it stopped."""
    reading = Reading(workplace.ledger, 1)
    before = len(reading.entries())
    with workplace.ledger.open("a") as file:
        file.write('{"n": 9999, "do": "delete_metrics", "with": {"tokens": []}, ')
        file.flush()
        assert len(reading.entries()) == before
        file.write('"at": 1.0}\n')
    assert len(reading.entries()) == before + 1


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM metrics WHERE token = 'first-700'", "doubled"),
        ("INSERT INTO metrics (experiment_id, name, step, token) VALUES (2, 'loss', 0, 'more')", "lost"),
        ("UPDATE metrics SET logged_at = NULL WHERE token = 'first-700'", "different"),
    ],
)
def test_the_two_sides_are_compared_whole(workplace: Workplace, tmp_path: Path, statement: str, kind: str) -> None:
    """A row on one side only, on the other only, and one that differs in a column that no ledger knows."""
    copied = Workplace(workplace.beginning, tmp_path / "other.db", workplace.ledger)
    shutil.copy(workplace.database, copied.database)
    source, target = SourceTables(workplace.database), SourceTables(copied.database)
    assert compare(source, target).faults == 0

    workplace.tamper(statement)

    verdict = compare(source, target)
    source.close()
    target.close()
    assert verdict.faults == 1
    assert getattr(verdict, kind) == 1
