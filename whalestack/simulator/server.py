"""The simulator as a process: every API on one port, one event loop.

Every `time`, `ts` and `createdTime` in an answer is market time. Two things are real
time because they concern the clients and not the market: the window in which a signed
request is taken, with `/v5/market/time` that measures it, and all rate limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from aiohttp import web

from whalestack.config import Settings
from whalestack.simulator import (
    bybit_rest,
    bybit_ws,
    coinglass_api,
    coinglass_ws,
    control_api,
    telegram_api,
    x_api,
)
from whalestack.simulator.fault_middleware import fault_middleware
from whalestack.simulator.market.build import first_moment
from whalestack.simulator.warm_maps import warm_maps
from whalestack.simulator.world import World, build_world

log = structlog.get_logger()

_APIS = (control_api, coinglass_api, coinglass_ws, bybit_rest, bybit_ws, telegram_api, x_api)
_MAX_BODY_BYTES = 12_000_000


_LOOP = web.AppKey("world_loop", asyncio.Task[None])


def build_app(world: World) -> web.Application:
    """All APIs of a world. The world's loop runs while the application does."""
    app = web.Application(middlewares=[fault_middleware(world.faults)], client_max_size=_MAX_BODY_BYTES)
    for api in _APIS:
        app.add_routes(api.routes(world))

    async def run_world(_app: web.Application) -> AsyncIterator[None]:
        app[_LOOP] = asyncio.create_task(world.run())
        warming = asyncio.create_task(warm_maps(world))
        warming.add_done_callback(_tell_cold)
        yield
        for task in (app[_LOOP], warming):
            task.cancel()
        await asyncio.gather(app[_LOOP], warming, return_exceptions=True)

    app.cleanup_ctx.append(run_world)
    return app


def _tell_cold(task: asyncio.Task[None]) -> None:
    """Maps that could not be made beforehand are tried again when asked for, and fail there by name."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("simulator_maps_not_warmed", why=repr(task.exception()))


def with_clock_in_market(settings: Settings) -> Settings:
    """Settings whose clock stands inside a market of the past that nobody has set the clock for.

    The market then begins now at its `first_moment`. Other processes must be given the
    same origins; they are logged.
    """
    start_ms = None if settings.clock_market_origin_ms else first_moment(settings)
    if start_ms is None:
        return settings
    now_ms = time.time_ns() // 1_000_000
    log.info("simulator_clock", clock_real_origin_ms=now_ms, clock_market_origin_ms=start_ms)
    return settings.model_copy(update={"clock_real_origin_ms": now_ms, "clock_market_origin_ms": start_ms})


async def serve(
    world: World, host: str, port: int, *, stop: asyncio.Event, ready: Callable[[str], None] | None = None
) -> None:
    """Serve until `stop` is set.

    Args:
        world: what is served.
        host, port: where; port 0 takes a free one.
        stop: ends it.
        ready: called once with the base URL.

    Raises:
        OSError: the port is taken.
        Exception: whatever broke the world's loop: a market that stands still is worse than none.
    """
    app = build_app(world)
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=0.3, keepalive_timeout=600.0
    )
    await runner.setup()
    try:
        listening = socket.create_server((host, port), reuse_port=False, backlog=1024)
        await web.SockSite(runner, listening).start()
        url = f"http://{host}:{listening.getsockname()[1]}"
        log.info(
            "simulator_ready", url=url, coins=len(world.market.symbols), speed=world.settings.clock_speed
        )
        if ready is not None:
            ready(url)
        await _first_of(stop, app[_LOOP])
    finally:
        await runner.cleanup()


async def _first_of(stop: asyncio.Event, loop_task: asyncio.Task[None]) -> None:
    """Wait for the wish to stop; raise what ended the world's loop if that comes first."""
    stopping = asyncio.ensure_future(stop.wait())
    waiting: set[asyncio.Future[Any]] = {stopping, loop_task}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if loop_task.done():
        loop_task.result()


def run(settings: Settings, host: str = "127.0.0.1", port: int = 0) -> None:
    """Run the simulator until SIGINT or SIGTERM.

    Raises:
        StopAndTell: the market cannot be opened.
        OSError: the port is taken.
    """
    asyncio.run(_run(with_clock_in_market(settings), host, port))


async def _run(settings: Settings, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(number, stop.set)
    await serve(build_world(settings), host, port, stop=stop)
