"""Frames on their way to one socket: faults applied, order kept, a slow reader bounded."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from aiohttp import web

from whalestack.simulator.faults import Faults, SocketDropped

_MOST_WAITING = 20_000


class SocketQueue:
    """Sends frames of one socket in a task of its own, so that nobody waits for a reader.

    Args:
        socket: an open WebSocket.
        faults: applied to every frame.
        endpoint: as rules name it, for example ``WS /ws-api``.
        transport: of its request, to break it without a handshake.
        counts: how many frames each endpoint has sent, counted on here.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        faults: Faults,
        endpoint: str,
        transport: asyncio.Transport | None,
        counts: Counter[str] | None = None,
    ) -> None:
        self._socket, self._transport = socket, transport
        self._faults, self._endpoint = faults, endpoint
        self._counts: Counter[str] = Counter() if counts is None else counts
        self._waiting: deque[str] = deque(maxlen=_MOST_WAITING)
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._send())

    def put(self, text: str) -> None:
        """Send a frame soon. A fault that drops the socket breaks it here."""
        try:
            frames = self._faults.frames(self, self._endpoint, text)
        except SocketDropped:
            self.drop()
            return
        self._counts[self._endpoint] += len(frames)
        self._waiting.extend(frames)
        self._wake.set()

    def drop(self) -> None:
        """Break the connection without a closing handshake."""
        self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                try:
                    await self._socket.send_str(self._waiting.popleft())
                except (ConnectionError, RuntimeError):
                    return

    async def close(self) -> None:
        """Stop sending and forget what a fault holds back."""
        self._task.cancel()
        self._faults.forget(self)
