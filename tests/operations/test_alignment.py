"""What a decision rests on: a follower that only seems to equal the authority is not taken for one that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.stores.mirrored import PATIENCE_S, Mirrored

from dualdb.core.phase import Phase
from dualdb.operations.alignment import was_aligned
from dualdb.operations.transition import advance
from dualdb.settings import Settings
from dualdb.stores import mirror
from dualdb.stores.catalog import read_schema
from dualdb.stores.control import Control, read_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE notes (text TEXT);
INSERT INTO runs(name) VALUES ('a'), ('b');
INSERT INTO notes VALUES ('x');
"""


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> Mirrored:
    """A pair in phase dual_write, both sides equal."""
    pair = Mirrored(database, target_dsn, SCHEMA)
    pair.align()
    return pair


@pytest.fixture
def reversed_pair(mirrored: Mirrored) -> Mirrored:
    """The same with PostgreSQL as the authority, both sides equal."""
    mirrored.to_postgres()
    mirrored.align()
    return mirrored


def mark(mirrored: Mirrored) -> str | None:
    """Where the two sides were found equal, looked at by somebody who has just come."""
    with mirrored.pair() as pair:
        return pair.covering_mark()


def gap(mirrored: Mirrored, taken_away: Callable[[str], object], statement: str) -> None:
    """Take capture away and put it back as a relay does, but carry nothing."""
    taken_away(statement)
    with mirrored.pair() as pair, pair.authority.snapshot() as snapshot:
        assert not snapshot.proven
    with mirrored.pair() as pair:
        assert pair.authority.mend_capture().missing
        with pair.authority.snapshot() as snapshot:
            assert snapshot.proven
            position = pair.follower.watermark().position
            changes = snapshot.changes(position, 1)
            assert changes.restarts
            assert not changes.keys


def uncovered_in_dual_write() -> dict[str, Callable[[Mirrored], object]]:
    """What happened to a pair that was equal, each by itself."""
    return {
        "a row is journaled behind the mark": lambda pair: pair.source("INSERT INTO runs(name) VALUES ('c')"),
        "a backlog is carried in parts": lambda pair: pair.as_relay("UPDATE dualdb.watermark SET aligned = false"),
        "the mark is of another epoch": lambda pair: pair.as_relay("UPDATE dualdb.watermark SET epoch = epoch - 1"),
        "the mark is of another schema": lambda pair: pair.as_relay("UPDATE dualdb.watermark SET schema_version = '?'"),
        "capture is not proven": lambda pair: pair.source("DROP TRIGGER _dualdb_insert_1"),
        "the mark is of another past": lambda pair: pair.source("UPDATE _dualdb_journal SET token = token + 1"),
        "a table is to be copied anew": lambda pair: gap(pair, pair.source, "DROP TRIGGER _dualdb_insert_1"),
    }


def uncovered_in_postgres() -> dict[str, Callable[[Mirrored], object]]:
    """The same with the roles exchanged."""
    off = 'ALTER TABLE runs DISABLE TRIGGER "!dualdb_capture_i"'
    return {
        "a row is journaled behind the mark": lambda pair: pair.target("INSERT INTO runs (name) VALUES ('c')"),
        "a backlog is carried in parts": lambda pair: pair.source("UPDATE _dualdb_watermark SET aligned = 0"),
        "the mark is of another epoch": lambda pair: pair.source("UPDATE _dualdb_watermark SET epoch = epoch - 1"),
        "the mark is of another schema": lambda pair: pair.source("UPDATE _dualdb_watermark SET schema_version = '?'"),
        "capture is not proven": lambda pair: pair.target(off),
        "a table is to be copied anew": lambda pair: gap(pair, pair.target, off),
    }


@pytest.mark.parametrize("what", uncovered_in_dual_write())
def test_a_mark_that_does_not_cover_the_file_decides_nothing(mirrored: Mirrored, what: str) -> None:
    """SQLite is the authority: it has something that PostgreSQL has not, or nobody can tell."""
    assert mark(mirrored) is not None
    uncovered_in_dual_write()[what](mirrored)
    assert mark(mirrored) is None


@pytest.mark.parametrize("what", uncovered_in_postgres())
def test_a_mark_that_does_not_cover_postgresql_decides_nothing(reversed_pair: Mirrored, what: str) -> None:
    """PostgreSQL is the authority."""
    assert mark(reversed_pair) is not None
    uncovered_in_postgres()[what](reversed_pair)
    assert mark(reversed_pair) is None


def test_who_follows_nobody_was_never_aligned(mirrored: Mirrored) -> None:
    """The mirror was begun, and the target has not heard of it: an answer, not an error."""
    assert was_aligned(mirrored.path)
    mirrored.as_relay("DELETE FROM dualdb.watermark")
    assert not was_aligned(mirrored.path)


def test_what_an_earlier_mirror_left_is_no_alignment(mirrored: Mirrored) -> None:
    """A watermark of another epoch says nothing of this one, however complete its copies are."""
    mirrored.as_relay("UPDATE dualdb.watermark SET epoch = epoch - 1")
    assert not was_aligned(mirrored.path)


@pytest.mark.parametrize("again", [False, True], ids=["the first mirror", "a later one"])
def test_a_mirror_whose_target_was_not_told_is_finished(mirrored: Mirrored, again: bool) -> None:
    """A coordinator dies when the file captures already: the same command has the target follow, and copies."""
    with Control.open(mirrored.path) as control:
        mirror.end(control)
        if again:  # the target kept the watermark of the mirror before
            control.target.execute(
                "INSERT INTO dualdb.watermark (id, epoch, position, aligned, schema_version, whole)"
                " VALUES (1, 1, '0:0', true, %s, true)",
                (read_schema(control.source).version,),
            )
    mirrored.source("INSERT INTO runs(name) VALUES ('unseen')")
    with Control.open(mirrored.path) as control:
        facts = read_source(control.source)
        assert facts is not None
        mirror._make_tables(control, read_schema(control.source))
        mirror._capture(control, facts)
    (step,) = advance(mirrored.path, observer=mirrored.events.append, settings=Settings(align_s=PATIENCE_S))
    assert (step.before, step.after) == (Phase.SQLITE, Phase.DUAL_WRITE)
    assert mirrored.differences() == {}
    assert mirrored.target("SELECT count(*) FROM runs") == [(3,)]
