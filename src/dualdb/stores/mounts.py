"""Which file system a path lies on, and whether SQLite's WAL mode can be trusted there.

WAL needs memory shared by all users of the file, which network file systems do not give (sqlite.org/wal.html).
"""

from __future__ import annotations

import os

NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "lustre")


def without_shared_memory(path: str) -> str | None:
    """The kind of network file system that the path lies on, as the kernel names it; None on a local one."""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            entries = [line.split(" ")[1:3] for line in mounts]
    except OSError:  # not Linux: SQLite's own answer to journal_mode must do
        return None
    kind = _kind_of(os.path.realpath(path), entries)
    return kind if kind and kind.startswith(NETWORK) else None


def _kind_of(path: str, entries: list[list[str]]) -> str | None:
    best, kind = "", None
    for point, found in entries:
        folder = point.replace("\\040", " ").rstrip("/") + "/"
        if (path + "/").startswith(folder) and len(folder) >= len(best):
            best, kind = folder, found
    return kind
