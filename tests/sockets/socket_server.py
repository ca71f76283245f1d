"""A WebSocket server in a thread that speaks as much Bybit as a test wants, and misbehaves on request."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from aiohttp import WSMsgType, web


class SocketServer:
    """Serves both Bybit paths and the CoinGlass one.

    `is_mute` makes it swallow everything it should say; `unknown` are topics that it refuses.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.heard: list[Any] = []
        self.topics: list[str] = []
        self.is_mute = False
        self.refuses_sign_in = False
        self.unknown: set[str] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopped: asyncio.Event | None = None
        self.port = 0
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._serve()), daemon=True
        )
        self._thread.start()
        assert self._ready.wait(5)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def say(self, message: Any) -> None:
        """Send a message to every open socket: text as it is, anything else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self._inside(self._say_all(text))

    def drop(self) -> None:
        """Close every socket."""
        self._inside(self._close_all())

    def cut(self) -> None:
        """Break every connection without a word."""

        async def cutting() -> None:
            for socket in self._sockets:
                transport = socket._req.transport  # the public API cannot break a connection
                transport.abort()

        self._inside(cutting())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(5)
        self._loop.close()

    def _inside(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        app = web.Application()
        for path in ("/v5/public/linear", "/v5/private", "/ws-api"):
            app.router.add_get(path, self._talk)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        await self._close_all()
        await runner.cleanup()

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=not self.is_mute)
        await socket.prepare(request)
        self.opened += 1
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and not self.is_mute:
                    await self._answer(socket, message.data)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, text: str) -> None:
        if text == "ping":
            await socket.send_str("pong")
            return
        message = json.loads(text)
        self.heard.append(message)
        op, request_id = message.get("op"), message.get("req_id", "")
        if op == "ping":
            await socket.send_json({"success": True, "ret_msg": "pong", "op": "ping", "req_id": ""})
        elif op == "auth":
            await socket.send_json({"success": not self.refuses_sign_in, "ret_msg": "", "op": "auth"})
        elif op == "subscribe":
            refused = self.unknown & set(message["args"])
            if not refused:
                self.topics.extend(message["args"])
            answer = {"success": not refused, "ret_msg": str(refused or ""), "req_id": request_id, "op": op}
            await socket.send_json(answer)

    async def _say_all(self, text: str) -> None:
        if not self.is_mute:
            for socket in tuple(self._sockets):
                await socket.send_str(text)

    async def _close_all(self) -> None:
        for socket in tuple(self._sockets):
            await socket.close()
