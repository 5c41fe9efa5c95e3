"""Real processes for the actors, quickly: one process imports everything once and forks each actor from itself.

The server half (`python -m tests.interleavings.spawner`) reads requests as JSON lines, forks, and writes what becomes
of its children: stopped, continued, ended. When its standard input ends, however the tests ended, it kills them all.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
_IMPORTED = (
    "dualdb.core.translate",
    "dualdb.operations.transition",
    "dualdb.stores.relay",
    "dualdb.entrypoints.console",
    "tests.interleavings.actors",
)
"""What every actor needs sooner or later; each would take its time to import it."""


@dataclass(slots=True)
class Actor:
    """One process of a scene."""

    spawner: Spawner
    name: str
    pid: int
    log: Path
    state: str = "running"
    """running, stopped or ended."""
    code: int = 0
    """The exit status once it has ended; minus the signal that killed it."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        self.spawner.pump(0)
        if self.state != "ended":
            os.kill(self.pid, number)

    def wait(self, *states: str, timeout_s: float) -> str:
        """Wait until it is in one of these states; gives the state, fails after the time-out."""
        deadline = time.monotonic() + timeout_s
        while self.state not in states:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"{self.name} is still {self.state} after {timeout_s} s:\n{self.said()}"
            self.spawner.pump(left_s)
        return self.state

    def succeeds(self, *, timeout_s: float) -> None:
        """Wait until it has ended, and fail unless it did so with status 0."""
        self.wait("ended", timeout_s=timeout_s)
        assert self.code == 0, f"{self.name} ended with {self.code}:\n{self.said()}"

    def end(self, *, timeout_s: float = 20) -> None:
        """Ask it to end, and wait for it; SIGKILL if it does not."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.wait("ended", timeout_s=timeout_s)
        finally:
            self.send(signal.SIGKILL)

    def kill(self) -> None:
        """End it at once."""
        self.send(signal.SIGKILL)
        self.wait("ended", timeout_s=10)

    def said(self) -> str:
        """What it wrote on its standard streams."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


@dataclass(slots=True)
class Spawner:
    """The tests' half."""

    process: subprocess.Popen[str]
    actors: dict[int, Actor] = field(default_factory=dict)
    _started: list[Actor] = field(default_factory=list)
    """Whoever has not been given to the test yet; it may have ended in the same breath."""
    _buffer: bytes = b""

    @classmethod
    def start(cls) -> Spawner:
        """Start the server half."""
        program = [sys.executable, "-X", "faulthandler", "-m", "tests.interleavings.spawner"]
        process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        return cls(process)

    def spawn(self, role: str, name: str, folder: Path, environment: Mapping[str, str], **arguments: Any) -> Actor:  # noqa: ANN401 - JSON
        """Start an actor: one of the roles of `actors`."""
        assert self.process.stdin is not None
        log = folder / f"{name}.log"
        request = {"role": role, "log": str(log), "environment": dict(environment), "arguments": arguments}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + 30
        while not self._started:
            assert time.monotonic() < deadline, "no process could be started within 30 s"
            self.pump(1)
        actor = self._started.pop()
        actor.name, actor.log = name, log
        return actor

    def pump(self, timeout_s: float) -> None:
        """Take notice of what became of the actors; waits for the first news."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        news = select.poll()  # select() takes no descriptor above 1023, and a long run of tests has more open
        news.register(descriptor, select.POLLIN)
        if not news.poll(1000 * timeout_s):
            return
        received = os.read(descriptor, 65536)
        assert received, "the process that starts the actors has ended"
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        for line in lines:
            self._note(json.loads(line))

    def close(self) -> None:
        """Kill whoever is left, and the server half."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.stdout.close()

    def _note(self, news: Mapping[str, Any]) -> None:
        pid, what = news["pid"], news["what"]
        if what == "started":
            self.actors[pid] = Actor(self, "", pid, Path())
            self._started.append(self.actors[pid])
            return
        self.actors[pid].state = what
        if what == "ended":
            self.actors[pid].code = news["code"]
            # The number may be given to another process from here on.
            del self.actors[pid]


# --- the server half ------------------------------------------------------------------------------------------------


def _serve() -> Mapping[str, Any] | None:
    """Fork for each request; gives the request in the child, None in the parent once there are no more."""
    waker, wakes = os.pipe()
    os.set_blocking(wakes, False)
    children: set[int] = set()
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    buffer = b""
    while True:
        ready, _, _ = select.select([0, waker], [], [])
        if waker in ready:
            os.read(waker, 4096)
            _reap(children)
        if 0 not in ready:
            continue
        received = os.read(0, 65536)
        if not received:
            _kill(children)
            return None
        *lines, buffer = (buffer + received).split(b"\n")
        for line in lines:
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(waker)
                os.close(wakes)
                found: Mapping[str, Any] = json.loads(line)
                return found
            children.add(pid)
            _tell(pid, "started")


def _reap(children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if not pid:
            return
        if os.WIFSTOPPED(status):
            _tell(pid, "stopped")
        elif os.WIFCONTINUED(status):
            _tell(pid, "running")
        else:
            children.discard(pid)
            _tell(pid, "ended", os.waitstatus_to_exitcode(status))


def _tell(pid: int, what: str, code: int = 0) -> None:
    os.write(1, (json.dumps({"pid": pid, "what": what, "code": code}) + "\n").encode())


def _kill(children: set[int]) -> None:
    for pid in children:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not come so far yet
            os.kill(pid, signal.SIGKILL)


def _become(request: Mapping[str, Any]) -> None:
    from tests.interleavings import actors, faults

    os.setpgid(0, 0)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    os.close(log)
    os.close(nothing)
    os.environ.update(request["environment"])
    injector = faults.install(os.environ)
    try:
        actors.ROLES[request["role"]](**request["arguments"])
    finally:
        if injector is not None:
            injector.finish()


def main() -> None:
    """Serve; a child returns to here as an actor, and ends as any Python program does."""
    for name in _IMPORTED:
        import_module(name)
    request = _serve()
    if request is not None:
        _become(request)


if __name__ == "__main__":
    main()
