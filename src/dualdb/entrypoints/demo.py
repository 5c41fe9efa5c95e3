"""`dualdb demo`: a database moves to PostgreSQL, back and there again under fire, and every row is counted.

The steps are the very operations of the commands. Whether they lost anything is not for them to say: that is judged by
`demo_oracle` from the writers' ledgers. Everything that was made is removed at the end, however that comes about.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from dualdb.core.phase import Phase
from dualdb.entrypoints.console import Console
from dualdb.entrypoints.demo_application import build
from dualdb.entrypoints.demo_fleet import Fleet
from dualdb.entrypoints.demo_oracle import compare, judge
from dualdb.entrypoints.demo_tables import SourceTables, TargetTables
from dualdb.errors import DualdbError
from dualdb.operations.initialise import initialise
from dualdb.operations.transition import advance, rollback
from dualdb.operations.verify import verify
from dualdb.stores.pair import Pair
from dualdb.stores.relay import relay_until_aligned
from dualdb.stores.server import EmbeddedServer
from dualdb.stores.server_binaries import find_binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from dualdb.entrypoints.console import Observer
    from dualdb.entrypoints.demo_oracle import Verdict
    from dualdb.operations.transition import StepReport

_DATABASE = "experiments.db"
_COLUMNS = "  {:24}{:>8}  {:>9}  {:>8}  {:>14}  {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the demo is asked for."""

    writers: int
    rows: int
    rate: float
    """Operations per second of each writer."""
    linger: float
    """Seconds for which the writers write in a phase before the next step."""
    seed: int
    keep: str | None


def run_demo(setting: Setting) -> bool:
    """Whether nothing was lost, doubled or different. Raises DualdbError when it could not be carried through."""
    find_binaries()  # or say so before anything is made
    folder = _folder(setting.keep)
    # The embedded server is the demo's own; a target of the user's must never be touched.
    os.environ.pop("DUALDB_TARGET", None)
    database = folder / _DATABASE
    fleet = Fleet(folder, database, writers=setting.writers, seed=setting.seed, rate=setting.rate)
    with _ended_like_ctrl_c():
        try:
            return _Demo(setting, folder, database, fleet).run()
        except KeyboardInterrupt as exc:
            exc.add_note("the same command begins anew" if setting.keep is None else "another one takes another folder")
            raise
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave things behind
            fleet.stop()
            _clean_up(folder, database, keep=setting.keep is not None)


