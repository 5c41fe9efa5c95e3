"""Which file a path leads to now: one that was removed and made again, or replaced, is another one."""

from __future__ import annotations

import os

File = tuple[str, int, int]
"""The path, the device and the inode; zeros where there is no file."""


def identify(path: str) -> File:
    """The file that is there now. It is not opened: to close it would drop this process's locks on it."""
    try:
        status = os.stat(path)
    except OSError:
        return (path, 0, 0)
    return (path, status.st_dev, status.st_ino)
