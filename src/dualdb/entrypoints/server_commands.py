"""`dualdb server`: shows, starts and stops the embedded server of a database file; knows nothing of its contents."""

from __future__ import annotations

import sys
from shlex import quote
from typing import TYPE_CHECKING

import click

from dualdb.errors import TargetError

if TYPE_CHECKING:
    from dualdb.stores.server import EmbeddedServer, ServerStatus

_NOT_RUNNING = 3
"""Exit code of `status` when the server does not run, as of pg_ctl and systemctl."""


def check_path(ctx: click.Context, argument: click.Parameter, path: str) -> str:
    """A path, of a file that need not exist; an empty one would name the folder that the shell is in."""
    if not path:
        raise click.BadParameter("it is empty; give the path of the application's SQLite file", ctx, argument)
    return path


_DATABASE = click.argument("database", type=click.Path(), callback=check_path)


@click.group(short_help="Show, start or stop a file's embedded server.")
def server() -> None:
    """Show, start and stop the embedded PostgreSQL server of a database file."""


@server.command(short_help="Say whether the server runs, and where.")
@_DATABASE
def status(database: str) -> None:
    """Say whether the server runs and where; exit code 3 when it does not."""
    from dualdb.stores.server import ServerState

    found = _embedded(database).status()
    for title, value in _rows(found):
        click.echo(f"{title:9}{value}")
    if found.state is not ServerState.RUNNING:
        sys.exit(_NOT_RUNNING)


@server.command(short_help="Start the server unless it runs.")
@_DATABASE
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Listen on this port of 127.0.0.1 too, now and at later starts; 0 chooses a free one.",
)
def start(database: str, port: int | None) -> None:
    """Start the server that `dualdb init` made, unless it runs; other commands start it when they need it."""
    from dualdb.stores.server import ServerState
    from dualdb.stores.target_connection import missing_server

    embedded = _embedded(database)
    if embedded.status().state is ServerState.ABSENT:
        # An empty one would not be the target of a file that was prepared, and nobody's otherwise.
        if _target(database) is not None:
            raise TargetError(missing_server(database, str(embedded.folder)))
        remedy = f"dualdb init {quote(database)} --target embedded makes one"
        raise TargetError(f"{database} has no embedded server; {remedy}")
    embedded.ensure_running(port=port)
    click.echo(f"running; connect with: psql {quote(embedded.conninfo)}")


@server.command()
@_DATABASE
@click.option(
    "--mode",
    type=click.Choice(["smart", "fast", "immediate"]),
    default="fast",
    show_default=True,
    help="smart: when the last client has gone; fast: now, rolling back; immediate: without tidying up.",
)
def stop(database: str, mode: str) -> None:
    """Stop the server and wait until it has ended; its data stay."""
    from dualdb.stores.server import StopMode

    click.echo("stopped" if _embedded(database).stop(StopMode(mode)) else "was not running")


def _embedded(database: str) -> EmbeddedServer:
    """The file's server. Raises TargetError where there is none because the file was prepared for another one,
    SourceError where there is none and no database either; of a server that is there the file is not asked.
    """
    from dualdb.stores.server import EmbeddedServer, ServerState
    from dualdb.stores.target_address import EMBEDDED

    embedded = EmbeddedServer.beside(database)
    if embedded.status().state is ServerState.ABSENT:
        target = _target(database)
        if target not in (None, EMBEDDED):
            message = f"{database} has no embedded server: it was prepared for {target}, which others start and stop"
            raise TargetError(f"{message}; dualdb status {quote(database)} says how it is")
    return embedded


def _target(database: str) -> str | None:
    """What the file was prepared for, if it was."""
    from dualdb.stores.control import read_source
    from dualdb.stores.source_file import connect_source

    with connect_source(database) as source:
        facts = read_source(source)
    return None if facts is None else facts.target


def _rows(found: ServerStatus) -> list[tuple[str, str]]:
    rows = [("state", found.state.value), ("folder", str(found.folder)), ("socket", str(found.socket_folder))]
    if found.port:
        rows.append(("port", f"127.0.0.1:{found.port}"))
    if found.version:
        rows.append(("version", f"PostgreSQL {found.version}"))
    if found.pid and found.started_at:
        rows += [("pid", str(found.pid)), ("since", found.started_at.isoformat(sep=" "))]
    return rows
