"""A folder that belongs to one run of pytest, shared by xdist's workers, and a lock that says whether the run lives.

Every process of the run holds the file `users` locked in shared mode; the kernel lets go of it however a process ends.
Whoever can lock it exclusively knows that the run is over (see `watchdog`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.workermanage import WorkerController

_INPUT = "dualdb_run"
_FOLDER = pytest.StashKey[Path]()
_USERS = pytest.StashKey[int]()


def worker_input(config: pytest.Config) -> dict[str, Any] | None:
    """What the controller gave to this one of xdist's workers; None in the process that a person started."""
    return getattr(config, "workerinput", None)


def run_folder(config: pytest.Config) -> Path:
    """The folder of this run."""
    return config.stash[_FOLDER]


@contextmanager
def one_at_a_time(config: pytest.Config, name: str) -> Iterator[Path]:
    """Hold a lock among the processes of the run; gives the path of a file that says that something has been done."""
    folder = run_folder(config)
    with (folder / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / name


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the folder, or in a worker find it, and hold its lock for as long as this process lives."""
    given = worker_input(config)
    folder = Path(given[_INPUT]) if given else Path(mkdtemp(prefix="dualdb-run-"))
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(users, fcntl.LOCK_SH)
    config.stash[_FOLDER] = folder
    config.stash[_USERS] = users
    os.environ.pop("DUALDB_TARGET", None)  # a developer's own target is not for tests


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker where the folder is."""
    node.workerinput[_INPUT] = str(run_folder(node.config))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder; other plugins have used it for the last time."""
    if _USERS in config.stash:
        os.close(config.stash[_USERS])
    if _FOLDER in config.stash and worker_input(config) is None:
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
