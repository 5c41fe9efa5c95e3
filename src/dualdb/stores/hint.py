"""The hint: a mapped counter beside the database file that tells every process at once that the control row changed.

It is a hint and never the truth: whoever sees it move reads the control row. It is odd while a change is being
written, and whoever reads an odd counter reads the control row each time; so a process that dies between writing the
control row and the counter leaves slow readers behind, never stale ones.

Knows nothing of SQLite or PostgreSQL; the database file itself is never opened here (closing a descriptor of it would
drop this process's POSIX locks on it). Kept free of heavy imports: the application's hot path reads it.
"""

from __future__ import annotations

import mmap
import os
import struct

_SIZE = 16
_MAGIC = b"dualdb\x00\x01"
_COUNTER = struct.Struct("<Q")


def hint_path(database: str) -> str:
    """Where the hint of a database file stands."""
    return database + "-dualdb"


class Hint:
    """The mapped counter. `view[8:16]` is what the hot path compares with the bytes it saw last."""

    __slots__ = ("_map", "path", "view")

    def __init__(self, path: str, *, writable: bool) -> None:
        """Map an existing hint; FileNotFoundError when the file was never prepared."""
        self.path = path
        descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, _SIZE, access=access)
        finally:
            os.close(descriptor)
        self.view = memoryview(self._map)

    @property
    def counter(self) -> bytes:
        """The counter's eight bytes."""
        return bytes(self.view[8:16])

    @property
    def changing(self) -> bool:
        """Whether a change is being written, or its writer died."""
        return bool(self.view[8] & 1)

    def begin_change(self) -> int:
        """Announce, inside the transaction that changes the control row, that it is changing: the counter becomes odd.

        Returns what `end_change` needs.
        """
        (value,) = _COUNTER.unpack(self.counter)
        token: int = value + 1 + (value & 1)
        self.view[8:16] = _COUNTER.pack(token)
        return token

    def end_change(self, token: int) -> None:
        """Announce that this change is over: the counter becomes even and another one than before.

        A later change that has begun meanwhile keeps the counter odd; its own end follows.
        """
        (value,) = _COUNTER.unpack(self.counter)
        if value & 1 and value != token:
            return
        latest = max(value, token)
        self.view[8:16] = _COUNTER.pack(latest + 1 + (latest & 1 ^ 1))

    def close(self) -> None:
        """Unmap."""
        self.view.release()
        self._map.close()


def make_hint(database: str) -> None:
    """Make the hint of a database file if it is not there, with the file's own permissions; atomic."""
    path = hint_path(database)
    if os.path.exists(path):
        return
    status = os.stat(database)
    scratch = f"{path}.{os.getpid()}"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, status.st_mode & 0o666)
    try:
        os.write(descriptor, _MAGIC + _COUNTER.pack(2))
        os.fchmod(descriptor, status.st_mode & 0o666)
    finally:
        os.close(descriptor)
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(scratch)
