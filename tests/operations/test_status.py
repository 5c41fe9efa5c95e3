"""`dualdb status` tells the truth in every phase, and when half of what it looks at is away."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core.events import unheard
from dualdb.core.phase import Phase, Step
from dualdb.entrypoints import cli
from dualdb.entrypoints.console import Console
from dualdb.errors import NotPreparedError, SourceError
from dualdb.operations.initialise import initialise
from dualdb.operations.recopy import begin_anew
from dualdb.operations.status import read_status
from dualdb.operations.status_report import AsideStatus
from dualdb.operations.transition import advance, rollback
from dualdb.stores import mirror
from dualdb.stores.control import Control, Order
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_pair_until_aligned, relay_until_aligned

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import psycopg

SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE points (run INTEGER NOT NULL, step INTEGER NOT NULL, value REAL, PRIMARY KEY (run, step));
INSERT INTO runs(name) VALUES ('a'), ('b');
INSERT INTO points VALUES (1, 1, 0.5);
"""
NOWHERE = "postgresql://me:sesame@localhost:1/nowhere"


def write(database: str, statement: str, *parameters: object) -> None:
    """A program that uses plain sqlite3."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, parameters)


@pytest.fixture
def prepared(database: Path, target_dsn: str) -> str:
    """A small file, prepared for an empty target."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    return str(database)


@pytest.fixture
def mirrored(prepared: str) -> str:
    """The same, in phase dual_write; nobody relays any more."""
    advance(prepared, observer=unheard)
    return prepared


if os.geteuid() == 0:  # who alone can find another user's server

    def test_a_server_of_another_user_is_not_said_to_be_stopped(prepared: str) -> None:
        """Whether it runs is not known, and no command of this user's starts it."""
        write(prepared, "UPDATE _dualdb_control SET target = 'embedded'")
        os.mkdir(f"{prepared}-postgres")
        os.chown(f"{prepared}-postgres", 65534, 65534)
        found = read_status(prepared)
        assert found.server is None
        assert found.target.error is not None
        assert found.target.error.endswith("belongs to user 65534; run dualdb as that user")
        assert [blocker.remedy for blocker in found.blockers] == ["run dualdb as that user"]


def test_a_missing_and_an_unprepared_file_are_told_apart(database: Path) -> None:
    """Both are errors, and looking makes no file."""
    with pytest.raises(SourceError, match="no file"):
        read_status(str(database))
    assert not database.exists()

    sqlite3.connect(database).close()
    with pytest.raises(NotPreparedError, match="dualdb init"):
        read_status(str(database))


def test_a_prepared_file(prepared: str) -> None:
    """Nothing follows anything yet, and nothing blocks the first step."""
    found = read_status(prepared)
    assert (found.phase, found.authority, found.next, found.blockers) == ("sqlite", "source", "dual_write", ())
    assert (found.follower, found.quarantine, found.verified, found.move) == (None, None, None, None)
    assert found.target.reachable
    assert found.server is None


def test_a_follower_that_is_up_to_date_and_one_that_is_behind(mirrored: str) -> None:
    """Lag is counted in changes and seconds; it is measured against the state of when it was asked."""
    found = read_status(mirrored)
    assert (found.phase, found.authority, found.next, found.blockers) == ("dual_write", "source", "postgres", ())
    assert found.follower is not None
    assert (found.follower.aligned, found.follower.lag_rows, found.follower.lag_s) == (True, 0, 0.0)
    assert {(copy.table, copy.done) for copy in found.copies} == {("runs", True), ("points", True)}

    write(mirrored, "INSERT INTO runs(name) VALUES ('c'), ('d'), ('e')")
    late = read_status(mirrored).follower
    assert late is not None
    assert late.lag_rows == 3
    assert late.lag_s > 0


def test_the_other_direction(mirrored: str) -> None:
    """In phase postgres the file is the follower, and nothing lies ahead."""
    advance(mirrored, observer=unheard)
    found = read_status(mirrored)
    assert (found.phase, found.authority, found.next, found.blockers) == ("postgres", "target", None, ())
    assert found.follower is not None
    assert found.follower.aligned
    assert found.verified is not None
    assert found.verified["agrees"] is True


