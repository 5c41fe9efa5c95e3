"""A way to PostgreSQL that takes its time: what either side sends arrives in order, and so much later."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def distant(dsn: str, one_way_s: float) -> Iterator[str]:
    """The DSN of the same server at a distance."""
    parts = conninfo_to_dict(dsn)
    host, port = str(parts["host"]), int(str(parts.get("port") or 5432))
    listening, ports = Event(), list[int]()
    loop = asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            server_reader, server_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            server_reader, server_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(
            _carry(reader, server_writer, one_way_s), _carry(server_reader, writer, one_way_s), return_exceptions=True
        )

    async def serve() -> None:
        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            listening.set()
            with suppress(asyncio.CancelledError):
                await server.serve_forever()

    serving = loop.create_task(serve())
    thread = Thread(target=lambda: loop.run_until_complete(serving), daemon=True)
    thread.start()
    assert listening.wait(10)
    passfile = parts.pop("passfile", None)
    if passfile:
        parts["password"] = Path(str(passfile)).read_text(encoding="ascii").strip().rpartition(":")[2]
    parts.update(host="127.0.0.1", port=str(ports[0]), sslmode="disable", gssencmode="disable")
    try:
        yield make_conninfo("", **{name: str(value) for name, value in parts.items()})
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join(10)
        loop.run_until_complete(_end_all())
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


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
