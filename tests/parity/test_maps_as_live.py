"""`--maps-as-live` makes the maps that a system with HEATMAP_SOURCE=model makes at the same moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import pytest

from tests.backtest.random_market import START_MS, candles, market, settings
from whalestack.backtest.coin_maps import MapRules, live_columns
from whalestack.backtest.played_coins import assumptions_of, play
from whalestack.clients.bybit.lengths import LENGTHS, POINTS_MS
from whalestack.clients.bybit.port import MarketPort
from whalestack.clients.bybit.types import Kline, OpenInterestPoint
from whalestack.clock import ManualClock, from_ms
from whalestack.db.coin_store import FollowedCoin
from whalestack.db.engine import Database
from whalestack.db.heatmap_rows import StoredMap
from whalestack.math.heatmap import LevelMap
from whalestack.math.model_maps import CLOSE, HIGH, INTEREST, LOW, TURNOVER, RangeCandles
from whalestack.parity.maps_apart import ranges_apart
from whalestack.parity.past import write_past
from whalestack.scanners.map_fetcher import Wanted
from whalestack.scanners.model_candles import CandleKeeper
from whalestack.scanners.model_maps import ModelMaps
from whalestack.sockets.filler import Pace

HOUR_MS = 3_600_000
REFRESH_MS = 300_000
BEGIN_MS = START_MS + 30 * HOUR_MS
SYMBOL = "COIN0USDT"
MARKET = market(candles(coins=1, bars=500))
CONFIG = settings()
BARS = MARKET.coins[SYMBOL].model_bars(BEGIN_MS)
RULES = MapRules(as_live=True, assumptions=assumptions_of(MARKET.instruments[SYMBOL], CONFIG))
STEPS_MS = {name: length_s * 1000 for length_s, (name, _) in LENGTHS.items()}


class Recorded:
    """Bybit's public data: the candles of the backtest, as they stand at the clock's moment."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        starts = BARS.first_ms + BARS.bar_ms * np.arange(BARS.closes.size, dtype=np.int64)
        rows = (BARS.highs, BARS.lows, BARS.closes, BARS.turnover_usd, BARS.open_interest)
        self._candles = RangeCandles(starts, np.stack(rows))

    def klines(self, symbol: str, interval: str, *, limit: int = 200) -> list[Kline]:
        now_ms, step_ms = self._clock.now_ms(), STEPS_MS[interval]
        heard = int(np.searchsorted(self._candles.starts_ms, now_ms))
        known = RangeCandles(self._candles.starts_ms[:heard], self._candles.values[:, :heard])
        shown = known.in_steps(step_ms).last(limit)
        return [
            Kline(symbol, interval, start, v[CLOSE], v[HIGH], v[LOW], v[CLOSE], 1.0, v[TURNOVER],
                  start + step_ms <= now_ms)
            for start, v in zip(shown.starts_ms.tolist(), shown.values.T.tolist(), strict=True)
        ]  # fmt: skip

    def open_interest(self, symbol: str, interval: str, *, limit: int = 50) -> list[OpenInterestPoint]:
        """At whole intervals: what stood when the candle before ended."""
        ends = self._candles.starts_ms + BARS.bar_ms
        told = (ends <= self._clock.now_ms()) & (ends % POINTS_MS[interval] == 0)
        pairs = zip(ends[told].tolist(), self._candles.values[INTEREST, told].tolist(), strict=True)
        return [OpenInterestPoint(*each) for each in pairs][-limit:]


class System:
    """The running system's map source, young at `BEGIN_MS`: its first round is of that moment."""

    def __init__(self, db: Database) -> None:
        self.clock, self._db = ManualClock(BEGIN_MS - 1), db
        port = cast("MarketPort", Recorded(self.clock))
        keeper = CandleKeeper(db=db, market=port, clock=self.clock, pace=Pace(1e6))
        self._maps = ModelMaps(db=db, candles=keeper, settings=CONFIG, clock=self.clock)

    def maps(self, refresh: int) -> dict[str, LevelMap]:
        """Of a refresh; what has traded since the first one, the streams have written."""
        now_ms = BEGIN_MS + refresh * REFRESH_MS
        self.clock.put(now_ms - 1)
        write_past(self._db, MARKET, now_ms)
        coin = FollowedCoin(SYMBOL, "COIN0", 1)
        wanted = [Wanted(coin, name) for name in RULES.timeframes if name != "14d"]
        return {each.level_map.timeframe: each.level_map for each in self._maps.fetch(wanted).maps}


def as_live(refresh: int) -> Mapping[str, LevelMap]:
    closed = BARS.first_refresh_at + refresh
    return live_columns(BARS, RULES).maps(closed, BARS.first_ms + closed * BARS.bar_ms)


def test_the_maps_of_a_running_system_are_made(db: Database) -> None:
    """Every range of which there are candles, at its first round, the next, and seven hours later."""
    system = System(db)
    for refresh in (0, 1, 84):
        live, own = system.maps(refresh), as_live(refresh)

        assert {"12h", "24h", "3d", "7d", "14d", "30d"} == set(live) == set(own)
        for name, level_map in own.items():
            assert level_map.values.max() > 0
            np.testing.assert_array_equal(live[name].prices, level_map.prices)
            np.testing.assert_allclose(live[name].values, level_map.values, rtol=1e-6, err_msg=name)


def test_open_interest_counts_at_the_end_of_its_candle(db: Database) -> None:
    """As the streams count it: a candle later, every position would be opened at another price."""
    clock = ManualClock(BEGIN_MS)
    source = Recorded(clock)
    keeper = CandleKeeper(db=db, market=cast("MarketPort", source), clock=clock, pace=Pace(1e6))
    (found,) = keeper.candles(SYMBOL, [300]).values()

    known = {
        each.timestamp_ms: each.open_interest for each in source.open_interest(SYMBOL, "5min", limit=200)
    }
    told = {
        start: interest
        for start, interest in zip(found.starts_ms.tolist(), found.values[INTEREST].tolist(), strict=True)
        if start + 300_000 in known
    }
    assert len(told) > 100
    assert told == {start: known[start + 300_000] for start in told}


def test_how_far_maps_lie_apart_is_measured() -> None:
    """The same maps are equal and wholly alike; with half of the values gone they are not."""
    played = play(MARKET, CONFIG, BEGIN_MS, BEGIN_MS + REFRESH_MS, rules=MapRules(as_live=True))

    def stored(refresh: int, factor: float) -> list[StoredMap]:
        return [
            StoredMap(
                SYMBOL,
                from_ms(BEGIN_MS),
                LevelMap(each.timeframe, each.price, each.prices, each.values * factor, each.map_time_ms),
            )
            for each in as_live(refresh).values()
        ]

    same = ranges_apart([stored(0, 1.0), stored(1, 1.0)], played)
    half = ranges_apart([stored(0, 1.0), stored(1, 0.5)], played)

    assert {(each.maps, each.equal) for each in same} == {(2, 2)}
    assert all(each.alike_pct == pytest.approx(100.0) for each in same)
    assert {(each.maps, each.equal) for each in half} == {(2, 1)}
    assert all(60 < each.alike_pct < 80 for each in half)
