"""HEATMAP_SOURCE=model: a round of maps from Bybit's candles, without CoinGlass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, text

from tests.simulator.served_world import START_MS, Served, served, small_world
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.lengths import LENGTHS
from whalestack.clients.bybit.types import Kline, OpenInterestPoint
from whalestack.clock import ManualClock
from whalestack.config import HeatmapSource, Settings
from whalestack.db.coin_store import followed_coins
from whalestack.db.engine import Database
from whalestack.db.models import CoinRanking, LiquidationCluster, LiquidationSnapshot
from whalestack.dispatch import RecordingDispatcher
from whalestack.errors import TryAgain
from whalestack.math.liquidation_model import Bar, LiquidationModel, ModelAssumptions
from whalestack.math.model_maps import CLOSE, HIGH, INTEREST, LOW, TURNOVER, RangeCandles, model_map
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.runtime import Runtime
from whalestack.scanners.coins import CoinScanner
from whalestack.scanners.heatmap import HeatmapScanner
from whalestack.scanners.map_fetcher import Wanted
from whalestack.scanners.model_candles import CandleKeeper
from whalestack.scanners.model_maps import ModelMaps
from whalestack.scanners.ranking import RankingScanner
from whalestack.sockets.filler import Pace

COINS = 4
STEP_MS = 300_000


class NoCoinglass:
    """Whoever asks it has not understood the setting."""

    def supported_coins(self) -> frozenset[str]:
        raise AssertionError("CoinGlass was asked")


@dataclass
class CountedMarket:
    """Bybit's public data, each question counted."""

    bybit: BybitClient
    asked: Counter[str] = field(default_factory=Counter)
    away: bool = False

    def klines(self, symbol: str, interval: str, **span: Any) -> list[Kline]:
        self.asked[interval] += 1
        if self.away:
            raise TryAgain("Bybit is away")
        return self.bybit.klines(symbol, interval, **span)

    def open_interest(self, symbol: str, interval: str = "5min", **span: Any) -> list[OpenInterestPoint]:
        return self.bybit.open_interest(symbol, interval, **span)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Served]:
    with served(small_world(Settings(_env_file=None), coins=COINS)) as running:
        yield running


class Scene:
    """A system on the simulator's Bybit whose maps are its own."""

    def __init__(self, settings: Settings, db: Database, dispatcher: RecordingDispatcher) -> None:
        self.db, self.dispatcher = db, dispatcher
        self.settings = settings
        self.clock = ManualClock(START_MS)
        bybit = BybitClient.from_settings(self.settings, self.clock)
        CoinScanner(
            db=db, bybit=bybit, coinglass=NoCoinglass(), settings=self.settings, clock=self.clock
        ).refresh()
        self.market = CountedMarket(bybit)
        keeper = CandleKeeper(db=db, market=self.market, clock=self.clock, pace=Pace(1e6))  # type: ignore[arg-type]
        self.keeper = keeper
        self.maps = ModelMaps(db=db, candles=keeper, settings=self.settings, clock=self.clock)
        self.scanner = HeatmapScanner(db=db, settings=self.settings, clock=self.clock, own=self.maps)

    def round(self) -> list[str]:
        """A full round; returns its problems."""
        self.dispatcher.jobs.clear()
        report = self.scanner.start_round()
        assert report.round_id is not None, report.reason
        jobs = [job for job in self.dispatcher.jobs if job.task == "heatmap.fetch_batch"]
        return [each for job in jobs for each in self.scanner.fetch_batch(**job.kwargs).problems]

    def count(self, column: Any) -> dict[str, int]:
        with self.db.begin() as work:
            return dict(work.session.execute(select(column, func.count()).group_by(column)).all())

    def add_minutes(self, count: int) -> None:
        """The streams' bars: `count` minutes up to now, price and open interest unmoved."""
        with self.db.begin() as work:
            work.session.execute(
                text(
                    "insert into candles (symbol, interval, start_at, open, high, low, close, volume,"
                    " turnover_usd, open_interest) select distinct on (symbol, n) symbol, '1',"
                    " :now - n * interval '1 minute', close, close, close, close, 1, 1, open_interest"
                    " from candles, generate_series(1, :count) as n where interval = '5'"
                    " order by symbol, n, start_at desc on conflict do nothing"
                ),
                {"now": self.clock.now(), "count": count},
            )


@pytest.fixture
def own(simulator: Served, service_settings: Settings) -> Settings:
    """Settings of a system on the simulator's Bybit whose maps are its own."""
    changes = {
        "bybit_rest_url": simulator.url,
        "min_listing_age_h": 0,
        "heatmap_source": HeatmapSource.MODEL,
    }
    return Settings(_env_file=None, **{**service_settings.model_dump(), **changes})


@pytest.fixture
def scene(own: Settings, db: Database, dispatcher: RecordingDispatcher) -> Iterator[Scene]:
    made = Scene(own, db, dispatcher)
    yield made
    made.scanner.close()


