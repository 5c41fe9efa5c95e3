"""What commands show: progress while they work, and their results; bars on a terminal, plain lines anywhere else.

Knows the values that operations report and nothing of how they came to be. Colours follow NO_COLOR, as rich does.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console as Terminal
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from dualdb.core import events
from dualdb.core.sqltext import quote_literal, quote_name
from dualdb.operations.status_report import SIDES
from dualdb.operations.verify_report import Progress as Verifying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.progress import TaskID

    from dualdb.operations.recopy import Begun
    from dualdb.operations.status_report import Status
    from dualdb.operations.transition import StepReport
    from dualdb.operations.verify_report import Report

    Observer: TypeAlias = Callable[[Any], None]

_LINE_EVERY_S = 2.0
_SHOWN = 10
_KEYS_SHOWN = 3


class Console:
    """Where a command speaks."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Speak to stdout; nothing at all when quiet, for commands whose output a machine reads."""
        self._terminal = Terminal(highlight=False, quiet=quiet, soft_wrap=True)

    def say(self, text: str = "", style: str = "") -> None:
        """One line, whatever characters it holds."""
        self._terminal.print(text, style=style or None, markup=False)

    @contextmanager
    def progress(self) -> Iterator[Observer]:
        """An observer for an operation, which shows what it is told until the block ends."""
        if not self._terminal.is_terminal:
            yield _Lines(self.say).hear
            return
        bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("rows"),
            TimeElapsedColumn(),
            console=self._terminal,
            transient=True,
        )
        with bars:
            yield _Bars(bars, self.say).hear

    def show_step(self, step: StepReport, database: str) -> None:
        """One step that was taken."""
        if step.given_up is not None:
            self.say(
                f"the move to {step.given_up.value} was under way and was given up;"
                f" {database} is in phase {step.after.value}, as before"
            )
            return
        self.say(step_line(step), style="green")
        if not step.settled:
            authority = "PostgreSQL" if step.after.value == "postgres" else "SQLite"
            self.say(
                f"decided: {authority} has the say from now on; the rest is finished by itself when PostgreSQL is back"
            )
        if step.verified is not None:
            self.show_verification(step.verified, database)
        if step.residue is not None:
            self.say(f"behind the fence: {step.residue.compared:,} rows were carried last, and verified")

    def show_verification(self, report: Report, database: str) -> None:
        """What was compared, and each thing that is not as it should be."""
        self.say(verification_line(report), style="green" if report.agrees else "bold red")
        for line in _findings(report, database):
            self.say(f"  {line}")

    def show_repair(self, report: Report, database: str) -> None:
        """What a repair did to the follower, or what it would do."""
        for line in repair_lines(report, database):
            self.say(line)

    def show_recopy(self, begun: Begun) -> None:
        """What the follower held, and where that is now."""
        follower = SIDES[begun.follower]
        if begun.kept is None:
            self.say(f"{follower} is being copied anew already, and the copy goes on")
            return
        rows = ", ".join(f"{name} {count:,}" for name, count in begun.held if count) or "none"
        self.say(f"{follower} held these rows: {rows}")
        self.say(f"they are kept in {begun.kept}; it is copied anew now")

    def show_status(self, status: Status) -> None:
        """Titles and what belongs to them, in two columns; a row without a title goes on with the one above."""
        rows = list(_status_rows(status))
        width = max(len(title) for title, _ in rows)
        for title, text in rows:
            self._terminal.print(f"[bold]{title:{width}}[/bold]  {escape(text)}")


def step_line(step: StepReport) -> str:
    """A step in one line."""
    rate = f" ({step.rows_moved / step.duration_s:,.0f} rows/s)" if step.rows_moved and step.duration_s else ""
    fenced = f", writers waited {step.fenced_s:.2f} s" if step.fenced_s else ""
    return (
        f"{step.before.value} -> {step.after.value}: {step.duration_s:.1f} s, "
        f"{step.rows_moved:,} rows moved{rate}{fenced}"
    )


def verification_line(report: Report) -> str:
    """A verification in one line: what was compared, and what differed."""
    scope = "all rows" if report.full else "what changed since the last verification"
    result = "no difference" if report.agrees else f"{report.mismatched:,} rows differ"
    return f"verified {scope}: {report.compared:,} rows in {report.duration_s:.1f} s, {result}"


