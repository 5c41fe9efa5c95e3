"""What the processes of a scene do: write, relay, coordinate, fork; each may die anywhere."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from tests.interleavings.ledger import Ledger
from tests.interleavings.proxy import serve
from tests.interleavings.workload import BEGINNING, KINDS, Application

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dualdb.core.events import Event

_PAUSE_S = 0.02


class _Ended:
    """Whether somebody has asked this process to end."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: object) -> None:
        self.asked = True


def write(
    database: str,
    ledger: str,
    writer: str,
    *,
    keeps: bool = True,
    raw: bool = False,
    operations: int | None = None,
    kinds: Sequence[str] = KINDS,
    timeout_s: float = 5.0,
    pause_s: float = _PAUSE_S,
) -> None:
    """Write until asked to end, or so many operations; an operation that fails is not tried again."""
    import dualdb

    ended = _Ended()
    connect: Callable[..., Any] = sqlite3.connect if raw else dualdb.connect
    application = Application(connect, database, writer, keeps=keeps, timeout_s=timeout_s)
    book = Ledger(ledger)
    whole: deque[int] = deque()
    number = 0
    while not ended.asked and (operations is None or number < operations):
        kind = kinds[number % len(kinds)]
        removes = whole.popleft() if kind == "remove" and whole else None
        _perform(application, book, (kind, number, removes), whole)
        number += 1
        time.sleep(pause_s)
    application.close()


def _perform(application: Application, book: Ledger, operation: tuple[str, int, int | None], whole: deque[int]) -> None:
    kind, number, removes = operation
    book.write(what="intent", number=number, kind=kind, removes=removes, at=time.time())
    try:
        rowid = application.perform(kind, number, removes)
    except sqlite3.Error as exc:
        book.write(what="error", number=number, error=f"{type(exc).__name__}: {exc}", at=time.time())
        return
    book.write(what="acknowledged", number=number, rowid=rowid, at=time.time())
    if kind not in {"remark", "remove"}:
        whole.append(number)


def clear(database: str) -> None:
    """Take away what the writers have written."""
    import dualdb

    connection = dualdb.connect(database, timeout=15, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM entry WHERE writer <> ?", (BEGINNING,))
    for table in ("remark", "slot"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("UPDATE tally SET value = 0")
    connection.execute("COMMIT")
    connection.close()


def command(arguments: Sequence[str]) -> None:
    """Run a command of dualdb's."""
    from dualdb.entrypoints.cli import main

    main(list(arguments), standalone_mode=True)


def relay(database: str, *, until_aligned: bool = False) -> None:
    """Relay in the foreground."""
    command(["relay", database] + (["--until-aligned"] if until_aligned else []))


def coordinate(database: str, *, to: str, allowed_s: float, align_s: float = 60.0) -> None:
    """Take one step to a phase; exit status 0 when it is in force."""
    from dualdb.core.phase import FORWARD, Phase
    from dualdb.errors import DualdbError
    from dualdb.operations import transition
    from dualdb.settings import Settings

    settings = Settings(move_allowed_s=allowed_s, align_s=align_s)
    aim = Phase(to)
    try:
        if aim in FORWARD.values() and _phase(database) != "postgres":
            transition.advance(database, aim, observer=_show, settings=settings)
        else:
            transition.rollback(database, observer=_show, settings=settings)
    except DualdbError as exc:
        sys.exit(f"{type(exc).__name__}: {exc}")


def fork_after_connect(database: str, ledger: str, writer: str) -> None:
    """Connect, write once, fork, and let both processes go on, each over a connection that was open already."""
    import dualdb

    application = Application(dualdb.connect, database, writer)
    book = Ledger(ledger)
    _perform(application, book, ("rows", 0, None), deque())
    child = os.fork()
    if not child:
        # SQLite forbids a connection to cross a fork (https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_);
        # what an application does is to open its own.
        inner = Application(dualdb.connect, database, f"{writer}-child")
        inner_book = Ledger(ledger.replace(f"{writer}.jsonl", f"{writer}-child.jsonl"))
        for number in range(20):
            _perform(inner, inner_book, (KINDS[number % 8], number, None), deque())
            time.sleep(_PAUSE_S)
        inner.close()
        sys.exit(0)
    for number in range(1, 20):
        _perform(application, book, (KINDS[number % 8], number, None), deque())
        time.sleep(_PAUSE_S)
    application.close()
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def _phase(database: str) -> str:
    connection = sqlite3.connect(database)
    found = connection.execute("SELECT phase FROM _dualdb_control").fetchone()
    connection.close()
    return str(found[0])


def _show(event: Event) -> None:
    print(event, flush=True)


ROLES: Mapping[str, Callable[..., None]] = {
    "clear": clear,
    "write": write,
    "command": command,
    "relay": relay,
    "coordinate": coordinate,
    "fork_after_connect": fork_after_connect,
    "proxy": serve,
}
