"""The simulated outside: one market, one exchange, the channels, and the loop that moves them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.simulator.faults import Faults
from whalestack.simulator.market.base import Market, Tick

log = structlog.get_logger()

STEP_S = 0.05
"""Real seconds between two moves of the market."""

StepListener = Callable[[int, list[Tick]], None]


class ExchangePart(Protocol):
    """What the world asks of the exchange."""

    def on_ticks(self, ticks: list[Tick]) -> None:
        """Match, trigger, fund and liquidate along these price points."""

    def stats(self) -> dict[str, Any]:
        """Counts for `/sim/stats`."""


class ChannelPart(Protocol):
    """What the world asks of a message channel."""

    def stats(self) -> dict[str, Any]:
        """Counts for `/sim/stats`: messages, repeats."""


@dataclass
class World:
    """Everything that the API modules share.

    Args:
        settings: keys that clients must show, speeds, limits.
        clock: market time.
        market: what is played.
        exchange: the Bybit account and matching engine.
        telegram, x: the message channels.
        event_log: the exchange's event log, served by `/sim/events`.
        faults: what goes wrong on request.
        listeners: called after each step with (now_ms, ticks); the sockets publish there.
            A listener must not block and must not raise.
    """

    settings: Settings
    clock: Clock
    market: Market
    exchange: Any = None
    telegram: Any = None
    x: Any = None
    event_log: Any = None
    faults: Faults = field(default_factory=Faults)
    listeners: list[StepListener] = field(default_factory=list)

    def step(self) -> list[Tick]:
        """Move everything to the clock's present; returns the ticks passed."""
        now_ms = self.clock.now_ms()
        return self.deliver(now_ms, self.market.advance(now_ms))

    def push_price(self, symbol: str, price: float) -> None:
        """Force a coin's price and let the exchange and the sockets see it at once."""
        self.step()
        self.deliver(self.market.now_ms, [self.market.push_price(symbol, price)])

    def deliver(self, now_ms: int, ticks: list[Tick]) -> list[Tick]:
        """Hand ticks to the exchange first and then to those who only watch."""
        if self.exchange is not None:
            self.exchange.on_ticks(ticks)
        for listener in self.listeners:
            listener(now_ms, ticks)
        return ticks

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            self.step()
            await asyncio.sleep(STEP_S)
