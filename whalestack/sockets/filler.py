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
from whalestack.db.market_store import BarRow, MarketStore
from whalestack.errors import WhalestackError
from whalestack.sockets.detector import SpikeDetector

log = structlog.get_logger()

WORKERS = 4
# Half of the 600 requests in 5 seconds that Bybit allows an address: others call too.
CALLS_A_SECOND = 60.0
WARM_UP_MINUTES = 200
INTEREST_POINTS = 50
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
        pace: of the calls.
    """

    def __init__(
        self,
        market: MarketPort,
        store: MarketStore,
        detector: SpikeDetector,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._market = market
        self._store = store
        self._detector = detector
        self._pace = pace or Pace(CALLS_A_SECOND)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="filler")
        self._stopped = threading.Event()
        self.filled = 0
        self.failed = 0

    def fill(self, symbols: Sequence[str], missed_minutes: float | None) -> None:
        """Fill these coins in the background and release each as soon as it is done.

        Args:
            symbols: held coins, the most important first.
            missed_minutes: market minutes of the gap, None at the first opening.
        """
        for symbol in symbols:
            self._pool.submit(self._fill_one, symbol, missed_minutes)

    def stop(self) -> None:
        """Begin no further coin."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fill_one(self, symbol: str, missed_minutes: float | None) -> None:
        try:
            if not self._stopped.is_set():
                self._fetch(symbol, missed_minutes)
                self.filled += 1
        except (WhalestackError, SQLAlchemyError) as error:
            self.failed += 1
            log.warning("history_fill_failed", symbol=symbol, error=str(error))
        except Exception:  # a worker of the pool would swallow it unseen
            self.failed += 1
            log.exception("history_fill_failed", symbol=symbol)
        finally:
            # Without its history a coin is still followed; its windows fill as time goes on.
            self._detector.release(symbol)

    def _fetch(self, symbol: str, missed_minutes: float | None) -> None:
        minutes = WARM_UP_MINUTES if missed_minutes is None else min(MOST_MINUTES, int(missed_minutes) + 3)
        wants_interest = missed_minutes is None or missed_minutes > INTEREST_AFTER_MINUTES
        interest: list[OpenInterestPoint] = []
        if wants_interest:
            self._pace.wait()
            interest = self._market.open_interest(symbol, "5min", limit=INTEREST_POINTS)
        self._pace.wait()
        bars = self._market.klines(symbol, "1", limit=minutes)
        self._warm_up(symbol, bars, interest)
        self._store.put_bars(rows_of(bars, interest))

    def _warm_up(self, symbol: str, bars: Sequence[Kline], interest: Sequence[OpenInterestPoint]) -> None:
        # The bar that is still open stands for a moment that has not come; its ticks follow.
        closed = [(bar.start_ms, bar.close, bar.turnover_usd) for bar in bars if bar.is_closed]
        points = [(point.timestamp_ms, point.open_interest) for point in interest]
        self._detector.warm_up(symbol, closed, points)


def rows_of(bars: Sequence[Kline], interest: Sequence[OpenInterestPoint]) -> list[BarRow]:
    """Rows of `candles`, each with the open interest of the last point before the bar's end.

    Args:
        bars: one-minute bars.
        interest: points, oldest first; a bar before the first one has none.
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
            open_interest=_standing(interest, bisect.bisect_right(times, bar.start_ms + 59_999) - 1),
            is_closed=bar.is_closed,
        )
        for bar in bars
    ]


def _standing(interest: Sequence[OpenInterestPoint], index: int) -> float | None:
    return interest[index].open_interest if index >= 0 else None
