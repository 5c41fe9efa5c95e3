"""The hint: a mapped counter beside the database file that tells every process at once that the control row changed.

It is a hint and never the truth: whoever sees it move reads the control row. It is odd while a change is being
written, and whoever reads an odd counter reads the control row each time; so a process that dies between writing the
control row and the counter leaves slow readers behind, never stale ones.

The file can be lost: deleted, or replaced by a copy. Whoever has the old one mapped would compare it for ever and hear
of nothing. So a lost one is *retired*, by whoever notices first: its counter becomes odd for good, in the very memory
that all of them share, and each of them looks for the new one at its next statement. The new one is made by whoever
needs it; nothing is in it that the control row does not say.

Knows nothing of SQLite or PostgreSQL; the database file itself is never opened here (closing a descriptor of it would
drop this process's POSIX locks on it). Kept free of heavy imports: the application's hot path reads it.
"""

from __future__ import annotations

import mmap
import os
import struct
from _thread import get_ident
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIZE = 16
_MAGIC = b"dualdb\x00\x01"
_COUNTER = struct.Struct("<Q")
_RETIRED = (1 << 64) - 1
"""The counter of a hint that was lost; no change ever ends it."""


def hint_path(database: str) -> str:
    """Where the hint of a database file stands."""
    return database + "-dualdb"


class Hint:
    """The mapped counter. `view[8:16]` is what the hot path compares with the bytes it saw last."""

    __slots__ = ("_identity", "_map", "_writable", "path", "view")

    def __init__(self, path: str, *, writable: bool) -> None:
        """Map an existing hint; FileNotFoundError when the file was never prepared."""
        self.path = path
        self._writable = writable
        descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, _SIZE, access=access)
        finally:
            os.close(descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self.view = memoryview(self._map)

    @property
    def numbers(self) -> Sequence[int]:
        """The counter at [0], as the hot path reads it: no slice is made, and nothing can be written."""
        return self.view.toreadonly().cast("Q")[1:]

    @property
    def counter(self) -> bytes:
        """The counter's eight bytes."""
        return bytes(self.view[8:16])

    @property
    def changing(self) -> bool:
        """Whether a change is being written, or its writer died."""
        return bool(self.view[8] & 1)

    @property
    def retired(self) -> bool:
        """Whether another one is to be looked for."""
        return _is_void(bytes(self.view))

    @property
    def lost(self) -> bool:
        """Whether the path no longer leads to this one: one call of the system."""
        try:
            status = os.stat(self.path)
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._identity

    def retire(self) -> None:
        """Make everybody who has it mapped look for another one. Who may only read it leaves that to the others."""
        if self._writable:
            self.view[8:16] = _COUNTER.pack(_RETIRED)

    def begin_change(self) -> int:
        """Announce, inside the transaction that changes the control row, that it is changing: the counter becomes odd.

        Returns what `end_change` needs.
        """
        (value,) = _COUNTER.unpack(self.counter)
        if value == _RETIRED:
            return _RETIRED
        token: int = value + 1 + (value & 1)
        self.view[8:16] = _COUNTER.pack(token)
        return token

    def end_change(self, token: int) -> None:
        """Announce that this change is over: the counter becomes even and another one than before.

        A later change that has begun meanwhile keeps the counter odd; its own end follows.
        """
        (value,) = _COUNTER.unpack(self.counter)
        if value == _RETIRED or (value & 1 and value != token):
            return
        latest = max(value, token)
        self.view[8:16] = _COUNTER.pack(latest + 1 + (latest & 1 ^ 1))

    def close(self) -> None:
        """Unmap."""
        self.view.release()
        self._map.close()


@contextmanager
def announced(database: str) -> Iterator[None]:
    """Keep the hint odd within the block, which changes what processes learn through it; it is made if it was lost."""
    changes = [_begin(database)]
    try:
        yield
    finally:
        # Who has mapped one that was put in its place meanwhile may have read what was true before.
        if changes[0][0].lost:
            with suppress(OSError):
                changes.append(_begin(database))
        for hint, token in changes:
            hint.end_change(token)
            hint.close()


def make_hint(database: str) -> None:
    """Make the hint of a database file if it is not there, with the file's own permissions; atomic. What stands in its
    place and is none, or a retired one, is replaced.
    """
    path = hint_path(database)
    found = _contents(path)
    if found is not None and not _is_void(found):
        return
    status = os.stat(database)
    scratch = f"{path}.{os.getpid()}.{get_ident()}"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, status.st_mode & 0o666)
    try:
        os.write(descriptor, _MAGIC + _COUNTER.pack(2))
        os.fchmod(descriptor, status.st_mode & 0o666)
        if os.geteuid() == 0:  # as SQLite does with its own files (robustFchown in os_unix.c)
            os.fchown(descriptor, status.st_uid, status.st_gid)
    finally:
        os.close(descriptor)
    try:
        if found is None:
            os.link(scratch, path)
        else:
            os.replace(scratch, path)
    except FileExistsError:
        pass
    finally:
        with suppress(FileNotFoundError):
            os.unlink(scratch)


def _begin(database: str) -> tuple[Hint, int]:
    make_hint(database)
    path = hint_path(database)
    try:
        hint = Hint(path, writable=True)
    except PermissionError as exc:
        from dualdb.errors import SourceError

        message = f"{path} cannot be written ({exc.strerror}); give it the owner and the mode of {database}"
        raise SourceError(message) from exc
    return hint, hint.begin_change()


def _contents(path: str) -> bytes | None:
    """The first bytes of what stands there; None when nothing does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, _SIZE)
    finally:
        os.close(descriptor)


def _is_void(contents: bytes) -> bool:
    return len(contents) < _SIZE or contents[:8] != _MAGIC or _COUNTER.unpack(contents[8:]) == (_RETIRED,)
