"""Strikes an actor at chosen statements, one run per statement, and tells at which of them.

A sweep takes n = 1, 2, … until a run ends unstruck; a sample takes a few of the numbers of a run that was counted.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.interleavings.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interleavings.scene import Scene

SEED = "DUALDB_TEST_SEED"
"""The environment variable that replays a seed."""


def chosen_seed() -> int:
    """The seed of this run: that of the environment, else one for each day; a failing test prints it."""
    given = os.environ.get(SEED)
    seed = int(given) if given else int(time.time() // 86400)
    print(f"seed {seed}; replay with {SEED}={seed}")
    return seed


def sample(how: signal.Signals, total: int, count: int, salt: str, since: str = "") -> list[Fault]:
    """Some faults of a process that sends so many changes (see `counting`), one from each stretch of them."""
    rng = random.Random(f"{chosen_seed()} {salt}")
    assert total, f"nothing was counted since {since!r}: no statement holds that text any more"
    count = min(count, total)
    bounds = [1 + total * part // count for part in range(count + 1)]
    numbers = [rng.randrange(low, high) for low, high in pairwise(bounds)]
    faults = [Fault(how=how, before=rng.random() < 0.5, number=number, reads=False, since=since) for number in numbers]
    print(f"{salt}: {total} changes, struck {', '.join(fault.text for fault in faults)}")
    return faults


def sweep(scene: Scene, how: signal.Signals, *, before: bool, strike: Callable[[Fault], bool], since: str = "") -> int:
    """Strike at n = 1, 2, … until a run ends unstruck; gives n. Statements that only read are not counted.

    What a run has written is taken away before the next, or there would be more to do in each, and n ever further off.
    """
    number = 1
    while strike(Fault(how=how, before=before, number=number, reads=False, since=since)):
        scene.begin_again()
        number += 1
    return number


def write_lock_is_held(database: str) -> bool:
    """Whether some process sits on SQLite's write lock: only the kernel can take it away again."""
    with closing(sqlite3.connect(database, timeout=1.0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
    return False


KILL, STOP = signal.SIGKILL, signal.SIGSTOP


def counting(since: str = "") -> Fault:
    """Strikes nobody, and has the statements that change something counted."""
    return Fault(how=KILL, before=True, number=0, reads=False, since=since)
