"""The account that an embedded server runs as, and what that account can reach; knows nothing of PostgreSQL.

PostgreSQL refuses to run as root, so for root it runs as an unprivileged user, made when missing. A folder that this
user cannot enter is named and refused, never opened up for it.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dualdb.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "dualdb"
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that a server's program is told; PGPORT, PGDATA, PGOPTIONS and the like of the caller are not for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the operating system, other than the one that asks."""

    name: str
    uid: int
    gid: int


def find_account() -> Account | None:
    """The account for a server, made when missing; None when the caller is not root and runs the server itself."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _make_account()
        entry = pwd.getpwnam(NAME)
    if entry.pw_uid == 0:
        message = f"the user {NAME!r} is root under another name; give it a user id of its own"
        raise TargetError(message)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def check_reachable(path: Path, account: Account | None) -> None:
    """Raise TargetError, naming it, when a folder above this path cannot be entered by the account."""
    for folder in [path, *path.parents][::-1]:
        try:
            mode = folder.stat()
        except FileNotFoundError:
            return
        except PermissionError as exc:
            message = f"the folder {folder.parent} cannot be entered by this user; ask its owner, or use another place"
            raise TargetError(message) from exc
        if account and stat.S_ISDIR(mode.st_mode) and not _may_enter(mode, account):
            message = (
                f"the folder {folder} cannot be entered by the user {account.name!r}, as which PostgreSQL runs for "
                f"root; allow it (chmod o+x), or put the data elsewhere: dualdb does not change your folders"
            )
            raise TargetError(message)


def run(
    program: Sequence[str], *, account: Account | None, folder: Path, timeout_s: float, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """A finished program, started in a folder as the account, with none of our files, environment or terminal.

    Raises TargetError when it cannot be started or takes too long; its exit code is the caller's to judge.
    """
    try:
        return subprocess.run(
            program,
            cwd=folder,
            env=_ENVIRONMENT,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except PermissionError as exc:
        who = f"the user {account.name!r}" if account else "this user"
        message = f"{program[0]} cannot be run by {who}: {exc.strerror}; make it readable and executable for it"
        raise TargetError(message) from exc
    except subprocess.TimeoutExpired as exc:
        message = f"{program[0]} did not finish within {timeout_s:g} s; look at the server's log in {folder}"
        raise TargetError(message) from exc


def _make_account() -> None:
    remedy = f"make it: useradd --system --no-create-home --shell /usr/sbin/nologin {NAME}"
    program = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    try:
        made = subprocess.run(program, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        message = f"PostgreSQL does not run as root and there is neither a user {NAME!r} nor useradd; {remedy}"
        raise TargetError(message) from exc
    if made.returncode == _EXISTS:
        return  # another process was faster
    if made.returncode != 0:
        message = (
            f"PostgreSQL does not run as root and no user {NAME!r} could be made ({made.stderr.strip()}); {remedy}"
        )
        raise TargetError(message)


_EXISTS = 9
"""useradd(8), exit values: the user name is in use."""


def _may_enter(folder: os.stat_result, account: Account) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)
