"""The command line by itself: help, usage, one-line errors, interruption; what its commands do is tested elsewhere."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from dualdb.core.phase import BACK, FORWARD, Phase
from dualdb.entrypoints import cli
from dualdb.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ["init", "status", "verify", "advance", "rollback", "relay", "recopy", "demo", "server"]


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dualdb", *words], capture_output=True, text=True, check=False)


def test_the_help_names_every_command_in_order() -> None:
    """One page from which a newcomer finds the way."""
    done = _run("--help")
    listed = [line.split()[0] for line in done.stdout.partition("Commands:")[2].partition("\n\n")[0].split("\n")[1:]]
    assert (done.returncode, listed) == (0, COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    """Help that says more than its usage line."""
    done = CliRunner().invoke(cli.main, [command, "--help"])
    assert done.exit_code == 0
    assert len(done.output.splitlines()) > 5


@pytest.mark.parametrize("words", [[], ["server"]])
def test_no_line_of_a_list_of_commands_is_cut(words: list[str]) -> None:
    """On a terminal of the usual width."""
    done = CliRunner().invoke(cli.main, [*words, "--help"], terminal_width=80)
    assert "..." not in done.output.partition("Commands:")[2]


def test_the_help_names_every_exit_status() -> None:
    """Those of single commands among them."""
    done = CliRunner().invoke(cli.main, ["--help"])
    listed = done.output.partition("Exit status:\n")[2].splitlines()
    assert [line.split()[0] for line in listed if line.split()[0].isdigit()] == ["0", "1", "2", "3", "130"]


def test_help_loads_neither_database_nor_terminal_library() -> None:
    """`dualdb --help` answers at once: what takes long to import is imported by the commands."""
    program = (
        "import sys\n"
        "from dualdb.entrypoints.cli import main\n"
        "main(['status', '--help'], standalone_mode=False)\n"
        "print([name for name in ('rich', 'psycopg', 'sqlglot', 'dataclasses') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_phases_offered_are_the_phases() -> None:
    """The literal that spares `--help` an import says what `core.phase` says."""
    assert [phase.value for phase in Phase] == list(cli.PHASES)
    assert {phase.value for phase in FORWARD.values()} == set(cli.PHASES[1:])
    assert {phase.value for phase in BACK.values()} == set(cli.PHASES[:2])


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("status",),
        ("init", "app.db"),
        ("advance", "app.db", "--to", "nowhere"),
        ("advance", "app.db", "--to", "sqlite"),
        ("demo", "--writers", "0"),
        ("status", ""),
        ("init", "", "--target", "embedded"),
        ("server", "status", ""),
    ],
)
def test_wrong_usage_is_told_apart(words: tuple[str, ...]) -> None:
    """Exit status 2, and click's own hint."""
    done = _run(*words)
    assert done.returncode == 2
    assert "Usage:" in done.stderr


def _failing(error: BaseException) -> click.Group:
    @click.group(cls=cli.Commands)
    def program() -> None:
        """A program with one command."""

    @program.command()
    def fail() -> None:
        raise error

    return program


def _noted(note: str) -> BaseException:
    """An interruption on which an operation has noted the command that goes on."""
    error = KeyboardInterrupt()
    error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (TargetError("it is\n  away; wait"), 1, "dualdb: it is away; wait\n"),
        (KeyboardInterrupt(), 130, "dualdb: interrupted; nothing is lost, and the same command goes on from here\n"),
        (_noted("dualdb x goes on"), 130, "dualdb: interrupted; nothing is lost, and dualdb x goes on\n"),
    ],
)
def test_an_error_is_one_line(error: BaseException, status: int, line: str) -> None:
    """Cause and remedy on stderr, nothing on stdout."""
    done = CliRunner().invoke(_failing(error), ["fail"])
    assert (done.exit_code, done.stderr, done.stdout) == (status, line, "")


def test_an_error_that_nobody_foresaw_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to get its stack trace, and then gives it."""
    monkeypatch.delenv("DUALDB_TRACEBACK", raising=False)
    done = CliRunner().invoke(_failing(ZeroDivisionError("by zero")), ["fail"])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "ZeroDivisionError: by zero; set DUALDB_TRACEBACK=1" in done.stderr

    monkeypatch.setenv("DUALDB_TRACEBACK", "1")
    assert isinstance(CliRunner().invoke(_failing(ZeroDivisionError("by zero")), ["fail"]).exception, ZeroDivisionError)


def test_the_module_runs_like_the_command(tmp_path: Path) -> None:
    """`python -m dualdb` names itself dualdb and gives the same answer as an installed script."""
    done = _run("status", str(tmp_path / "missing.db"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("dualdb: there is no file")
    assert done.stderr.count("\n") == 1
