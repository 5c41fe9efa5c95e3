"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dualdb
from dualdb.stores import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "src" / "dualdb").rglob("*.py"))
SQL = sorted(path.relative_to(ROOT / "sql").as_posix() for path in (ROOT / "sql").rglob("*.sql"))
DOORS = {
    "psycopg": r"stores/target(_\w+)?\.py",
    "psycopg_pool": r"stores/target(_\w+)?\.py",
    "sqlglot": r"core/translate/\w+\.py",
    "opentelemetry": r"telemetry\.py",
    "click": r"entrypoints/\w+\.py",
    "rich": r"entrypoints/\w+\.py",
}
"""Which modules may import a library that is not Python's own; one that is not named here may be imported nowhere."""
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:work|farm|root|home|Users|tmp/w)/[A-Za-z]")


def _name(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "dualdb").as_posix()


def _imported(module: Path) -> Iterator[str]:
    """The top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def _tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_suite_runs_on_what_is_installed() -> None:
    """Under tox the built wheel is tested, never the checkout; elsewhere an editable install is."""
    from_checkout = Path(dualdb.__file__).is_relative_to(ROOT / "src")
    assert from_checkout is (os.environ.get("DUALDB_TEST_INSTALLED") != "wheel")


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_each_library_has_one_door(module: Path) -> None:
    """psycopg, sqlglot, OpenTelemetry, click and rich are imported where they belong, anything else not at all."""
    foreign = set(_imported(module)) - sys.stdlib_module_names - {"dualdb"}
    wrong = {library for library in foreign if not re.fullmatch(DOORS.get(library, "nowhere"), _name(module))}
    assert not wrong


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_each_module_says_what_it_owns_and_stays_small(module: Path) -> None:
    """A first docstring line, and no more than 500 lines."""
    text = module.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 500


@pytest.mark.parametrize("path", SQL)
def test_all_sql_is_described(path: str) -> None:
    """A script begins with a comment; a file of named blocks describes each of them (its loader refuses others)."""
    text = queries.load(path)
    assert text.startswith("-- ")
    if "\n-- name:" in "\n" + text:
        assert queries.queries(path)


def test_importing_the_package_reaches_nothing_heavy() -> None:
    """Neither PostgreSQL nor the translator, nor `dataclasses`, is loaded by the one import that changes."""
    heavy = ("sqlglot", "psycopg", "psycopg_pool", "opentelemetry", "click", "rich", "dataclasses", "inspect")
    program = f"import sys, dualdb; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_names_a_place_of_one_machine() -> None:
    """What is in the repository is true on any machine."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert not found


def test_no_test_is_skipped() -> None:
    """A test that needs something takes a fixture that provides it, or fails saying what is missing."""
    pattern = re.compile(r"pytest\.(skip|xfail|importorskip|mark\.(skip|xfail))")
    found = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py") if pattern.search(path.read_text())]
    assert found in ([], ["tests/test_house.py"])  # this file's own pattern


def test_a_message_that_names_a_command_names_the_file() -> None:
    """What is to be done can be copied from the message as it is; only the demo's and a program's own have no file."""
    command = re.compile(r"dualdb (status|advance|rollback|verify|relay|recopy|init)(?! --help)(?!( --[a-z-]+)* \{\})")
    found = [
        f"{_name(path)}: {text}"
        for path in MODULES
        if re.fullmatch(r"(stores|operations)/\w+\.py|entrypoints/console\.py", _name(path))
        for text in _messages(ast.parse(path.read_text()))
        if command.search(text) and not command.fullmatch(text)
    ]
    assert found == []


def _messages(tree: ast.AST) -> Iterator[str]:
    """The texts of a module but for its docstrings, `{}` for what is filled in."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        else:
            yield from _messages(node)


def _build(tree: Path, target: str, folder: Path) -> Path:
    program = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(program, cwd=tree, check=True, capture_output=True)
    (built,) = folder.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return built


def _wheel(tmp_path: Path) -> Path:
    return _build(ROOT, "wheel", tmp_path / "dist")


def _wheel_through_sdist(tmp_path: Path) -> Path:
    with tarfile.open(_build(ROOT, "sdist", tmp_path / "sdist")) as packed:
        if hasattr(tarfile, "data_filter"):  # Debian 12 has Python 3.11.2, where it was still to come
            packed.extraction_filter = tarfile.data_filter
        packed.extractall(tmp_path / "tree")
    (tree,) = (tmp_path / "tree").iterdir()
    return _build(tree, "wheel", tmp_path / "dist")


def _editable(tmp_path: Path) -> Path:
    return _build(ROOT, "wheel:editable", tmp_path / "dist")


@pytest.mark.parametrize("make", [_wheel, _wheel_through_sdist, _editable])
def test_the_sql_is_found_however_the_package_is_installed(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """In a wheel, in a wheel made from a source distribution, and in an editable install."""
    site = tmp_path / "site"
    with zipfile.ZipFile(make(tmp_path)) as wheel:
        wheel.extractall(site)
    program = (
        "import site, sys; sys.path[:] = [p for p in sys.path if not p.endswith('site-packages')];"
        f"site.addsitedir({str(site)!r});"
        "from dualdb.stores import queries;"
        f"print(queries.__file__); print(sum(len(queries.load(path)) for path in {SQL!r}))"
    )
    done = subprocess.run([sys.executable, "-S", "-I", "-c", program], capture_output=True, text=True, check=True)
    place, total = done.stdout.splitlines()
    assert Path(place).is_relative_to(ROOT / "src" if make is _editable else site)
    assert int(total) == sum(len((ROOT / "sql" / path).read_text(encoding="utf-8")) for path in SQL)
