"""Which server a run uses when it is not the embedded one, and whether it has TimescaleDB.

`DUALDB_TEST_DSN` names any server, of another version for one; `DUALDB_TEST_TIMESCALE=1` has a container of TimescaleDB
started. The embedded server has no such extension, so without either the tests marked `timescale` are left out, and the
last line of the run says so. A password in the DSN goes into a passfile of the run's: dualdb stores none, so whatever
connects later finds it there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.plugins.run import run_folder, worker_input

if TYPE_CHECKING:
    from pathlib import Path

    from xdist.workermanage import WorkerController

IMAGE = "timescale/timescaledb:latest-pg17"
_INPUT = "dualdb_timescale"


@dataclass(slots=True)
class Outside:
    """The server from outside, if any, and the count of the tests that need TimescaleDB."""

    dsn: str | None = None
    version: str | None = None
    """TimescaleDB's, None when the server does not have it."""
    ran: int = 0
    left_out: int = 0
    container: Any = field(default=None, repr=False)


_OUTSIDE = pytest.StashKey[Outside]()


def outside_dsn(config: pytest.Config) -> str | None:
    """The DSN of the server from outside; None when the embedded one is to be used."""
    return config.stash[_OUTSIDE].dsn


def pytest_configure(config: pytest.Config) -> None:
    """Find or start the server, once for all workers."""
    given = worker_input(config)
    if given is not None:
        config.stash[_OUTSIDE] = Outside(**given[_INPUT])
        return
    outside = config.stash[_OUTSIDE] = Outside(dsn=os.environ.get("DUALDB_TEST_DSN"))
    if outside.dsn is None and os.environ.get("DUALDB_TEST_TIMESCALE") == "1":
        outside.container = _start_container()
        outside.dsn = outside.container.get_connection_url(driver=None)
    if outside.dsn:
        outside.dsn = _without_password(outside.dsn, run_folder(config) / "passfile")
        outside.version = _find_version(outside.dsn)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker which server it is."""
    outside = node.config.stash[_OUTSIDE]
    node.workerinput[_INPUT] = {"dsn": outside.dsn, "version": outside.version}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs TimescaleDB when the server has none."""
    outside = config.stash[_OUTSIDE]
    if outside.version is None:
        chosen = [item for item in items if item.get_closest_marker("timescale") is None]
        left_out = [item for item in items if item.get_closest_marker("timescale") is not None]
        outside.left_out = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = chosen


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker: hand the count to the controller, which collects nothing itself."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_INPUT] = session.config.stash[_OUTSIDE].left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take a worker's count; each has collected the same tests."""
    outside = node.config.stash[_OUTSIDE]
    outside.left_out = max(outside.left_out, getattr(node, "workeroutput", {}).get(_INPUT, 0))


class Counter:
    """Counts, where the terminal is, the tests that ran."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test by its own part, not its set-up or tear-down."""
        if report.when == "call" and "timescale" in report.keywords:
            self._outside.ran += 1


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to count, in the one process that prints."""
    if worker_input(session.config) is None:
        session.config.pluginmanager.register(Counter(session.config.stash[_OUTSIDE]))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the last line; end the container."""
    if worker_input(config) is not None or _OUTSIDE not in config.stash:
        return
    outside = config.stash[_OUTSIDE]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        total = outside.ran + outside.left_out
        on = f"TimescaleDB {outside.version}" if outside.version else "a server without TimescaleDB"
        reporter.write_line(f"timescale: {outside.ran} of {total} tests ran, on {on}")
    if outside.container is not None:
        outside.container.stop()


def _without_password(dsn: str, passfile: Path) -> str:
    """The DSN as dualdb stores it. By user and no more: a server can be named in several ways."""
    parts = conninfo_to_dict(dsn)
    password = parts.pop("password", None)
    if password is None:
        return dsn
    fields = ("*", "*", "*", str(parts.get("user", "*")), str(password))
    line = ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields)
    passfile.touch(mode=0o600)
    passfile.write_text(line + "\n", encoding="utf-8")
    # Not PGPASSWORD: that would go before the passfiles of embedded servers.
    os.environ["PGPASSFILE"] = str(passfile)
    return make_conninfo("", **parts)


def _find_version(dsn: str) -> str | None:
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        row = connection.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
    return str(row[0]) if row else None


def _start_container() -> Any:  # noqa: ANN401 - testcontainers is there only when it is asked for
    """A container with TimescaleDB; asks the engine whether it is there, since a program `docker` proves nothing."""
    import docker
    from testcontainers.community.postgres import PostgresContainer

    try:
        docker.from_env().ping()
    except docker.errors.DockerException as exc:
        message = (
            f"DUALDB_TEST_TIMESCALE=1, and no Docker engine answers ({exc}); start one, or name a server with it by "
            f"DUALDB_TEST_DSN"
        )
        raise pytest.UsageError(message) from exc
    return PostgresContainer(IMAGE, driver=None).start()