def repair_lines(report: Report, database: str) -> Iterator[str]:
    """Which rows of the follower a repair takes away and brings, by table, with the first few keys; what was kept."""
    if not report.mismatched:
        return
    command = f"dualdb verify --repair {quote(database)}"
    follower, authority = SIDES[_OTHER[report.authority]], SIDES[report.authority]
    done = report.repaired > 0
    yield f"repairing {follower} from {authority}:" if done else f"{command} would make these changes to {follower}:"
    for table in report.tables:
        if table.mismatches:
            keys = [repr(one.key) for one in report.mismatches if one.table == table.name][:_KEYS_SHOWN]
            such = f" (such as {', '.join(keys)})" if keys else ""
            yield (
                f"  {table.name}: {table.extra:,} rows deleted, {table.different:,} overwritten,"
                f" {table.missing:,} inserted{such}"
            )
    if report.kept:
        yield f"the rows deleted and overwritten there are kept, exactly, in {report.kept}"
    elif not done and any(table.extra or table.different for table in report.tables):
        yield "and keep the rows deleted and overwritten in a file beside the database"


def describe(event: object) -> str:
    """A fact in one line; '' for those that only move a bar."""
    words = _WORDS.get(type(event))
    return words(event) if words else ""


_WORDS: Mapping[type, Callable[[Any], str]] = {
    events.RowQuarantined: lambda event: f"quarantined {event.table} {event.key}: {event.reason}",
    events.SchemaFollowed: lambda event: (
        "the schema changed and was followed"
        + (f"; copied anew: {', '.join(event.recopied)}" if event.recopied else "")
    ),
    events.CaptureMended: lambda event: "; ".join(_mended(event)),
    events.UncapturedCommit: lambda event: (
        f"something was committed past the journal ({event.count} times); verification tells what it was"
    ),
    events.TriggerNotRestored: lambda event: (
        f"the trigger {event.name} could not be put back ({event.reason}); its text is in the table _dualdb_trigger"
    ),
    events.RelayTookOver: lambda event: f"took over the relay lock from {event.holder}, which had gone silent",
    events.TargetLost: lambda event: f"PostgreSQL is away ({event.reason}); trying again in {event.retry_s:g} s",
    events.LineageBroken: lambda event: f"the two databases no longer belong together: {event.reason}",
    events.RelayStumbled: lambda event: f"{event.reason}; trying again in {event.retry_s:g} s",
}


_OTHER = {"source": "target", "target": "source"}


def _mended(event: events.CaptureMended) -> Iterator[str]:
    if event.missing:
        yield (
            f"triggers of ours were missing or out of date and were put back; copied anew: {', '.join(event.missing)}"
        )
    if event.renumbered:
        yield (
            "the file's catalog changed; copied anew, for VACUUM may have renumbered rows that only a rowid names:"
            f" {', '.join(event.renumbered)}"
        )


