"""`dualdb status` tells the truth in every phase, and when half of what it looks at is away."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core.phase import Phase, Step
from dualdb.entrypoints import cli
from dualdb.errors import NotPreparedError, SourceError
from dualdb.operations.initialise import initialise
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance
from dualdb.stores.control import Control, Order

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE points (run INTEGER NOT NULL, step INTEGER NOT NULL, value REAL, PRIMARY KEY (run, step));
INSERT INTO runs(name) VALUES ('a'), ('b');
INSERT INTO points VALUES (1, 1, 0.5);
"""
NOWHERE = "postgresql://me:sesame@localhost:1/nowhere"


def ignore(_event: object) -> None:
    """An observer that looks away."""


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
    advance(prepared, observer=ignore)
    return prepared


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
    advance(mirrored, observer=ignore)
    found = read_status(mirrored)
    assert (found.phase, found.authority, found.next, found.blockers) == ("postgres", "target", None, ())
    assert found.follower is not None
    assert found.follower.aligned
    assert found.verified is not None
    assert found.verified["agrees"] is True


def test_a_quarantined_row_is_named_and_blocks(prepared: str) -> None:
    """Table, key and reason; the remedy stands beside the reason."""
    write(prepared, "INSERT INTO runs VALUES (7, 'nul' || char(0) || 'inside')")
    advance(prepared, observer=ignore)
    found = read_status(prepared)
    assert found.quarantine is not None
    assert found.quarantine.count == 1
    assert (found.quarantine.first[0].table, "7" in found.quarantine.first[0].key) == ("runs", True)
    assert found.quarantine.first[0].reason
    assert [blocker.remedy for blocker in found.blockers] == ["change or delete them"]


def test_what_the_schema_holds_against_the_next_phase(prepared: str) -> None:
    """A trigger of the application's lets the file go to dual_write and blocks postgres."""
    write(prepared, "CREATE TRIGGER mine AFTER INSERT ON runs BEGIN DELETE FROM points; END")
    assert read_status(prepared).blockers == ()
    advance(prepared, observer=ignore)
    (blocker,) = read_status(prepared).blockers
    assert "trigger mine" in blocker.reason
    assert blocker.remedy


@pytest.mark.parametrize("phase", [Phase.SQLITE, Phase.DUAL_WRITE, Phase.POSTGRES])
def test_postgresql_is_away(prepared: str, monkeypatch: pytest.MonkeyPatch, phase: Phase) -> None:
    """The file alone tells the phase, and the reason is shown without the password."""
    if phase is not Phase.SQLITE:
        advance(prepared, phase, observer=ignore)
    monkeypatch.setenv("DUALDB_TARGET", NOWHERE)
    found = read_status(prepared)
    assert found.phase == phase.value
    assert not found.target.reachable
    assert found.target.error
    assert found.follower is None
    assert bool(found.blockers) is (phase is not Phase.POSTGRES)
    assert "sesame" not in json.dumps(found.as_json())


def test_a_move_under_way_is_shown(mirrored: str) -> None:
    """Its number, its goal, and whether its time is up."""
    with Control.open(mirrored) as control:
        control.perform(Step.OPEN, control.judge(), Order(to=Phase.POSTGRES, allowed_s=60))
        control.perform(Step.FENCE, control.judge(), Order(allowed_s=60))
    move = read_status(mirrored).move
    assert move is not None
    assert (move.number, move.to, move.state, move.overdue) == (1, "postgres", "moving", False)
    assert any("under way" in blocker.reason for blocker in read_status(mirrored).blockers)


def test_the_help_documents_every_key(mirrored: str) -> None:
    """What `--json` prints and what the help promises are the same names."""
    promised = set(re.findall(r"[a-z_]+", cli.STATUS_KEYS.replace("null", "")))
    printed = read_status(mirrored).as_json()
    assert set(printed) <= promised
    for key in ("target", "follower", "quarantine"):
        assert set(printed[key]) <= promised
    assert set(printed["copies"][0]) <= promised