def test_a_round_makes_every_map_and_the_next_asks_bybit_for_nothing(scene: Scene) -> None:
    """Nine maps a coin with source "model", clusters, a ranking; then the minutes tell what is new."""
    assert scene.round() == []
    assert scene.count(LiquidationSnapshot.timeframe) == dict.fromkeys(TIMEFRAMES, COINS)
    assert scene.count(LiquidationSnapshot.source) == {"model": 9 * COINS}
    assert set(scene.count(LiquidationCluster.timeframe)) == set(TIMEFRAMES)
    assert scene.market.asked == {name: COINS for name, _ in LENGTHS.values()}
    RankingScanner(db=scene.db, settings=scene.settings, clock=scene.clock).rank()
    assert sum(scene.count(CoinRanking.symbol).values()) == COINS

    scene.market.asked.clear()
    scene.clock.advance(600)
    # All of today: of the longest candles the streams' minutes have told the running part as well.
    scene.add_minutes(24 * 60)
    assert scene.round() == []
    assert scene.market.asked == {}
    assert scene.count(LiquidationSnapshot.timeframe)["12h"] == 2 * COINS


def test_after_a_long_absence_bybit_is_asked_for_what_is_missing(scene: Scene) -> None:
    """Three hours without the streams: the candles since then, not the whole past."""
    scene.round()
    before = scene.market.asked.copy()
    scene.clock.advance(3 * 3600)
    assert scene.round() == []
    assert (scene.market.asked - before)["5"] == COINS


def test_one_coin_is_fetched_out_of_turn(scene: Scene) -> None:
    """As with CoinGlass: all its ranges."""
    with scene.db.begin() as work:
        coin = followed_coins(work.session)[0]
    assert scene.scanner.refetch(coin.symbol, "mover").stored == 9


def test_a_coin_whose_candles_cannot_be_had_is_named(scene: Scene) -> None:
    """Every range of every coin, and no exception."""
    scene.market.away = True
    problems = scene.round()
    assert len(problems) == 8 * COINS
    assert all("Bybit is away" in each for each in problems)


def test_when_the_time_is_over_coins_are_left_for_later(scene: Scene) -> None:
    """Nothing is lost: the maps that were not made are named."""
    with scene.db.begin() as work:
        wanted = [Wanted(coin, "7d") for coin in followed_coins(work.session)]
    fetched = scene.maps.fetch(wanted, within_s=0)
    assert (fetched.maps, set(fetched.left)) == ((), {each.key for each in wanted})


def test_the_process_takes_the_source_from_its_settings(own: Settings) -> None:
    """Nothing that would need a CoinGlass key is made."""
    runtime = Runtime(own)
    runtime.heatmap_scanner.close()
    assert "coinglass" not in vars(runtime)


def candles(count: int, seed: int = 1) -> RangeCandles:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, count)))
    interest = 1e5 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    values = np.stack([closes * 1.002, closes * 0.998, closes, np.full(count, 1e6), interest])
    return RangeCandles(np.arange(count) * STEP_MS, values)


def test_a_map_is_the_step_model_over_the_ranges_candles() -> None:
    """The last 144 five-minute candles of 12h and nothing older."""
    made = model_map(candles(400), "12h", ModelAssumptions(), map_time_ms=7)
    step_ratio = made.prices[1] / made.prices[0]
    wide = made.prices[0] * step_ratio ** np.arange(-300, made.prices.size + 300)
    step = LiquidationModel(wide, ModelAssumptions(memory_bars=144.0))
    for high, low, close, turnover, interest in candles(400).values[:, -144:].T:
        step.step(Bar(high, low, close, turnover), interest)
    column = step.column()[300:-300]
    expected = np.where(column >= 0.003 * column.max(), column, 0.0)
    np.testing.assert_allclose(made.values, expected, rtol=1e-6, atol=1e-6)
    assert (made.price, made.map_time_ms, made.values.max() > 0) == (candles(400).values[CLOSE, -1], 7, True)


def test_of_a_coin_listed_an_hour_ago_no_map_is_made() -> None:
    """Eleven candles."""
    with pytest.raises(ValueError, match="11 candles are too few"):
        model_map(candles(11), "12h", ModelAssumptions(), map_time_ms=0)


def test_longer_candles_are_put_together_from_fives() -> None:
    """Extremes, last close, summed turnover, last open interest; the last one may be open."""
    fives = candles(8)
    quarter = fives.in_steps(3 * STEP_MS)
    assert quarter.starts_ms.tolist() == [0, 3 * STEP_MS, 6 * STEP_MS]
    assert quarter.values[HIGH, 1] == fives.values[HIGH, 3:6].max()
    assert quarter.values[LOW, 2] == fives.values[LOW, 6:8].min()
    assert quarter.values[CLOSE, 0] == fives.values[CLOSE, 2]
    assert quarter.values[TURNOVER, 2] == 2e6
    assert quarter.values[INTEREST, 2] == fives.values[INTEREST, 7]


def test_the_price_now_touches_what_it_reaches() -> None:
    """A live price above the last high consumes the shorts up to it and becomes the map's price."""
    price = float(candles(200).values[HIGH, -1] * 1.03)
    made = model_map(candles(200).at_price(price), "12h", ModelAssumptions(), map_time_ms=0)
    near = (made.prices > candles(200).values[CLOSE, -1]) & (made.prices < price)
    assert made.price == price
    assert made.values[near & (made.prices > price / 1.004)].sum() < made.values.sum()


def test_joined_candles_take_nothing_twice() -> None:
    """Where both tell of a candle the first one counts."""
    whole = candles(20)
    joined = whole.last(20).since(0).joined(whole.since(5 * STEP_MS))
    np.testing.assert_array_equal(joined.starts_ms, whole.starts_ms)
