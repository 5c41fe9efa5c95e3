"""A proxy before PostgreSQL that reads the protocol and cuts a connection at a chosen message, once.

The message formats are those of https://www.postgresql.org/docs/current/protocol-message-formats.html; connections come
without TLS and GSSAPI. One cut per proxy: whoever connects afterwards is served as if nothing had been there.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BEFORE_COMMIT = "before the commit is forwarded"
AFTER_COMMIT = "after the commit is forwarded, at once"
BEFORE_ANSWER = "after the commit was done, before its answer is forwarded"
AFTER_COMPLETE = "after a statement's answer was forwarded"
CUTS = (BEFORE_COMMIT, AFTER_COMMIT, BEFORE_ANSWER, AFTER_COMPLETE)

_COMMIT = re.compile(rb"(?:.*;)?\s*COMMIT\b", re.IGNORECASE | re.DOTALL)
_START_OF_SESSION = 3 << 16
_LENGTH = 4


@dataclass(slots=True)
class Cut:
    """Where the proxy cuts: at the n-th event of a kind among all connections whose application name matches."""

    kind: str
    number: int
    application: str
    seen: int = 0
    done: bool = False

    def now(self, kind: str, application: str) -> bool:
        """Count an event; whether to cut here."""
        if self.done or kind != self.kind or not application.startswith(self.application):
            return False
        self.seen += 1
        self.done = self.seen == self.number
        return self.done


class _CutHereError(Exception):
    """Ends a connection."""


@dataclass(slots=True)
class _Session:
    """One connection through the proxy."""

    cut: Cut
    note: Callable[[str], None]
    application: str = ""
    committing: bool = False
    commits: set[bytes] = field(default_factory=set)
    """The names of prepared statements that are a COMMIT."""

    def from_client(self, kind: bytes, body: bytes) -> bool:
        """Whether to cut instead of forwarding; remembers a COMMIT."""
        if kind == b"":
            self.application = _application_of(body)
        elif kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self.commits.discard(name)
            if _COMMIT.match(text):
                self.commits.add(name)
        elif (kind == b"Q" and _COMMIT.match(body)) or (kind == b"B" and body.split(b"\0", 2)[1] in self.commits):
            self.committing = True
            return self._cuts(BEFORE_COMMIT, body)
        return False

    def forwarded_to_server(self, kind: bytes) -> bool:
        """Whether to cut now that the message is on its way; Query and Sync are what makes the server act."""
        return self.committing and kind in {b"Q", b"S"} and self._cuts(AFTER_COMMIT, b"")

    def from_server(self, kind: bytes, body: bytes) -> bool:
        """Whether to cut instead of forwarding."""
        if kind == b"C" and body.startswith(b"COMMIT") and self.committing:
            self.committing = False
            return self._cuts(BEFORE_ANSWER, body)
        return False

    def forwarded_to_client(self, kind: bytes, body: bytes) -> bool:
        """Whether to cut now that the answer is on its way."""
        return kind == b"C" and self._cuts(AFTER_COMPLETE, body)

    def _cuts(self, kind: str, body: bytes) -> bool:
        cuts = self.cut.now(kind, self.application)
        if cuts:
            self.note(f"cut {self.application!r} {kind}: {body[:80]!r}")
        return cuts


def server_of(dsn: str) -> tuple[str, int]:
    """Where the server listens: its host or the folder of its socket, and its port."""
    parts = conninfo_to_dict(dsn)
    return str(parts["host"]), int(str(parts.get("port") or 5432))


def through(dsn: str, port: int) -> str:
    """The DSN of the same server through a proxy that listens on that port here."""
    parts = conninfo_to_dict(dsn)
    passfile = parts.pop("passfile", None)  # its entry is for the socket
    if passfile:
        parts["password"] = Path(str(passfile)).read_text(encoding="ascii").strip().rpartition(":")[2]
    parts.update(host="127.0.0.1", port=str(port), sslmode="disable", gssencmode="disable")
    return make_conninfo("", **{name: str(value) for name, value in parts.items()})


def serve(*, upstream: str, port: int, port_file: str, kind: str, number: int, application: str) -> None:
    """Serve until killed. `upstream` is a folder of a Unix socket or a host name; the port goes into the file."""
    asyncio.run(_serve(upstream, port, port_file, Cut(kind, number, application)))


async def _serve(upstream: str, port: int, port_file: str, cut: Cut) -> None:
    def note(text: str) -> None:
        print(text, flush=True)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(cut, note)
        if upstream.startswith("/"):
            server_reader, server_writer = await asyncio.open_unix_connection(f"{upstream}/.s.PGSQL.{port}")
        else:
            server_reader, server_writer = await asyncio.open_connection(upstream, port)
        ways = (_to_server(session, reader, server_writer), _to_client(session, server_reader, writer))
        _, waiting = await asyncio.wait([asyncio.ensure_future(way) for way in ways], return_when="FIRST_COMPLETED")
        for way in waiting:
            way.cancel()
        for stream in (writer, server_writer):
            stream.transport.abort() if cut.done else stream.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    fresh = f"{port_file}.new"
    with open(fresh, "w", encoding="ascii") as file:  # noqa: ASYNC230 - once, before anything is served
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(fresh, port_file)
    await server.serve_forever()


async def _to_server(session: _Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for kind, body in _messages(reader, first=True):
        if session.from_client(kind, body):
            return
        await _forward(writer, kind, body)
        if session.forwarded_to_server(kind):
            return


async def _to_client(session: _Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for kind, body in _messages(reader, first=False):
        if session.from_server(kind, body):
            return
        await _forward(writer, kind, body)
        if session.forwarded_to_client(kind, body):
            return


async def _forward(writer: asyncio.StreamWriter, kind: bytes, body: bytes) -> None:
    writer.write(kind + (len(body) + _LENGTH).to_bytes(_LENGTH) + body)
    await writer.drain()


async def _messages(reader: asyncio.StreamReader, *, first: bool) -> AsyncIterator[tuple[bytes, bytes]]:
    """The messages of one direction: kind and body. The client's first one has no kind."""
    try:
        while True:
            kind = b"" if first else await reader.readexactly(1)
            first = False
            length = int.from_bytes(await reader.readexactly(_LENGTH))
            yield kind, await reader.readexactly(length - _LENGTH)
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def _application_of(body: bytes) -> str:
    if int.from_bytes(body[:_LENGTH]) != _START_OF_SESSION:
        return ""
    words = body[_LENGTH:].split(b"\0")
    settings = dict(zip(words[::2], words[1::2], strict=False))
    return settings.get(b"application_name", b"").decode("utf-8", "replace")
