"""A target is known by its file's id, the server's identity and the epoch; asked while others change the phase."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.errors import LineageError
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.stores import target_pairing
from dualdb.stores.control import read_source
from dualdb.stores.source_file import connect_source
from dualdb.stores.target_connection import connect_target
from dualdb.stores.target_pairing import connect_paired, prove_again

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dualdb.stores.target_pairing import Pairing


@pytest.fixture
def switched(database: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file in phase postgres."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    initialise(str(database), target_dsn)
    advance(str(database), Phase.POSTGRES, observer=unheard)
    return str(database)


def known(database: str) -> Pairing:
    """What a process has read in the file."""
    with connect_source(database) as source:
        facts = read_source(source)
    assert facts is not None
    return facts.pairing


def pausing(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]
) -> Callable[[str], AbstractContextManager[sqlite3.Connection]]:
    """Opening the file, after a pause in which others work; once."""

    def paused(database: str) -> AbstractContextManager[sqlite3.Connection]:
        monkeypatch.setattr(target_pairing, "connect_source", connect_source)
        meanwhile()
        return connect_source(database)

    return paused


@pytest.mark.parametrize("again", [False, True])
def test_who_pauses_between_the_two_sides_takes_none_for_old(
    switched: str, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """PostgreSQL is asked while the file leads, and the file when PostgreSQL leads again."""
    pairing = known(switched)
    rollback(switched, observer=unheard)
    paused = pausing(monkeypatch, lambda: advance(switched, Phase.POSTGRES, observer=unheard))
    monkeypatch.setattr(target_pairing, "connect_source", paused)
    if again:
        with closing(connect_target(pairing.target, switched, purpose="dualdb test")) as connection:
            prove_again(connection, pairing, switched)
    else:
        connect_paired(pairing, switched, purpose="dualdb test").close()
    assert known(switched).epoch > pairing.epoch


def test_an_old_target_is_told_also_when_the_file_moved_on_meanwhile(
    switched: str, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence is about what both say in the end."""
    with closing(connect_target(target_dsn, switched, purpose="dualdb test")) as connection:
        connection.execute("UPDATE dualdb.control SET phase = 'dual_write', epoch = 2")

    def raise_epoch() -> None:
        with closing(sqlite3.connect(switched)) as plain, plain:
            plain.execute("UPDATE _dualdb_control SET epoch = 5")

    pairing = known(switched)
    monkeypatch.setattr(target_pairing, "connect_source", pausing(monkeypatch, raise_epoch))
    with pytest.raises(LineageError, match=r"\(phase postgres, epoch 5\) nor PostgreSQL \(phase dual_write, epoch 2\)"):
        connect_paired(pairing, switched, purpose="dualdb test")
