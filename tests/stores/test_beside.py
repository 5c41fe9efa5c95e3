"""Files beside the database: what the operating system refuses is told, and nothing is left open."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from dualdb.errors import BusyError, SourceError
from dualdb.stores.beside import alone_at

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(database: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As NFS and FUSE may be."""
    opened = []

    def refuse(descriptor: int, _operation: int) -> None:
        opened.append(descriptor)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SourceError, match=f"{os.strerror(number)}.*; move"), alone_at(str(database), "init"):
        pytest.fail("nobody is kept out")
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(opened[0])


def test_one_is_alone_until_it_is_done(database: Path) -> None:
    """Also when it fails; the next one finds nothing in its way."""
    before = os.listdir("/dev/fd")
    with (
        pytest.raises(BusyError, match="is under way"),
        alone_at(str(database), "init"),
        alone_at(str(database), "init"),
    ):
        pytest.fail("nobody is kept out")
    with alone_at(str(database), "init"):
        pass
    assert len(os.listdir("/dev/fd")) == len(before)
    assert list(database.parent.glob("*.lock")) == []
