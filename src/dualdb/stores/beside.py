"""New files beside the database, for what must not be lost or done twice; knows not what goes into them."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dualdb.errors import BusyError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNFINISHED = ".unfinished"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What network file systems and those of FUSE say for want of locks."""


def make_beside(database: str, purpose: str, suffix: str) -> str:
    """Make an empty file `<database>-dualdb-<purpose>-<time><suffix>` that only this user may read; its path.

    The name was never used before, and it is durable in its folder. Raises SourceError when none can be made there.
    """
    with _unmade(database):
        return _make(database, purpose, suffix)


@contextmanager
def alone_at(database: str, purpose: str) -> Iterator[None]:
    """Keep out whoever else would do the same to this file; raises BusyError when somebody does, or SourceError.

    The kernel lifts the lock when this process ends. The file is then left, and the next one takes it up.
    """
    path = f"{database}-dualdb-{purpose}.lock"
    with _unmade(database):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with _unmade(database):
            alone = _locks(descriptor, path)
        if not alone:
            message = f"another dualdb {purpose} of {database} is under way; wait for it, or stop it and try again"
            raise BusyError(message)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
    finally:
        os.close(descriptor)


def _locks(descriptor: int, path: str) -> bool:
    """Whether nobody else has it locked; raises OSError where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it may have taken it away meanwhile, and the next file may be somebody else's.
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


@contextmanager
def _unmade(database: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        folder = os.path.dirname(database) or "."
        done = "locked" if exc.errno in _NO_LOCKS else "made"
        message = f"no file can be {done} in {folder} ({exc.strerror}), and nothing was changed; "
        raise SourceError(message + what_to_do(database, exc)) from exc


def _make(database: str, purpose: str, suffix: str) -> str:
    stem = f"{database}-dualdb-{purpose}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    number = 1
    while True:
        path = f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError:
            number += 1
    _sync_folder(path)
    return path


def what_to_do(database: str, error: Exception) -> str:
    """The remedy where a file beside the database could not be had: there is no room, or no right, or no lock."""
    if isinstance(error, OSError) and error.errno in _NO_LOCKS:
        return f"move {database} to a local disk, whose locks work"
    if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return "run dualdb as a user who may write there"
    return f"make room in {os.path.dirname(database) or '.'}"


def scratch_of(path: str) -> str:
    """Where to write what is to have that path when it is whole."""
    return path + _UNFINISHED


def forget_unfinished(database: str, purpose: str) -> None:
    """Take away what commands that were killed have left for that purpose; nobody may be at it."""
    folder, name = os.path.split(f"{database}-dualdb-{purpose}-")
    for entry in os.listdir(folder or "."):
        if entry.startswith(name) and entry.endswith(_UNFINISHED):
            for left in (entry, entry.removesuffix(_UNFINISHED)):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, left))


def finish(path: str) -> None:
    """Let what is in its scratch file have that path, in one durable step."""
    os.replace(scratch_of(path), path)
    _sync_folder(path)


def _sync_folder(path: str) -> None:
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
