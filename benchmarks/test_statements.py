"""What a statement costs through `dualdb`, against plain `sqlite3` on a file of the same content."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import dualdb
from benchmarks.interleaving import Way
from benchmarks.pairs import make_file, prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from benchmarks.conftest import Compare

_PHASES = {"sqlite": 0, "dual_write": 1}
_ROWS = 2_000
_INSERT = "INSERT INTO metric (experiment_id, name, value, step) VALUES (?, ?, ?, ?)"


def _connect(module: ModuleType, path: str, count: int) -> None:
    for _ in range(count):
        module.connect(path).close()


def _select(module: ModuleType, path: str, count: int) -> None:
    with closing(module.connect(path)) as connection:
        for number in range(count):
            connection.execute("SELECT value FROM metric WHERE id = ?", (number % _ROWS,)).fetchone()


def _fetch(module: ModuleType, path: str, count: int) -> None:
    with closing(module.connect(path)) as connection:
        for _ in range(count):
            connection.execute("SELECT * FROM metric").fetchall()


def _insert(module: ModuleType, path: str, count: int) -> None:
    with closing(module.connect(path)) as connection:
        for number in range(count):
            connection.execute(_INSERT, (1, "loss", 0.5, number))
        connection.commit()


def _insert_commit(module: ModuleType, path: str, count: int) -> None:
    with closing(module.connect(path)) as connection:
        for number in range(count):
            connection.execute(_INSERT, (1, "loss", 0.5, number))
            connection.commit()


def _connection_per_row(module: ModuleType, path: str, count: int) -> None:
    for number in range(count):
        with closing(module.connect(path)) as connection, connection:
            connection.execute(_INSERT, (1, "loss", 0.5, number))


_WORKLOADS: dict[str, tuple[Callable[[Any, str, int], None], int]] = {
    "connect": (_connect, 200),
    "select by key": (_select, 2_000),
    "fetch 2,000 rows": (_fetch, 20),
    "insert": (_insert, 1_000),
    "insert and commit": (_insert_commit, 200),
    "a connection per row": (_connection_per_row, 100),
}


@pytest.fixture(params=_PHASES)
def prepared(
    request: pytest.FixtureRequest, tmp_path: Path, target_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """A phase, and a file in it that other processes relay."""
    monkeypatch.setenv("DUALDB_RELAY", "off")
    path = make_file(tmp_path / "prepared.db", _ROWS)
    prepare(path, target_dsn, steps=_PHASES[request.param])
    return request.param, path


@pytest.mark.parametrize("workload", _WORKLOADS)
def test_statement(tmp_path: Path, prepared: tuple[str, str], compare: Compare, workload: str) -> None:
    """The same statements on two files, relaying left to others: what the application's own thread pays."""
    run, count = _WORKLOADS[workload]
    phase, path = prepared
    plain = make_file(tmp_path / "plain.db", _ROWS)
    compare(
        f"{workload}, phase {phase}",
        control=Way(name="sqlite3", run=lambda: run(sqlite3, plain, count)),
        candidate=Way(name="dualdb", run=lambda: run(dualdb, path, count)),
        work=count,
        unit="",
    )


def test_import(compare: Compare) -> None:
    """A fresh interpreter that imports one or the other."""

    def start(module: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)

    compare(
        "interpreter and import",
        control=Way(name="sqlite3", run=lambda: start("sqlite3")),
        candidate=Way(name="dualdb", run=lambda: start("dualdb")),
        work=1,
        unit="",
    )
