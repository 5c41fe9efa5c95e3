"""A way to PostgreSQL that takes its time: what either side sends arrives in order, and so much later."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

from tests.interleavings.proxy import server_of, through

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def distant(dsn: str, one_way_s: float) -> Iterator[str]:
    """The DSN of the same server at a distance."""
    host, port = server_of(dsn)
    loop = asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            server_reader, server_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            server_reader, server_writer = await asyncio.open_connection(host, port)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):  # either end has gone, or all is over
                await asyncio.gather(_carry(reader, server_writer, one_way_s), _carry(server_reader, writer, one_way_s))
        finally:
            for line in (writer, server_writer):  # a cancelled part has closed neither
                line.transport.abort()

    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(connected, "127.0.0.1", 0), loop).result(10)
    try:
        yield through(dsn, server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way_s: float) -> None:
    """Hand on what comes, each part after its time; parts that follow are on their way meanwhile."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, part = await under_way.get()
            await asyncio.sleep(due - loop.time())
            if not part:
                writer.close()
                return
            writer.write(part)
            await writer.drain()

    arriving = loop.create_task(arrive())
    part = b"begin"
    while part:
        try:
            part = await reader.read(1 << 16)
        except ConnectionError:
            part = b""
        under_way.put_nowait((loop.time() + one_way_s, part))
    await arriving


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # the sockets of lines that were given up are closed in the loop's next turn
