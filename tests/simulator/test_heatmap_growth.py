"""Heat maps in CoinGlass's form that grow with the market."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.liquidation_model import Bar, LiquidationModel, ModelAssumptions, even_levels
from whalestack.math.timeframes import GEOMETRY, SERVED_TIMEFRAMES
from whalestack.simulator.heatmaps import KINDS, GrowingMap, Heatmaps, View
from whalestack.simulator.market.played import PlayedMarket
from whalestack.simulator.market.synthetic import open_synthetic

START_MS = 1_760_875_200_000
PLAIN = View()


@pytest.fixture
def market() -> PlayedMarket:
    return open_synthetic(6, start_ms=START_MS + 60_000, seed=9)


def decoded(made: GrowingMap) -> dict[str, Any]:
    reply = orjson.loads(made.reply())
    assert "0" == reply["code"]
    data: dict[str, Any] = reply["data"]
    return data


def cells(data: dict[str, Any]) -> dict[tuple[int, int], float]:
    return {(x, y): value for x, y, value in data["liquidation_leverage_data"]}


@pytest.mark.parametrize("timeframe", SERVED_TIMEFRAMES)
def test_every_range_has_its_recorded_geometry(market: PlayedMarket, timeframe: str) -> None:
    """As many candles as columns, evenly spaced, times in seconds, four keys, prices as strings."""
    data = decoded(GrowingMap(market, "BTCUSDT", GEOMETRY[timeframe], KINDS["model2"], PLAIN))
    assert {"y_axis", "liquidation_leverage_data", "price_candlesticks", "update_time"} == set(data)
    candles = data["price_candlesticks"]
    assert GEOMETRY[timeframe].columns == len(candles)
    assert {GEOMETRY[timeframe].column_s} == set(np.diff([row[0] for row in candles]).tolist())
    assert all(isinstance(number, str) for number in candles[0][1:])
    assert market.now_ms == data["update_time"]
    assert 119 == len(data["y_axis"])
    assert data["y_axis"] == sorted(data["y_axis"])


def test_cells_are_sparse_and_inside_the_map(market: PlayedMarket) -> None:
    data = decoded(GrowingMap(market, "BTCUSDT", GEOMETRY["24h"], KINDS["model2"], PLAIN))
    found = cells(data)
    assert set(range(288)) >= {x for x, _ in found}
    assert set(range(119)) >= {y for _, y in found}
    assert 2_000 < len(found) < 288 * 119
    assert min(found.values()) > 0


def test_no_level_stands_where_price_has_just_been(market: PlayedMarket) -> None:
    """The last column holds nothing between the open candle's low and high."""
    data = decoded(GrowingMap(market, "SOLUSDT", GEOMETRY["24h"], KINDS["model2"], PLAIN))
    low, high = (float(data["price_candlesticks"][-1][place]) for place in (3, 2))
    standing = [data["y_axis"][y] for (x, y) in cells(data) if x == 287]
    assert not [price for price in standing if low < price < high]


def test_a_closed_column_is_history_and_only_moves_to_the_left(market: PlayedMarket) -> None:
    """Three columns later the same cells stand three columns further left, unchanged."""
    made = GrowingMap(market, "BTCUSDT", GEOMETRY["24h"], KINDS["model2"], PLAIN)
    before = decoded(made)
    market.advance(market.now_ms + 900_000)
    after = decoded(made)
    assert before["y_axis"] == after["y_axis"]
    moved = {(x - 3, y): value for (x, y), value in cells(before).items() if 3 <= x < 287}
    kept = {(x, y): value for (x, y), value in cells(after).items() if x < 284}
    assert moved == kept
    assert before["price_candlesticks"][3:-1] == after["price_candlesticks"][:284]
    assert 288 == len(after["price_candlesticks"])


def test_only_the_last_column_changes_while_it_is_open(market: PlayedMarket) -> None:
    made = GrowingMap(market, "BTCUSDT", GEOMETRY["24h"], KINDS["model2"], PLAIN)
    before = decoded(made)
    market.advance(market.now_ms + 120_000)
    after = decoded(made)
    assert before["price_candlesticks"][:-1] == after["price_candlesticks"][:-1]
    assert before["price_candlesticks"][-1] != after["price_candlesticks"][-1]
    open_before, open_after = ({k: v for k, v in cells(d).items() if k[0] == 287} for d in (before, after))
    assert open_before != open_after
    closed = [{k: v for k, v in cells(d).items() if k[0] < 287} for d in (before, after)]
    assert closed[0] == closed[1]


