"""A transaction is open while the authority changes: it is in the outcome as a whole, or it is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

import dualdb

if TYPE_CHECKING:
    from tests.interleavings.scene import Scene

_INSERT = "INSERT INTO remark VALUES ('held', 1, 0)"


def held_rows(scene: Scene) -> int:
    """How many rows of these tests the authority has; they are taken away, for no ledger knows them."""
    with closing(dualdb.connect(scene.database)) as connection:
        found: int = connection.execute("SELECT count(*) FROM remark WHERE writer = 'held'").fetchone()[0]
        connection.execute("DELETE FROM remark WHERE writer = 'held'")
        connection.commit()
    return found


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, target_dsn: str) -> None:
    """These tests hold the transactions in their own process."""
    monkeypatch.setenv("DUALDB_TARGET", target_dsn)
    monkeypatch.setenv("DUALDB_RELAY", "off")


@pytest.mark.parametrize("module", [sqlite3, dualdb], ids=["sqlite3", "dualdb"])
def test_a_write_transaction_of_the_file_is_waited_for_and_included(scene: Scene, module: object) -> None:
    scene.lead("dual_write")
    with closing(module.connect(scene.database)) as holder:  # type: ignore[attr-defined]
        holder.execute(_INSERT)
        coordinator = scene.coordinate("postgres")
        with pytest.raises(AssertionError):
            coordinator.wait("ended", timeout_s=2)
        holder.commit()
        coordinator.wait("ended", timeout_s=60)
    scene.lead("postgres", again=True)
    assert held_rows(scene) == 1
    scene.check("postgres")


def test_a_write_transaction_of_the_file_that_does_not_end_stops_the_move_and_nobody_else(scene: Scene) -> None:
    scene.lead("dual_write")
    with closing(sqlite3.connect(scene.database)) as holder:
        holder.execute(_INSERT)
        coordinator = scene.coordinate("postgres")
        coordinator.wait("ended", timeout_s=60)
        assert coordinator.code == 1
        assert "lock" in coordinator.said().splitlines()[-1], coordinator.said()
        holder.commit()
    scene.start_writers()
    scene.writers_go_on()
    assert scene.phase() == "dual_write"
    assert held_rows(scene) == 1
    scene.check("dual_write")


def test_a_plain_reader_of_the_file_that_wants_to_write_after_the_move_is_refused(scene: Scene) -> None:
    scene.lead("dual_write")
    with closing(sqlite3.connect(scene.database, isolation_level=None)) as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT count(*) FROM remark").fetchone()
        scene.lead("postgres")
        with pytest.raises(sqlite3.Error) as refusal:
            holder.execute(_INSERT)
        assert "locked" in str(refusal.value) or str(refusal.value).startswith("dualdb:moved")
        if holder.in_transaction:
            holder.execute("ROLLBACK")
    assert held_rows(scene) == 0
    scene.check("postgres")


def test_a_transaction_that_has_read_the_file_gets_what_sqlite_says_to_an_old_snapshot(scene: Scene) -> None:
    scene.lead("dual_write")
    with closing(dualdb.connect(scene.database, isolation_level=None)) as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT count(*) FROM remark").fetchone()
        scene.lead("postgres")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            holder.execute(_INSERT)
        holder.execute("ROLLBACK")
        holder.execute("BEGIN")
        holder.execute(_INSERT)
        holder.execute("COMMIT")
    assert held_rows(scene) == 1
    scene.check("postgres")


def test_a_transaction_that_has_done_nothing_yet_goes_on_at_the_new_authority(scene: Scene) -> None:
    scene.lead("dual_write")
    with closing(dualdb.connect(scene.database, isolation_level=None)) as holder:
        holder.execute("BEGIN")
        holder.execute("SAVEPOINT a")
        scene.lead("postgres")
        holder.execute(_INSERT)
        holder.execute("RELEASE a")
        holder.execute("COMMIT")
    assert held_rows(scene) == 1
    scene.check("postgres")


def test_a_plain_write_transaction_of_postgres_is_ended_and_none_of_it_stays(scene: Scene) -> None:
    scene.lead("postgres")
    with closing(psycopg.connect(scene.dsn)) as holder:
        holder.execute("INSERT INTO remark (writer, number, part) VALUES ('held', 1, 0)")
        scene.lead("dual_write")
        with pytest.raises(psycopg.OperationalError):
            holder.commit()
    assert held_rows(scene) == 0
    scene.check("dual_write")


def test_a_write_transaction_of_postgres_is_included_or_refused_as_a_whole(scene: Scene) -> None:
    scene.lead("postgres")
    with closing(dualdb.connect(scene.database)) as holder:
        holder.execute(_INSERT)
        scene.lead("dual_write")
        with pytest.raises(sqlite3.OperationalError):
            holder.execute(_INSERT)
        holder.rollback()
        holder.execute(_INSERT)
        holder.commit()
    assert held_rows(scene) == 1
    scene.check("dual_write")


def test_a_write_transaction_of_postgres_that_ends_in_time_is_included(scene: Scene) -> None:
    scene.lead("postgres")
    with closing(dualdb.connect(scene.database)) as holder:
        holder.execute(_INSERT)
        coordinator = scene.coordinate("dual_write")
        scene.spawner.pump(0.5)
        holder.commit()
        coordinator.wait("ended", timeout_s=60)
    scene.lead("dual_write", again=True)
    assert held_rows(scene) == 1
    scene.check("dual_write")


def test_a_transaction_of_postgres_that_takes_tables_in_another_order_than_the_fence_is_included(scene: Scene) -> None:
    scene.lead("postgres")
    with closing(dualdb.connect(scene.database)) as holder:
        holder.execute("UPDATE tally SET value = value")
        coordinator = scene.coordinate("dual_write")
        scene.until(lambda: "waits" in _fence_of(scene), "the fence to wait for the writer")
        holder.execute("UPDATE entry SET part = part")
        holder.execute(_INSERT)
        holder.commit()
        coordinator.succeeds(timeout_s=60)
    assert held_rows(scene) == 1
    scene.check("dual_write")


def test_a_plain_transaction_of_postgres_in_another_order_than_the_fence_stops_no_move(scene: Scene) -> None:
    scene.lead("postgres")
    with closing(psycopg.connect(scene.dsn)) as holder:
        holder.execute("UPDATE tally SET value = value")
        coordinator = scene.coordinate("dual_write")
        scene.until(lambda: "waits" in _fence_of(scene), "the fence to wait for the writer")
        try:
            holder.execute("UPDATE entry SET part = part")
            holder.execute("INSERT INTO remark (writer, number, part) VALUES ('held', 1, 0)")
            holder.commit()
            kept = 1
        except psycopg.OperationalError:
            kept = 0
        coordinator.succeeds(timeout_s=60)
    assert held_rows(scene) == kept
    scene.check("dual_write")


def _fence_of(scene: Scene) -> str:
    """Whether a coordinator waits for a lock in PostgreSQL."""
    with closing(psycopg.connect(scene.dsn)) as looking:
        found = looking.execute(
            "SELECT 'waits' FROM pg_stat_activity WHERE application_name = 'dualdb control'"
            " AND wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()
    return found[0] if found else ""


def test_a_reader_of_postgres_that_writes_after_the_move_back_is_refused(scene: Scene) -> None:
    scene.lead("postgres")
    with closing(psycopg.connect(scene.dsn)) as holder:
        holder.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        holder.execute("SELECT count(*) FROM remark").fetchone()
        scene.lead("dual_write")
        with pytest.raises(psycopg.Error, match=r"dualdb:moved|terminat|closed"):
            holder.execute("INSERT INTO remark (writer, number, part) VALUES ('held', 1, 0)")
    assert held_rows(scene) == 0
    scene.check("dual_write")
