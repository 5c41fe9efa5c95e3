"""A file goes from phase to phase and back while the commands that lead it are interrupted, repeated and refused."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import pytest
from click.testing import CliRunner
from tests.stores.mirrored import leave_at

from dualdb.core.events import BatchApplied, unheard
from dualdb.core.phase import Phase, Side, Step
from dualdb.entrypoints.cli import main
from dualdb.errors import BusyError, MismatchError, NotPreparedError, PhaseError, TargetError, TargetLostError
from dualdb.operations import transition
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback, rollback_to
from dualdb.operations.verify import verify
from dualdb.operations.verify_report import Progress
from dualdb.settings import Settings
from dualdb.stores import control as control_rows
from dualdb.stores import mirror, target_journal
from dualdb.stores.control import Control, Order, read_source
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_pair_until_aligned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dualdb.operations.verify_report import Report

SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, score REAL, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE points (run INTEGER NOT NULL, step INTEGER NOT NULL, value REAL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE links (run INTEGER NOT NULL, kind TEXT, PRIMARY KEY (run, kind));
CREATE TABLE once (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE never (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
CREATE VIEW best AS SELECT name, MAX(score) AS score FROM runs GROUP BY name;
INSERT INTO runs(name, score) VALUES ('a', 0.1), ('b', NULL), ('a', -0.0);
DELETE FROM runs WHERE id = 3;
INSERT INTO points VALUES (1, 1, 0.5), (1, 2, 1e300), (2, 1, NULL);
INSERT INTO links VALUES (1, NULL), (1, NULL), (2, 'x');
INSERT INTO once(name) VALUES ('alone');
"""

T = TypeVar("T")
NOBODY = "postgresql://127.0.0.1:1/nobody?connect_timeout=2"
"""An address at which no server answers."""
END_WAITING = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'dualdb control' AND wait_event_type = 'Lock'"
)


@pytest.fixture
def prepared(database: Path, target_dsn: str) -> str:
    """A small file with every kind of key, prepared for an empty target."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    return str(database)


def phase_of(database: str) -> Phase:
    """The phase in the file's own control row."""
    with closing(sqlite3.connect(database)) as connection:
        facts = read_source(connection)
    assert facts is not None
    return facts.row.phase


def rows(database: str) -> list[Any]:
    """Every row of the SQLite file's tables."""
    with closing(sqlite3.connect(database)) as connection:
        return [
            connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for name in ("runs", "points", "links", "once", "never")
        ]


def target_rows(dsn: str) -> list[Any]:
    """The same rows on the target, the hidden key left out."""
    with psycopg.connect(dsn) as connection:
        return [
            connection.execute("SELECT id, name, score, at FROM runs ORDER BY 1, 2").fetchall(),
            connection.execute("SELECT run, step, value FROM points ORDER BY 1, 2").fetchall(),
            connection.execute("SELECT run, kind FROM links ORDER BY 1, 2 NULLS FIRST").fetchall(),
            connection.execute("SELECT id, name FROM once ORDER BY 1, 2").fetchall(),
            connection.execute("SELECT id, name FROM never ORDER BY 1, 2").fetchall(),
        ]


def test_there_and_back_and_there_again(prepared: str, target_dsn: str) -> None:
    """Every row is on both sides in each phase, and the phases follow each other as the tables say."""
    before = rows(prepared)
    for phase in (Phase.DUAL_WRITE, Phase.POSTGRES):
        steps = advance(prepared, observer=unheard)
        assert [step.after for step in steps] == [phase]
        assert phase_of(prepared) is phase
        assert target_rows(target_dsn) == before
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE
    assert rows(prepared) == before
    (step,) = advance(prepared, observer=unheard)
    assert step.after is Phase.POSTGRES
    assert step.verified is not None
    assert step.verified.agrees
    assert 0 < step.fenced_s < 5


