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
from functools import lru_cache
from typing import TYPE_CHECKING

from psycopg.adapt import Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg.types.string import StrBinaryDumper, StrDumper

from dualdb.stores.target_address import VARIABLE
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

    def discard(self) -> None:
        """Close it, unless it belongs to the process that we were forked from."""
        if self.process == os.getpid():
            self.connection.close()


class Pool:
    """Idle connections to one target, the one used last on top."""

    def __init__(self, pairing: Pairing, database: str) -> None:
        self.pairing = pairing
        self._database = database
        self._idle: deque[tuple[float, Borrowed]] = deque()

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
        connection = connect_paired(self.pairing, self._database, purpose="dualdb")
        # One type for each of SQLite's storage classes: a statement is then prepared once, whatever its values.
        for kind, dumpers in ((int, (Int8Dumper, Int8BinaryDumper)), (str, (StrDumper, StrBinaryDumper))):
            for dumper in dumpers:
                connection.adapters.register_dumper(kind, dumper)
        connection.adapters.register_loader("bool", _BoolAsInteger)
        connection.adapters.register_loader("bool", _BoolAsIntegerBinary)
        return Borrowed(connection)

    def prove(self, borrowed: Borrowed) -> None:
        """Raise LineageError when this is not the authority that the file takes it for: one that lay idle was proven
        long ago.
        """
        prove_again(borrowed.connection, self.pairing, self._database)

    def give_back(self, borrowed: Borrowed) -> None:
        """Take a connection that is in no transaction; any other is closed."""
        connection = borrowed.connection
        if (
            borrowed.process == os.getpid()
            and not connection.closed
            and connection.info.transaction_status is TransactionStatus.IDLE
            and len(self._idle) < IDLE_AT_MOST
        ):
            self._idle.append((time.monotonic(), borrowed))
        else:
            borrowed.discard()

    def forget(self) -> None:
        """Close what lies idle: the server was restarted, or the schema has changed under its prepared statements."""
        while self._idle:
            try:
                self._idle.pop()[1].discard()
            except IndexError:
                return


def pool_for(pairing: Pairing, database: str) -> Pool:
    """This process's pool for the target of a database file."""
    pool = _pool(pairing.in_any_state(), os.environ.get(VARIABLE), database, os.getpid())
    pool.pairing = max(pool.pairing, pairing, key=lambda known: known.epoch)  # another thread may know more
    return pool


@lru_cache(maxsize=64)
def _pool(pairing: Pairing, _override: str | None, database: str, _process: int) -> Pool:
    pool = Pool(pairing, database)
    atexit.register(pool.forget)
    return pool


class _BoolAsInteger(Loader):
    """SQLite has no booleans: a comparison is 0 or 1."""

    format = Format.TEXT

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


class _BoolAsIntegerBinary(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return int(bytes(data) != b"\0")
