"""The relay lock: who holds it, and who gets it next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.stores.mirrored import Mirrored

from dualdb.stores.target_lease import BEAT_S, Lease

if TYPE_CHECKING:
    from pathlib import Path


def test_a_holder_that_takes_it_again_gives_it_up_to_who_wants_it(database: Path, target_dsn: str) -> None:
    """A relay takes the lock anew after each look at the phase; a refusal there must not leave it with nobody."""
    mirrored = Mirrored(database, target_dsn, "CREATE TABLE run (id INTEGER PRIMARY KEY);")
    with mirrored.pair() as one, mirrored.pair() as other:
        background = Lease(one.target.connection, foreground=False)
        foreground = Lease(other.target.connection, foreground=True)
        assert background.take()
        assert background.take()
        assert not foreground.take()
        time.sleep(BEAT_S)
        assert not foreground.take()
        assert not background.take()
        assert foreground.take()
        assert not background.take()
        foreground.release()
