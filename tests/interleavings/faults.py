"""Strikes the process that it lives in, by SIGKILL or SIGSTOP, before or after the n-th statement that it sends.

Every statement to either database counts, BEGIN and COMMIT included, however the product sends it: SQLite tells through
its own trace of every connection that the process opens (https://sqlite.org/c3ref/trace_v2.html), psycopg through the
one method that all exchanges with the server pass. The product knows nothing of it.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import json
import os
import re
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULT = "DUALDB_TEST_FAULT"
"""The environment variable with a `Fault`, as `Fault.text` writes it."""
POINTS = "DUALDB_TEST_POINTS"
"""The environment variable with the path of the file that tells where it struck, or how many statements there were."""

_TRACE_STMT, _TRACE_PROFILE = 1, 2
_Traced = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_Opened = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_SHOWN = 100
_READ = re.compile(r"\s*(?:SELECT|PRAGMA|EXPLAIN|VALUES|WITH)\b", re.IGNORECASE)
_ACTS = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|setval|nextval|pass_over|pg_\w*(?:terminate|advisory)\w*|journal_mode|wal_checkpoint)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to a process, and when."""

    how: signal.Signals
    before: bool
    """Before the statement is sent; else after it was answered."""
    number: int
    """Of the statement, from 1; 0 only counts."""
    reads: bool = True
    """Whether statements that only read are counted: what dies between two that write has left the same behind."""

    since: str = ""
    """Counting begins at the first statement that has this in it."""

    @property
    def text(self) -> str:
        """For the environment of the process, and for people."""
        counted = "statement" if self.reads else "change"
        since = f" since {self.since}" if self.since else ""
        return f"{self.how.name} {'before' if self.before else 'after'} {counted} {self.number}{since}"

    @classmethod
    def read(cls, text: str) -> Fault:
        """The fault that `text` wrote."""
        how, when, counted, number, *rest = text.split(maxsplit=4)
        return cls(
            how=signal.Signals[how],
            before=when == "before",
            number=int(number),
            reads=counted == "statement",
            since="".join(rest).removeprefix("since "),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What a process wrote about its statements."""

    number: int
    """The statement at which it was struck; how many there were when it was not."""
    statement: str | None
    """The statement; None when the process came to its end."""


@dataclass(slots=True)
class Injector:
    """Counts the statements of this process."""

    fault: Fault | None
    points: str
    count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: list[Any] = field(default_factory=list)
    """What SQLite calls and Python must not collect."""

    def sent(self, statement: str) -> int:
        """Called before a statement is sent; gives its number, 0 when it does not count."""
        if self.fault is not None and not self.fault.reads and only_reads(statement):
            return 0
        with self._lock:
            if not self.count and self.fault is not None and self.fault.since not in statement:
                return 0
            self.count += 1
            number = self.count
        if self.fault is not None and self.fault.before:
            self._strike(number, statement)
        return number

    def answered(self, number: int, statement: str) -> None:
        """Called after a statement was answered."""
        if self.fault is not None and not self.fault.before:
            self._strike(number, statement)

    def finish(self) -> None:
        """Write how many statements there were."""
        self._write(self.count, None)

    def _strike(self, number: int, statement: str) -> None:
        if self.fault is not None and number == self.fault.number:
            self._write(number, " ".join(statement.split())[:_SHOWN])
            os.kill(os.getpid(), self.fault.how)

    def _write(self, number: int, statement: str | None) -> None:
        descriptor = os.open(self.points, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, (json.dumps([number, statement]) + "\n").encode())
        os.close(descriptor)


def only_reads(statement: str) -> bool:
    """Whether nobody else can see that this statement was executed."""
    return _READ.match(statement) is not None and _ACTS.search(statement) is None


def install(environment: Mapping[str, str]) -> Injector | None:
    """Count the statements of this process from here on, if its environment names a file for that."""
    points = environment.get(POINTS)
    if points is None:
        return None
    fault = environment.get(FAULT)
    injector = Injector(Fault.read(fault) if fault else None, points)
    _watch_sqlite(injector)
    _watch_psycopg(injector)
    return injector


def read_points(path: str | os.PathLike[str]) -> Struck | None:
    """What a process wrote; None when it was ended by somebody else before it came so far."""
    try:
        with open(path, encoding="utf-8") as lines:
            last = lines.readlines()[-1]
    except (FileNotFoundError, IndexError):
        return None
    number, statement = json.loads(last)
    return Struck(number=number, statement=statement)


def _watch_sqlite(injector: Injector) -> None:
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    trace_v2 = library.sqlite3_trace_v2
    trace_v2.argtypes = [ctypes.c_void_p, ctypes.c_uint, _Traced, ctypes.c_void_p]
    numbers: dict[int, tuple[int, str]] = {}

    def traced(kind: int, _context: int, statement: int, detail: int) -> int:
        if kind == _TRACE_PROFILE:
            number, text = numbers.pop(statement, (0, ""))
            injector.answered(number, text)
            return 0
        text = ctypes.string_at(detail).decode("utf-8", "replace")
        if not text.startswith("--"):  # a trigger within the statement, which nobody sent
            numbers[statement] = (injector.sent(text), text)
        return 0

    on_trace = _Traced(traced)

    def opened(connection: int, _message: int, _api: int) -> int:
        trace_v2(connection, _TRACE_STMT | _TRACE_PROFILE, on_trace, None)
        return 0

    on_open = _Opened(opened)
    injector._kept += [on_trace, on_open]
    library.sqlite3_auto_extension(on_open)


def _watch_psycopg(injector: Injector) -> None:
    exchange: Callable[..., Any] = psycopg.Connection.wait

    def wait(self: Any, generator: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - psycopg's own
        frame = getattr(generator, "gi_frame", None)
        local = frame.f_locals if frame is not None else {}
        sent = local.get("query") or local.get("command") or getattr(generator, "__name__", "exchange")
        statement = sent.decode("utf-8", "replace") if isinstance(sent, bytes) else str(sent)
        number = injector.sent(statement)
        try:
            result = exchange(self, generator, *args, **kwargs)
        except psycopg.Error as exc:
            if exc.sqlstate is not None:
                injector.answered(number, statement)
            raise
        injector.answered(number, statement)
        return result

    psycopg.Connection.wait = wait  # type: ignore[method-assign, assignment]
