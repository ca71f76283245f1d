"""What CoinGlass says, as values. Money in USD, prices in CoinGlass's unit (one coin)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Heatmap:
    """One decoded heat map.

    Args:
        coin: CoinGlass's name.
        timeframe: the range.
        y_axis: (L,) price levels, ascending.
        n_columns: columns of the map, one for each candle.
        xs, ys, values: (N,) column, level and USD of each cell; of the last column
            alone unless all were asked for.
        column_times_ms: (n_columns,) start of each column, ms.
        price: close of the last candle.
        map_time_ms: when CoinGlass computed it, None where it does not say.
    """

    coin: str
    timeframe: str
    y_axis: Floats
    n_columns: int
    xs: Ints
    ys: Ints
    values: Floats
    column_times_ms: Ints
    price: float
    map_time_ms: int | None


@dataclass(frozen=True)
class CoinMarket:
    """One row of coins-markets, as far as it is used. What CoinGlass leaves out is None."""

    coin: str
    price: float | None
    market_cap_usd: float | None
    open_interest_usd: float | None
    open_interest_change_1h_pct: float | None
    price_change_1h_pct: float | None
    open_interest_change_4h_pct: float | None = None
    price_change_4h_pct: float | None = None
    open_interest_change_24h_pct: float | None = None
    price_change_24h_pct: float | None = None


@dataclass(frozen=True)
class MaxPain:
    """Where most would be liquidated. Which price lies above the market the price tells, not the name."""

    coin: str
    price: float
    long_price: float
    long_usd: float
    short_price: float
    short_usd: float


@dataclass(frozen=True)
class Subscription:
    """The plan of the key."""

    level: str
    expires_at: datetime | None
    expired: bool


@dataclass(frozen=True)
class EndpointUsage:
    """Calls to one endpoint since they were last taken."""

    endpoint: str
    calls: int
    errors: int
    rate_limited: int
    limit_per_min: int | None
