"""The candles that our own heat maps need: from the database and its minutes, else from Bybit.

Candles of each range's length are stored as Bybit tells them. What has come since the last
stored one is put together from the one-minute bars that the streams write. Bybit is asked
where those have a hole, for a coin that is new here, and twice a day, because minutes add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from whalestack.clients.bybit.lengths import INTEREST_POINTS, LENGTHS
from whalestack.clients.bybit.port import MarketPort
from whalestack.clients.bybit.types import Kline, OpenInterestPoint
from whalestack.clock import Clock, from_ms
from whalestack.db.engine import Database
from whalestack.db.market_store import MarketStore
from whalestack.db.range_candles import FIVE_MINUTES_MS, five_minutes, stored_candles
from whalestack.math.model_maps import RangeCandles
from whalestack.math.outcomes import LEAST_COVERAGE
from whalestack.math.timeframes import GEOMETRY
from whalestack.sockets.filler import Pace, rows_of

# 200 points of open interest are 17 hours of fives, so twice a day none is missed.
ASKED_AGAIN_AFTER_MS = round(timedelta(hours=12).total_seconds() * 1000)
# Of the 120 calls a second that Bybit allows an address; the streams' filler may take half.
CALLS_A_SECOND = 20.0
# The streams write a minute a few seconds after its end, and not all coins at once.
MINUTES_LATE_MS = 2 * FIVE_MINUTES_MS


class CandleKeeper:
    """Candles of any coin by length, complete up to now.

    Args:
        db: of this process.
        market: Bybit's public data.
        clock: market time.
        pace: of the calls.
    """

    def __init__(self, *, db: Database, market: MarketPort, clock: Clock, pace: Pace | None = None) -> None:
        self._db = db
        self._market = market
        self._clock = clock
        self._store = MarketStore(db)
        self._pace = pace or Pace(CALLS_A_SECOND)

    def candles(self, symbol: str, lengths_s: Sequence[int]) -> dict[int, RangeCandles]:
        """The coin's candles by length in seconds, the open one last.

        Raises:
            WhalestackError: Bybit had to be asked and could not be.
        """
        now = self._clock.now()
        now_ms = self._clock.now_ms()
        since = {LENGTHS[each][0]: now_ms - _most_columns(each) * each * 1000 for each in lengths_s}
        with self._db.begin() as work:
            found = stored_candles(work.session, symbol, since)
            stored = {each: found.get(LENGTHS[each][0]) for each in sorted(set(lengths_s))}
            ends = [_end_ms(each, kept) for each, kept in stored.items() if kept is not None]
            fives = five_minutes(work.session, symbol, since=from_ms(min(ends, default=now_ms)), now=now)
        return {each: self._complete(symbol, each, kept, fives, now_ms) for each, kept in stored.items()}

    def _complete(
        self, symbol: str, length_s: int, stored: RangeCandles | None, fives: RangeCandles, now_ms: int
    ) -> RangeCandles:
        if stored is None:
            return self._asked(symbol, length_s, _most_columns(length_s))
        end_ms = _end_ms(length_s, stored)
        newer = fives.since(end_ms)
        if now_ms - end_ms < length_s * 1000 + ASKED_AGAIN_AFTER_MS and _is_whole(newer, end_ms, now_ms):
            return stored.joined(newer.in_steps(length_s * 1000))
        missing = (now_ms - end_ms) // (length_s * 1000) + 1
        return stored.joined(self._asked(symbol, length_s, min(missing, _most_columns(length_s))))

    def _asked(self, symbol: str, length_s: int, count: int) -> RangeCandles:
        """The newest `count` candles from Bybit; the closed ones are stored."""
        interval, interest_name = LENGTHS[length_s]
        self._pace.wait()
        bars = self._market.klines(symbol, interval, limit=count)
        self._pace.wait()
        interest = self._market.open_interest(symbol, interest_name, limit=min(INTEREST_POINTS, count + 1))
        self._store.put_bars(rows_of(bars, interest, length_s * 1000))
        return _arrays(bars, interest, length_s * 1000)


def _most_columns(length_s: int) -> int:
    return max(each.columns for each in GEOMETRY.values() if each.column_s == length_s)


def _end_ms(length_s: int, candles: RangeCandles) -> int:
    return int(candles.starts_ms[-1]) + length_s * 1000


def _is_whole(fives: RangeCandles, start_ms: int, now_ms: int) -> bool:
    """Whether five-minute candles tell what happened from a moment up to now."""
    expected = (now_ms - start_ms - MINUTES_LATE_MS) // FIVE_MINUTES_MS
    if expected <= 0:
        return True
    is_recent = fives.size > 0 and int(fives.starts_ms[-1]) + FIVE_MINUTES_MS >= now_ms - MINUTES_LATE_MS
    return is_recent and fives.size >= LEAST_COVERAGE * expected


def _arrays(bars: Sequence[Kline], interest: Sequence[OpenInterestPoint], step_ms: int) -> RangeCandles:
    """Bybit's candles as arrays, each with the last open interest known by its end."""
    starts_ms = np.array([bar.start_ms for bar in bars], dtype=np.int64)
    moments = np.array([point.timestamp_ms for point in interest], dtype=np.int64)
    held = np.array([np.nan, *(point.open_interest for point in interest)])
    known = held[np.searchsorted(moments, starts_ms + step_ms, side="right")].tolist()
    rows = [
        (bar.high, bar.low, bar.close, bar.turnover_usd, interest_then)
        for bar, interest_then in zip(bars, known, strict=True)
    ]
    return RangeCandles(starts_ms, np.array(rows, dtype=np.float64).reshape(-1, 5).T)
