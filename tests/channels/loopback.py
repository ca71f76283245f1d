"""The simulated Telegram and X on a free port, in a thread, with faults on demand."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum

from aiohttp import web

from whalestack.simulator import telegram_api, x_api
from whalestack.simulator.oauth1 import OAuthKeys
from whalestack.simulator.telegram_server import TelegramLimits, TelegramServer
from whalestack.simulator.x_server import XLimits, XServer

TOKEN = "1000:test-token"
CHAT = "4711"
GROUP = "-100200300"
KEYS = OAuthKeys("app", "app-secret", "account", "account-secret")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(Enum):
    """What happens to one request."""

    HANG_BEFORE = "nothing done, never answered"
    HANG_AFTER = "done, never answered"
    ERROR_AFTER = "done, answered with 500"
    GARBLED = "done, answered with half a body"
    DROP_AFTER = "done, the connection is closed"
    NONE = "as usual"


class Channels:
    """Both simulated channels; `faults` are applied to the requests in their order."""

    def __init__(self, telegram_limits: TelegramLimits, x_limits: XLimits) -> None:
        self.telegram = TelegramServer(token=TOKEN, chats={CHAT, GROUP}, limits=telegram_limits)
        self.x = XServer(KEYS, x_limits)
        self.faults: deque[Fault] = deque()
        self.paths: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = self._do(self._start())

    def close(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def person_writes(self, chat_id: int, text: str) -> None:
        """A person writes to the bot; done in the server's own thread."""
        self._loop.call_soon_threadsafe(self.telegram.receive, chat_id, text)

    async def _stop(self) -> None:
        assert self._runner is not None
        self._closing.set()
        await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    def _do(self, call):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(10)

    async def _start(self) -> str:
        app = web.Application(middlewares=[self._faulty], client_max_size=20_000_000)
        app.add_routes(telegram_api.routes(self))
        app.add_routes(x_api.routes(self))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.paths.append(f"{request.method} {request.path}")
        fault = self.faults.popleft() if self.faults else Fault.NONE
        if fault is Fault.HANG_BEFORE:
            await self._closing.wait()
        response = await handler(request)
        if fault is Fault.HANG_AFTER:
            await self._closing.wait()
        if fault is Fault.DROP_AFTER and request.transport is not None:
            request.transport.abort()
        if fault is Fault.ERROR_AFTER:
            return web.json_response({"ok": False, "error_code": 500}, status=500)
        if fault is Fault.GARBLED:
            return web.Response(body=b'{"ok": tru', status=response.status, content_type="application/json")
        return response
