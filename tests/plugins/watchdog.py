"""Removes the embedded server of a run of pytest when the last process of that run has ended, kill -9 included.

A program of its own: `python watchdog.py RUN_FOLDER`. It returns at once and goes on watching in the background.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path

from dualdb.stores.server import EmbeddedServer

DATABASE = "tests.db"
"""The file in the run's folder beside which the server is, though there never is one."""


def main(run: Path) -> None:
    """Wait for the end of the run, then leave nothing behind."""
    server = EmbeddedServer.beside(run / DATABASE)
    with (run / "users").open("r+") as users:
        if os.fork():
            return
        os.setsid()
        (run / "watchdog.pid").write_text(str(os.getpid()), encoding="ascii")
        fcntl.flock(users, fcntl.LOCK_EX)
    server.remove()
    shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