def test_asking_often_or_seldom_gives_the_same_map(market: PlayedMarket) -> None:
    often = GrowingMap(market, "SOLUSDT", GEOMETRY["12h"], KINDS["model2"], PLAIN)
    seldom = GrowingMap(market, "SOLUSDT", GEOMETRY["12h"], KINDS["model2"], PLAIN)
    for _ in range(20):
        market.advance(market.now_ms + 97_000)
        often.reply()
    assert seldom.reply() == often.reply()


def test_the_grid_follows_a_price_that_leaves_it(market: PlayedMarket) -> None:
    made = GrowingMap(market, "BTCUSDT", GEOMETRY["12h"], KINDS["model2"], PLAIN)
    price = market.ticker("BTCUSDT").last * 1.3
    market.push_price("BTCUSDT", price)
    data = decoded(made)
    assert data["y_axis"][0] < price < data["y_axis"][-1]


def test_a_map_after_the_end_of_the_market_stands_still(market: PlayedMarket) -> None:
    made = GrowingMap(market, "BTCUSDT", GEOMETRY["12h"], KINDS["model2"], PLAIN)
    market._end_ms, market._block = market.now_ms, None
    before = decoded(made)
    market.advance(market.now_ms + 86_400_000)
    after = decoded(made)
    assert before["price_candlesticks"] == after["price_candlesticks"]


def test_a_coin_of_thousands_is_told_in_its_own_price(market: PlayedMarket) -> None:
    """The same map in a thousandth of the price: the cells do not change."""
    contract = decoded(GrowingMap(market, "DOGEUSDT", GEOMETRY["12h"], KINDS["model2"], View(1.0, 1.0, 5)))
    coin = decoded(GrowingMap(market, "DOGEUSDT", GEOMETRY["12h"], KINDS["model2"], View(1000.0, 1.0, 5)))
    assert np.allclose(np.array(contract["y_axis"]) / 1000, coin["y_axis"], rtol=1e-4)
    assert cells(contract) == cells(coin)
    assert float(contract["price_candlesticks"][0][4]) / 1000 == pytest.approx(
        float(coin["price_candlesticks"][0][4])
    )


def test_a_map_is_made_once_and_kept(market: PlayedMarket) -> None:
    maps = Heatmaps(market)
    assert maps.map("BTCUSDT", "24h", "model2", PLAIN) is maps.map("BTCUSDT", "24h", "model2", PLAIN)
    with pytest.raises(KeyError):
        maps.map("BTCUSDT", "14d", "model2", PLAIN)


@given(st.integers(0, 2**32), st.sampled_from(["known", "unknown", "gaps"]), st.integers(1, 39))
def test_many_bars_at_once_are_the_same_as_one_by_one(seed: int, interest: str, cut: int) -> None:
    """`LiquidationModel.run`, in two stretches, against `step`: columns and ledger."""
    random = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.02, 40)))
    highs, lows = closes * (1 + random.uniform(0, 0.02, 40)), closes * (1 - random.uniform(0, 0.02, 40))
    turnover = random.uniform(0, 1e6, 40)
    held = 1e4 * np.exp(np.cumsum(random.normal(0, 0.03, 40)))
    held[random.random(40) < {"known": 0.0, "unknown": 1.0, "gaps": 0.3}[interest]] = np.nan
    levels, assumptions = even_levels(70, 140, 60), ModelAssumptions(memory_bars=30.0)
    slow, fast = LiquidationModel(levels, assumptions), LiquidationModel(levels, assumptions)
    expected = []
    for row in zip(highs, lows, closes, turnover, held, strict=True):
        slow.step(Bar(*row[:4]), None if np.isnan(row[4]) else float(row[4]))
        expected.append(slow.column())
    parts = [
        fast.run(highs[part], lows[part], closes[part], turnover[part], held[part])
        for part in (slice(None, cut), slice(cut, None))
    ]
    assert np.allclose(expected, np.concatenate(parts), atol=1e-6)
    ledgers = ([*vars(model.ledger()).values()] for model in (slow, fast))
    assert np.allclose(*ledgers, atol=1e-3)


def test_a_branch_leaves_the_model_as_it_was() -> None:
    model = LiquidationModel(even_levels(90, 110, 50))
    model.step(Bar(101, 99, 100, 1e6))
    before = model.column()
    model.branch().step(Bar(105, 95, 96, 1e6))
    assert before.tolist() == model.column().tolist()
