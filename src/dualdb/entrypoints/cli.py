"""The `dualdb` command: reads arguments, calls one operation, shows what it returns, turns errors into one line.

Decides nothing. Everything but click is imported inside the commands, so that `dualdb --help` answers at once.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import click

from dualdb.entrypoints.server_commands import check_path, server
from dualdb.errors import DualdbError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED = 1
_INTERRUPTED = 130
"""What a shell shows for a program that Ctrl-C ended."""
_TRACEBACK = "DUALDB_TRACEBACK"
PHASES = ("sqlite", "dual_write", "postgres")
"""As in `core.phase`, which would cost every command its import."""
STATUS_KEYS = """\b
Keys of --json:
  database, phase, epoch
  authority  "source": the SQLite file; "target": PostgreSQL; null: each follows the other, see blockers
  target     {address, schema, reachable, error}
  server     the embedded server's state, null for another target
  journal_mode  "wal", unless a program without dualdb has changed it
  move       {number, to, state, overdue, stands, ends}: a switch under way, else null
  follower   {aligned, lag_rows, lag_rows_capped, lag_s}, null when unknown
  copies     [{table, rows, done}]
  quarantine {count, first: [{table, key, reason}]}, null when unknown
  aside      {tables, schemas} with rows that were set aside, in the file and on PostgreSQL,
             triggers: [{name, reason}] that were not put back
  verified   the last verification, null when there was none
  next       the next phase, null when there is none
  blockers   [{reason, remedy}]: what keeps the file from it; from the way back where it is null"""
_VERIFY_KEYS = """\b
Keys of --json:
  agrees, full, authority, epoch, position, since, schema_version, reason, began_at, duration_s, pairs
  compared, mismatched, repaired, quarantined, unsettled: rows, in all tables;
             unsettled: changed so often that they were never at rest to be compared
  tables     [{name, compared, mismatches, missing, extra, different, quarantined, unsettled,
             control_count, candidate_count}]; missing, extra: in the follower;
             control_count, candidate_count: rows of the authority and of the follower
  mismatches [{kind, table, key, columns}], the first ones
  kept       the file with the rows that --repair took away, null when there are none
  after      the verification of the repaired rows, null when there were none
  missing_objects
  sequences  [{table, next_id, used, sound}]
  orphans    [{table, columns, parent, count, keys, problem}]: rows without their parent"""
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object and nothing else; its keys: see below.")
_DATABASE = click.argument("database", type=click.Path(), callback=check_path)


class Commands(click.Group):
    """The commands, in the order in which they are needed, with one border where errors become one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were added."""
        del ctx
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run a command; whatever goes wrong in it ends here."""
        for stream in (sys.stdout, sys.stderr):  # a file's name may have characters that the terminal has not
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as exc:
            what_next = next(iter(getattr(exc, "__notes__", ())), "the same command goes on from here")
            _complain(f"interrupted; nothing is lost, and {what_next}")
            ctx.exit(_INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as exc:  # the border: a stack trace is for whoever asks for one
            if os.environ.get(_TRACEBACK):
                raise
            _complain(_one_line(exc))
            ctx.exit(_FAILED)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
The way of a file, each step while the application runs:
  dualdb init app.db --target embedded     prepare both sides
  dualdb advance app.db                    sqlite -> dual_write: copy, and follow
  dualdb advance app.db                    dual_write -> postgres: switch
  dualdb rollback app.db                   one step back

Every command can be interrupted, and killed; run it again and it goes on: advance and rollback with
--to, so that they go no further than they were to.

\b
Exit status:
  0    done
  1    could not be done: one line on stderr says why and what to do
       verify, demo: done, and a difference was found, which they show
  2    wrong usage
  3    server status: the server does not run
  130  ended by Ctrl-C""",
)
@click.version_option(package_name="dualdb", message="%(prog)s %(version)s")
def main() -> None:
    """Move a running sqlite3 application to PostgreSQL, step by step, and back.

    In the application: import dualdb as sqlite3.
    """


@main.command(context_settings={"allow_extra_args": True})
@_DATABASE
@click.option(
    "--target",
    required=True,
    envvar="DUALDB_TARGET",
    show_envvar=True,
    metavar="embedded|DSN",
    help="A PostgreSQL database for this file alone: postgresql://user@host/name, or 'embedded' for a server of "
    "its own ('dualdb server status' says where). Leave the password to ~/.pgpass, where every later command and "
    "the application find it too, or put the whole DSN into the variable for all of them: an argument is seen in "
    "ps and in the shell's history. A password is never stored.",
)
@click.option("--schema", default="public", show_default=True, help="The target's schema for the application's tables.")
@click.pass_context
def init(ctx: click.Context, database: str, target: str, schema: str) -> None:
    """Prepare a SQLite file and a PostgreSQL database for each other.

    Nothing changes for the application; the file is in phase sqlite afterwards, in WAL mode. The target's user needs no
    superuser's rights: owning the database is enough.
    """
    if ctx.args:  # click would quote them: they may be the second half of a password with a space in it
        raise click.UsageError("init takes one file and --target; put quotes around an address that holds spaces", ctx)
    from dualdb.entrypoints.console import Console
    from dualdb.operations.initialise import initialise

    console = Console()
    phase = initialise(database, target, schema=schema)
    following = _command("advance" if phase.value == "sqlite" else "status", database)
    console.say(f"{database} is prepared, in phase {phase.value}; next: {following}")


@main.command(epilog=STATUS_KEYS, short_help="Show where a file stands, and what blocks its next step.")
@_DATABASE
@_JSON
def status(database: str, *, as_json: bool) -> None:
    """Show where a file stands, what blocks its next step and what to do about it.

    It answers from the file alone when PostgreSQL is down, and says so. It starts nothing.
    """
    from dualdb.operations.status import read_status

    found = read_status(database)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    from dualdb.entrypoints.console import Console

    Console().show_status(found)


@main.command(epilog=_VERIFY_KEYS, short_help="Compare both databases while the application writes.")
@_DATABASE
@click.option("--full", is_flag=True, help="Compare every row, not only what changed since the last verification.")
@click.option("--repair", is_flag=True, help="Make the follower's rows the authority's, and verify them again.")
@_JSON
def verify(database: str, *, full: bool, repair: bool, as_json: bool) -> None:
    """Compare both databases while the application writes; exit status 1 when they differ.

    Values are compared exactly, on snapshots of the same state: a difference that is shown is real.

    With --repair rows that differ are carried from the authority again. What the follower held there is written into a
    file beside the database before it is deleted or overwritten: it may be the only copy of a row that somebody wrote
    past the fence. Run it without --repair first: it says what would be done.
    """
    from dualdb.entrypoints.console import Console
    from dualdb.operations.verify import Wishes
    from dualdb.operations.verify import verify as compare
    from dualdb.stores.pair import Pair
    from dualdb.stores.relay import Relay

    console = Console(quiet=as_json)
    relay = Relay(database)
    after = None
    with Pair.open(database) as pair:
        relay.start()  # somebody must carry, and perhaps no other process does
        with console.progress() as observer:
            report = compare(pair, full=full, observer=observer, wishes=Wishes(repair=repair))
        console.show_verification(report, database)
        console.show_repair(report, database)
        if report.repaired:
            with console.progress() as observer:
                after = compare(pair, observer=observer)  # waits until the repaired rows were carried
            console.show_verification(after, database)
        relay.stop()
    if as_json:
        click.echo(json.dumps(report.as_json() | {"after": after and after.as_json()}, indent=2))
    if not (after or report).agrees:
        sys.exit(_FAILED)


@main.command()
@_DATABASE
@click.option("--to", type=click.Choice(PHASES[1:]), help="Take all the steps up to this phase; else one step.")
def advance(database: str, to: str | None) -> None:
    """Take the next step: sqlite -> dual_write -> postgres.

    To dual_write: everything is copied while the application writes, and followed from then on. To postgres:
    everything is verified, writers wait for a moment, and go on in PostgreSQL; the file follows.
    """
    from dualdb.core.phase import Phase
    from dualdb.entrypoints.console import Console
    from dualdb.operations.transition import advance as take_steps

    console = Console()
    with console.progress() as observer:
        steps = take_steps(database, Phase(to) if to else None, observer=observer)
    if not steps:
        console.say(f"{database} is in phase {to} already")
    for step in steps:
        console.show_step(step, database)


@main.command(short_help="Take one step back: postgres -> dual_write -> sqlite.")
@_DATABASE
@click.option("--to", type=click.Choice(PHASES[:2]), help="Take all the steps back to this phase; else one step.")
def rollback(database: str, to: str | None) -> None:
    """Take one step back: postgres -> dual_write -> sqlite, without losing a row.

    From postgres writers wait for a moment and go on in the file, which PostgreSQL follows again. With --to it can be
    run again without going further than that.
    """
    from dualdb.core.phase import Phase
    from dualdb.entrypoints.console import Console
    from dualdb.operations import transition

    console = Console()
    with console.progress() as observer:
        if to:
            steps = transition.rollback_to(database, Phase(to), observer=observer)
        else:
            steps = [transition.rollback(database, observer=observer)]
    if not steps:
        console.say(f"{database} is in phase {to} already")
    for step in steps:
        console.show_step(step, database)


@main.command(short_help="Carry changes to the follower, for ever or until it is up to date.")
@_DATABASE
@click.option("--until-aligned", is_flag=True, help="End when the follower has everything committed before the start.")
def relay(database: str, *, until_aligned: bool) -> None:
    """Carry what changes in the authority to the follower, until Ctrl-C.

    Every process that has the file open through dualdb does so by itself; run this where only plain sqlite3 programs
    write, or none is always there. Any number may run: one works, the others stand by.
    """
    from dualdb.core.phase import Phase
    from dualdb.entrypoints.console import Console
    from dualdb.errors import PhaseError
    from dualdb.stores.pair import Pair
    from dualdb.stores.relay import Relay, relay_until_aligned

    console = Console()
    waiting = ""
    with Pair.open(database) as pair:
        if pair.phase is Phase.SQLITE:
            waiting = f"; nothing follows in phase sqlite, it begins with: {_command('advance', database)}"
        if until_aligned and waiting:
            raise PhaseError(
                f"{database} is in phase sqlite, where nothing follows; run: {_command('advance', database)}"
            )
        if until_aligned:
            pair.target.connection()  # what has an end does not wait for a server that may never come
    with console.progress() as observer:
        if not until_aligned:
            console.say(f"relaying {database} until Ctrl-C{waiting}")
            Relay(database, observer).run_forever()
        carried = relay_until_aligned(database, observer)
    console.say(f"the follower is up to date; {carried:,} rows carried")


@main.command(short_help="Copy the follower anew, when one side was restored or replaced.")
@_DATABASE
@click.option(
    "--from",
    "goes_on",
    type=click.Choice(("sqlite", "postgres")),
    help="Make this one the authority, where each of the two follows the other because one was restored.",
)
def recopy(database: str, goes_on: str | None) -> None:
    """Give up what the follower holds and copy everything anew, while the application works.

    For when one of the two databases was restored from a backup or replaced, so that the relay has stopped; status
    says so. The authority is not touched. What the follower held is kept first: of the SQLite file a copy beside it,
    in PostgreSQL the tables, moved into a schema of their own. Look for rows there that the authority does not have
    before you delete it. Interrupted, it goes on where it was.

    A backup may also leave two followers and no authority; every command says so then. Say with --from whose rows go
    on; the other one's are kept in the same way.
    """
    from dualdb.entrypoints.console import Console
    from dualdb.operations.recopy import CHOICES, begin_anew
    from dualdb.stores.relay import relay_until_aligned

    console = Console()
    console.show_recopy(begin_anew(database, CHOICES[goes_on] if goes_on else None))
    with console.progress() as observer:
        carried = relay_until_aligned(database, observer)
    console.say(f"the follower is up to date; {carried:,} rows carried", style="green")


@main.command(short_help="Watch a database move under fire, and have every row counted.")
@click.option("--writers", type=click.IntRange(2, 64), default=8, show_default=True, help="Processes that write.")
@click.option(
    "--rows", type=click.IntRange(1_000), default=100_000, show_default=True, help="Size of the database at its start."
)
@click.option("--rate", type=click.FloatRange(1, 1000), default=20, show_default=True, help="Writes/s of each process.")
@click.option("--linger", type=click.FloatRange(0), default=3, show_default=True, help="Seconds between the steps.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same data.")
@click.option(
    "--keep", type=click.Path(file_okay=False), metavar="DIR", help="Work in this new or empty folder, and keep it."
)
def demo(**options: Any) -> None:  # noqa: ANN401 - handed on by name
    """Watch a database move to PostgreSQL, back and there again under fire, and have every row counted.

    Builds an experiment tracker's database with plain sqlite3, lets several processes log to it all the time, and
    takes it sqlite -> dual_write -> postgres -> dual_write -> postgres with the very operations of the other
    commands, on an embedded server. At the end each writer's own list of acknowledged writes is compared with both
    databases; exit status 1 when a row is lost, doubled or different.
    """
    from dualdb.entrypoints.demo import Setting, run_demo

    if not run_demo(Setting(**options)):
        sys.exit(_FAILED)


main.add_command(server)


def _complain(line: str) -> None:
    click.echo(f"dualdb: {line}", err=True)


def _one_line(exc: Exception) -> str:
    text = " ".join(str(exc).split())
    if isinstance(exc, DualdbError):
        return text
    database = "SQLite" if isinstance(exc, sqlite3.Error) else "PostgreSQL" if _is_postgres(exc) else None
    if database is not None:
        return f"{database} says: {text}; set {_TRACEBACK}=1 to see where"
    if isinstance(exc, OSError) and exc.strerror:
        where = f"{exc.filename}: " if exc.filename else ""
        return f"the system says: {where}{exc.strerror}; set {_TRACEBACK}=1 to see where"
    return f"unexpected {type(exc).__name__}: {text}; set {_TRACEBACK}=1, run it again and report what it prints"


def _is_postgres(exc: Exception) -> bool:
    """Whether psycopg has raised it, without importing that."""
    return any(cls.__module__.partition(".")[0] == "psycopg" for cls in type(exc).__mro__)


def _command(name: str, database: str, *more: str) -> str:
    from shlex import join

    words: Sequence[str] = ("dualdb", name, database, *more)
    return join(words)
