"""Real databases and SQLite's own logic tests, kept outside the repository; nothing is ever written there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

VARIABLE = "DUALDB_SHARED_DATA"


@dataclass(frozen=True, slots=True)
class SharedData:
    """The folder with the shared files; asking for one that is not there fails, naming it."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        """One file or folder, to be read only."""
        path = self.folder / name
        if not path.exists():
            pytest.fail(f"the shared file {path} is missing; set {VARIABLE} to the folder that holds it", pytrace=False)
        return path

    def copy(self, name: str, to: Path) -> Path:
        """A private copy of one file, at that path or in that folder, for a test that changes it."""
        copied = Path(shutil.copyfile(self / name, to / Path(name).name if to.is_dir() else to))
        copied.chmod(0o644)
        return copied


@pytest.fixture(scope="session")
def shared_data(pytestconfig: pytest.Config) -> SharedData:
    """The folder named by DUALDB_SHARED_DATA, by default `../shared/data` beside the checkout."""
    folder = Path(os.environ.get(VARIABLE) or pytestconfig.rootpath.parent / "shared" / "data")
    return SharedData(folder.absolute())
