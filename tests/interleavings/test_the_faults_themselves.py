"""The harness is able to fail: processes are struck where it was asked for, and the oracle finds what is wrong."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.interleavings import oracle, proxy
from tests.interleavings.faults import Fault, only_reads
from tests.interleavings.ledger import read_ledger
from tests.interleavings.scene import BEGINNING, Scene
from tests.interleavings.spawner import Spawner
from tests.interleavings.workload import make_database

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plain(tmp_path: Path, target_dsn: str, spawner: Spawner) -> Scene:
    """A scene whose file dualdb has never seen."""
    made = Scene(tmp_path, target_dsn, spawner)
    made.ledgers.mkdir()
    make_database(made.database, BEGINNING)
    return made


def judge(scene: Scene) -> None:
    oracle.check_ledgers(oracle.read_source_rows(scene.database), scene.read_ledgers(), BEGINNING)


def test_a_process_is_killed_before_and_after_the_nth_statement_that_it_sends(plain: Scene) -> None:
    counted = plain.start_writer(raw=True, operations=2)
    counted.succeeds(timeout_s=20)
    total = plain.points(counted)
    assert total is not None
    assert total.statement is None
    assert total.number > 6
    seen = []
    for number in range(1, 6):
        for before in (True, False):
            fault = Fault(how=signal.SIGKILL, before=before, number=number)
            struck = plain.start_writer(raw=True, operations=2, fault=fault)
            struck.wait("ended", timeout_s=20)
            assert struck.code == -signal.SIGKILL
            point = plain.points(struck)
            assert point is not None
            seen.append((before, point.statement))
            done = read_ledger(plain.ledgers / f"{struck.name}.jsonl")
            assert not done[0].acknowledged  # its COMMIT is the fifth statement
    # BEGIN, three rows, COMMIT; only whoever was struck after its COMMIT was answered has written them.
    assert [statement for before, statement in seen if before][4] == "COMMIT"
    with closing(sqlite3.connect(plain.database)) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT writer) FROM entry WHERE number = 0 AND part < 3")
        assert rows.fetchone() == (1 + 3 * 2, 1 + 2)
    judge(plain)


def test_a_process_that_ends_at_once_is_given_all_the_same(plain: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it was started and that it has ended is heard in one breath."""
    pump = Spawner.pump

    def listen_late(spawner: Spawner, timeout_s: float) -> None:
        time.sleep(1.5)
        pump(spawner, timeout_s)

    with monkeypatch.context() as patch:
        patch.setattr(Spawner, "pump", listen_late)
        actor = plain.start_writer(raw=True, operations=0)
    assert (actor.state, actor.code) == ("ended", 0)


def test_a_process_is_stopped_at_a_statement_and_goes_on_when_told(plain: Scene) -> None:
    fault = Fault(how=signal.SIGSTOP, before=True, number=5)
    struck = plain.start_writer(raw=True, operations=1, fault=fault)
    struck.wait("stopped", timeout_s=20)
    with closing(sqlite3.connect(plain.database, timeout=0)) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("BEGIN IMMEDIATE")  # it holds the write lock
    struck.send(signal.SIGCONT)
    struck.succeeds(timeout_s=20)
    judge(plain)


def test_a_query_that_moves_a_sequence_acts() -> None:
    assert not only_reads("SELECT sqlite.pass_over($1::regclass, $2::bigint)")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("DELETE FROM entry WHERE writer = 'writer1' AND number = 1", "none of"),
        ("DELETE FROM entry WHERE writer = 'writer1' AND number = 1 AND part = 2", "none of"),
        ("INSERT INTO entry SELECT NULL, writer, number, part, value FROM entry WHERE number = 2", "none of"),
        ("UPDATE entry SET id = id + 1000 WHERE writer = 'writer1' AND number = 3", "another rowid"),
        ("DELETE FROM entry WHERE writer = 'beginning' AND number = 7", "row 7 of the beginning"),
        ("INSERT INTO entry VALUES (NULL, 'nobody', 1, 0, 0)", "nobody wrote"),
        ("UPDATE tally SET value = value - 1", "additions were made"),
        ("UPDATE slot SET number = 0", "slot writer1 holds 0"),
        ("DELETE FROM remark", "none of"),
    ],
)
def test_the_oracle_finds_what_is_lost_doubled_torn_or_invented(plain: Scene, damage: str, complaint: str) -> None:
    plain.start_writer(raw=True, operations=9).succeeds(timeout_s=20)
    judge(plain)
    with closing(sqlite3.connect(plain.database)) as connection:
        connection.execute(damage)
        connection.commit()
    with pytest.raises(AssertionError, match=complaint):
        judge(plain)


@pytest.mark.parametrize("kind", proxy.CUTS)
def test_the_proxy_cuts_once_where_it_was_told(plain: Scene, kind: str) -> None:
    # The second COMMIT, or the fourth CommandComplete: BEGIN, INSERT, COMMIT and BEGIN have been answered.
    cutter, dsn = plain.start_proxy(kind, 4 if kind == proxy.AFTER_COMPLETE else 2, "victim")
    try:
        with closing(psycopg.connect(plain.dsn, autocommit=True)) as direct:
            direct.execute("CREATE TABLE cut (a int)")
        with closing(psycopg.connect(dsn, application_name="victim")) as victim:
            victim.execute("INSERT INTO cut VALUES (1)")
            victim.commit()
            with pytest.raises(psycopg.OperationalError):
                _commit_second(victim)
        with closing(psycopg.connect(dsn, application_name="victim")) as later:
            later.execute("INSERT INTO cut VALUES (3)")
            later.commit()
        with closing(psycopg.connect(plain.dsn)) as direct:
            found = {row[0] for row in direct.execute("SELECT a FROM cut")}
        assert {1, 3} <= found
        assert (2 in found) in {
            proxy.BEFORE_COMMIT: {False},
            proxy.AFTER_COMMIT: {False, True},
            proxy.BEFORE_ANSWER: {True},
            proxy.AFTER_COMPLETE: {False},
        }[kind]
        assert cutter.said().count("cut 'victim'") == 1
    finally:
        plain.close()


def _commit_second(victim: psycopg.Connection[tuple[object, ...]]) -> None:
    victim.execute("INSERT INTO cut VALUES (2)")
    victim.commit()
    victim.execute("SELECT 1")