def test_all_steps_to_a_phase_by_one_command(prepared: str) -> None:
    """`advance --to` takes the steps between."""
    steps = advance(prepared, Phase.POSTGRES, observer=unheard)
    assert [step.after for step in steps] == [Phase.DUAL_WRITE, Phase.POSTGRES]
    assert advance(prepared, Phase.POSTGRES, observer=unheard) == []


def test_back_to_plain_sqlite(prepared: str) -> None:
    """Out of dual_write a rollback ends the mirror; the way forward copies anew."""
    advance(prepared, observer=unheard)
    assert rollback(prepared, observer=unheard).after is Phase.SQLITE
    with closing(sqlite3.connect(prepared)) as connection:
        connection.execute("INSERT INTO once(name) VALUES ('later')")
        connection.commit()
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (0,)
    advance(prepared, Phase.POSTGRES, observer=unheard)


def test_a_plain_writer_meets_the_fence(prepared: str) -> None:
    """After the switch plain sqlite3 is told so by the file itself, whatever the conflict policy."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with closing(sqlite3.connect(prepared)) as connection:
        for statement in (
            "INSERT OR IGNORE INTO once(name) VALUES ('late')",
            "INSERT OR REPLACE INTO points VALUES (1, 1, 2.0)",
            "UPDATE runs SET name = 'late'",
            "DELETE FROM links",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="dualdb:moved"):
                connection.execute(statement)


def test_a_plain_writer_on_the_follower_is_refused(prepared: str, target_dsn: str) -> None:
    """While SQLite is the authority nobody writes to PostgreSQL past the relay, TRUNCATE included."""
    advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn, autocommit=True) as connection:
        for statement in ("INSERT INTO once (name) VALUES ('x')", "DELETE FROM links", "TRUNCATE points"):
            with pytest.raises(psycopg.Error, match="dualdb:moved"):
                connection.execute(statement)


def test_no_way_is_an_error_with_a_remedy(prepared: str, database: Path) -> None:
    """A phase that cannot follow from this one is refused and named."""
    with pytest.raises(PhaseError, match="nothing lies behind"):
        rollback(prepared, observer=unheard)
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with pytest.raises(PhaseError, match="the last one; go back with dualdb rollback"):
        advance(prepared, observer=unheard)
    with pytest.raises(PhaseError, match="does not lie ahead"):
        advance(prepared, Phase.DUAL_WRITE, observer=unheard)
    other = database.with_name("other.db")
    sqlite3.connect(other).close()
    with pytest.raises(NotPreparedError, match="dualdb init"):
        advance(str(other), observer=unheard)


def test_a_second_coordinator_is_told_to_wait(prepared: str) -> None:
    """Two `advance` at once: one works, the other says so and changes nothing."""
    told: list[str] = []

    def second(_event: object) -> None:
        if not told:
            with pytest.raises(BusyError, match="another command leads") as caught:
                advance(prepared, observer=unheard)
            told.append(str(caught.value))

    advance(prepared, observer=second)
    assert told


@pytest.mark.parametrize("last", [Step.OPEN, Step.FENCE, Step.DECIDE, Step.SETTLE])
def test_the_same_command_finishes_what_a_dead_one_began(prepared: str, target_dsn: str, last: Step) -> None:
    """Killed after any step of the switch, `advance` run again ends in phase postgres with every row."""
    advance(prepared, observer=unheard)
    before = rows(prepared)
    leave_at(prepared, last, Phase.POSTGRES)
    advance(prepared, Phase.POSTGRES, observer=unheard)
    assert phase_of(prepared) is Phase.POSTGRES
    assert target_rows(target_dsn) == before
    with Control.open(prepared) as control:
        assert control.judge().authority is Side.TARGET


@pytest.mark.parametrize("last", [Step.OPEN, Step.FENCE, Step.DECIDE])
def test_the_same_command_finishes_a_rollback_that_a_dead_one_began(prepared: str, target_dsn: str, last: Step) -> None:
    """Killed after any step of the way back, `rollback` run again ends in dual_write, one phase back and not two."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with psycopg.connect(target_dsn) as target:
        target.execute("INSERT INTO once (name) VALUES ('in postgres')")
    leave_at(prepared, last, Phase.DUAL_WRITE)
    step = rollback(prepared, observer=unheard)
    assert (step.before, step.after) == (Phase.POSTGRES, Phase.DUAL_WRITE)
    assert phase_of(prepared) is Phase.DUAL_WRITE
    with Control.open(prepared) as control:
        assert (control.judge().authority, control.judge().step) == (Side.SOURCE, Step.OPEN)
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("INSERT INTO once(name) VALUES ('home again')")
    with Pair.open(prepared) as pair:
        relay_pair_until_aligned(pair, unheard, 10)
    assert target_rows(target_dsn) == rows(prepared)


