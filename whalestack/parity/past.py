"""The same past for both: what the backtest learns from, written where the running system looks for it.

The streams of a system that has just started load some hours of minutes and three weeks of hours by
REST. The backtest knows the candles that it plays, from the first one on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sqlalchemy import delete

from whalestack.backtest.prepared import PreparedMarket
from whalestack.backtest.series import MINUTE_MS, CoinSeries
from whalestack.clock import from_ms
from whalestack.db.engine import Database
from whalestack.db.market_store import BarRow, MarketStore
from whalestack.db.models import Candle

HOUR_MS = 3_600_000
MINUTES, HOURS = "1", "60"
ROWS_AT_ONCE = 20_000


def write_past(db: Database, market: PreparedMarket, now_ms: int) -> int:
    """Have the database hold the minutes and hours that the backtest knows, and no others.

    Args:
        db: of the running system.
        market: prepared.
        now_ms: only what has closed by now is written.

    Returns:
        Rows written.
    """
    rows = [row for coin in market.coins.values() for row in _rows(coin.series, now_ms)]
    with db.begin() as work:
        for coin in market.coins.values():
            own = (Candle.symbol == coin.series.symbol, Candle.start_at < from_ms(coin.series.start_ms))
            work.session.execute(delete(Candle).where(*own, Candle.interval.in_((MINUTES, HOURS))))
    store = MarketStore(db)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        store.put_bars(rows[first : first + ROWS_AT_ONCE])
    return len(rows)


def hour_rows(market: PreparedMarket, start_ms: int) -> list[BarRow]:
    """One hour of every coin."""
    return [
        row
        for coin in market.coins.values()
        for row in _hours(coin.series, start_ms + HOUR_MS)
        if row.start_ms == start_ms
    ]


def _rows(series: CoinSeries, now_ms: int) -> Iterator[BarRow]:
    minutes = series.minutes
    count = min(max(series.minute_at(now_ms), 0), minutes.closes.size)
    columns = (minutes.opens, minutes.highs, minutes.lows, minutes.closes, minutes.turnover, minutes.interest)
    for number, values in enumerate(zip(*(each[:count].tolist() for each in columns), strict=True)):
        start_ms = series.start_ms + number * MINUTE_MS
        yield _row(series.symbol, MINUTES, start_ms, values)
    yield from _hours(series, now_ms)


def _hours(series: CoinSeries, now_ms: int) -> Iterator[BarRow]:
    starts, hours = series.ended_hours(series.start_ms - HOUR_MS, now_ms)
    for start_ms, prices in zip(starts.tolist(), hours.T.tolist(), strict=True):
        # Wicks are all that hours are read for.
        yield _row(series.symbol, HOURS, start_ms, (*prices, 0.0, np.nan))


def _row(symbol: str, interval: str, start_ms: int, values: tuple[float, ...]) -> BarRow:
    opened, high, low, close, turnover, interest = values
    held = None if np.isnan(interest) else interest
    return BarRow(symbol, interval, start_ms, opened, high, low, close, 0.0, turnover, held)
