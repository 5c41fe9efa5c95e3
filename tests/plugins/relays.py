"""Ends the relays that a test has left running in this process: each has a file and a server open, and a process of
hundreds of tests would run out of descriptors.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOP_S = 5.0


@pytest.fixture(autouse=True)
def end_relays() -> Iterator[None]:
    """After each test; one that a thread of an earlier test has started late goes with this one's."""
    yield
    for thread in threading.enumerate():
        run = getattr(thread, "_target", None)
        if thread.name == "dualdb-relay" and run is not None:
            run.__self__.stop(_STOP_S)
