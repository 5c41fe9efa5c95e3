"""sqlite3's transaction rules, as they are kept on PostgreSQL: state and event in, action and next state out.

Pure tables and a stack of savepoints; `driver.remote` carries the actions out. The rules are those of
sqlite.org/lang_transaction.html, lang_savepoint.html and of CPython's Modules/_sqlite (implicit BEGIN).
"""

from __future__ import annotations

from enum import Enum

from dualdb.core.sqltext import fold


class State(Enum):
    """Where a connection's transaction stands."""

    IDLE = "idle"
    """None is open: each statement is its own."""
    BEGUN = "begun"
    """BEGIN was said, nothing was done yet: PostgreSQL has heard nothing."""
    READING = "reading"
    """It has read: a snapshot is held, the writers' lock is not."""
    WRITING = "writing"
    """It holds the writers' lock."""
    DOOMED = "doomed"
    """PostgreSQL or a fence has rolled it back; the application has yet to."""


class Event(Enum):
    """What the application's statement asks for."""

    BEGIN = "begin"
    BEGIN_LOCKED = "begin locked"
    """BEGIN IMMEDIATE or EXCLUSIVE."""
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    """RELEASE of a savepoint that did not itself open the transaction; of one that did it is a COMMIT."""
    ROLLBACK_TO = "rollback to"
    READ = "read"
    WRITE = "write"


class Action(Enum):
    """What is to be done on PostgreSQL."""

    NOTHING = "nothing"
    ALONE = "alone"
    """Run the statement by itself, with no lock: it only reads."""
    ALONE_LOCKED = "alone locked"
    """Lock, run and commit the statement as a transaction of its own."""
    SNAPSHOT = "snapshot"
    """Begin with a stable snapshot, then run the statement."""
    LOCK = "lock"
    """Begin with the writers' lock, then run the statement, if there is one."""
    UPGRADE = "upgrade"
    """Take the writers' lock; if somebody has committed since the snapshot, refuse as SQLite does; then run."""
    RUN = "run"
    """Run the statement under a savepoint of its own: its failure must not cost the transaction."""
    NEST = "nest"
    """Send the savepoint statement along with what follows."""
    COMMIT = "commit"
    ROLLBACK = "rollback"


TRANSITIONS: dict[tuple[State, Event], tuple[Action, State]] = {
    # A missing pair is an error of the application's, see REFUSALS.
    (State.IDLE, Event.BEGIN): (Action.NOTHING, State.BEGUN),
    (State.IDLE, Event.BEGIN_LOCKED): (Action.LOCK, State.WRITING),
    (State.IDLE, Event.SAVEPOINT): (Action.NOTHING, State.BEGUN),
    (State.IDLE, Event.READ): (Action.ALONE, State.IDLE),
    (State.IDLE, Event.WRITE): (Action.ALONE_LOCKED, State.IDLE),
    (State.BEGUN, Event.SAVEPOINT): (Action.NOTHING, State.BEGUN),
    (State.BEGUN, Event.RELEASE): (Action.NOTHING, State.BEGUN),
    (State.BEGUN, Event.ROLLBACK_TO): (Action.NOTHING, State.BEGUN),
    (State.BEGUN, Event.READ): (Action.SNAPSHOT, State.READING),
    (State.BEGUN, Event.WRITE): (Action.LOCK, State.WRITING),
    (State.BEGUN, Event.COMMIT): (Action.NOTHING, State.IDLE),
    (State.BEGUN, Event.ROLLBACK): (Action.NOTHING, State.IDLE),
    (State.READING, Event.SAVEPOINT): (Action.NEST, State.READING),
    (State.READING, Event.RELEASE): (Action.NEST, State.READING),
    (State.READING, Event.ROLLBACK_TO): (Action.NEST, State.READING),
    (State.READING, Event.READ): (Action.RUN, State.READING),
    (State.READING, Event.WRITE): (Action.UPGRADE, State.WRITING),
    (State.READING, Event.COMMIT): (Action.ROLLBACK, State.IDLE),
    (State.READING, Event.ROLLBACK): (Action.ROLLBACK, State.IDLE),
    (State.WRITING, Event.SAVEPOINT): (Action.NEST, State.WRITING),
    (State.WRITING, Event.RELEASE): (Action.NEST, State.WRITING),
    (State.WRITING, Event.ROLLBACK_TO): (Action.NEST, State.WRITING),
    (State.WRITING, Event.READ): (Action.RUN, State.WRITING),
    (State.WRITING, Event.WRITE): (Action.RUN, State.WRITING),
    (State.WRITING, Event.COMMIT): (Action.COMMIT, State.IDLE),
    (State.WRITING, Event.ROLLBACK): (Action.ROLLBACK, State.IDLE),
    (State.DOOMED, Event.ROLLBACK): (Action.NOTHING, State.IDLE),
}

