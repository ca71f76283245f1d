"""The compiled pass is the step model, for several memories at once and on a grid that grows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whalestack.math.liquidation_model import (
    Bar,
    LeverageTier,
    LiquidationModel,
    ModelAssumptions,
    even_levels,
)
from whalestack.math.liquidation_pass import FastLiquidationModel

TWO_TIERS = (LeverageTier(5, 0.75, 0.10), LeverageTier(10, 0.25, 0.05))
BY_HAND = ModelAssumptions(tiers=TWO_TIERS, churn_share=0.0)
LEVELS = even_levels(80, 120, 41)  # a dollar apart
MEMORIES = (None, 200.0, 12.0)


def candles(seed, count=60, sigma=0.01):
    """Highs, lows, closes, turnover and an open interest that is not always known."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, sigma, count)))
    highs = closes * (1 + rng.exponential(sigma / 2, count))
    lows = closes * (1 - rng.exponential(sigma / 2, count))
    interest = 1e5 * np.exp(np.cumsum(rng.normal(0, 0.03, count)))
    interest[rng.random(count) < 0.1] = np.nan
    interest[rng.random(count) < 0.01] = 0.0
    return highs, lows, closes, rng.lognormal(12, 1, count), interest


def stepped(levels, bars, memory):
    """(C, L) columns of the step model, and the model."""
    model = LiquidationModel(levels, ModelAssumptions(memory_bars=memory))
    columns = []
    for high, low, close, turnover, interest in zip(*bars, strict=True):
        model.step(Bar(high, low, close, turnover), None if np.isnan(interest) else interest)
        columns.append(model.column())
    return np.array(columns), model


def shown(columns, index=0, memory=0):
    """What stands after one asked candle, by price."""
    pairs = zip(columns.prices(index).tolist(), columns.values[index, memory].tolist(), strict=True)
    return {price: round(usd, 6) for price, usd in pairs if usd > 1e-9}


def test_three_candles_and_two_tiers_by_hand():
    """The step model's case: 1,000 USD opened, longs at 95 touched, 80 % of what is left stays."""
    model = FastLiquidationModel(BY_HAND, levels=LEVELS)
    highs, lows, closes = np.array([100.0, 100, 99]), np.array([100.0, 100, 94]), np.array([100.0, 100, 96])
    columns = model.advance(highs, lows, closes, np.zeros(3), np.array([10.0, 20, 14]), column_at=[0, 1, 2])
    assert shown(columns, 0) == {}
    assert shown(columns, 1) == {90.0: 375.0, 95.0: 125.0, 105.0: 125.0, 110.0: 375.0}
    assert shown(columns, 2) == {90.0: 300.0, 105.0: 100.0, 110.0: 300.0}
    ledger = model.ledger()
    assert (ledger.opened, ledger.consumed, ledger.outside) == (1000.0, 125.0, 0.0)
    assert (ledger.faded, ledger.standing) == (pytest.approx(175.0), pytest.approx(700.0))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.003, 0.01, 0.08]), st.integers(1, 59))
def test_the_pass_is_the_step_model(seed, sigma, cut):
    """Every column of every memory, within 1e-9 of its largest value, also taken in two parts."""
    bars = candles(seed, sigma=sigma)
    model = FastLiquidationModel(memory_bars=MEMORIES, levels=LEVELS)
    first = model.advance(*(each[:cut] for each in bars), column_at=range(cut))
    rest = model.advance(*(each[cut:] for each in bars), column_at=range(60 - cut))
    values = np.concatenate([first.values, rest.values])
    for number, memory in enumerate(MEMORIES):
        expected, slow = stepped(LEVELS, bars, memory)
        np.testing.assert_allclose(values[:, number], expected, rtol=1e-9, atol=1e-9 * expected.max())
        mine, its = model.ledger(number), slow.ledger()
        for name in ("opened", "consumed", "faded", "outside", "standing"):
            assert getattr(mine, name) == pytest.approx(getattr(its, name), rel=1e-8, abs=1e-6 * its.opened)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.integers(1, 299))
def test_a_grid_that_grows_shows_what_a_wide_one_does(seed, cut):
    """Price wanders far; the grid grows between two parts; every column is as on one wide grid."""
    bars = candles(seed, count=300, sigma=0.05)
    growing = FastLiquidationModel(memory_bars=MEMORIES, step_pct=0.5)
    first = growing.advance(*(each[:cut] for each in bars), column_at=range(cut))
    rest = growing.advance(*(each[cut:] for each in bars), column_at=range(300 - cut))
    slow, _ = stepped(growing.levels, bars, 200.0)
    for columns, offset in ((first, 0), (rest, cut)):
        for index in range(0, columns.column_at.size, 37):
            begin = int(np.argmin(np.abs(growing.levels - columns.prices(index)[0])))
            np.testing.assert_allclose(columns.prices(index)[0], growing.levels[begin])
            expected = slow[offset + index, begin : begin + columns.values.shape[2]]
            np.testing.assert_allclose(columns.values[index, 1], expected, rtol=1e-9, atol=1e-9 * slow.max())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_conservation(seed):
    """Opened is consumed, faded or standing; on the grid that grows nothing is outside."""
    model = FastLiquidationModel(memory_bars=MEMORIES)
    model.advance(*candles(seed, count=400, sigma=0.03))
    for number in range(len(MEMORIES)):
        ledger = model.ledger(number)
        assert ledger.outside == 0.0
        assert ledger.consumed + ledger.faded + ledger.standing == pytest.approx(ledger.opened)