@pytest.mark.parametrize("interrupted", ["_capture", "_follow"])
def test_advance_finishes_an_interrupted_one_although_the_schema_changed_meanwhile(
    prepared: str, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    """The tables on PostgreSQL were made from another schema than the file has when the command is run again."""
    monkeypatch.setenv("DUALDB_RELAY", "off")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mirror, interrupted, interrupt)
        with pytest.raises(KeyboardInterrupt):
            advance(prepared, Phase.DUAL_WRITE, observer=unheard)
    with closing(sqlite3.connect(prepared)) as connection:
        connection.executescript(
            "CREATE TABLE later (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO later(name) VALUES ('meanwhile');"
            "ALTER TABLE once ADD COLUMN more TEXT DEFAULT 'x'; DROP TABLE never"
        )
    advance(prepared, Phase.DUAL_WRITE, observer=unheard)
    with Pair.open(prepared) as pair:
        relay_pair_until_aligned(pair, unheard, 30)
        assert verify(pair, full=True).agrees


def test_advance_finishes_a_decided_rollback_too(prepared: str) -> None:
    """Whichever command comes next writes the end that was missing, and that is a step."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    leave_at(prepared, Step.DECIDE, Phase.DUAL_WRITE)
    (step,) = advance(prepared, observer=unheard)
    assert (step.before, step.after) == (Phase.POSTGRES, Phase.DUAL_WRITE)
    (step,) = advance(prepared, observer=unheard)
    assert (step.before, step.after) == (Phase.DUAL_WRITE, Phase.POSTGRES)


def test_a_decided_rollback_whose_target_is_away_stops_nobody(
    prepared: str, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has the say, and knows it: it can leave the mirror, and PostgreSQL learns of both when it answers."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    leave_at(prepared, Step.DECIDE, Phase.DUAL_WRITE)
    with monkeypatch.context() as away:
        away.setenv("DUALDB_TARGET", NOBODY)
        with pytest.raises(TargetError, match="cannot connect"):
            advance(prepared, observer=unheard)
        assert phase_of(prepared) is Phase.DUAL_WRITE
        assert rollback(prepared, observer=unheard).after is Phase.SQLITE
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("INSERT INTO once(name) VALUES ('plain')")
    advance(prepared, Phase.DUAL_WRITE, observer=unheard)
    assert target_rows(target_dsn) == rows(prepared)
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with Control.open(prepared) as control:
        assert control.judge().authority is Side.TARGET


def killed_while_waiting(dsn: str, lock: str, command: Callable[[], T]) -> T:
    """What a command returns whose connection breaks while it waits for that lock."""
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as other:
        holder.execute(lock.encode())
        with ThreadPoolExecutor() as pool:
            running = pool.submit(command)
            deadline = time.monotonic() + 20
            while not other.execute(END_WAITING).fetchall():
                assert time.monotonic() < deadline
                assert not running.done()
                time.sleep(0.02)
            return running.result(20)


def test_rollback_to_a_phase_goes_there_and_no_further(prepared: str) -> None:
    """Run again it does nothing; two steps are taken where two lie between; the other way it is refused."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    assert [step.after for step in rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard)] == [Phase.DUAL_WRITE]
    assert rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard) == []
    advance(prepared, Phase.POSTGRES, observer=unheard)
    steps = rollback_to(prepared, Phase.SQLITE, observer=unheard)
    assert [step.after for step in steps] == [Phase.DUAL_WRITE, Phase.SQLITE]
    with pytest.raises(PhaseError, match=f"does not lie behind it; go there with dualdb advance {prepared} --to dual"):
        rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard)
    assert phase_of(prepared) is Phase.SQLITE


