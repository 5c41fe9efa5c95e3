"""The watch over one database file: who is the authority, looked up again only when the hint has moved.

Reads the hint and the control row and nothing else; what follows from them is the connection's affair. On the path of
every application that never leaves SQLite, so it imports nothing heavy.

A hint that was deleted or replaced moves no more. It is retired then (`driver.lookout`): its counter is odd from that
moment on, for every connection of every process that has the same one mapped.
"""

from __future__ import annotations

import os
import sqlite3
from functools import lru_cache
from time import monotonic

from dualdb.driver.lookout import lookout
from dualdb.stores.file_identity import identify
from dualdb.stores.hint import Hint, hint_path, make_hint
from dualdb.stores.layout import find_unknown
from dualdb.stores.queries import query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import TypeVar

    from dualdb.driver.lookout import Companion
    from dualdb.stores.file_identity import File

    C = TypeVar("C", bound=Companion)

_ASK = "source/watch.sql"
LOOK_EVERY_S = 0.01
"""How often a connection to a file that was never prepared looks whether it has been since."""
UNREADABLE: Sequence[int] = (1,)
"""Stands for a counter that no connection ever has seen: each statement asks."""
SETTLED: Sequence[int] = (0,)
"""Stands for the counter of a database that can never be prepared: a private one in memory."""
_NO_INDEX = "the log has no index, and would get one by being read"


class Authority:
    """What the control row says: the phase, whether a move of authority is under way, and where PostgreSQL is."""

    __slots__ = ("epoch", "pairing", "phase", "target_schema", "under_way")

    def __init__(self, row: tuple[str, str, str, str, str, str, int]) -> None:
        self.phase, move_state, target, self.target_schema, *_ = row
        self.pairing = (target, *row[4:])
        """What a connection to PostgreSQL is made and proven with: the fields of `stores.target_pairing.Pairing`."""
        self.epoch = row[-1]
        """Another one after each change of authority."""
        self.under_way = move_state in ("moving", "open")
        """Away from SQLite, which is fenced then, or back to it."""

    @property
    def remote(self) -> bool:
        """Whether PostgreSQL is the authority."""
        return self.phase == "postgres"

    @property
    def mirrored(self) -> bool:
        """Whether a relay has work."""
        return self.phase != "sqlite"


class Watch:
    """The hint of one prepared file; shared by this process's connections to it."""

    __slots__ = ("__weakref__", "_hint", "_known", "counter", "file", "path", "saw_mirror_begin")

    def __init__(self, path: str, hint: Hint | None) -> None:
        self.path = path
        self.file: File = identify(path)
        self._hint = hint
        self.counter: Sequence[int] = UNREADABLE if hint is None else hint.numbers
        self._known: tuple[int, Authority] | None = None
        self.saw_mirror_begin = False
        """Whether this process had the file open before it was mirrored."""

    @property
    def retired(self) -> bool:
        """Whether another one is to be looked for."""
        return self._hint is None or self._hint.retired

    @property
    def way_back(self) -> str:
        """The command that makes SQLite the authority again."""
        from shlex import quote  # for refusals only

        return f"dualdb rollback {quote(self.path)} --to dual_write"

    def current(self) -> Watch:
        """This watch, or the one over the hint that has taken the place of its own. Asked when the counter moved."""
        if not self.retired:
            return self
        return find_watch(self.path) or find_unhinted(self.path) or Watch(self.path, None)

    def look_after(self) -> bool:
        """Retire the hint if it was lost; whether it still is the file's."""
        hint = self._hint
        if hint is None or hint.retired:
            return False
        if hint.lost:
            hint.retire()
            return False
        return True

    def commit_nothing(self) -> None:
        """Commit to the file without changing it, so that whoever has a snapshot of before may not write. Raises
        sqlite3.Error.
        """
        own = _opened(self.path, 5.0)
        try:
            own.execute("BEGIN IMMEDIATE")
            (version,) = own.execute("PRAGMA user_version").fetchone()
            own.execute(f"PRAGMA user_version = {version}")  # writes its page whatever is there
            own.execute("COMMIT")
        finally:
            own.close()

    def companion(self, key: Hashable, make: Callable[[], C]) -> C:
        """What this process keeps under that key as long as it has the file open, made if there is none."""
        return lookout().companion(self, key, make)

    def doubt(self) -> None:
        """Read the control row again, whatever the counter says: a lost hint's says nothing."""
        self._known = None

    def seen(self) -> int:
        """What a connection may note as seen *before* it reads the control row: -1, which never matches, while a
        change is being written.
        """
        value = self.counter[0]
        return -1 if value & 1 or self._hint is None else value

    def authority(self, seen: int) -> Authority | None:
        """The control row; None when there is none any more. Raises NotSupportedError for a layout that is not known.

        Read over a passing connection: on the application's own it would be as old as a SELECT that is still open. The
        counter vouches for what was read before in this process.
        """
        known = self._known
        if known is not None and known[0] == seen:
            return known[1]
        found = _read(self.path)
        if found is not None and seen != -1:
            if known is not None and found.mirrored > known[1].mirrored:
                self.saw_mirror_begin = True
            self._known = (seen, found)
        return found


