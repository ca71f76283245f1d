"""The simulator's server in a thread of its own, for clients that block: pybit, unmodified."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pybit.unified_trading import HTTP
from pydantic import SecretStr

from tests.simulator.still_market import StillMarket
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.simulator.server import serve
from whalestack.simulator.world import World, build_world

KEY, SECRET = "simulator-key", "simulator-secret"
Result = TypeVar("Result")


def wait_until(holds: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Poll until something holds.

    Raises:
        AssertionError: it does not within the time.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.03)


@dataclass
class Loopback:
    """A running server over a still market, and the means to move it."""

    world: World
    market: StillMarket
    clock: ManualClock
    url: str = ""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve in a thread; returns when the port is open."""
        ready = threading.Event()

        def serving(url: str) -> None:
            self.url = url
            ready.set()

        def run() -> None:
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(serve(self.world, "127.0.0.1", 0, stop=self._stop, ready=serving))
            self.loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(10), "the server did not start"

    def stop(self) -> None:
        """End the server and its thread."""
        self.loop.call_soon_threadsafe(self._stop.set)
        assert self._thread is not None
        self._thread.join(10)

    def inside(self, act: Callable[[], Result]) -> Result:
        """Do something in the server's own thread, where its state lives."""

        async def acting() -> Result:
            return act()

        return asyncio.run_coroutine_threadsafe(acting(), self.loop).result(10)

    def move(self, symbol: str, price: float, *, seconds: float = 1.0) -> None:
        """Let market time pass and put a price somewhere."""

        def act() -> None:
            self.clock.advance(seconds)
            self.world.push_price(symbol, price)

        self.inside(act)

    def client(self, **changes: Any) -> HTTP:
        """An unmodified pybit client, pointed here; as the contract says, only its endpoint is set."""
        options = {"api_key": KEY, "api_secret": SECRET, "max_retries": 1, "timeout": 5, **changes}
        session = HTTP(**options)
        session.endpoint = self.url
        session.client.trust_env = False
        return session


def loopback() -> Loopback:
    """A server over two coins at 100 USDT; not started yet."""
    clock = ManualClock()
    market = StillMarket(clock)
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        bybit_api_key=SecretStr(KEY),
        bybit_api_secret=SecretStr(SECRET),
    )
    return Loopback(build_world(settings, clock, market), market, clock)