class _Demo:
    """One performance."""

    def __init__(self, setting: Setting, folder: Path, database: Path, fleet: Fleet) -> None:
        self._setting = setting
        self._beginning = folder / "beginning.db"
        self._database = database
        self._fleet = fleet
        self._console = Console()
        self._say = self._console.say

    def run(self) -> bool:
        began_s = time.monotonic()
        self._prepare()
        self._fleet.start()
        self._say(_COLUMNS.format("step", "took", "rows", "rows/s", "longest pause", "verified while they write"))
        self._step("none: SQLite alone", lambda _observer: self._linger())
        self._step("init", self._initialise)
        self._step("sqlite -> dual_write", self._advance(Phase.DUAL_WRITE))
        self._step("dual_write -> postgres", self._advance(Phase.POSTGRES))
        self._step("postgres -> dual_write", self._rollback)
        self._step("dual_write -> postgres", self._advance(Phase.POSTGRES))
        self._fleet.stop()
        self._fleet.check()
        sound = self._judge()
        self._say(f"\n{'Nothing was lost' if sound else 'NOT SOUND'}; {time.monotonic() - began_s:.0f} s in all.")
        return sound

    def _prepare(self) -> None:
        made = build(str(self._database), self._setting.rows, self._setting.seed)
        with (
            closing(sqlite3.connect(self._database)) as source,
            closing(sqlite3.connect(self._beginning)) as copied,
        ):
            source.backup(copied)
        self._say(f"{self._database}: {made.rows:,} rows, made with plain sqlite3")
        self._say(
            f"{self._setting.writers} processes log to it, each about {self._setting.rate:g} times a second, from now "
            f"to the end; number {self._setting.writers} uses plain sqlite3, the others `import dualdb as sqlite3`.\n"
        )

    def _initialise(self, _observer: Observer) -> None:
        initialise(str(self._database), "embedded")

    def _advance(self, to: Phase) -> Callable[[Observer], StepReport]:
        def take(observer: Observer) -> StepReport:
            (step,) = advance(str(self._database), to, observer=observer)
            return step

        return take

    def _rollback(self, observer: Observer) -> StepReport:
        return rollback(str(self._database), observer=observer)

    def _step(self, title: str, operation: Callable[[Observer], StepReport | None]) -> None:
        """Take one step under fire, wait until every writer has got through, verify everything, show the row."""
        since, began_s = time.time(), time.monotonic()
        with self._console.progress() as observer:
            step = operation(observer)
        took_s, until = time.monotonic() - began_s, time.time()
        pause_s = self._fleet.longest_pause_s(since, until)
        found = "" if step is None else self._verify()
        rows = f"{step.rows_moved:,}" if step else ""
        rate = f"{step.rows_moved / took_s:,.0f}" if step else ""
        self._say(_COLUMNS.format(title, f"{took_s:.1f} s", rows, rate, f"{pause_s:.2f} s", found))
        self._linger()

    def _verify(self) -> str:
        with Pair.open(str(self._database)) as pair, self._console.progress() as observer:
            report = verify(pair, full=True, observer=observer)
        if not report.agrees:
            self._console.show_verification(report, str(self._database))
            message = "verification found a difference; run dualdb demo --keep DIR and look at it with dualdb verify"
            raise DualdbError(message)
        return f"{report.compared:,} rows, no difference"

    def _linger(self) -> None:
        time.sleep(self._setting.linger)
        self._fleet.check()

    def _judge(self) -> bool:
        """The end: nobody writes any more, the follower catches up, and both sides are read with plain SELECTs."""
        relay_until_aligned(str(self._database))
        ledgers = self._fleet.ledgers()
        beginning, source, target = (
            SourceTables(self._beginning),
            SourceTables(self._database),
            TargetTables(self._database),
        )
        with closing(beginning), closing(source), closing(target):
            verdicts = {
                "SQLite, against the lists": judge(beginning, ledgers, source),
                "PostgreSQL, against the lists": judge(beginning, ledgers, target),
                "SQLite against PostgreSQL": compare(source, target),
            }
        self._say(f"\nThe writers were stopped after {self._fleet.answered():,} acknowledged operations.")
        fenced, locked = self._fleet.remarks("fenced"), self._fleet.remarks("locked")
        for remark, first in zip(fenced, self._fleet.restarts(), strict=False):
            self._say(f"Writer {remark.writer}, plain sqlite3, was turned away: {remark.text}")
            self._say(f"It went on with dualdb; its first write took {first.took_s:.2f} s.")
        if locked:
            self._say(f"'database is locked' was met {len(locked)} times and tried again, as such programs do.")
        self._say("Their own lists of these and the tables, read with sqlite3 and psycopg alone:")
        for title, verdict in verdicts.items():
            self._show_verdict(title, verdict)
        wrong = self._fleet.remarks("wrong")
        for remark in wrong[:10]:
            self._say(f"  writer {remark.writer} was told something wrong: {remark.text}", style="bold red")
        if not fenced:
            self._say("  the plain sqlite3 writer never met a fence", style="bold red")
        return bool(fenced) and not wrong and not any(verdict.faults for verdict in verdicts.values())

    def _show_verdict(self, title: str, verdict: Verdict) -> None:
        self._say(
            f"  {title:30} {verdict.rows:>9,} rows: {verdict.lost} lost, {verdict.doubled} doubled, "
            f"{verdict.different} different",
            style="bold red" if verdict.faults else "green",
        )
        for example in verdict.examples:
            self._say(f"    {example}")


def _folder(keep: str | None) -> Path:
    if keep is None:
        return Path(mkdtemp(prefix="dualdb-demo-"))
    folder = Path(keep).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        remedy = "name a new folder"
        if (folder / _DATABASE).exists():
            remedy += f"; what a demo left there ends with dualdb server stop {quote(str(folder / _DATABASE))}"
        message = f"{folder} is not empty; {remedy}"
        raise DualdbError(message)
    return folder


def _clean_up(folder: Path, database: Path, *, keep: bool) -> None:
    server = EmbeddedServer.beside(database)
    if keep:
        server.stop()
        Console().say(f"Kept in {folder}; go on with: dualdb status {quote(str(database))}")
        return
    server.remove()
    shutil.rmtree(folder)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """While this lasts SIGTERM and SIGHUP end the demo as Ctrl-C does: tidily."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers[:2]:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
