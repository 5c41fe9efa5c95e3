"""A command that leads no phase is killed at a statement, writers writing; run again, it ends what it began."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.interleavings import oracle
from tests.interleavings.scene import Scene
from tests.interleavings.strike import KILL, counting, sample, sweep
from tests.interleavings.workload import BEGINNING, make_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interleavings.faults import Fault
    from tests.interleavings.spawner import Actor

ODD = 12345.25
"""A value that nobody writes but these tests, past a fence."""
ROUNDS = 6
"""So often a command may have to be run again, with writers beside it."""


def command(scene: Scene, *arguments: str, fault: Fault | None = None) -> Actor:
    """Run a command to its end."""
    actor = scene.spawn("command", fault=fault, arguments=list(arguments))
    actor.wait("ended", timeout_s=60)
    return actor


def is_killed(scene: Scene, actor: Actor, fault: Fault) -> bool:
    """Whether it was struck, and did not come to its end."""
    print(f"{fault.text}: {scene.points(actor)}")
    return actor.code == -signal.SIGKILL


def succeed(scene: Scene, *arguments: str) -> None:
    """Run a command again until it succeeds."""
    for _ in range(ROUNDS):
        actor = command(scene, *arguments)
        if actor.code == 0:
            return
    raise AssertionError(f"{arguments[0]} did not succeed: {actor.said()}")


def initialise(scene: Scene, fault: Fault) -> bool:
    """Prepare another pair, be killed, and prepare it again; whether it was."""
    with psycopg.connect(scene.dsn, autocommit=True) as target:
        target.execute("DROP SCHEMA IF EXISTS dualdb, sqlite CASCADE")
        target.execute("DROP SCHEMA public CASCADE")
        target.execute("CREATE SCHEMA public")
    fresh = Scene(Path(mkdtemp(dir=scene.folder)), scene.dsn, scene.spawner)
    fresh.ledgers.mkdir()
    make_database(fresh.database, 20)
    fresh.start_writers()
    fresh.writers_go_on()
    arguments = ("init", fresh.database, "--target", scene.dsn)
    actor = command(fresh, *arguments, fault=fault)
    struck = is_killed(fresh, actor, fault)
    fresh.writers_go_on()
    again = command(fresh, *arguments)
    assert again.code == 0 or "already prepared and in phase sqlite" in again.said(), again.said()
    fresh.lead("dual_write")
    fresh.writers_go_on()
    fresh.check("dual_write", beginning=20)
    fresh.close()
    scene.others.append(actor)
    return struck


def copy_anew(scene: Scene, phase: str, fault: Fault) -> bool:
    """Begin to copy the follower anew, be killed, and do it again; whether it was."""
    scene.lead(phase)
    scene.start_writers()
    actor = command(scene, "recopy", scene.database, fault=fault)
    scene.writers_go_on()
    succeed(scene, "recopy", scene.database)
    scene.writers_go_on()
    oracle.check_never_two(scene.standing())
    scene.check(phase)
    return is_killed(scene, actor, fault)


def repair(scene: Scene, phase: str, fault: Fault) -> bool:
    """Repair a row that somebody changed past the fence, be killed, and do it again; whether it was."""
    scene.lead(phase)
    scene.align()
    number = fault.number % 200
    (falsify_target if phase == "dual_write" else falsify_source)(scene, number)
    scene.start_writers()
    arguments = ("verify", scene.database, "--full", "--repair")
    actor = command(scene, *arguments, fault=fault)
    scene.writers_go_on()
    succeed(scene, *arguments)
    scene.writers_go_on()
    scene.check(phase)
    kept = "".join(path.read_text("ascii") for path in scene.folder.glob("*-repaired-*.jsonl"))
    assert f'"number": {{"integer": {number}}}' in kept, kept
    return is_killed(scene, actor, fault)


def falsify_target(scene: Scene, number: int) -> None:
    """Change a row of PostgreSQL's while it follows."""
    with psycopg.connect(scene.dsn) as target:
        target.execute("SET LOCAL dualdb.applying = 'on'")
        target.execute(f"UPDATE entry SET value = {ODD} WHERE writer = '{BEGINNING}' AND number = {number}".encode())


def falsify_source(scene: Scene, number: int) -> None:
    """Change a row of the file's while it follows, its fence taken away for that moment."""
    with closing(sqlite3.connect(scene.database)) as source, source:
        found = source.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entry'")
        fence = found.fetchall()
        for name, _ in fence:
            source.execute(f'DROP TRIGGER "{name}"')
        source.execute("UPDATE entry SET value = ? WHERE writer = ? AND number = ?", (ODD, BEGINNING, number))
        for _, text in fence:
            source.execute(text)


COMMANDS: dict[str, Callable[[Scene, Fault], bool]] = {
    "init": initialise,
    "recopy of PostgreSQL": partial(copy_anew, phase="dual_write"),
    "recopy of the file": partial(copy_anew, phase="postgres"),
    "repair of PostgreSQL": partial(repair, phase="dual_write"),
    "repair of the file": partial(repair, phase="postgres"),
}
each_command = pytest.mark.parametrize("name", COMMANDS)


def run(scene: Scene, name: str, fault: Fault) -> bool:
    """One round."""
    return COMMANDS[name](scene, fault=fault)  # type: ignore[call-arg]


@each_command
def test_a_command_killed_at_any_statement_is_finished_by_running_it_again(scene: Scene, name: str) -> None:
    assert not run(scene, name, counting())
    point = next(filter(None, (scene.points(actor) for actor in scene.others if "command" in actor.name)))
    assert sum(run(scene, name, fault) for fault in sample(KILL, point.number, 2, name)) > 0


@pytest.mark.soak
@each_command
@pytest.mark.parametrize("sent", [False, True], ids=["after it was answered", "before it is sent"])
def test_a_command_killed_at_every_statement_is_finished_by_running_it_again(
    scene: Scene, name: str, sent: bool
) -> None:
    number = sweep(scene, KILL, before=sent, strike=lambda fault: run(scene, name, fault))
    print(f"{name} killed: unkilled at n = {number}")
    assert number > 5
