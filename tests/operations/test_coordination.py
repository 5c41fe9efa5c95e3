"""One coordinator at a time, whatever happens to the files beside the database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.driver.prepared import prepare

from dualdb.errors import BusyError, NotPreparedError, SourceError
from dualdb.operations.coordination import coordinating
from dualdb.stores.hint import hint_path, make_hint

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from dualdb.operations.coordination import coordinating
with coordinating(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_one_is_kept_out_though_the_hint_was_replaced(database: Path) -> None:
    """The lock does not lie on the hint: who makes that again has no other lock."""
    prepare(database)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(BusyError, match="another command leads"), coordinating(str(database)):
                pass
            os.unlink(hint_path(str(database)))
            make_hint(str(database))
        first.kill()
    with coordinating(str(database)):
        pass


def test_a_lost_hint_is_made_again(database: Path) -> None:
    """The control row is there, and says everything."""
    prepare(database)
    os.unlink(hint_path(str(database)))
    with coordinating(str(database)):
        assert os.path.exists(hint_path(str(database)))


def test_the_lock_outlives_other_connections(database: Path) -> None:
    """The last other connection is closed: the log, and the lock on it, stay."""
    prepare(database)
    with coordinating(str(database)):
        with closing(sqlite3.connect(database)) as other:
            other.execute("CREATE TABLE t(a)")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with pytest.raises(BusyError), coordinating(str(database)):
            pass


def test_locks_of_this_process_stay(database: Path) -> None:
    """Taking the lock and giving it back drops no lock that SQLite holds in this process."""
    prepare(database)
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with coordinating(str(database)):
            pass
        program = f"import sqlite3; sqlite3.connect({str(database)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
        outside = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
        assert "database is locked" in outside.stderr
        writer.execute("ROLLBACK")


def test_a_file_that_left_wal_mode_is_put_back(database: Path) -> None:
    """A plain program had switched it to another journal."""
    prepare(database)
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
    with coordinating(str(database)), closing(sqlite3.connect(database)) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_not_prepared(database: Path) -> None:
    """A file without a control row, and no file at all; nothing is left beside them."""
    with pytest.raises(SourceError), coordinating(str(database)):
        pass
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("CREATE TABLE t(a)")
    with pytest.raises(NotPreparedError), coordinating(str(database)):
        pass
    assert os.listdir(database.parent) == [database.name]
