"""Nothing public of sqlite3's classes is forgotten: it goes to PostgreSQL, or it is left alone for a reason."""

from __future__ import annotations

import sqlite3

import pytest

from dualdb.driver.target_connection import CURSOR_PASSED_ON, PASSED_ON, TargetConnection
from dualdb.driver.target_cursor import TargetCursor

PROTOCOL = {"__call__", "__enter__", "__exit__", "__iter__", "__next__"}


def public(kind: type) -> set[str]:
    """The names that an application can use."""
    return {name for name in dir(kind) if not name.startswith("_") or name in PROTOCOL}


@pytest.mark.parametrize(
    ("kind", "ours", "passed_on"),
    [(sqlite3.Connection, TargetConnection, PASSED_ON), (sqlite3.Cursor, TargetCursor, CURSOR_PASSED_ON)],
)
def test_every_public_attribute_is_handled(kind: type, ours: type, passed_on: dict[str, str]) -> None:
    """Each is overridden or on the list, and none is both."""
    overridden = public(kind) & set(vars(ours))
    assert public(kind) - overridden - set(passed_on) == set()
    assert overridden & set(passed_on) == set()
    assert all(reason for reason in passed_on.values())
