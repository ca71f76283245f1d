"""The simulated outside: one market, one exchange, the channels, and the loop that moves them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.simulator.archived_maps import ArchivedHeatmaps
from whalestack.simulator.exchange import EventLog, Exchange
from whalestack.simulator.faults import Faults
from whalestack.simulator.fixed_maps import FixedHeatmaps
from whalestack.simulator.heatmaps import Heatmaps
from whalestack.simulator.market.archive import ArchivedMarket
from whalestack.simulator.market.base import Market, Tick
from whalestack.simulator.market.build import build_market
from whalestack.simulator.telegram_server import TelegramServer
from whalestack.simulator.x_server import XServer

log = structlog.get_logger()

STEP_S = 0.05
"""Real seconds between two moves of the market."""

StepListener = Callable[[int, list[Tick]], None]
PushListener = Callable[[int, str], None]


@dataclass
class World:
    """Everything that the API modules share.

    Args:
        settings: keys that clients must show, speeds, limits.
        clock: market time.
        market: what is played.
        exchange: the Bybit account and matching engine.
        telegram, x: the message channels.
        event_log: the exchange's own record, served by `/sim/events`.
        heatmaps: CoinGlass's maps of the market.
        faults: what goes wrong on request.
        coinglass_counts: answers of the CoinGlass API by what they were.
        frames: how many frames Bybit's sockets have sent, by their endpoint.
        listeners: called after each step with (now_ms, ticks); the sockets publish there.
            A listener must not block.
        push_listeners: called after a forced price with (now_ms, symbol): the sockets tell it at
            once, and do not wait for their next round.
        bybit_ahead_ms: how far Bybit's real clock is ahead of this machine's: what a client sees
            whose own clock has jumped.
    """

    settings: Settings
    clock: Clock
    market: Market
    exchange: Exchange
    telegram: TelegramServer
    x: XServer
    event_log: EventLog
    heatmaps: Heatmaps | FixedHeatmaps | ArchivedHeatmaps
    faults: Faults = field(default_factory=Faults)
    listeners: list[StepListener] = field(default_factory=list)
    push_listeners: list[PushListener] = field(default_factory=list)
    coinglass_counts: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    started_real_s: float = field(default_factory=time.monotonic)
    bybit_ahead_ms: int = 0

    def bybit_real_ms(self) -> int:
        """The real time as Bybit has it, ms: signatures are checked against it."""
        return time.time_ns() // 1_000_000 + self.bybit_ahead_ms

    def step(self) -> list[Tick]:
        """Move everything to the clock's present; returns the ticks passed."""
        return self.deliver(self.market.advance(self.clock.now_ms()))

    def push_price(
        self, symbol: str, price: float, *, turnover_usd: float = 0.0, open_interest: float | None = None
    ) -> Tick:
        """Force a coin's price, and what is traded and held at it, and let the exchange and the
        sockets see it at once; arguments as `Market.push_price`.

        Raises:
            KeyError: the market does not play the symbol.
        """
        self.step()
        tick = self.market.push_price(symbol, price, turnover_usd=turnover_usd, open_interest=open_interest)
        self.deliver([tick])
        for listener in self.push_listeners:
            listener(self.market.now_ms, symbol)
        return tick

    def deliver(self, ticks: list[Tick]) -> list[Tick]:
        """Hand ticks to the exchange first and then to those who only watch."""
        self.exchange.on_ticks(ticks)
        for listener in self.listeners:
            listener(self.market.now_ms, ticks)
        return ticks

    async def run(self) -> None:
        """Step until cancelled; on a clock that is moved by hand others tell when (`/sim/step`)."""
        if self.settings.clock_file is not None:
            await asyncio.Event().wait()
        while True:
            self.step()
            await asyncio.sleep(STEP_S)


def build_world(settings: Settings, clock: Clock | None = None, market: Market | None = None) -> World:
    """A world as the settings ask for.

    Args:
        settings: `simulator_*` says what is played; keys say what clients must show.
        clock: market time; None for the settings' own.
        market: None for the one that the settings name.

    Raises:
        StopAndTell: the market cannot be opened.
    """
    clock = clock or settings.clock()
    market = market or build_market(settings, clock.now_ms())
    log_of_events = EventLog()
    chance = random.Random(settings.simulator_seed)  # noqa: S311 - repeatable, no secrets
    equity = settings.simulator_equity_usd
    return World(
        settings=settings,
        clock=clock,
        market=market,
        exchange=Exchange(market, clock, log_of_events, equity_usd=equity, rng=chance),
        telegram=TelegramServer.from_settings(settings),
        x=XServer.from_settings(settings),
        event_log=log_of_events,
        heatmaps=_heatmaps(settings, market),
    )


def _heatmaps(settings: Settings, market: Market) -> Heatmaps | FixedHeatmaps | ArchivedHeatmaps:
    if isinstance(market, ArchivedMarket):
        return market.maps
    if settings.simulator_maps == "fixed":
        return FixedHeatmaps(market, settings.simulator_map_cells)
    return Heatmaps(market)