@pytest.mark.parametrize("last", [Step.OPEN, Step.FENCE, Step.DECIDE, Step.SETTLE])
def test_rollback_to_finishes_a_way_back_that_a_dead_one_began(prepared: str, last: Step) -> None:
    """After any step, and also when somebody else has settled it meanwhile: dual_write, and never sqlite."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    leave_at(prepared, last, Phase.DUAL_WRITE)
    for _ in range(2):
        rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard)
        assert phase_of(prepared) is Phase.DUAL_WRITE
    with Control.open(prepared) as control:
        assert (control.judge().authority, control.judge().step) == (Side.SOURCE, Step.OPEN)


@pytest.mark.parametrize("last", [Step.OPEN, Step.FENCE])
@pytest.mark.parametrize("to", [Phase.POSTGRES, Phase.DUAL_WRITE])
def test_a_move_under_way_the_other_way_is_given_up_and_that_is_all(prepared: str, to: Phase, last: Step) -> None:
    """`rollback` finds a switch, `advance` a way back, both undecided: the phase is what it was, and stays."""
    before = Phase.DUAL_WRITE if to is Phase.POSTGRES else Phase.POSTGRES
    advance(prepared, before, observer=unheard)
    leave_at(prepared, last, to)
    step = rollback(prepared, observer=unheard) if to is Phase.POSTGRES else advance(prepared, observer=unheard)[0]
    assert (step.before, step.after, step.given_up) == (before, before, to)
    assert phase_of(prepared) is before
    with Control.open(prepared) as control:
        assert control.judge().step is Step.OPEN


def test_a_switch_that_was_given_up_by_others_is_no_step_further_back(prepared: str) -> None:
    """Only the fence was left of it: `rollback` lifts that, and does not leave the mirror too."""
    advance(prepared, observer=unheard)
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    with Control.open(prepared) as control:
        control.perform(Step.ABORT, control.judge())
    assert rollback(prepared, observer=unheard).given_up is Phase.POSTGRES
    assert phase_of(prepared) is Phase.DUAL_WRITE


def test_rollback_finishes_a_decided_switch_and_stops_there(prepared: str) -> None:
    """PostgreSQL is the authority by then: the file hears of it, and the way back is another step."""
    advance(prepared, observer=unheard)
    leave_at(prepared, Step.DECIDE, Phase.POSTGRES)
    step = rollback(prepared, observer=unheard)
    assert (step.before, step.after) == (Phase.DUAL_WRITE, Phase.POSTGRES)
    assert phase_of(prepared) is Phase.POSTGRES


def test_a_way_back_that_was_decided_when_postgresql_went_away_is_a_success(prepared: str, target_dsn: str) -> None:
    """SQLite has the say, which is what was asked for; PostgreSQL hears of it from whoever comes by."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    step = killed_while_waiting(target_dsn, "LOCK TABLE dualdb.copy", lambda: rollback(prepared, observer=unheard))
    assert (step.before, step.after, step.settled) == (Phase.POSTGRES, Phase.DUAL_WRITE, False)
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("INSERT INTO once(name) VALUES ('home again')")
    with Pair.open(prepared) as pair:
        relay_pair_until_aligned(pair, unheard, 10)
    assert rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard) == []
    assert target_rows(target_dsn) == rows(prepared)


