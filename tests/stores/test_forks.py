"""A fork waits for threads at work, not for ever, and not for those at rest; its child has nobody to wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = """
import os, sys, time
from threading import Event, Thread
from dualdb.stores.forks import Pause, fork_gate

gate, began, over = fork_gate(), Event(), Event()

def work(patience_s, ends_after_s):
    with gate.at_work(patience_s):
        began.set()
        time.sleep(ends_after_s)
        over.set()

def rest():
    pause = Pause()
    with gate.at_work(5.0):
        began.set()
        pause.wait(3.0)

def turns():
    pause = Pause()
    with gate.at_work(5.0):
        began.set()
        while not pause.wait(0):
            time.sleep(0.001)

def fork():
    started = time.monotonic()
    if not os.fork():
        with gate.at_work(5.0):  # nobody is in the way, and it can be closed again
            pass
        if not os.fork():
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    took_s = time.monotonic() - started
    assert os.wait()[1] == 0
    return took_s

def start(*arguments):
    Thread(target=arguments[0], args=arguments[1:], daemon=True).start()
    began.wait()

def open_again():
    done = Event()
    Thread(target=lambda: (gate.at_work(1.0).__enter__(), done.set()), daemon=True).start()
    return done.wait(5)
"""


def test_a_gate_that_is_made_while_another_thread_forks_stays_open() -> None:
    """Whoever forks has not closed it, and opens it."""
    program = """
import os, time
from threading import Event, Thread
asked, done = Event(), Event()
os.register_at_fork(before=lambda: (asked.set(), time.sleep(0.5)))  # some library's, that waits a moment
from dualdb.stores.forks import fork_gate

def use():
    asked.wait()
    fork_gate()

def work():
    with fork_gate().at_work(1.0):
        done.set()

first = Thread(target=use)
first.start()
if not os.fork():
    os._exit(0)
os.wait()
first.join()
Thread(target=work, daemon=True).start()
assert done.wait(5)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("at work", "start(work, 5.0, 0.5); fork(); assert over.is_set()"),
        ("given up", "start(work, 0.2, 5.0); assert 0.15 < fork() < 3; assert not over.is_set(); assert open_again()"),
        ("at rest", "start(rest); assert fork() < 2"),
        ("takes turns", "start(turns); assert sum(fork() for _ in range(20)) < 3"),
        ("itself", "with gate.at_work(5.0): assert fork() < 2"),
        (
            "one imports what is asked before",
            "start(work, 5.0, 0.2); os.register_at_fork(before=lambda: None); fork(); assert open_again()",
        ),
        (
            "two forks at once",
            "start(work, 5.0, 0.3); two = Thread(target=fork); two.start(); fork(); two.join(); assert over.is_set()",
        ),
    ],
)
def test_a_fork(case: str, text: str) -> None:
    """Each in a process of its own."""
    program = f"{THREADS}\n{text}\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{case}: {done.stderr}"
