"""The demo's tables as plain SELECTs show them, in SQLite and in PostgreSQL.

The final check reads through these two classes: `sqlite3` and a psycopg connection alone, none of dualdb's own ways
of reading.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from dualdb.entrypoints.demo_oracle import KEYS
from dualdb.stores.target_connection import connect_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dualdb.entrypoints.demo_history import Record

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "experiments": ("id", "name", "status", "learning_rate", "best_return", "early_stopped", "started_at"),
    "hyperparameters": ("experiment_id", "name", "value"),
    "metrics": ("id", "experiment_id", "name", "step", "value", "token", "logged_at"),
    "episodes": ("id", "experiment_id", "episode_num", "total_return", "is_best", "logged_at"),
    "checkpoints": ("id", "experiment_id", "step", "weights", "is_best"),
    "totals": ("name", "value"),
}


class SourceTables:
    """The tables in a SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file for reading only."""
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)

    def rows(self, table: str) -> Iterator[Record]:
        """All rows of a table in the order of its primary key."""
        for row in self._connection.execute(_select(table, f'"{table}"') + _order(table)):
            yield dict(zip(COLUMNS[table], row, strict=True))

    def find(self, table: str, values: Mapping[str, object]) -> Record | None:
        """A row with these values, None when there is none."""
        terms = " AND ".join(f"{column} = ?" for column in values)
        cursor = self._connection.execute(f"{_select(table, table)} WHERE {terms}", tuple(values.values()))
        row = cursor.fetchone()
        return dict(zip(COLUMNS[table], row, strict=True)) if row else None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class TargetTables:
    """The tables in the embedded server of a database file."""

    def __init__(self, database: Path) -> None:
        """Connect; one read-only snapshot for everything that follows."""
        self._connection = connect_target("embedded", str(database), autocommit=False, purpose="dualdb demo")
        self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def rows(self, table: str) -> Iterator[Record]:
        """All rows of a table in the order of its primary key, a few thousand at a time."""
        with self._connection.cursor(name=f"demo_{table}") as cursor:
            cursor.itersize = 5000
            cursor.execute((_select(table, f'public."{table}"') + _order(table)).encode())
            for row in cursor:
                yield dict(zip(COLUMNS[table], map(_plain, row), strict=True))

    def find(self, table: str, values: Mapping[str, object]) -> Record | None:
        """A row with these values, None when there is none."""
        terms = " AND ".join(f"{column} = %s" for column in values)
        query = f"{_select(table, f'public.{table}')} WHERE {terms}".encode()
        row = self._connection.execute(query, tuple(values.values())).fetchone()
        return dict(zip(COLUMNS[table], map(_plain, row), strict=True)) if row else None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _select(table: str, source: str) -> str:
    return f"SELECT {', '.join(COLUMNS[table])} FROM {source}"


def _order(table: str) -> str:
    return f" ORDER BY {', '.join(KEYS[table])}"


def _plain(value: Any) -> Any:  # noqa: ANN401 - a database's value
    return bytes(value) if isinstance(value, memoryview) else value