def test_a_way_back_that_was_not_decided_names_the_command_that_goes_no_further(prepared: str, target_dsn: str) -> None:
    """PostgreSQL went away under the fence: whether the fence is up nobody knows, and the command may be run again."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    with pytest.raises(TargetError, match=f"back run dualdb rollback {prepared} --to dual_write, which takes this"):
        killed_while_waiting(
            target_dsn, "LOCK TABLE dualdb.writer IN EXCLUSIVE MODE", lambda: rollback(prepared, observer=unheard)
        )
    assert [step.after for step in rollback_to(prepared, Phase.DUAL_WRITE, observer=unheard)] == [Phase.DUAL_WRITE]


def test_the_commands_line_by_line(prepared: str, target_dsn: str) -> None:
    """What each end of a way back is told as; what is done already is no error."""

    def told(*words: str) -> str:
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return done.output

    told("advance", prepared, "--to", "postgres")
    decided = killed_while_waiting(
        target_dsn, "LOCK TABLE dualdb.copy", lambda: told("rollback", prepared, "--to", "dual_write")
    )
    assert "decided: SQLite has the say from now on; the rest is finished by itself" in " ".join(decided.split())
    told("rollback", prepared, "--to", "dual_write")
    assert told("rollback", prepared, "--to", "dual_write") == f"{prepared} is in phase dual_write already\n"
    leave_at(prepared, Step.FENCE, Phase.POSTGRES)
    given_up = " ".join(told("rollback", prepared).split())
    assert given_up.endswith(f"was given up; {prepared} is in phase dual_write, as before")
    refused = CliRunner().invoke(main, ["rollback", prepared, "--to", "postgres"])
    assert refused.exit_code == 2


def captures(database: str) -> bool:
    """Whether a commit of a plain program is still journaled, or anything of ours fires."""
    with closing(sqlite3.connect(database)) as connection, connection:
        head = connection.execute("SELECT max(seq) FROM _dualdb_journal").fetchone()
        connection.execute("INSERT INTO once(name) VALUES ('captured?')")
        triggers = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone()
        return bool(triggers != (0,) or connection.execute("SELECT max(seq) FROM _dualdb_journal").fetchone() != head)


def test_a_mirror_ends_without_its_target(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL does not answer: the file leaves the mirror by itself."""
    advance(prepared, observer=unheard)
    with monkeypatch.context() as away:
        away.setenv("DUALDB_TARGET", NOBODY)
        assert rollback(prepared, observer=unheard).after is Phase.SQLITE
    assert phase_of(prepared) is Phase.SQLITE
    assert not captures(prepared)


def test_a_mirror_ends_although_its_target_is_lost_in_the_midst(prepared: str, target_dsn: str) -> None:
    """The file has left the mirror when the connection breaks: that is all there was to do, and the way on is open."""
    advance(prepared, observer=unheard)
    step = killed_while_waiting(target_dsn, "LOCK TABLE dualdb.watermark", lambda: rollback(prepared, observer=unheard))
    assert step.after is Phase.SQLITE
    assert phase_of(prepared) is Phase.SQLITE
    assert not captures(prepared)
    advance(prepared, observer=unheard)
    assert target_rows(target_dsn) == rows(prepared)


def test_a_difference_stops_the_switch_before_the_fence(prepared: str, target_dsn: str) -> None:
    """A row that somebody changed on the follower is found, named, and nothing is switched."""
    advance(prepared, observer=unheard)
    with psycopg.connect(target_dsn, autocommit=True) as connection:
        connection.execute("SET dualdb.applying = 'on'")
        connection.execute("UPDATE points SET value = 0.25 WHERE step = 1 AND run = 1")
    with pytest.raises(MismatchError, match="1 row"):
        advance(prepared, observer=unheard)
    assert phase_of(prepared) is Phase.DUAL_WRITE
    with closing(sqlite3.connect(prepared)) as connection:
        connection.execute("INSERT INTO once(name) VALUES ('still the authority')")
        connection.commit()


