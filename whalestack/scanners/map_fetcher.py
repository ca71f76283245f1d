"""From the wish for some maps to maps that can be stored: fetched side by side, each failing alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Protocol

from whalestack.clients.coinglass.errors import BudgetExhausted, CoinglassNotInPlan
from whalestack.clients.coinglass.types import Heatmap
from whalestack.clock import Clock, from_ms, to_ms
from whalestack.db.coin_store import FollowedCoin
from whalestack.db.heatmap_rows import FetchedMap
from whalestack.db.live import LiveTick
from whalestack.db.map_failures import MapKey
from whalestack.errors import GiveUp, StopAndTell, TryAgain, WhalestackError
from whalestack.math.clusters import find_clusters
from whalestack.math.heatmap import Floats, LevelMap, derive_14d, last_column
from whalestack.scanners.map_checks import check_present, check_unit

# The range that the 14d map is derived from: the one map of which every column is decoded.
DERIVED_FROM, DERIVED = "30d", "14d"
# An older tick says nothing of a price now.
TICK_MAX_AGE = timedelta(minutes=10)


class HeatmapPort(Protocol):
    """Who serves heat maps. `CoinglassClient` is one."""

    def heatmap(
        self,
        coin: str,
        timeframe: str,
        *,
        all_columns: bool = False,
        urgent: bool = False,
        within_s: float | None = None,
    ) -> Heatmap:
        """One map, its last attempt begun within `within_s` real seconds. Raises a `WhalestackError`
        that names coin and range."""


class LivePrices(Protocol):
    """Who knows Bybit's prices now. `LiveMarket` is one."""

    def get_many(self, symbols: Iterable[str]) -> Mapping[str, LiveTick]:
        """The latest tick of those coins that have one."""


@dataclass(frozen=True)
class Wanted:
    """One map to fetch."""

    coin: FollowedCoin
    timeframe: str

    @property
    def key(self) -> MapKey:
        """Symbol and range."""
        return self.coin.symbol, self.timeframe


@dataclass(frozen=True)
class Fetched:
    """What came of a number of wishes.

    Args:
        maps: that can be stored; a derived one follows the one it came from.
        problems: by map that cannot, one sentence that names coin and range.
        left: maps that were not tried, because the time was over before there was a call for them.
        ranges_refused: ranges that the plan was said not to serve.
    """

    maps: tuple[FetchedMap, ...] = ()
    problems: Mapping[MapKey, str] = field(default_factory=dict)
    left: tuple[MapKey, ...] = ()
    ranges_refused: frozenset[str] = frozenset()


class _Stops:
    """Answers that will be the same for more maps: a wrong key for all, a small plan for a range."""

    def __init__(self) -> None:
        self._reasons: dict[str | None, str] = {}
        self._came: set[str] = set()
        self.ranges_refused: set[str] = set()

    def reason(self, timeframe: str) -> str | None:
        """Why a map of this range need not be asked for."""
        return self._reasons.get(None) or self._reasons.get(timeframe)

    def came(self, timeframe: str) -> None:
        """A map of this range was served, so a refusal is one coin's own."""
        self._came.add(timeframe)
        self._reasons.pop(timeframe, None)

    def refused(self, timeframe: str, error: StopAndTell) -> None:
        """The key or its plan was refused."""
        if not isinstance(error, CoinglassNotInPlan):
            self._reasons.setdefault(None, str(error))
            return
        self.ranges_refused.add(timeframe)
        if timeframe not in self._came:
            self._reasons.setdefault(timeframe, str(error))


# What became of a wish: maps, a problem in words, or None where there was no time for it.
_Outcome = list[FetchedMap] | str | None


@dataclass(frozen=True)
class _Errand:
    """What all wishes of one fetching share."""

    urgent: bool
    last_s: float
    prices: Mapping[str, float]
    stops: _Stops


