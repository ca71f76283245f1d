"""Coins, maps and a CoinGlass for the tests of the heat-map scanner and the ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal

import numpy as np

from whalestack.clients.coinglass.budget import CallBudget
from whalestack.clients.coinglass.types import EndpointUsage, Heatmap
from whalestack.clock import Clock
from whalestack.db.engine import Database
from whalestack.db.models import Coin
from whalestack.math.timeframes import GEOMETRY

PRICE = 100.0
LEVELS = 101
STEP = 0.2


def add_coins(db: Database, now: datetime, *symbols: str, **changes: object) -> None:
    """Followed coins; 1000PEPEUSDT holds a thousand PEPE."""
    with db.begin() as work:
        work.session.add_all(a_coin(symbol, now, **changes) for symbol in symbols)


def a_coin(symbol: str, now: datetime, **changes: object) -> Coin:
    """A row of `coins` that may be traded."""
    base = symbol.removesuffix("USDT")
    name = base.removeprefix("1000")
    fields: dict[str, object] = {
        "symbol": symbol,
        "base_coin": base,
        "coinglass_symbol": name,
        "price_multiplier": 1000 if name != base else 1,
        "tick_size": Decimal("0.01"),
        "qty_step": Decimal("0.1"),
        "min_order_qty": Decimal("0.1"),
        "max_order_qty": Decimal(1000),
        "max_market_order_qty": Decimal(500),
        "min_notional_usd": Decimal(5),
        "min_leverage": Decimal(1),
        "max_leverage": Decimal(25),
        "leverage_step": Decimal("0.01"),
        "funding_interval_min": 480,
        "status": "Trading",
        "turnover_24h_usd": 1e6,
        "updated_at": now,
    }
    return Coin(**(fields | changes))


def a_heatmap(
    coin: str,
    timeframe: str,
    *,
    price: float = PRICE,
    above_usd: float = 1000.0,
    below_usd: float = 500.0,
    all_columns: bool = False,
    map_time_ms: int = 1_760_875_200_000,
) -> Heatmap:
    """A map with one peak 4 % above the price and one 4 % below, on a floor of 1 USD a level.

    Of the 30d map's value half has stood there for the whole month and half since yesterday.
    """
    y_axis = price * (0.9 + STEP / 100 * np.arange(LEVELS))
    values = np.ones(LEVELS)
    values[70], values[30] = above_usd, below_usd
    geometry = GEOMETRY[timeframe]
    n_columns = geometry.columns
    times = map_time_ms - geometry.column_s * 1000 * np.arange(n_columns, 0, -1)
    if all_columns:
        xs = np.repeat(np.arange(n_columns), LEVELS)
        ys = np.tile(np.arange(LEVELS), n_columns)
        cells = np.where(xs >= n_columns - 12, np.tile(values, n_columns), np.tile(values, n_columns) / 2)
    else:
        xs, ys, cells = np.full(LEVELS, n_columns - 1), np.arange(LEVELS), values
    return Heatmap(coin, timeframe, y_axis, n_columns, xs, ys, cells, times, price, map_time_ms)


class FixedBudget:
    """A budget that is only asked for its limit."""

    def __init__(self, calls_per_min: int) -> None:
        self.calls_per_min = calls_per_min

    def call(self, *, urgent: bool, wait_s: float) -> object:
        raise AssertionError("the fake CoinGlass needs no calls")


Answer = Heatmap | Exception


class FakeCoinglass:
    """Serves `a_heatmap`, or what a test puts in its place.

    Args:
        calls_per_min: of its budget.
        answer: what to say for a coin and range; an exception is raised.
        clock: its maps are as new as that; None for maps that never age.
    """

    def __init__(
        self,
        *,
        calls_per_min: int = 1_000_000,
        answer: Callable[[str, str], Answer | None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.budget: CallBudget = FixedBudget(calls_per_min)  # type: ignore[assignment]
        self.answer = answer
        self.clock = clock
        self.asked: list[tuple[str, str, bool]] = []
        self.usage: list[EndpointUsage] = []

    def heatmap(
        self,
        coin: str,
        timeframe: str,
        *,
        all_columns: bool = False,
        urgent: bool = False,
        within_s: float | None = None,
    ) -> Heatmap:
        self.asked.append((coin, timeframe, urgent))
        answer = self.answer(coin, timeframe) if self.answer else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        computed = {} if self.clock is None else {"map_time_ms": self.clock.now_ms()}
        return a_heatmap(coin, timeframe, all_columns=all_columns, **computed)

    def take_usage(self) -> list[EndpointUsage]:
        taken, self.usage = self.usage, []
        return taken


def failing(errors: dict[tuple[str, str], Exception]) -> Callable[[str, str], Answer | None]:
    """Some coins and ranges fail, the others are served."""
    return lambda coin, timeframe: errors.get((coin, timeframe))


def pairs(symbol: str, timeframes: Iterable[str]) -> list[list[str]]:
    """Items of a batch, as they come out of a message."""
    return [[symbol, timeframe] for timeframe in timeframes]