def test_a_row_that_postgresql_cannot_hold_blocks_the_switch(prepared: str) -> None:
    """Quarantined rows are told and block the next phase; changing them lifts the block."""
    advance(prepared, observer=unheard)
    with closing(sqlite3.connect(prepared)) as connection:
        connection.execute("INSERT INTO once(id, name) VALUES (7, CAST(x'610062' AS TEXT))")
        connection.commit()
    with pytest.raises(PhaseError, match="quarantine"):
        advance(prepared, observer=unheard)
    with closing(sqlite3.connect(prepared)) as connection:
        connection.execute("UPDATE once SET name = 'ab' WHERE id = 7")
        connection.commit()
    advance(prepared, observer=unheard)


def in_the_last_look(first: Callable[[], object], last: Callable[[], object]) -> Callable[[object], None]:
    """An observer that does `first` while everything is compared, so that something is left to be compared again, and
    `last` while that is: what it writes is met behind the fence.
    """
    awaited: list[tuple[type, Callable[[], object]]] = [(Progress, last), (BatchApplied, list), (Progress, first)]

    def observe(event: object) -> None:
        if awaited and isinstance(event, awaited[-1][0]):
            _, act = awaited.pop()
            act()

    return observe


def test_a_row_behind_the_fence_that_postgresql_cannot_hold_stops_the_switch(prepared: str) -> None:
    """It was committed after the last look before the fence: it is met there, and the file stays the authority."""

    def write(statement: str) -> None:
        with closing(sqlite3.connect(prepared)) as connection, connection:
            connection.execute(statement)

    advance(prepared, observer=unheard)
    observe = in_the_last_look(
        lambda: write("INSERT INTO once(name) VALUES ('late')"),
        lambda: write("INSERT INTO once(id, name) VALUES (7, CAST(x'610062' AS TEXT))"),
    )
    with pytest.raises(PhaseError, match="1 of the rows written last cannot be held"):
        advance(prepared, observer=observe)
    assert phase_of(prepared) is Phase.DUAL_WRITE
    write("DELETE FROM once WHERE id = 7")
    advance(prepared, observer=unheard)
    assert phase_of(prepared) is Phase.POSTGRES


def test_a_row_behind_the_fence_that_sqlite_cannot_hold_stops_the_way_back(prepared: str, target_dsn: str) -> None:
    """The same on the way back: SQLite would make NULL of a NaN."""

    def write(statement: str) -> None:
        with psycopg.connect(target_dsn) as connection:
            connection.execute(statement.encode())

    advance(prepared, Phase.POSTGRES, observer=unheard)
    observe = in_the_last_look(
        lambda: write("INSERT INTO runs (name, score) VALUES ('late', 1)"),
        lambda: write("INSERT INTO runs (name, score) VALUES ('later', 'NaN')"),
    )
    with pytest.raises(PhaseError, match="1 of the rows written last cannot be held"):
        rollback(prepared, observer=observe)
    assert phase_of(prepared) is Phase.POSTGRES
    write("DELETE FROM runs WHERE score = 'NaN'")
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE


