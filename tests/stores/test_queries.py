"""The loader of named SQL."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from dualdb.stores import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FILE = """-- Blocks for a test.

-- name: first
-- Give one.
SELECT 1;

-- name: second
-- Give two,
-- whatever comes.
SELECT 2;
"""


@pytest.fixture
def load_text(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Make the loader read a text instead of any file."""
    queries.queries.cache_clear()

    def give(text: str) -> None:
        monkeypatch.setattr(queries, "load", lambda _path: text)

    yield give
    queries.queries.cache_clear()


def test_a_file_is_read_whole() -> None:
    """A script comes as it stands in the file."""
    assert "_dualdb_control" in queries.load("source/control.sql")


def test_a_missing_file_is_named() -> None:
    """The error names the file and where it was looked for."""
    with pytest.raises(FileNotFoundError, match=r"no file 'source/nothing\.sql' in .*sql or .*sql; .*install"):
        queries.load("source/nothing.sql")


def test_blocks_are_found_by_name(load_text: Callable[[str], None]) -> None:
    """A block is what stands below its description, in the order of the file."""
    load_text(_FILE)
    assert queries.query("x.sql", "first") == "SELECT 1;"
    assert dict(queries.queries("x.sql")) == {"first": "SELECT 1;", "second": "-- whatever comes.\nSELECT 2;"}


def test_a_missing_block_is_named(load_text: Callable[[str], None]) -> None:
    """The error says which blocks there are."""
    load_text(_FILE)
    with pytest.raises(LookupError, match=r"x\.sql has no block named 'third'; it has first, second"):
        queries.query("x.sql", "third")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nSELECT 1;", "does not describe 'a'"),
        ("-- name: a\n--  \nSELECT 1;", "does not describe 'a'"),
        ("-- name: a\n-- Give one.\n\n", "nothing below the description of 'a'"),
        ("-- name: a\n-- One.\nSELECT 1;\n-- name: a\n-- Two.\nSELECT 2;", "two blocks named 'a'"),
    ],
)
def test_a_malformed_block_is_refused(load_text: Callable[[str], None], text: str, complaint: str) -> None:
    """A block without description or body, or with another's name, is an error of ours that shows at once."""
    load_text(text)
    with pytest.raises(ValueError, match=complaint):
        queries.queries("x.sql")


def test_the_package_may_come_from_a_zip_file(tmp_path: Path) -> None:
    """The SQL is found where the package is not unpacked."""
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("dualdb/__init__.py", "")
        packed.writestr("dualdb/stores/__init__.py", "")
        packed.writestr("dualdb/sql/a/b.sql", "SELECT 'zipped';")
        packed.write(queries.__file__, "dualdb/stores/queries.py")
    program = "from dualdb.stores.queries import load; print(load('a/b.sql'))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(archive)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "SELECT 'zipped';\n"


def test_the_loader_imports_nothing_heavy() -> None:
    """The application's process pays for the loader on each start: no pathlib, dataclasses or importlib.resources."""
    program = (
        "import sys, sqlite3; from dualdb.stores import queries; queries.load('source/control.sql');"
        "print([m for m in ('pathlib', 'dataclasses', 'inspect', 'importlib.resources') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
