"""The process that serves a data folder, found by its pid file; starts and stops nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_STATE_LINE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """A living postmaster, as its pid file describes it (PostgreSQL's pidfile.h, LOCK_FILE_LINE_*)."""

    pid: int
    started_at: datetime
    ready: bool
    """It takes statements: it is not starting, recovering or stopping."""


def find_postmaster(data: Path) -> Postmaster | None:
    """The postmaster of these data; None when its file is missing, half-written, or of a process that is not it."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        pid, started = int(lines[0]), int(lines[2])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    if not _serves(pid, data):
        return None
    ready = len(lines) > _STATE_LINE and lines[_STATE_LINE].strip() == "ready"
    return Postmaster(pid=pid, started_at=datetime.fromtimestamp(started, UTC), ready=ready)


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number, whosoever it is; a dead one counts until its parent has taken note."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _serves(pid: int, data: Path) -> bool:
    """Whether that process belongs to these data's server: each of them works in the data's folder.

    A pid alone says little: after a crash of the machine it may be any program's. Root in a container may not look at
    another user's working directory (it lacks CAP_SYS_PTRACE); then the program's name has to do.
    """
    if not Path("/proc/self").exists():
        return is_alive(pid)
    try:
        place, ours = Path(f"/proc/{pid}/cwd").stat(), data.stat()
    except PermissionError:
        return _is_postgres(pid, data)
    except OSError:
        return False
    return (place.st_dev, place.st_ino) == (ours.st_dev, ours.st_ino)


def _is_postgres(pid: int, data: Path) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        name, _, rest = text.partition("(")[2].rpartition(")")
        dead = rest.split()[0] in {"Z", "X"}
        return name == "postgres" and not dead and Path(f"/proc/{pid}").stat().st_uid == data.stat().st_uid
    except OSError:
        return False
