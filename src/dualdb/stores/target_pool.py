"""The idle connections that this process keeps to a target, so that a connection to a file costs no connect.

A connection belongs to whoever borrowed it until it is given back clean. After a fork the child begins with none: the
parent's sockets are never touched. Knows no SQL of the application's.

Not psycopg_pool: its pool works through threads of its own. A fork leaves them behind, and a program that opens a
connection, logs one row and ends would start and join them for it.
"""

from __future__ import annotations

import atexit
import os
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from psycopg.adapt import Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg.types.string import StrBinaryDumper, StrDumper

from dualdb.stores.target_pairing import connect_paired, prove_again

if TYPE_CHECKING:
    from psycopg.abc import Buffer

    from dualdb.stores.target_connection import Target
    from dualdb.stores.target_pairing import Pairing

IDLE_AT_MOST = 8
"""Connections kept while nobody uses them; more than these at once are opened and closed."""
IDLE_S = 120.0
"""How long one is kept."""


class Borrowed:
    """A connection and what is known of it."""

    __slots__ = ("backend", "connection", "lock_timeout_ms", "process")

    def __init__(self, connection: Target) -> None:
        self.connection = connection
        self.backend = connection.info.backend_pid
        self.lock_timeout_ms = 0
        """As set in its session; 0: the server's own."""
        self.process = os.getpid()

    @property
    def ours(self) -> bool:
        """Whether it does not belong to the process that we were forked from."""
        return self.process == os.getpid()

    def discard(self) -> None:
        """Close it if it is ours."""
        if self.ours:
            self.connection.close()


class Pool:
    """Idle connections to one target, the one used last on top."""

    def __init__(self, pairing: Pairing, database: str) -> None:
        """Empty. `close` it when nobody will borrow any more; the process's end does it too."""
        self.pairing = pairing
        self._database = database
        self._idle: deque[tuple[float, Borrowed]] = deque()
        self._room = IDLE_AT_MOST
        self._process = os.getpid()
        atexit.register(self.close)

    @property
    def usable(self) -> bool:
        """Whether it is this process's: to a child its parent's connections are nothing, not even to be let go of."""
        return self._process == os.getpid()

    def learn(self, pairing: Pairing) -> None:
        """Prove connections by this state of the pair, unless a later one is known."""
        self.pairing = max(self.pairing, pairing, key=lambda known: known.epoch)

    def borrow(self) -> Borrowed:
        """An idle connection, or a new one. Raises TargetError."""
        while True:
            try:
                since, borrowed = self._idle.pop()
            except IndexError:
                break
            if time.monotonic() - since < IDLE_S and not borrowed.connection.closed:
                return borrowed
            borrowed.discard()
        return self.connect()

    def connect(self) -> Borrowed:
        """A new connection, whatever lies idle. Raises TargetError, LineageError."""
        connection = self._connect()
        # One type for each of SQLite's storage classes: a statement is then prepared once, whatever its values.
        for kind, dumpers in ((int, (Int8Dumper, Int8BinaryDumper)), (str, (StrDumper, StrBinaryDumper))):
            for dumper in dumpers:
                connection.adapters.register_dumper(kind, dumper)
        connection.adapters.register_loader("bool", _BoolAsInteger)
        connection.adapters.register_loader("bool", _BoolAsIntegerBinary)
        return Borrowed(connection)

    def _connect(self) -> Target:
        return connect_paired(self.pairing, self._database, purpose="dualdb")

    def prove(self, borrowed: Borrowed) -> None:
        """Raise LineageError when this is not the authority that the file takes it for: one that lay idle was proven
        long ago.
        """
        prove_again(borrowed.connection, self.pairing, self._database)

    def give_back(self, borrowed: Borrowed) -> None:
        """Take a connection that is in no transaction; any other is closed."""
        connection = borrowed.connection
        if (
            borrowed.ours
            and not connection.closed
            and connection.info.transaction_status is TransactionStatus.IDLE
            and len(self._idle) < self._room
        ):
            now = time.monotonic()
            self._idle.append((now, borrowed))
            with suppress(IndexError):  # another thread has borrowed it
                while now - self._idle[0][0] > IDLE_S:
                    self._idle.popleft()[1].discard()
        else:
            borrowed.discard()

    def close(self) -> bool:
        """Close what lies idle, and from now on whatever is given back."""
        self._room = 0
        self.forget()
        atexit.unregister(self.close)
        return True

    def forget(self) -> None:
        """Close what lies idle: the server was restarted, or the schema has changed under its prepared statements."""
        while self._idle and self.usable:
            try:
                self._idle.pop()[1].discard()
            except IndexError:
                return


class _BoolAsInteger(Loader):
    """SQLite has no booleans: a comparison is 0 or 1."""

    format = Format.TEXT

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


class _BoolAsIntegerBinary(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return int(bytes(data) != b"\0")
