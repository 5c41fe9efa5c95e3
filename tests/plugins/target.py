"""PostgreSQL for tests: one server for the run, and for each test a database of its own, cloned from a template.

An init takes a second or two, a clone 0.04 s. The server is the embedded one unless `timescale` knows another.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dualdb.stores.server import EmbeddedServer
from tests.plugins import watchdog
from tests.plugins.run import one_at_a_time, run_folder, worker_input
from tests.plugins.timescale import outside_dsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    Installer: TypeAlias = "Callable[[psycopg.Connection[Any]], object]"

_FIXTURES = {"server_dsn", "target_template", "target_dsn", "target", "new_target"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test that uses the server."""
    if _FIXTURES.intersection(getattr(item, "fixturenames", ())):
        item.add_marker("target")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind: the embedded server goes altogether, another one loses the template."""
    if worker_input(config) is not None:
        return
    folder = run_folder(config)
    outside = outside_dsn(config)
    if outside and (folder / "template").exists():
        _drop(outside, _template_name(config))
    if (folder / "watchdog.pid").exists():
        os.kill(int((folder / "watchdog.pid").read_text(encoding="ascii")), signal.SIGKILL)
        EmbeddedServer.beside(folder / watchdog.DATABASE).remove()


@pytest.fixture(scope="session")
def server_dsn(pytestconfig: pytest.Config) -> str:
    """Where the run's server is, with a user who may make databases; shared by all tests, so leave it as it is."""
    outside = outside_dsn(pytestconfig)
    if outside:
        return outside
    folder = run_folder(pytestconfig)
    server = EmbeddedServer.beside(folder / watchdog.DATABASE, durable=False)
    with one_at_a_time(pytestconfig, "server"):
        if not (folder / "watchdog.pid").exists():
            subprocess.run([sys.executable, str(Path(watchdog.__file__)), str(folder)], check=True, timeout=60)
        server.ensure_running()
    return server.conninfo


@pytest.fixture(scope="session")
def template_installers() -> Sequence[Installer]:
    """What is installed into the template, in this order, each called with a connection to it."""
    return ()


@pytest.fixture(scope="session")
def target_template(pytestconfig: pytest.Config, server_dsn: str, template_installers: Sequence[Installer]) -> str:
    """The name of the template database, prepared once in the run."""
    name = _template_name(pytestconfig)
    with one_at_a_time(pytestconfig, "template") as done:
        if not done.exists():
            _create(server_dsn, name, "template0")
            with closing(psycopg.connect(make_conninfo(server_dsn, dbname=name))) as connection:
                for install in template_installers:
                    install(connection)
                connection.commit()
            done.touch()
    return name


@pytest.fixture
def target_dsn(server_dsn: str, target_template: str) -> Iterator[str]:
    """The DSN of an empty database of the test's own; whoever is still connected at the end is thrown out."""
    with new_database(server_dsn, target_template) as dsn:
        yield dsn


@pytest.fixture
def new_target(server_dsn: str, target_template: str) -> Callable[[], AbstractContextManager[str]]:
    """Gives the DSN of one more empty database each time that it is entered, for a test that needs many."""
    return lambda: new_database(server_dsn, target_template)


@pytest.fixture
def target(target_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the test's own database, in autocommit."""
    with closing(psycopg.connect(target_dsn, autocommit=True)) as connection:
        yield connection


@contextmanager
def new_database(server_dsn: str, template: str = "template0") -> Iterator[str]:
    """The DSN of a database that is there for as long as this lasts."""
    name = f"dualdb_test_{uuid4().hex[:12]}"
    _create(server_dsn, name, template)
    yield make_conninfo(server_dsn, dbname=name)
    _drop(server_dsn, name)


def _template_name(config: pytest.Config) -> str:
    return f"dualdb_template_{run_folder(config).name.rpartition('-')[2].lower()}"


def _create(server_dsn: str, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with closing(psycopg.connect(server_dsn, autocommit=True)) as connection:
        connection.execute(statement)


def _drop(server_dsn: str, name: str) -> None:
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with closing(psycopg.connect(server_dsn, autocommit=True)) as connection:
        connection.execute(statement)
