"""One pair of databases with writers, a relay and coordinators around it, and the steps that the scenarios share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.interleavings import faults, oracle
from tests.interleavings.ledger import read_ledger
from tests.interleavings.proxy import server_of, through
from tests.interleavings.workload import make_database

from dualdb.operations.initialise import initialise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interleavings.faults import Fault, Struck
    from tests.interleavings.ledger import Operation
    from tests.interleavings.oracle import Standing
    from tests.interleavings.spawner import Actor, Spawner

ALLOWED_S = 2.0
"""How long the moves of these tests may stay undecided."""
GOES_ON_S = 15.0
"""Within what time a writer must be able to go on, whatever was done to others."""
BEGINNING = 200
PAUSE_S = 0.05
"""Between two operations of a writer: all processes share two slow cores."""


@dataclass(slots=True)
class Scene:
    """Its processes end with the test."""

    folder: Path
    dsn: str
    spawner: Spawner
    writers: list[Actor] = field(default_factory=list)
    others: list[Actor] = field(default_factory=list)
    _started: int = 0

    @property
    def database(self) -> str:
        """The SQLite file."""
        return str(self.folder / "application.db")

    @property
    def ledgers(self) -> Path:
        """Where the writers' ledgers are."""
        return self.folder / "ledgers"

    def prepare(self, rows: int = BEGINNING) -> None:
        """Make the file and prepare the pair."""
        self.ledgers.mkdir()
        make_database(self.database, rows)
        initialise(self.database, self.dsn)

    # --- processes ---------------------------------------------------------------------------------------------------

    def spawn(self, role: str, *, fault: Fault | None = None, dsn: str | None = None, **arguments: Any) -> Actor:  # noqa: ANN401 - JSON
        """Start a process of that role, with a fault or counted when that is asked for."""
        self._started += 1
        name = f"{role}{self._started}"
        environment = {"DUALDB_TARGET": dsn or self.dsn, "DUALDB_RELAY": "off"}
        environment[faults.POINTS] = str(self.folder / f"{name}.points")
        if fault is not None:
            environment[faults.FAULT] = fault.text
        actor = self.spawner.spawn(role, name, self.folder, environment, **arguments)
        self.others.append(actor)
        return actor

    def start_writer(self, *, fault: Fault | None = None, dsn: str | None = None, **arguments: Any) -> Actor:  # noqa: ANN401 - JSON
        """Start a writer."""
        name = f"writer{self._started + 1}"
        ledger = str(self.ledgers / f"{name}.jsonl")
        arguments = {"database": self.database, "ledger": ledger, "writer": name, **arguments}
        actor = self.spawn("write", fault=fault, dsn=dsn, **arguments)
        actor.name = name
        self.others.remove(actor)
        self.writers.append(actor)
        return actor

    def start_writers(self) -> None:
        """Start two writers: one keeps its connections, the other opens one for each operation."""
        self.start_writer(pause_s=PAUSE_S)
        self.start_writer(pause_s=PAUSE_S, keeps=False)

    def start_relay(self, *, fault: Fault | None = None, dsn: str | None = None) -> Actor:
        """Start a relay in the foreground."""
        return self.spawn("relay", fault=fault, dsn=dsn, database=self.database)

    def coordinate(self, to: str, *, fault: Fault | None = None, dsn: str | None = None) -> Actor:
        """Start a coordinator that leads to that phase."""
        return self.spawn("coordinate", fault=fault, dsn=dsn, database=self.database, to=to, allowed_s=ALLOWED_S)

    def points(self, actor: Actor) -> Struck | None:
        """Where an actor was struck, or how many statements it sent."""
        return faults.read_points(actor.log.with_suffix(".points"))

    def start_proxy(self, kind: str, number: int, application: str) -> tuple[Actor, str]:
        """Start a proxy before PostgreSQL; gives it and the DSN that goes through it."""
        host, port = server_of(self.dsn)
        port_file = self.folder / f"port{self._started + 1}"
        actor = self.spawn(
            "proxy",
            upstream=host,
            port=port,
            port_file=str(port_file),
            kind=kind,
            number=number,
            application=application,
        )
        self.until(port_file.exists, "the proxy to listen")
        return actor, through(self.dsn, int(port_file.read_text("ascii")))

    # --- steps -------------------------------------------------------------------------------------------------------

    def phase(self) -> str:
        """The phase in force."""
        return self.standing().phase

    def standing(self) -> Standing:
        """How things stand."""
        return oracle.read_standing(self.database, self.dsn)

    def lead(self, to: str, *, again: bool = False) -> None:
        """Lead to a phase, as an operator does who runs the command until it has worked; `again`: at least once."""
        for attempt in range(6):
            standing = self.standing()
            if standing.phase == to and standing.settled and (attempt or not again):
                return
            self.coordinate(to).wait("ended", timeout_s=90)
        said = [actor.said() for actor in self.others if "coordinate" in actor.name][-1]
        raise AssertionError(f"six runs did not lead to {to}: {self.standing()}\n{said}")

    def writers_go_on(self, within_s: float = GOES_ON_S) -> None:
        """Wait until each writer has had two more operations acknowledged."""
        before = {writer.name: self._acknowledged(writer) for writer in self.writers}
        for writer in self.writers:
            self.until(
                lambda writer=writer: self._acknowledged(writer) >= before[writer.name] + 2,
                f"{writer.name} to go on",
                within_s=within_s,
            )

    def stop_writers(self) -> None:
        """Ask the writers to end; their ledgers stay."""
        for writer in self.writers:
            writer.end()
        self.writers.clear()

    def read_ledgers(self) -> list[list[Operation]]:
        """All writers' ledgers."""
        return [read_ledger(path) for path in sorted(self.ledgers.glob("*.jsonl"))]

    def errors(self) -> list[str]:
        """What any writer got instead of an acknowledgement."""
        return [operation.error for ledger in self.read_ledgers() for operation in ledger if operation.error]

    def check(self, phase: str | None = None, *, beginning: int = BEGINNING) -> None:
        """Stop the writers, and hold everything against what must be true; both sides are made equal for that."""
        self.stop_writers()
        standing = self.standing()
        found = oracle.check_authority(standing)
        assert phase is None or found == phase, f"the phase is {found}, not {phase}: {standing}"
        if found != "sqlite":
            self.align()
        source = oracle.read_source_rows(self.database)
        if found == "sqlite":
            oracle.check_ledgers(source, self.read_ledgers(), beginning)
            return
        target = oracle.read_target_rows(self.dsn)
        oracle.check_ledgers(target if found == "postgres" else source, self.read_ledgers(), beginning)
        oracle.check_equal(source, target)

    def begin_again(self) -> None:
        """Take away what was written since the beginning, by the application's own means; after `check`."""
        self.spawn("clear", database=self.database).succeeds(timeout_s=30)
        for path in self.ledgers.iterdir():
            path.unlink()
        self.others = [actor for actor in self.others if actor.state != "ended"]

    def align(self) -> None:
        """Relay until both sides are equal."""
        self.spawn("relay", database=self.database, until_aligned=True).succeeds(timeout_s=60)

    def until(self, holds: Any, what: str, within_s: float = 20.0) -> None:  # noqa: ANN401 - a function without arguments
        """Wait for something."""
        deadline = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {within_s} s for {what}; {self._story()}")
            self.spawner.pump(0.02)

    def close(self) -> None:
        """Kill every process of the scene."""
        for actor in [*self.writers, *self.others]:
            if actor.state != "ended":
                actor.kill()

    def _acknowledged(self, writer: Actor) -> int:
        assert writer.state != "ended" or writer.code == 0, f"{writer.name} ended: {writer.said()}"
        return sum(operation.acknowledged for operation in read_ledger(self.ledgers / f"{writer.name}.jsonl"))

    def _story(self) -> str:
        said = [f"--- {actor.name} is {actor.state}\n{actor.said()}" for actor in [*self.writers, *self.others]]
        return "\n".join([f"errors: {self.errors()[-5:]}", *said])
