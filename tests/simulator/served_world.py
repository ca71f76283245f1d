"""A world served in a thread of its own, for tests whose clients block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import requests

from whalestack.clock import Clock, ManualClock
from whalestack.config import Settings
from whalestack.simulator.market.synthetic import open_synthetic
from whalestack.simulator.server import serve
from whalestack.simulator.world import World, build_world

START_MS = 1_760_875_200_000
KEY = "test-coinglass-key"
Result = TypeVar("Result")


@dataclass
class Served:
    """A running simulator."""

    world: World
    url: str
    loop: asyncio.AbstractEventLoop

    def inside(self, act: Callable[[], Result]) -> Result:
        """Do something in the server's own thread, where its state lives."""

        async def acting() -> Result:
            return act()

        return asyncio.run_coroutine_threadsafe(acting(), self.loop).result(20)

    def get(self, path: str, **params: Any) -> requests.Response:
        """A GET with CoinGlass's key."""
        return requests.get(f"{self.url}{path}", params=params, headers={"CG-API-KEY": KEY}, timeout=20)

    def post(self, path: str, body: Any) -> requests.Response:
        """A POST of JSON."""
        return requests.post(f"{self.url}{path}", json=body, timeout=20)


def small_world(settings: Settings, *, coins: int = 8, clock: Clock | None = None, **changes: Any) -> World:
    """A synthetic world of a few coins that stands still unless its clock is moved."""
    wanted = {"coinglass_api_key": KEY, "simulator_warm_maps": False, **changes}
    full = Settings(_env_file=None, **{**settings.model_dump(), **wanted})
    clock = clock or ManualClock(START_MS)
    return build_world(full, clock, open_synthetic(coins, start_ms=clock.now_ms(), seed=5))


@contextmanager
def served(world: World) -> Iterator[Served]:
    """Serve a world until the block ends."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    urls: list[str] = []

    def note(url: str) -> None:
        urls.append(url)
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(world, "127.0.0.1", 0, stop=stop, ready=note))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(20), "the simulator did not start"
    try:
        yield Served(world, urls[0], loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
