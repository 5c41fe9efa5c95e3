"""`PRAGMA journal_mode` and `PRAGMA locking_mode` on a prepared file: answered with what is true, and not obeyed.

The relay reads and writes beside the application, which WAL mode allows; and a file that one connection has for itself
nobody follows. An application that sets them is warned, and goes on.
"""

from __future__ import annotations

import sqlite3
import sys
import warnings
from typing import TYPE_CHECKING

from dualdb.core.sqltext import fold, significant, unquote

if TYPE_CHECKING:
    from dualdb.driver.connection import SourceCursor

_KEPT = {"journal_mode": "wal", "locking_mode": "normal"}


def concerns(sql: str) -> bool:
    """Whether this PRAGMA asks for another mode than is kept."""
    return _asked(sql) is not None


def _asked(sql: str) -> str | None:
    """The name of the setting that it would change."""
    words = [fold(unquote(token)) for token in significant(sql) if token.text != ";"][1:]
    if words[1:2] == ["."]:
        if words[0] != "main":
            return None
        words = words[2:]
    name, sign, value, *_ = [*words, "", "", ""]
    return name if name in _KEPT and sign in {"=", "("} and value != _KEPT[name] else None


def execute(cursor: SourceCursor, sql: str, _parameters: object) -> SourceCursor:
    """Answer with the mode that is kept."""
    name = _asked(sql) or ""
    message = f"PRAGMA {name} is not obeyed on a file that dualdb mirrors; it stays {_KEPT[name]}"
    warnings.warn(message, RuntimeWarning, stacklevel=_callers_level())
    sqlite3.Cursor.execute(cursor, f"PRAGMA main.{name}")
    return cursor


def _callers_level() -> int:
    """Where on the stack the application is, for a warning that names its line."""
    ours = __name__.partition(".")[0] + "."
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(ours):
        level, frame = level + 1, frame.f_back
    return level