def test_a_quarantined_row_is_named_and_blocks(prepared: str) -> None:
    """Table, key and reason; the remedy stands beside the reason."""
    write(prepared, "INSERT INTO runs VALUES (7, 'nul' || char(0) || 'inside')")
    advance(prepared, observer=unheard)
    found = read_status(prepared)
    assert found.quarantine is not None
    assert found.quarantine.count == 1
    assert (found.quarantine.first[0].table, "7" in found.quarantine.first[0].key) == ("runs", True)
    assert found.quarantine.first[0].reason
    assert [blocker.remedy for blocker in found.blockers] == ["change or delete them"]


def test_a_file_that_left_wal_mode_is_named_until_it_is_put_back(
    mirrored: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a plain program, while nobody else had it open; it blocks nothing."""
    assert read_status(mirrored).journal_mode == "wal"
    with closing(sqlite3.connect(mirrored)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
    found = read_status(mirrored)
    assert (found.journal_mode, found.blockers) == ("delete", ())
    Console().show_status(found)
    assert "journal mode delete instead of wal" in capsys.readouterr().out
    relay_until_aligned(mirrored, unheard, 30)
    assert read_status(mirrored).journal_mode == "wal"


def test_what_was_set_aside_is_shown_and_blocks_nothing(
    mirrored: str, target: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables in the file and schemas on PostgreSQL, with what they are and how to be rid of them."""
    assert read_status(mirrored).aside == AsideStatus(tables=(), schemas=())
    begin_anew(mirrored)
    advance(mirrored, Phase.POSTGRES, observer=unheard)
    write(mirrored, "CREATE TABLE behind (n)")
    write(mirrored, "INSERT INTO behind VALUES (1)")
    relay_until_aligned(mirrored, unheard, 30)
    found = read_status(mirrored)
    assert found.aside == AsideStatus(tables=("_dualdb_aside_1_behind",), schemas=("dualdb_aside_1",))
    assert found.blockers == ()
    Console().show_status(found)
    shown = capsys.readouterr().out
    assert "aside      table _dualdb_aside_1_behind of the file: rows that a plain program wrote behind" in shown
    assert "look at them, then DROP TABLE _dualdb_aside_1_behind with sqlite3" in shown
    assert "schema dualdb_aside_1 of the target: rows that PostgreSQL held before" in shown
    assert "look at them, then DROP SCHEMA dualdb_aside_1 CASCADE with psql" in shown

    write(mirrored, 'DROP TABLE "_dualdb_aside_1_behind"')
    target.execute("DROP SCHEMA dualdb_aside_1 CASCADE")
    relay_until_aligned(mirrored, unheard, 30)
    later = read_status(mirrored)
    assert (later.aside, later.blockers) == (AsideStatus(tables=(), schemas=()), ())


def test_what_the_schema_holds_against_the_next_phase(prepared: str) -> None:
    """A trigger of the application's lets the file go to dual_write and blocks postgres."""
    write(prepared, "CREATE TRIGGER mine AFTER INSERT ON runs BEGIN DELETE FROM points; END")
    assert read_status(prepared).blockers == ()
    advance(prepared, observer=unheard)
    (blocker,) = read_status(prepared).blockers
    assert "trigger mine" in blocker.reason
    assert blocker.remedy


@pytest.mark.parametrize("phase", [Phase.SQLITE, Phase.DUAL_WRITE, Phase.POSTGRES])
def test_postgresql_is_away(prepared: str, monkeypatch: pytest.MonkeyPatch, phase: Phase) -> None:
    """The file alone tells the phase, and the reason is shown without the password."""
    if phase is not Phase.SQLITE:
        advance(prepared, phase, observer=unheard)
    monkeypatch.setenv("DUALDB_TARGET", NOWHERE)
    found = read_status(prepared)
    assert found.phase == phase.value
    assert not found.target.reachable
    assert found.target.error
    assert found.follower is None
    assert [blocker.reason.startswith("cannot connect") for blocker in found.blockers] == [True]
    assert "sesame" not in json.dumps(found.as_json())


def take_steps(control: Control, to: Phase, *steps: Step) -> None:
    """These steps of a move, and no more: its coordinator dies."""
    for step in steps:
        order = Order(to=to, allowed_s=60)
        if step is Step.DECIDE:
            with Pair.open(control.database) as pair:
                relay_pair_until_aligned(pair, unheard)
                order = Order(aligned_at=pair.covering_mark() or "")
        control.perform(step, control.judge(), order)


UNSETTLED = {
    # What was done of a move, and how it is told then.
    (Step.OPEN,): ("open", "nobody waits"),
    (Step.OPEN, Step.FENCE): ("moving", "writers wait"),
    (Step.OPEN, Step.FENCE, Step.ABORT): ("aborted", "given up"),
    (Step.OPEN, Step.FENCE, Step.DECIDE): ("taken", "decided"),
}


@pytest.mark.parametrize("steps", UNSETTLED, ids=lambda steps: steps[-1].value)
@pytest.mark.parametrize("goal", [Phase.POSTGRES, Phase.DUAL_WRITE])
def test_a_move_under_way_is_shown_and_blocks(mirrored: str, goal: Phase, steps: tuple[Step, ...]) -> None:
    """On whichever side it stands; with what ends it, which does."""
    if goal is Phase.DUAL_WRITE:
        advance(mirrored, observer=unheard)
    with Control.open(mirrored) as control:
        take_steps(control, goal, *steps)
    found = read_status(mirrored)
    state, words = UNSETTLED[steps]
    assert found.move is not None
    assert (found.move.to, found.move.state, found.move.overdue) == (goal.value, state, False)
    command = "advance" if goal is Phase.POSTGRES else "rollback"
    again = f"dualdb {command} {mirrored} --to {goal.value}"
    assert [(words in one.reason, again in one.remedy) for one in found.blockers] == [(True, True)]
    rollback(mirrored, observer=unheard) if goal is Phase.DUAL_WRITE else advance(mirrored, observer=unheard)
    later = read_status(mirrored)
    assert (later.phase, later.move, later.blockers) == (goal.value, None, ())


def test_a_move_is_shown_while_postgresql_is_away(mirrored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file knows that it is fenced."""
    with Control.open(mirrored) as control:
        take_steps(control, Phase.POSTGRES, Step.OPEN, Step.FENCE)
    monkeypatch.setenv("DUALDB_TARGET", NOWHERE)
    move = read_status(mirrored).move
    assert move is not None
    assert (move.number, move.to, move.state, move.overdue) == (1, "postgres", "moving", False)
    assert "does not answer" in move.ends


def test_a_follower_of_nobody_is_not_called_unreachable(
    prepared: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step to dual_write was cut off before PostgreSQL began to follow."""

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "_follow", cut_off)
        with pytest.raises(KeyboardInterrupt):
            advance(prepared, observer=unheard)
    found = read_status(prepared)
    assert (found.phase, found.follower, found.target.reachable) == ("dual_write", None, True)
    assert [blocker.reason.partition(":")[0] for blocker in found.blockers] == ["PostgreSQL follows nobody yet"]
    Console().show_status(found)
    shown = capsys.readouterr().out
    assert "follower   PostgreSQL follows nobody" in shown
    assert "does not answer" not in shown
    advance(prepared, observer=unheard)
    assert read_status(prepared).blockers == ()


def test_the_help_documents_every_key(mirrored: str) -> None:
    """What `--json` prints and what the help promises are the same names."""
    promised = set(re.findall(r"[a-z_]+", cli.STATUS_KEYS.replace("null", "")))
    printed = read_status(mirrored).as_json()
    assert set(printed) <= promised
    for key in ("target", "follower", "quarantine", "aside"):
        assert set(printed[key]) <= promised
    assert set(printed["copies"][0]) <= promised