def test_rounding_of_what_has_gone_does_not_become_what_is_left():
    """After 8,000 candles of a memory that forgets in 50 it is still the step model."""
    bars = candles(3, count=8_000, sigma=0.001)
    levels = even_levels(50, 200, 120)
    model = FastLiquidationModel(memory_bars=[50.0], levels=levels)
    columns = model.advance(*bars, column_at=[7_999])
    expected, _ = stepped(levels, bars, 50.0)
    np.testing.assert_allclose(columns.values[0, 0], expected[-1], rtol=1e-7, atol=1e-9 * expected[-1].max())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 10.0, 1e5]), st.sampled_from([0.5, 1e4]))
def test_scale_invariance(seed, price_factor, size_factor):
    """Prices times a power of ten, sizes times n: the same map on the same grid in another unit."""
    highs, lows, closes, turnover, interest = candles(seed, 80)
    plain = FastLiquidationModel(memory_bars=[30]).advance(
        highs, lows, closes, turnover, interest, column_at=[79]
    )
    scaled = FastLiquidationModel(memory_bars=[30]).advance(
        highs * price_factor, lows * price_factor, closes * price_factor, turnover * size_factor,
        interest / price_factor * size_factor, column_at=[79],
    )  # fmt: skip
    np.testing.assert_allclose(scaled.prices(0), plain.prices(0) * price_factor, rtol=1e-9)
    most = float(plain.values.max()) * size_factor
    np.testing.assert_allclose(scaled.values, plain.values * size_factor, rtol=1e-5, atol=most * 1e-6)


def test_no_look_ahead():
    """Neither later candles nor the size of the grid they need change an earlier column."""
    bars = candles(2, count=200, sigma=0.04)
    whole = FastLiquidationModel().advance(*bars, column_at=range(200))
    for cut in (1, 17, 142):
        part = FastLiquidationModel().advance(*(each[:cut] for each in bars), column_at=[cut - 1])
        np.testing.assert_array_equal(part.values[0], whole.values[cut - 1])
        np.testing.assert_allclose(part.prices(0), whole.prices(cut - 1), rtol=1e-12)


def test_a_branch_takes_an_open_candle_and_the_model_does_not():
    """Looked at twice, the same; the model itself goes on from before."""
    bars = candles(5)
    model = FastLiquidationModel()
    model.advance(*(each[:30] for each in bars))
    before = model.ledger()
    peeked = model.branch().advance(*(each[30:31] for each in bars), column_at=[0])
    assert model.ledger() == before
    taken = model.advance(*(each[30:31] for each in bars), column_at=[0])
    np.testing.assert_array_equal(peeked.values, taken.values)


def test_a_column_as_a_map():
    """Levels within the reach, ascending; longs below the close, shorts above it."""
    bars = candles(6)
    columns = FastLiquidationModel().advance(*bars, column_at=[59], reach_pct=30)
    level_map = columns.level_map(0, 0, timeframe="7d", map_time_ms=1, reach_pct=10)
    assert level_map.price == bars[2][59]
    assert level_map.prices[0] >= level_map.price / 1.1
    assert level_map.prices[-1] <= level_map.price * 1.1
    assert level_map.values.sum() > 0


@pytest.mark.parametrize("wrong", [(1.0, 2.0, 1.5, 0.0), (2.0, 0.0, 1.0, 0.0), (2.0, 1.0, 1.5, -1.0),
                                   (float("inf"), 1.0, 1.5, 0.0), (2.0, 1.0, float("nan"), 0.0)])  # fmt: skip
def test_a_bar_that_is_no_candle_is_refused_and_changes_nothing(wrong):
    """The number of the first one is named."""
    model = FastLiquidationModel()
    good = (2.0, 1.0, 1.5, 1.0)
    with pytest.raises(ValueError, match="bar 1 is not a candle"):
        model.advance(*(np.array(pair) for pair in zip(good, wrong, strict=True)))
    assert model.ledger().opened == 0.0


@pytest.mark.parametrize("column_at", [[1, 0], [3], [-1]])
def test_asked_columns_must_ascend_within_the_candles(column_at):
    """Three candles: 0, 1, 2."""
    ones = np.ones(3)
    with pytest.raises(ValueError, match="asked columns"):
        FastLiquidationModel().advance(ones, ones, ones, ones, column_at=column_at)