_NESTED_BEGIN = "cannot start a transaction within a transaction"
REFUSALS: dict[tuple[State, Event], str] = {
    # SQLite's messages for the missing pairs; a missing pair here is DOOMED, whose message is the one it was doomed by.
    (State.IDLE, Event.COMMIT): "cannot commit - no transaction is active",
    (State.IDLE, Event.ROLLBACK): "cannot rollback - no transaction is active",
    (State.IDLE, Event.RELEASE): "no such savepoint: {name}",
    (State.IDLE, Event.ROLLBACK_TO): "no such savepoint: {name}",
    (State.BEGUN, Event.BEGIN): _NESTED_BEGIN,
    (State.BEGUN, Event.BEGIN_LOCKED): _NESTED_BEGIN,
    (State.READING, Event.BEGIN): _NESTED_BEGIN,
    (State.READING, Event.BEGIN_LOCKED): _NESTED_BEGIN,
    (State.WRITING, Event.BEGIN): _NESTED_BEGIN,
    (State.WRITING, Event.BEGIN_LOCKED): _NESTED_BEGIN,
}

IMPLICIT_BEGIN = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
"""First keywords before which sqlite3 begins a transaction, unless `isolation_level` is None."""


class TransactionRefusedError(Exception):
    """SQLite refuses the statement in this state; the message is SQLite's. Empty: the transaction is doomed."""


class Transaction:
    """One connection's transaction: its state and its savepoints."""

    __slots__ = ("_opened_by_savepoint", "_savepoints", "state")

    def __init__(self) -> None:
        self.state = State.IDLE
        self._savepoints: list[tuple[str, State]] = []
        self._opened_by_savepoint = False

    @property
    def depth(self) -> int:
        """How many savepoints are open."""
        return len(self._savepoints)

    @property
    def has_worked(self) -> bool:
        """Whether it has read or written, or was rolled back after it had: it cannot be begun again elsewhere."""
        return self.state not in (State.IDLE, State.BEGUN)

    def plan(self, event: Event, name: str = "") -> tuple[Action, Event]:
        """What this event asks for, as an action and the event to `take` when it is done.

        Raises TransactionRefusedError; nothing has changed then.
        """
        if event in (Event.RELEASE, Event.ROLLBACK_TO) and self.state is not State.DOOMED:
            place = self._find(name)
            if event is Event.RELEASE and place == 0 and self._opened_by_savepoint:
                event = Event.COMMIT
        found = TRANSITIONS.get((self.state, event))
        if found is None:
            raise TransactionRefusedError(REFUSALS.get((self.state, event), "").format(name=name))
        return found[0], event

    def take(self, event: Event, name: str = "") -> int:
        """Change the state; returns the place of the savepoint that the event is about, 0 for the outermost."""
        before = self.state
        place = 0
        if event is Event.SAVEPOINT:
            place = len(self._savepoints)
            self._opened_by_savepoint = self._opened_by_savepoint or before is State.IDLE
            self._savepoints.append((fold(name), before))
        elif event is Event.RELEASE:
            place = self._find(name)
            del self._savepoints[place:]
        elif event is Event.ROLLBACK_TO:
            place = self._find(name)
            del self._savepoints[place + 1 :]
        self.state = TRANSITIONS[before, event][1]
        if event is Event.ROLLBACK_TO:
            self._release_lock(place)
        if self.state is State.IDLE:
            self._savepoints.clear()
            self._opened_by_savepoint = False
        return place

    def settle(self) -> None:
        """PostgreSQL's transaction was begun at this point: a savepoint that was set before it stands in it now."""
        self._savepoints = [(name, self.state) for name, _ in self._savepoints]

    def undo(self) -> None:
        """The statement that opened PostgreSQL's transaction failed and took it along: it is only begun again."""
        self.state = State.BEGUN

    def doom(self) -> None:
        """It was rolled back underneath the application."""
        self.state = State.DOOMED

    def _find(self, name: str) -> int:
        wanted = fold(name)
        for place in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[place][0] == wanted:
                return place
        raise TransactionRefusedError(f"no such savepoint: {name}")

    def _release_lock(self, place: int) -> None:
        # PostgreSQL gives a lock back that was taken behind the savepoint; the next write takes it anew.
        name, state = self._savepoints[place]
        if state is State.READING and self.state is State.WRITING:
            self.state = State.READING
        self._savepoints[place] = (name, self.state)