def find_watch(path: str) -> Watch | None:
    """The watch over a prepared file; None when it has no hint, or one that is none any more."""
    side = hint_path(path)
    if not os.access(side, os.F_OK):
        return None
    try:
        status = os.stat(side)
        # A file that took the place of another one has a watch of its own, and so has a hint.
        key = (identify(path), status.st_dev, status.st_ino)
        # To be retired it must be writable. Whoever may only read it depends on those who may.
        found = lookout().watch(key, lambda: Watch(path, Hint(side, writable=os.access(side, os.W_OK))))
    except (OSError, ValueError):
        return None
    return None if found.retired else found


def find_unhinted(path: str) -> Watch | None:
    """The watch over a prepared file whose hint was lost, made again; None when the file was never prepared, as far as
    can be known.
    """
    try:
        if _read(path, aside=True) is None:
            return None
    except sqlite3.NotSupportedError:
        return Watch(path, None)  # its hint is not ours to make; each statement asks, and is refused
    except sqlite3.Error:
        return None
    try:
        make_hint(path)
    except OSError:
        return Watch(path, None)
    return find_watch(path)


def find_lost(path: str) -> Watch | None:
    """As `find_unhinted`, for each connection to a file without a hint. Raises sqlite3.Error while nobody can know: the
    file is locked, or is being written.

    One that was found unprepared is so for this second: who connects for each row does not look for each row.
    """
    return find_unhinted(path) if _may_be_prepared(identify(path), int(monotonic())) else None


@lru_cache(maxsize=128)
def _may_be_prepared(file: File, _second: int) -> bool:
    if not os.access(file[0], os.F_OK):
        return False
    own = _opened_aside(file[0])
    try:
        # Compiling anything else reads the whole schema, which may be large.
        (cookie,) = own.execute(query(_ASK, "cookie")).fetchone()
    finally:
        own.close()
    return _holds_control(file, cookie)


@lru_cache(maxsize=128)
def _holds_control(file: File, _cookie: int) -> bool:
    try:
        return _read(file[0], aside=True) is not None
    except sqlite3.NotSupportedError:
        return True


def next_look() -> float:
    """When a connection to a file without a hint looks again."""
    return monotonic() + LOOK_EVERY_S


def _read(path: str, timeout_s: float = 5.0, *, aside: bool = False) -> Authority | None:
    if not os.access(path, os.F_OK):  # deleted under an open connection; connecting would make an empty file
        return None
    own = _opened_aside(path) if aside else _opened(path, timeout_s)
    try:
        layout = own.execute(query(_ASK, "layout")).fetchone()
        if layout is None:
            return None
        unknown = find_unknown("the file", *layout)
        if unknown:
            raise sqlite3.NotSupportedError(unknown)
        found = own.execute(query(_ASK, "authority")).fetchone()
    except sqlite3.OperationalError as exc:
        if "no such table" in str(exc):
            return None
        raise
    finally:
        own.close()
    return Authority(found) if found is not None else None


def _opened(path: str, timeout_s: float) -> sqlite3.Connection:
    if not os.access(path, os.W_OK) and not os.access(path + "-wal", os.F_OK):
        # No log: the file is whole and at rest. Opened as usual SQLite would leave a log and an index of this user's
        # beside it, which those who may write could not use, or fail where the folder may not be written either.
        return _opened_aside(path)
    return sqlite3.connect(path, timeout=timeout_s, isolation_level=None)


def _opened_aside(path: str) -> sqlite3.Connection:
    """A connection for one look, which changes nothing, leaves nothing and waits for nobody. Raises
    sqlite3.OperationalError where that cannot be had.

    With a log it may only read: closed as the last one it would write the log into the file and remove it. Without one
    it takes no lock: a file that is not in WAL mode was never prepared, and there a reader stands in a writer's way.
    """
    logged = os.access(path + "-wal", os.F_OK)
    if logged and not os.access(path + "-shm", os.F_OK):
        raise sqlite3.OperationalError(_NO_INDEX)
    name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    how = "mode=ro" if logged else "immutable=1"
    return sqlite3.connect(f"file:{name}?{how}", uri=True, timeout=0.0, isolation_level=None)