class _Lines:
    """Progress for a log file or a pipe: a line when something ends, and now and then in between."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said_at = time.monotonic()

    def hear(self, event: object) -> None:
        """Say something about it, if it is time to."""
        if isinstance(event, events.CopyProgress):
            if event.done or self._is_time():
                self._say(f"  copying {event.table}: {event.rows:,} of {max(event.rows, event.total):,} rows")
        elif isinstance(event, Verifying):
            if self._is_time():
                self._say(f"  verifying {event.table}: {event.rows:,} rows, {event.mismatches:,} differ")
        elif text := describe(event):
            self._say(f"  {text}")

    def _is_time(self) -> bool:
        now = time.monotonic()
        due = now - self._said_at >= _LINE_EVERY_S
        self._said_at = now if due else self._said_at
        return due


class _Bars:
    """Progress for a person: one bar per table, gone when the operation ends."""

    def __init__(self, bars: Bars, say: Callable[[str], None]) -> None:
        self._bars = bars
        self._say = say
        self._tasks: dict[str, TaskID] = {}

    def hear(self, event: object) -> None:
        """Move a bar, or say a line above them."""
        if isinstance(event, events.CopyProgress):
            self._move(f"copying {event.table}", event.rows, max(event.rows, event.total))
        elif isinstance(event, Verifying):
            self._move(f"verifying {event.table}", event.rows, None)
        elif text := describe(event):
            self._say(text)

    def _move(self, title: str, rows: int, total: int | None) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._bars.add_task(escape(title), total=total)
        self._bars.update(self._tasks[title], completed=rows, total=total)


def _status_rows(status: Status) -> Iterator[tuple[str, str]]:
    yield "file", status.database
    yield "phase", f"{status.phase} (epoch {status.epoch})"
    yield "authority", SIDES[status.authority] if status.authority else "none: each of the two follows the other"
    server = f", embedded server {status.server}" if status.server else ""
    yield "target", f"{status.target.address}, schema {status.target.schema}{server}"
    if status.target.error:
        yield "", f"not reachable: {status.target.error}"
    if status.journal_mode != "wal":
        yield (
            "log",
            f"the file is in journal mode {status.journal_mode} instead of wal: readers and writers wait for each",
        )
        yield "", f"other. Whoever relays puts it back once nobody does either: dualdb relay {quote(status.database)}"
    if status.move:
        overdue = "; it is overdue" if status.move.overdue else ""
        yield "move", f"number {status.move.number} to {status.move.to} is under way, {status.move.stands}{overdue}"
    yield from _follower_rows(status)
    yield from _aside_rows(status)
    yield "verified", _verified(status.verified)
    if status.authority is None:
        yield "next", "you choose"
    elif status.next is None:
        back = f"dualdb rollback {quote(status.database)} goes back"
        yield "next", f"nothing lies ahead; {'the way back is blocked' if status.blockers else back}"
    elif not status.blockers:
        yield "next", f"{status.next}: dualdb advance {quote(status.database)}"
    else:
        yield "next", f"{status.next} is blocked"
    for blocker in status.blockers:
        yield "", f"- {blocker.reason}; {blocker.remedy}" if blocker.remedy else f"- {blocker.reason}"


def _follower_rows(status: Status) -> Iterator[tuple[str, str]]:
    follower, quarantine = status.follower, status.quarantine
    if follower is not None:
        more = "more than " if follower.lag_rows_capped else ""
        behind = (
            f"{more}{follower.lag_rows:,} changes behind, {follower.lag_s:.1f} s" if follower.lag_rows else "up to date"
        )
        yield "follower", behind if follower.aligned else f"{behind}, not aligned yet"
    elif status.phase != "sqlite" and status.authority:
        nobody = f"{SIDES[_OTHER[status.authority]]} follows nobody"
        yield "follower", nobody if status.target.reachable else "not known while PostgreSQL does not answer"
    title = "copying"
    for copy in status.copies:
        if not copy.done:
            yield title, f"{copy.table}: {copy.rows:,} rows so far"
            title = ""
    if quarantine is not None and quarantine.count:
        yield "quarantine", f"{quarantine.count:,} rows that the follower cannot hold"
        for row in quarantine.first:
            yield "", f"{row.table} {row.key}: {row.reason}"


def _aside_rows(status: Status) -> Iterator[tuple[str, str]]:
    title = "aside"
    for name in status.aside.tables:
        yield title, f"table {name} of the file: rows that a plain program wrote behind a fence or into a restored file"
        yield "", f"look at them, then DROP TABLE {_sql_name(name)} with sqlite3"
        title = ""
    for name in status.aside.schemas:
        yield title, f"schema {name} of the target: rows that PostgreSQL held before it was copied anew"
        yield "", f"look at them, then DROP SCHEMA {name} CASCADE with psql"
        title = ""
    for trigger in status.aside.triggers:
        name = quote_literal(trigger.name)
        yield title, f"trigger {trigger.name}: it was not put back ({trigger.reason})"
        yield "", f"its text: SELECT sql FROM _dualdb_trigger WHERE name = {name}; mend it and create it with sqlite3,"
        yield "", f"then DELETE FROM _dualdb_trigger WHERE name = {name}"
        title = ""


def _sql_name(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else quote_name(name)


def _verified(verified: Mapping[str, Any] | None) -> str:
    if verified is None:
        return "never"
    at = datetime.fromtimestamp(verified["began_at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    scope = "all rows" if verified["full"] else "what had changed"
    result = "no difference" if verified["agrees"] else f"{verified['mismatched']:,} rows differ"
    return f"{at}, {scope} ({verified['compared']:,}): {result}"


def _findings(report: Report, database: str) -> Iterator[str]:
    for mismatch in report.mismatches[:_SHOWN]:
        columns = f", in {', '.join(mismatch.columns)}" if mismatch.columns else ""
        yield f"{mismatch.table} {mismatch.key!r} is {mismatch.kind.value}{columns}"
    if report.mismatched > _SHOWN:
        yield f"… and {report.mismatched - _SHOWN:,} more; --json shows more of them"
    for table in report.miscounted:
        counts = f"{table.control_count} rows in the authority and {table.candidate_count} in the follower"
        yield f"{table.name} has {counts}"
    for sequence in report.sequences:
        if not sequence.sound:
            yield f"{sequence.table} would give out id {sequence.next_id} again; it has used {sequence.used}"
    for orphans in report.orphans:
        columns = ", ".join(orphans.columns)
        yield f"{orphans.table} ({columns}) has {orphans.count} rows without their parent in {orphans.parent}"
    if report.missing_objects:
        yield f"missing in PostgreSQL: {', '.join(report.missing_objects)}"
    if report.quarantined:
        yield f"{report.quarantined:,} rows are in quarantine; see dualdb status {quote(database)}"
    if report.unsettled:
        yield f"{report.unsettled:,} keys changed too often to be compared; verify again when it is quieter"
