"""A follower begins anew: what only its quarantine still holds, for the authority has lost it, is kept byte by byte."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
from tests.operations.test_both_follow import command, prepared
from tests.operations.test_restored_from_a_backup import copy, log, names, saved_server

from dualdb.core.events import unheard
from dualdb.core.phase import Phase
from dualdb.core.types import decode_row
from dualdb.operations.initialise import initialise
from dualdb.operations.status import read_status
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["prepared"]

ODD = "a\0b"
"""Text that PostgreSQL cannot hold."""
FROM_TARGET = 'SELECT "table", image FROM dualdb_aside_1._dualdb_quarantine'
FROM_SOURCE = 'SELECT "table", image FROM _dualdb_aside_1_quarantine'


def log_odd(database: str) -> None:
    """A row that goes to PostgreSQL's quarantine."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO runs(id, name) VALUES (7, ?)", (ODD,))
    relay_until_aligned(database, unheard, 30)
    assert quarantined(database) == 1


def log_nan(database: str, dsn: str) -> None:
    """A row that goes to the file's quarantine: SQLite would store NULL."""
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO points(run, value) VALUES (1, 'NaN')")
    relay_until_aligned(database, unheard, 30)
    assert quarantined(database) == 1


def quarantined(database: str) -> int:
    """How many rows the follower has in quarantine now."""
    found = read_status(database).quarantine
    return found.count if found else 0


def kept_by_target(dsn: str) -> list[tuple[str, dict[str, object]]]:
    """Table and values of each row that is kept on PostgreSQL."""
    with psycopg.connect(dsn) as connection:
        return [(table, values(image)) for table, image in connection.execute(FROM_TARGET)]


def kept_by_source(database: str) -> list[tuple[str, dict[str, object]]]:
    """The same in the file."""
    with closing(sqlite3.connect(database)) as connection:
        return [(table, values(image)) for table, image in connection.execute(FROM_SOURCE)]


def values(image: bytes) -> dict[str, object]:
    """A row by its columns."""
    return dict(zip(*decode_row(image), strict=True))


def agree(database: str) -> bool:
    """Whether everything is equal, and nothing in quarantine."""
    relay_until_aligned(database, unheard, 30)
    with Pair.open(database) as pair:
        return verify(pair, full=True).agrees and not quarantined(database)


def test_by_recopy_of_postgresql(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """The file was restored without the row."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    log_odd(prepared)
    copy(str(tmp_path / "saved.db"), prepared)
    done = command("recopy", prepared)
    assert done.exit_code == 0, done.output
    assert kept_by_target(target_dsn) == [("runs", {"id": 7, "name": ODD})]
    assert agree(prepared)


def test_by_recopy_of_the_file(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """PostgreSQL was restored without the row: it is in the saved copy, which is a file like any other."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    restore = saved_server(target_dsn, tmp_path)
    log_nan(prepared, target_dsn)
    restore()
    done = command("recopy", prepared)
    assert done.exit_code == 0, done.output
    (saved,) = tmp_path.glob("*-dualdb-before-recopy-*.db")
    with closing(sqlite3.connect(saved)) as connection:
        ((table, image),) = connection.execute(FROM_SOURCE).fetchall()
    assert table == "points"
    assert math.isnan(values(image)["value"])  # type: ignore[arg-type]
    assert agree(prepared)
    with psycopg.connect(target_dsn) as server:
        server.execute("DROP SCHEMA public, dualdb, sqlite CASCADE")
        server.execute("CREATE SCHEMA public")
    initialise(str(saved), target_dsn)


def test_by_the_way_that_is_advised_for_an_older_file(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """It was restored from before PostgreSQL went there and back, and lacks the row."""
    advance(prepared, observer=unheard)
    copy(prepared, str(tmp_path / "saved.db"))
    rollback(prepared, observer=unheard)
    advance(prepared, observer=unheard)
    log_odd(prepared)
    copy(str(tmp_path / "saved.db"), prepared)
    for words in (("rollback", "--to", "sqlite"), ("advance", "--to", "dual_write")):
        done = command(words[0], prepared, *words[1:])
        assert done.exit_code == 0, done.output
    assert kept_by_target(target_dsn) == [("runs", {"id": 7, "name": ODD})]
    assert agree(prepared)


def test_where_the_file_is_chosen(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """PostgreSQL was restored to a state with the row in quarantine; the file goes on without it."""
    advance(prepared, observer=unheard)
    log_odd(prepared)
    restore = saved_server(target_dsn, tmp_path)
    with closing(sqlite3.connect(prepared)) as connection, connection:
        connection.execute("DELETE FROM runs WHERE id = 7")
    advance(prepared, observer=unheard)
    log(prepared, "in postgres")
    relay_until_aligned(prepared, unheard, 30)
    restore()
    done = command("recopy", prepared, "--from", "sqlite")
    assert done.exit_code == 0, done.output
    assert kept_by_target(target_dsn) == [("runs", {"id": 7, "name": ODD})]
    assert names(prepared) == ["a", "b", "in postgres"]
    assert agree(prepared)


def test_where_postgresql_is_chosen(prepared: str, tmp_path: Path, target_dsn: str) -> None:
    """The file was restored to a state with a row in quarantine, and follows."""
    advance(prepared, Phase.POSTGRES, observer=unheard)
    log_nan(prepared, target_dsn)
    copy(prepared, str(tmp_path / "saved.db"))
    with psycopg.connect(target_dsn) as connection:
        connection.execute("DELETE FROM points WHERE value = 'NaN'")
    rollback(prepared, observer=unheard)
    copy(str(tmp_path / "saved.db"), prepared)
    done = command("recopy", prepared, "--from", "postgres")
    assert done.exit_code == 0, done.output
    ((table, row),) = kept_by_source(prepared)
    assert (table, row["run"]) == ("points", 1)
    assert math.isnan(row["value"])  # type: ignore[arg-type]
    assert agree(prepared)
    # Another time it gets another name, and what was kept stays.
    assert rollback(prepared, observer=unheard).after is Phase.DUAL_WRITE
    assert len(kept_by_source(prepared)) == 1
