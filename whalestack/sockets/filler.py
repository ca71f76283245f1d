"""Fills by REST what the streams cannot tell: the time before them, and their gaps."""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy.exc import SQLAlchemyError

from whalestack.clients.bybit.port import MarketPort
from whalestack.clients.bybit.types import Kline, OpenInterestPoint
from whalestack.clock import Clock
from whalestack.db.market_store import BarRow, MarketStore
from whalestack.errors import WhalestackError
from whalestack.sockets.detector import SpikeDetector

log = structlog.get_logger()

WORKERS = 4
# Half of the 600 requests in 5 seconds that Bybit allows an address: others call too.
CALLS_A_SECOND = 60.0
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
WARM_UP_MINUTES = 200
INTEREST_POINTS = 50
# Three weeks: what a coin's wicks are judged by.
WARM_UP_HOURS = 500
HOURS_AGAIN = 6
# A gap shorter than this moves open interest less than its 5-minute points can show.
INTEREST_AFTER_MINUTES = 10
MOST_MINUTES = 1000


class Pace:
    """Lets calls through at an even rate, from any thread.

    Args:
        calls_a_second: the rate.
        sleep: waits real seconds.
    """

    def __init__(self, calls_a_second: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._spacing_s = 1.0 / calls_a_second
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_s = 0.0

    def wait(self) -> None:
        """Return when the next call may be made."""
        with self._lock:
            now_s = time.monotonic()
            turn_s = max(now_s, self._next_s)
            self._next_s = turn_s + self._spacing_s
        if turn_s > now_s:
            self._sleep(turn_s - now_s)


class HistoryFiller:
    """Fetches recent bars and open interest, for the windows and for the database.

    Args:
        market: Bybit's public data.
        store: takes the bars.
        detector: its coins are held while their history is filled, then released.
        clock: market time.
        pace: of the calls.
    """

    def __init__(
        self,
        market: MarketPort,
        store: MarketStore,
        detector: SpikeDetector,
        clock: Clock,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._market = market
        self._store = store
        self._detector = detector
        self._clock = clock
        self._pace = pace or Pace(CALLS_A_SECOND)
        self._minutes_pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="minutes")
        # Its own: a gap in the stream must not wait behind weeks of hours.
        self._hours_pool = ThreadPoolExecutor(1, thread_name_prefix="hours")
        self._stopped = threading.Event()
        self._has_hours: set[str] = set()
        self.filled = 0
        self.failed = 0

    def fill(self, symbols: Sequence[str], missed_minutes: float | None) -> None:
        """Fill these coins in the background and release each as soon as it is done.

        Args:
            symbols: held coins, the most important first.
            missed_minutes: market minutes of the gap, None at the first opening.
        """
        for symbol in symbols:
            self._submit(self._minutes_pool, self._fill_minutes, symbol, missed_minutes)

    def fill_hours(self, symbols: Sequence[str]) -> None:
        """Store the hourly bars of these coins in the background: weeks the first time, then the last."""
        for symbol in symbols:
            self._submit(self._hours_pool, self._fill_hours, symbol)

    def stop(self) -> None:
        """Begin no further coin."""
        self._stopped.set()
        for pool in (self._minutes_pool, self._hours_pool):
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(
        self, pool: ThreadPoolExecutor, work: Callable[..., None], symbol: str, *arguments: object
    ) -> None:
        if not self._stopped.is_set():
            pool.submit(self._guarded, work, symbol, *arguments)

    def _guarded(self, work: Callable[..., None], symbol: str, *arguments: object) -> None:
        if self._stopped.is_set():
            return
        try:
            work(symbol, *arguments)
        except (WhalestackError, SQLAlchemyError) as error:
            self.failed += 1
            log.warning("history_fill_failed", symbol=symbol, error=str(error))
        except Exception:  # a worker of the pool would swallow it unseen
            self.failed += 1
            log.exception("history_fill_failed", symbol=symbol)

    def _fill_minutes(self, symbol: str, missed_minutes: float | None) -> None:
        try:
            interest: list[OpenInterestPoint] = []
            if missed_minutes is None or missed_minutes > INTEREST_AFTER_MINUTES:
                interest = self._interest(symbol, "5min", INTEREST_POINTS)
            bars = self._bars(symbol, "1", self._minutes(symbol, missed_minutes))
            self._warm_up(symbol, bars, interest)
        finally:
            # Without its history a coin is still followed; its windows fill as time goes on.
            self._detector.release(symbol)
        self._store.put_bars(rows_of(bars, interest, MINUTE_MS))
        self.filled += 1

    def _fill_hours(self, symbol: str) -> None:
        limit = HOURS_AGAIN if symbol in self._has_hours else WARM_UP_HOURS
        interest = self._interest(symbol, "1h", min(limit, INTEREST_POINTS))
        self._store.put_bars(rows_of(self._bars(symbol, "60", limit), interest, HOUR_MS))
        self._has_hours.add(symbol)

    def _minutes(self, symbol: str, missed_minutes: float | None) -> int:
        """How many bars to ask for: the gap, or at the start what is missing in the database."""
        if missed_minutes is not None:
            return min(MOST_MINUTES, int(missed_minutes) + 3)
        last_ms = self._store.last_bar_ms(symbol, "1")
        missing = 0 if last_ms is None else (self._clock.now_ms() - last_ms) // MINUTE_MS + 2
        return min(MOST_MINUTES, max(WARM_UP_MINUTES, missing))

    def _bars(self, symbol: str, interval: str, limit: int) -> list[Kline]:
        self._pace.wait()
        return self._market.klines(symbol, interval, limit=limit)

    def _interest(self, symbol: str, interval: str, limit: int) -> list[OpenInterestPoint]:
        self._pace.wait()
        return self._market.open_interest(symbol, interval, limit=limit)

    def _warm_up(self, symbol: str, bars: Sequence[Kline], interest: Sequence[OpenInterestPoint]) -> None:
        # The bar that is still open stands for a moment that has not come; its ticks follow.
        closed = [(bar.start_ms, bar.close, bar.turnover_usd) for bar in bars if bar.is_closed]
        points = [(point.timestamp_ms, point.open_interest) for point in interest]
        self._detector.warm_up(symbol, closed, points)


def rows_of(bars: Sequence[Kline], interest: Sequence[OpenInterestPoint], length_ms: int) -> list[BarRow]:
    """Rows of `candles`, each with the open interest of the last point by the bar's end.

    A bar that was open when it was fetched is left out: by the time it is written the stream
    may have written its end.

    Args:
        bars: of one interval.
        interest: points, oldest first; a bar before the first one has none.
        length_ms: of a bar.
    """
    times = [point.timestamp_ms for point in interest]
    return [
        BarRow(
            symbol=bar.symbol,
            interval=bar.interval,
            start_ms=bar.start_ms,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            turnover_usd=bar.turnover_usd,
            open_interest=_standing(interest, bisect.bisect_right(times, bar.start_ms + length_ms) - 1),
        )
        for bar in bars
        if bar.is_closed
    ]


def _standing(interest: Sequence[OpenInterestPoint], index: int) -> float | None:
    return interest[index].open_interest if index >= 0 else None