def test_what_takes_too_long_behind_the_fence_is_given_up(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers are kept waiting no longer than was allowed, whatever took the time; and the next try may succeed."""
    advance(prepared, observer=unheard)
    allowed = Settings(move_allowed_s=1.0)

    def verify_slowly(*args: Any, **named: Any) -> Report:  # noqa: ANN401 - passed on
        report = verify(*args, **named)
        if "wishes" in named:  # the residue, behind the fence
            time.sleep(1.1)
        return report

    with monkeypatch.context() as slow:
        slow.setattr(transition, "verify", verify_slowly)
        with pytest.raises(BusyError, match="was not done within 1 s and was given up, nothing has changed"):
            advance(prepared, observer=unheard, settings=allowed)
    assert phase_of(prepared) is Phase.DUAL_WRITE
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("INSERT INTO once(name) VALUES ('not fenced')")
    assert advance(prepared, observer=unheard, settings=allowed)[0].after is Phase.POSTGRES


def test_a_step_that_stands_still_is_ended_and_taken_again(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends the transaction, for writers wait for its locks; the connection counts as lost."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    fence = target_journal.enable_fence

    def fence_and_stand_still(*args: Any, **named: Any) -> None:  # noqa: ANN401 - passed on
        fence(*args, **named)
        time.sleep(0.6)

    with monkeypatch.context() as still:
        still.setattr(control_rows, "_STANDSTILL_S", 0.1)
        still.setattr(target_journal, "enable_fence", fence_and_stand_still)
        with Control.open(prepared) as control:
            control.perform(Step.OPEN, control.judge(), Order(to=Phase.DUAL_WRITE, allowed_s=5))
            with pytest.raises(TargetLostError, match="the connection to PostgreSQL was lost"):
                control.perform(Step.FENCE, control.judge(), Order(allowed_s=5))
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE


def test_writers_do_not_wait_for_every_table_in_turn(
    tmp_path: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL may be far away: what is asked of it behind a fence is as much for 30 tables as for three."""
    asked: list[list[int]] = []
    sent, steps = [0], [0]

    def execute(cursor: psycopg.Cursor[Any], *args: Any, **named: Any) -> psycopg.Cursor[Any]:  # noqa: ANN401
        sent[0] += 1
        return executed(cursor, *args, **named)

    def perform(control: Control, step: Step, *args: Any, **named: Any) -> None:  # noqa: ANN401 - passed on
        if step is Step.FENCE:
            steps[0] = sent[0]
        performed(control, step, *args, **named)
        if step is Step.DECIDE:
            asked[-1].append(sent[0] - steps[0])

    executed, performed = psycopg.Cursor.execute, Control.perform
    monkeypatch.setattr(psycopg.Cursor, "execute", execute)
    monkeypatch.setattr(Control, "perform", perform)
    for count, schema in ((3, "few"), (30, "many")):
        path = str(tmp_path / schema)
        with closing(sqlite3.connect(path)) as connection:
            for number in range(count):
                connection.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
                connection.execute(f"INSERT INTO t{number} (name) VALUES ('x')")
            connection.commit()
        with psycopg.connect(target_dsn, autocommit=True) as target:
            target.execute("DROP SCHEMA IF EXISTS dualdb CASCADE")
            target.execute(f"CREATE SCHEMA {schema}".encode())
        initialise(path, target_dsn, schema=schema)
        asked.append([])
        advance(path, Phase.POSTGRES, observer=unheard)
        rollback(path, observer=unheard)
    few, many = asked
    assert len(few) == len(many) == 2
    assert all(later < earlier + 20 for earlier, later in zip(few, many, strict=True)), asked  # some looks are repeated


def test_an_interrupted_command_names_the_one_that_goes_no_further(prepared: str, target_dsn: str) -> None:
    """Ctrl-C behind the fence: nothing is decided, the fence is lifted, and the line can be run as it stands."""

    def write() -> None:
        with psycopg.connect(target_dsn) as connection:
            connection.execute("INSERT INTO runs (name) VALUES ('late')")

    look = in_the_last_look(write, write)

    def observe(event: object) -> None:
        look(event)
        with psycopg.connect(target_dsn) as connection:
            if connection.execute("SELECT move_state FROM dualdb.control").fetchone() == ("moving",):
                raise KeyboardInterrupt

    advance(prepared, Phase.POSTGRES, observer=unheard)
    with pytest.raises(KeyboardInterrupt) as caught:
        rollback(prepared, observer=observe)
    assert caught.value.__notes__ == [f"dualdb rollback {prepared} --to dual_write goes on from here"]
    assert phase_of(prepared) is Phase.POSTGRES
    with Control.open(prepared) as control:
        assert control.judge().step is Step.OPEN


def test_an_application_trigger_blocks_postgres_and_nothing_else(prepared: str) -> None:
    """What PostgreSQL cannot run yet is said before anything is switched."""
    with closing(sqlite3.connect(prepared)) as connection:
        connection.execute("CREATE TRIGGER own AFTER INSERT ON once BEGIN UPDATE runs SET score = 1 WHERE id = 1; END")
    advance(prepared, observer=unheard)
    with pytest.raises(PhaseError, match="trigger own"):
        advance(prepared, observer=unheard)
