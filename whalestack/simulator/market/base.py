"""What a simulated market tells: ticks, tickers, candles, open interest, liquidations.

All moments are market time in milliseconds since the epoch. Prices are in USDT per
Bybit contract unit, quantities in that unit, turnover in USDT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Tick(NamedTuple):
    """One price point of one coin.

    A named tuple and not a dataclass: thousands are made in a second.

    Attributes:
        ts_ms: market time of the point.
        symbol: Bybit symbol.
        price: last price, a multiple of the coin's tick size.
        turnover_usd: traded since the coin's previous tick, in USDT.
        volume: traded since the coin's previous tick, in base units.
        open_interest: after the tick, both sides, in base units.
    """

    ts_ms: int
    symbol: str
    price: float
    turnover_usd: float
    volume: float
    open_interest: float


@dataclass(frozen=True, slots=True)
class TickerState:
    """What `/v5/market/tickers` shows of one coin.

    Prices are multiples of the tick size except `mark` and `index`, which are rounded
    to it; `funding_rate` is a fraction (0.0001 = 0.01 %) for one funding interval;
    `volume_24h` is in base units, `turnover_24h` in USDT.
    """

    symbol: str
    ts_ms: int
    last: float
    mark: float
    index: float
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    open_interest: float
    funding_rate: float
    next_funding_ms: int
    funding_interval_h: int
    volume_24h: float
    turnover_24h: float
    high_24h: float
    low_24h: float
    prev_24h: float
    prev_1h: float


@dataclass(frozen=True, eq=False)
class Candles:
    """Candles of one coin, oldest first; every array has shape (n,).

    Attributes:
        start_ms: opening moment of each candle.
        open, high, low, close: prices in USDT.
        volume: base units.
        turnover: USDT.
        open_interest: at the candle's close (for the open candle: so far), base units.
    """

    start_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    turnover: FloatArray
    open_interest: FloatArray

    def __len__(self) -> int:
        return len(self.start_ms)


class Liquidation(NamedTuple):
    """A position closed by force.

    Attributes:
        seq: running number, from 1.
        ts_ms: market time.
        symbol: Bybit symbol.
        side: what was liquidated: ``long`` or ``short``.
        price: bankruptcy price.
        volume: base units.
        turnover_usd: USDT.
    """

    seq: int
    ts_ms: int
    symbol: str
    side: Literal["long", "short"]
    price: float
    volume: float
    turnover_usd: float


class Market(Protocol):
    """A market that is moved on by the world's loop and asked by the API modules."""

    @property
    def symbols(self) -> Sequence[str]:
        """Bybit symbols that are played, in a fixed order."""

    @property
    def start_ms(self) -> int:
        """Market time at which playing began; before it there is only history."""

    @property
    def end_ms(self) -> int | None:
        """Market time after which no tick comes any more, None if there is no end."""

    @property
    def now_ms(self) -> int:
        """Market time of the latest `advance`."""

    def instrument(self, symbol: str) -> dict[str, Any]:
        """The coin's row of `/v5/market/instruments-info`, numbers as Bybit's strings.

        Raises:
            KeyError: the market does not play this symbol.
        """

    def advance(self, now_ms: int) -> list[Tick]:
        """Move the market to `now_ms`; the price points passed since the last call.

        Points are in time order and include every extreme on the way, so a stop
        between two calls is seen. A moment before the last call changes nothing.
        """

    def push_price(
        self, symbol: str, price: float, *, turnover_usd: float = 0.0, open_interest: float | None = None
    ) -> Tick:
        """Force the last price (for tests); later points keep the distance.

        The returned tick must be handed to the exchange like those of `advance`.

        Args:
            symbol: Bybit symbol.
            price: the new last price.
            turnover_usd: traded at it, in USDT.
            open_interest: forced as well, base units; None leaves it.
        """

    def ticker(self, symbol: str) -> TickerState:
        """The coin's ticker as of the latest `advance`."""

    def candles(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int, start_ms: int | None = None
    ) -> Candles:
        """The newest `limit` candles that opened in [start_ms, end_ms], oldest first.

        Nothing later than the latest `advance` shows: the open candle is built from
        the ticks so far.
        """

    def open_interest_history(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int
    ) -> tuple[IntArray, FloatArray]:
        """(moments, open interest in base units) at whole intervals <= end_ms, oldest first."""

    def liquidations(self, after_seq: int = 0) -> list[Liquidation]:
        """Recent liquidations with `seq` above `after_seq`, oldest first."""
