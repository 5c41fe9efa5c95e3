"""`dualdb verify --repair` says what it will do, does it, says what it did, and keeps what it takes away."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from click.testing import CliRunner

from dualdb.core.phase import Phase
from dualdb.core.types import decode_row
from dualdb.entrypoints.cli import main
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*words: str) -> Result:
    """A command, in this process."""
    return CliRunner().invoke(main, words)


def test_a_row_written_past_the_fence_is_kept(tmp_path: Path, target_dsn: str) -> None:
    """After the switch a program that knows the way round the fence wrote into the file: the only copy of that row."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    app = str(folder / "app data.db")
    with closing(sqlite3.connect(app)) as connection:
        connection.executescript("CREATE TABLE runs(id INTEGER PRIMARY KEY, name TEXT, at BLOB)")
        connection.execute("INSERT INTO runs VALUES (1, 'a', x'00ff'), (2, 'b', NULL)")
        connection.commit()
    initialise(app, target_dsn)
    advance(app, Phase.POSTGRES, observer=lambda _event: None)
    with closing(sqlite3.connect(app, isolation_level=None)) as past:
        past.execute("BEGIN IMMEDIATE")
        past.execute("UPDATE _dualdb_control SET applying = 1")
        past.execute("INSERT INTO runs VALUES (7, 'planted', x'deadbeef')")
        past.execute("UPDATE runs SET name = 'overwritten' WHERE id = 1")
        past.execute("DELETE FROM runs WHERE id = 2")
        past.execute("UPDATE _dualdb_control SET applying = 0")
        past.execute("COMMIT")

    looked = run("verify", app)
    assert looked.exit_code == 1
    assert "--repair" in looked.output
    assert "would make these changes to the SQLite file" in looked.output
    assert "runs: 1 rows deleted, 1 overwritten, 1 inserted" in looked.output
    assert not list(folder.glob("*.jsonl"))

    repaired = run("verify", "--repair", app)
    assert repaired.exit_code == 0, repaired.output
    (path,) = folder.glob("*.jsonl")
    assert str(path) in repaired.output
    assert "repairing the SQLite file from PostgreSQL" in repaired.output
    assert "runs: 1 rows deleted, 1 overwritten, 1 inserted" in repaired.output
    with closing(sqlite3.connect(app)) as connection:
        assert connection.execute("SELECT * FROM runs ORDER BY id").fetchall() == [
            (1, "a", b"\x00\xff"),
            (2, "b", None),
        ]
    rows = {decode_row(json.dumps(json.loads(line)["row"]).encode())[1] for line in path.read_text().splitlines()}
    assert rows == {(7, "planted", b"\xde\xad\xbe\xef"), (1, "overwritten", b"\x00\xff")}
    again = json.loads(run("verify", "--repair", "--json", "--full", app).output)
    assert (again["agrees"], again["kept"], again["after"]) == (True, None, None)
