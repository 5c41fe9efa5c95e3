"""Warnings of unclosed resources are sqlite3's: for what the application forgot, and never for what is ours."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.twins import move

from dualdb.core.phase import Phase

if TYPE_CHECKING:
    from pathlib import Path

_USE = """
import gc, sys, {module} as sqlite3
connection = sqlite3.connect(sys.argv[1])
connection.executemany("INSERT INTO t(a) VALUES (?)", [("x",), ("y",)])
connection.commit()
try:
    connection.execute("INSERT INTO t(id) VALUES (1)")
except sqlite3.IntegrityError:
    connection.rollback()
connection.execute("CREATE TABLE passing(a)")
connection.execute("DROP TABLE passing")
connection.commit()
assert connection.execute("SELECT a FROM t WHERE id = 1").fetchone() == ("x",)
{end}
gc.collect()
"""


def said(database: Path, module: str, end: str) -> str:
    """What a program that uses the file and then ends in this way writes to stderr, with every warning shown."""
    command = [sys.executable, "-W", "always", "-c", _USE.format(module=module, end=end), str(database)]
    run = subprocess.run(command, check=True, capture_output=True, timeout=60, text=True, env={**os.environ})
    return run.stderr


@pytest.fixture(params=[None, Phase.DUAL_WRITE, Phase.POSTGRES], ids=["plain", "dual_write", "postgres"])
def used(request: pytest.FixtureRequest, database: Path, target_dsn: str) -> Path:
    """A file with one table, in one phase after the other."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    if request.param is not None:
        move(database, target_dsn, request.param)
    return database


def test_a_program_that_closes_what_it_opened_is_not_warned(used: Path) -> None:
    """Whatever we opened besides is closed, or lives as long as the process and ends without a word."""
    assert said(used, "dualdb", "connection.close()") == ""


def test_a_program_that_does_not_is_warned_as_by_sqlite3(used: Path, tmp_path: Path) -> None:
    """Once, for its own connection: Python 3.13 warns, those before it do not."""
    plain = tmp_path / "plain.db"
    with closing(sqlite3.connect(plain)) as connection:
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
    expected = said(plain, "sqlite3", "del connection")
    assert said(used, "dualdb", "del connection").count("ResourceWarning") == expected.count("ResourceWarning")
