"""The last price of a coin, on which stops trigger: the live one, or the exchange's where that is old."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import structlog

from whalestack.agents.patience import tick_max_age
from whalestack.clients.bybit.port import MarketPort
from whalestack.clock import Clock, from_ms
from whalestack.config import Settings
from whalestack.db.live import LiveMarket, LiveTick
from whalestack.errors import TryAgain
from whalestack.math.rounding import decimal_of

log = structlog.get_logger(__name__)


class LastPrices:
    """Reads them.

    Args:
        exchange: asked where the live price is old, or Redis away.
        live: what the streams tell.
        settings: how old a live price may be.
        clock: market time.
    """

    def __init__(self, *, exchange: MarketPort, live: LiveMarket, settings: Settings, clock: Clock) -> None:
        self._exchange = exchange
        self._live = live
        self._clock = clock
        self._tick_max_age = tick_max_age(clock, settings)

    def one(self, symbol: str) -> Decimal:
        """Of one coin.

        Raises:
            TryAgain: neither could be had.
        """
        try:
            tick = self._live.get(symbol)
        except TryAgain:
            tick = None
        if tick is not None and self._is_fresh(tick):
            return decimal_of(tick.last)
        return self._exchange.ticker(symbol).last_price

    def many(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        """Of many, with one question to the exchange for all whose live price is old; those without
        any are left out."""
        try:
            ticks = self._live.get_many(symbols)
        except TryAgain:
            ticks = {}
        found = {name: decimal_of(tick.last) for name, tick in ticks.items() if self._is_fresh(tick)}
        if len(found) == len(symbols):
            return found
        try:
            asked = {each.symbol: each.last_price for each in self._exchange.tickers()}
        except TryAgain as error:
            log.warning("prices_not_asked", error=str(error))
            asked = {}
        return asked | found

    def _is_fresh(self, tick: LiveTick) -> bool:
        return self._clock.now() - from_ms(tick.ts_ms) <= self._tick_max_age
