"""A network link that can be cut: a forwarder that falls silent and keeps every connection open.

As when a cable is pulled or a virtual machine's network hangs: nobody is told. What was sent before
the cut and had not arrived is held back and arrives when the link is mended, as TCP would send it
again; who has given up meanwhile is found gone. A new connection is taken and hears nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK = 65_536
Address = tuple[str, int] | Path


class Links:
    """Forwarders on one event loop in a thread of its own, cut and mended together.

    Args:
        targets: (where to listen, where to forward to); a path is a Unix socket, port 0 a free port.
    """

    def __init__(self, targets: Sequence[tuple[Address, Address]]) -> None:
        self._targets = targets
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._whole = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.ports: list[int] = []

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """From now on nothing passes."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Let everything pass, first what was held back."""
        self._loop.call_soon_threadsafe(self._whole.set)

    async def _start(self) -> None:
        self._whole.set()
        for listen, target in self._targets:
            self._servers.append(await self._listen(listen, target))
        self.ports = [_port(server) for server in self._servers]

    async def _listen(self, listen: Address, target: Address) -> asyncio.Server:
        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            # The only one who cancels is `_stop`, and asyncio's server would report it as an error.
            with contextlib.suppress(asyncio.CancelledError):
                await self._forward(reader, writer, target)
            self._tasks.discard(task)

        if isinstance(listen, Path):
            return await asyncio.start_unix_server(forward, listen)
        return await asyncio.start_server(forward, *listen)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Address
    ) -> None:
        await self._whole.wait()
        opened = (
            asyncio.open_unix_connection(target)
            if isinstance(target, Path)
            else asyncio.open_connection(*target)
        )
        try:
            there_reader, there_writer = await opened
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there_writer))
                both.create_task(self._pump(there_reader, writer))
        finally:
            writer.close()
            there_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its sender closes it. That an end closed is news, too: it waits."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(CHUNK):
                await self._whole.wait()
                writer.write(piece)
                await writer.drain()
            await self._whole.wait()
            if writer.can_write_eof():
                writer.write_eof()
            return
        await self._whole.wait()
        writer.close()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _port(server: asyncio.Server) -> int:
    name = server.sockets[0].getsockname()
    return int(name[1]) if isinstance(name, tuple) else 0