class MapFetcher:
    """Fetches maps on a few threads, which live as long as the process.

    Args:
        coinglass: where maps come from; used by several threads at once.
        clock: market time.
        threads: how many maps are under way at once.
        source: written into each snapshot.
        live: Bybit's prices, to see a map in another unit; None to believe every map.
        monotonic: real seconds from any origin.
    """

    def __init__(
        self,
        *,
        coinglass: HeatmapPort,
        clock: Clock,
        threads: int,
        source: str,
        live: LivePrices | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coinglass = coinglass
        self._clock = clock
        self._monotonic = monotonic
        self._threads = threads
        self._source = source
        self._live = live

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # Made at the first use, so that it belongs to this process and not to a parent of it.
        return ThreadPoolExecutor(self._threads, thread_name_prefix="heatmap")

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def fetch(self, wanted: Sequence[Wanted], *, urgent: bool = False, within_s: float = math.inf) -> Fetched:
        """Fetch maps. One that fails is named and harms no other.

        Args:
            wanted: each map at most once.
            urgent: may use the budget's reserve.
            within_s: real seconds after which no further call begins.
        """
        symbols = {each.coin.symbol for each in wanted}
        prices = fresh_prices(self._live, symbols, self._clock.now_ms())
        errand = _Errand(urgent, self._monotonic() + within_s, prices, _Stops())
        maps: list[FetchedMap] = []
        problems: dict[MapKey, str] = {}
        left: list[MapKey] = []
        outcomes = self._pool.map(lambda each: self._outcome(each, errand), wanted)
        for each, outcome in zip(wanted, outcomes, strict=True):
            if outcome is None:
                left.append(each.key)
            elif isinstance(outcome, str):
                problems[each.key] = outcome
            else:
                maps.extend(outcome)
        return Fetched(tuple(maps), problems, tuple(left), frozenset(errand.stops.ranges_refused))

    def _outcome(self, wanted: Wanted, errand: _Errand) -> _Outcome:
        try:
            if (reason := errand.stops.reason(wanted.timeframe)) is not None:
                raise GiveUp(f"not asked, since another map got: {reason}")
            left_s = errand.last_s - self._monotonic()
            if left_s <= 0:
                return None
            found = self._maps(wanted, errand, left_s)
        except BudgetExhausted:
            return None
        except StopAndTell as error:
            errand.stops.refused(wanted.timeframe, error)
            return _problem(wanted, error)
        except (WhalestackError, ValueError) as error:
            # ValueError is how the mathematics refuses a map.
            return _problem(wanted, error)
        errand.stops.came(wanted.timeframe)
        return found

    def _maps(self, wanted: Wanted, errand: _Errand, within_s: float) -> list[FetchedMap]:
        derives = wanted.timeframe == DERIVED_FROM
        heatmap = self._coinglass.heatmap(
            wanted.coin.coin,
            wanted.timeframe,
            all_columns=derives,
            urgent=errand.urgent,
            within_s=None if math.isinf(within_s) else within_s,
        )
        check_present(heatmap, self._clock)
        check_unit(heatmap, wanted.coin, errand.prices.get(wanted.coin.symbol))
        now_values = last_column(heatmap.y_axis, heatmap.xs, heatmap.ys, heatmap.values, heatmap.n_columns)
        found = [self._fetched(wanted.coin, heatmap, wanted.timeframe, now_values)]
        if derives:
            found.append(self._fetched(wanted.coin, heatmap, DERIVED, self._younger(heatmap)))
        return found

    def _younger(self, heatmap: Heatmap) -> Floats:
        now_ms = heatmap.map_time_ms or self._clock.now_ms()
        return derive_14d(
            heatmap.y_axis, heatmap.xs, heatmap.ys, heatmap.values, heatmap.column_times_ms, now_ms
        )

    def _fetched(self, coin: FollowedCoin, heatmap: Heatmap, timeframe: str, values: Floats) -> FetchedMap:
        fetched_at = self._clock.now()
        level_map = LevelMap(
            timeframe=timeframe,
            price=heatmap.price * coin.multiplier,
            prices=heatmap.y_axis * coin.multiplier,
            values=values,
            map_time_ms=heatmap.map_time_ms or to_ms(fetched_at),
            derived=timeframe == DERIVED,
        )
        return FetchedMap(
            symbol=coin.symbol,
            level_map=level_map,
            clusters=find_clusters(level_map),
            fetched_at=fetched_at,
            map_time=None if heatmap.map_time_ms is None else from_ms(heatmap.map_time_ms),
            source=self._source,
        )


def fresh_prices(live: LivePrices | None, symbols: Iterable[str], now_ms: int) -> dict[str, float]:
    """Bybit's price now of those coins that have one; none at all while Redis is away, which must
    not stop the maps.

    Args:
        live: None for nobody who knows.
        symbols: of the coins.
        now_ms: market time.
    """
    try:
        ticks = {} if live is None else live.get_many(symbols)
    except TryAgain:
        return {}
    oldest_ms = now_ms - TICK_MAX_AGE.total_seconds() * 1000
    return {symbol: tick.last for symbol, tick in ticks.items() if tick.ts_ms >= oldest_ms}


def _problem(wanted: Wanted, error: Exception) -> str:
    return f"{wanted.coin.symbol} {wanted.timeframe}: {error}"
