"""Heat maps of our own, for those without a CoinGlass plan: HEATMAP_SOURCE=model.

It stands where `MapFetcher` stands: a round asks it for maps, and it makes them from candles
(`CandleKeeper`) by the liquidation model (`whalestack.math.model_maps`). No state is kept
between rounds: a map is made anew from the range's candles in about a millisecond, so any
worker can make any map, and none is wrong after a crash.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from whalestack.clients.coinglass.types import EndpointUsage
from whalestack.clock import Clock, from_ms
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.heatmap_rows import FetchedMap
from whalestack.db.range_candles import max_leverages
from whalestack.errors import WhalestackError
from whalestack.math.clusters import find_clusters
from whalestack.math.leverage_tiers import for_coin, model_assumptions
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.model_maps import RangeCandles, model_map
from whalestack.math.timeframes import GEOMETRY
from whalestack.scanners.map_fetcher import DERIVED, DERIVED_FROM, Fetched, LivePrices, Wanted, fresh_prices
from whalestack.scanners.model_candles import CandleKeeper

SOURCE = "model"
# No plan limits our own maps: every round makes all of them.
UNLIMITED_CALLS = 1_000_000
# Waiting for the database and, at first, for Bybit; the modelling itself holds the interpreter.
THREADS = 4


class UnlimitedCalls:
    """The budget of what costs no calls."""

    calls_per_min = UNLIMITED_CALLS


class ModelMaps:
    """Makes maps.

    Args:
        db: of this process.
        candles: of any coin.
        settings: the model's assumptions.
        clock: market time.
        live: Bybit's prices now; without one the last candle's close counts.
        monotonic: real seconds from any origin.
    """

    def __init__(
        self,
        *,
        db: Database,
        candles: CandleKeeper,
        settings: Settings,
        clock: Clock,
        live: LivePrices | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._candles = candles
        self._clock = clock
        self._live = live
        self._monotonic = monotonic
        self._assumptions = model_assumptions(
            settings.model_leverages,
            churn_pct=settings.model_churn_pct,
            turnover_pct_without_oi=settings.model_turnover_pct_without_oi,
        )
        self.budget = UnlimitedCalls()

    def take_usage(self) -> list[EndpointUsage]:
        """None: nothing is called that is counted."""
        return []

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # Made at the first use, so that it belongs to this process and not to a parent of it.
        return ThreadPoolExecutor(THREADS, thread_name_prefix="model")

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def fetch(self, wanted: Sequence[Wanted], *, urgent: bool = False, within_s: float = math.inf) -> Fetched:
        """Make maps, coin by coin. A coin that fails is named and harms no other.

        Args:
            wanted: each map at most once; with the 30d map comes the 14d one.
            urgent: makes no difference here.
            within_s: real seconds after which no further coin begins.
        """
        by_coin: dict[str, list[str]] = {}
        for each in wanted:
            by_coin.setdefault(each.coin.symbol, []).append(each.timeframe)
        with self._db.begin() as work:
            leverages = max_leverages(work.session, list(by_coin))
        prices, last_s = fresh_prices(self._live, by_coin, self._clock.now_ms()), self._monotonic() + within_s

        def make(symbol: str) -> dict[str, FetchedMap | str] | None:
            if self._monotonic() >= last_s:
                return None
            assumptions = for_coin(self._assumptions, leverages.get(symbol))
            return self._coin(symbol, by_coin[symbol], assumptions, prices.get(symbol))

        made = dict(zip(by_coin, self._pool.map(make, by_coin), strict=True))
        left = [(symbol, each) for symbol, maps in made.items() if maps is None for each in by_coin[symbol]]
        found = [(symbol, *each) for symbol, maps in made.items() for each in (maps or {}).items()]
        return Fetched(
            tuple(each for _, _, each in found if isinstance(each, FetchedMap)),
            {
                (symbol, timeframe): f"{symbol} {timeframe}: {each}"
                for symbol, timeframe, each in found
                if isinstance(each, str)
            },
            tuple(left),
        )

    def _coin(
        self, symbol: str, timeframes: Sequence[str], assumptions: ModelAssumptions, price: float | None
    ) -> dict[str, FetchedMap | str]:
        """A map or what was wrong, for each range."""
        lengths = sorted({GEOMETRY[each].column_s for each in timeframes})
        try:
            candles = self._candles.candles(symbol, lengths)
        except WhalestackError as error:
            return dict.fromkeys(timeframes, str(error))
        ranges = [*timeframes, *([DERIVED] if DERIVED_FROM in timeframes else [])]
        return {
            each: self._map(symbol, each, candles[GEOMETRY[each].column_s], assumptions, price)
            for each in ranges
        }

    def _map(
        self,
        symbol: str,
        timeframe: str,
        candles: RangeCandles,
        assumptions: ModelAssumptions,
        price: float | None,
    ) -> FetchedMap | str:
        now_ms = self._clock.now_ms()
        try:
            shown = candles.at_price(price) if price is not None and candles.size else candles
            level_map = model_map(shown, timeframe, assumptions, map_time_ms=now_ms)
        except ValueError as error:
            # How the mathematics refuses candles.
            return str(error)
        now = from_ms(now_ms)
        return FetchedMap(symbol, level_map, find_clusters(level_map), now, now, SOURCE)
