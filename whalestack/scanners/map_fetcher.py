"""From the wish for some maps to maps that can be stored: fetched side by side, each failing alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Protocol

from whalestack.clients.coinglass.errors import CoinglassBadReply
from whalestack.clients.coinglass.types import Heatmap
from whalestack.clock import Clock, from_ms, to_ms
from whalestack.db.coin_store import FollowedCoin
from whalestack.db.heatmap_rows import FetchedMap
from whalestack.db.live import LiveTick
from whalestack.errors import GiveUp, StopAndTell, TryAgain, WhalestackError
from whalestack.math.clusters import find_clusters
from whalestack.math.heatmap import Floats, LevelMap, derive_14d, last_column

# The range that the 14d map is derived from: the one map of which every column is decoded.
DERIVED_FROM, DERIVED = "30d", "14d"
# Exchanges differ by a per cent or two, a wrong unit by a factor of ten or more.
MOST_PRICE_RATIO = 2.0
# An older tick says nothing of a price now.
TICK_MAX_AGE = timedelta(minutes=10)


class HeatmapPort(Protocol):
    """Who serves heat maps. `CoinglassClient` is one."""

    def heatmap(
        self, coin: str, timeframe: str, *, all_columns: bool = False, urgent: bool = False
    ) -> Heatmap:
        """One map. Raises a `WhalestackError` that names coin and range."""


class LivePrices(Protocol):
    """Who knows Bybit's prices now. `LiveMarket` is one."""

    def get_many(self, symbols: Iterable[str]) -> Mapping[str, LiveTick]:
        """The latest tick of those coins that have one."""


@dataclass(frozen=True)
class Wanted:
    """One map to fetch."""

    coin: FollowedCoin
    timeframe: str


@dataclass(frozen=True)
class Fetched:
    """What came of a number of wishes.

    Args:
        maps: that can be stored; a derived one follows the one it came from.
        problems: one sentence for each map that cannot, naming coin and range.
    """

    maps: tuple[FetchedMap, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass
class _Stop:
    """Set by the first answer that will be the same for every map: a wrong key, a small plan."""

    reason: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, reason: str) -> None:
        with self.lock:
            self.reason = self.reason or reason


class MapFetcher:
    """Fetches maps on a few threads, which live as long as the process.

    Args:
        coinglass: where maps come from; used by several threads at once.
        clock: market time.
        threads: how many maps are under way at once.
        source: written into each snapshot.
        live: Bybit's prices, to see a map in another unit; None to believe every map.
    """

    def __init__(
        self,
        *,
        coinglass: HeatmapPort,
        clock: Clock,
        threads: int,
        source: str,
        live: LivePrices | None = None,
    ) -> None:
        self._coinglass = coinglass
        self._clock = clock
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

    def fetch(self, wanted: Sequence[Wanted], *, urgent: bool = False) -> Fetched:
        """Fetch maps. One that fails is named and harms no other.

        Args:
            wanted: each map at most once.
            urgent: may use the budget's reserve.
        """
        stop = _Stop()
        prices = self._bybit_prices({each.coin.symbol for each in wanted})
        outcomes = self._pool.map(lambda each: self._outcome(each, urgent, prices, stop), wanted)
        maps: list[FetchedMap] = []
        problems: list[str] = []
        for outcome in outcomes:
            if isinstance(outcome, str):
                problems.append(outcome)
            else:
                maps.extend(outcome)
        return Fetched(tuple(maps), tuple(problems))

    def _outcome(
        self, wanted: Wanted, urgent: bool, prices: Mapping[str, float], stop: _Stop
    ) -> list[FetchedMap] | str:
        """The maps of one wish, or what was wrong with it."""
        try:
            if stop.reason is not None:
                raise GiveUp(f"not asked, since another map got: {stop.reason}")
            return self._maps(wanted, urgent, prices.get(wanted.coin.symbol))
        except StopAndTell as error:
            stop.set(str(error))
            return _problem(wanted, error)
        except (WhalestackError, ValueError) as error:
            # ValueError is how the mathematics refuses a map.
            return _problem(wanted, error)

    def _maps(self, wanted: Wanted, urgent: bool, bybit_price: float | None) -> list[FetchedMap]:
        derives = wanted.timeframe == DERIVED_FROM
        heatmap = self._coinglass.heatmap(
            wanted.coin.coin, wanted.timeframe, all_columns=derives, urgent=urgent
        )
        _check_unit(heatmap, wanted.coin, bybit_price)
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

    def _bybit_prices(self, symbols: Iterable[str]) -> dict[str, float]:
        if self._live is None:
            return {}
        try:
            ticks = self._live.get_many(symbols)
        except TryAgain:
            # The check is a safety net; a Redis that is away must not stop the maps.
            return {}
        oldest_ms = self._clock.now_ms() - TICK_MAX_AGE.total_seconds() * 1000
        return {symbol: tick.last for symbol, tick in ticks.items() if tick.ts_ms >= oldest_ms}


def _check_unit(heatmap: Heatmap, coin: FollowedCoin, bybit_price: float | None) -> None:
    if not bybit_price:
        return
    ratio = heatmap.price * coin.multiplier / bybit_price
    if not 1 / MOST_PRICE_RATIO <= ratio <= MOST_PRICE_RATIO:
        raise CoinglassBadReply(
            f"heat map of {heatmap.coin} {heatmap.timeframe}: its price is {ratio:.3g} times Bybit's:"
            f" another unit than {coin.multiplier} coins, or another coin"
        )


def _problem(wanted: Wanted, error: Exception) -> str:
    return f"{wanted.coin.symbol} {wanted.timeframe}: {error}"
