"""Incremental blob I/O fires no trigger, so no journal has it and no fence stops it: a switch must not pass over it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core import events
from dualdb.core.phase import Phase
from dualdb.errors import MismatchError, PhaseError
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance
from dualdb.operations.verify_report import Progress

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = """
CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB);
CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO files(body) VALUES (x'00000000');
INSERT INTO notes(text) VALUES ('first');
"""


@pytest.fixture
def mirrored(database: Path, target_dsn: str) -> str:
    """A small file in phase dual_write."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    initialise(str(database), target_dsn)
    advance(str(database), observer=lambda _event: None)
    return str(database)


def write_blob(database: str, body: bytes) -> None:
    """Four bytes into the first file, past every trigger."""
    with (
        closing(sqlite3.connect(database, isolation_level=None)) as connection,
        connection.blobopen("files", "body", 1) as blob,
    ):
        blob.write(body)


def note(database: str) -> None:
    """A row that is captured like any other."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO notes(text) VALUES ('more')")


def is_fenced(database: str) -> bool:
    """Whether the file waits for a decision."""
    with closing(sqlite3.connect(database)) as connection:
        return bool(connection.execute("SELECT move_state FROM _dualdb_control").fetchone()[0] == "moving")


def phase_of(database: str) -> str:
    """The phase in the file's control row."""
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT phase FROM _dualdb_control").fetchone()[0])


def test_one_behind_the_verification_makes_it_begin_again(mirrored: str) -> None:
    """The table was compared already when its row changed: everything is compared anew, and the difference found."""
    written: list[object] = []

    def observe(event: object) -> None:
        if isinstance(event, Progress) and event.table == "notes" and not written:
            written.append(event)
            write_blob(mirrored, b"late")

    with pytest.raises(MismatchError, match="1 row differs"):
        advance(mirrored, observer=observe)
    assert written
    assert phase_of(mirrored) == Phase.DUAL_WRITE.value


def test_one_behind_the_fence_stops_the_switch(mirrored: str) -> None:
    """The last rows are carried, and with them comes a commit that the journal does not show: nothing is switched."""
    written: list[object] = []

    def observe(event: object) -> None:
        fenced = is_fenced(mirrored)
        if isinstance(event, Progress) and not fenced:
            note(mirrored)  # so that something is left to be carried behind the fence
        if isinstance(event, events.BatchApplied) and fenced:
            written.append(event)
            write_blob(mirrored, b"late")

    with pytest.raises(PhaseError, match="past its triggers"):
        advance(mirrored, observer=observe)
    assert written
    assert phase_of(mirrored) == Phase.DUAL_WRITE.value
    note(mirrored)  # the fence is gone


def test_those_that_never_end_are_told(mirrored: str) -> None:
    """Each verification is overtaken by one more: the way forward is to find the program."""

    def observe(event: object) -> None:
        if isinstance(event, Progress) and event.table == "notes":
            write_blob(mirrored, b"\0\0\0\0")

    with pytest.raises(
        PhaseError, match=r"TRUNCATE or RESTART checkpoint .* PRAGMA user_version or by DROP of a _dualdb_aside_ table"
    ):
        advance(mirrored, observer=observe)
