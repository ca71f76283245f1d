"""The model of the heat map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.liquidation_model import (
    Bar,
    LeverageTier,
    LiquidationModel,
    ModelAssumptions,
    build_columns,
    even_levels,
)

# Two tiers whose liquidations lie exactly 10 % (1/5 - 0.1) and 5 % (1/10 - 0.05) away.
TWO_TIERS = (LeverageTier(5, 0.75, 0.10), LeverageTier(10, 0.25, 0.05))
BY_HAND = ModelAssumptions(tiers=TWO_TIERS, churn_share=0.0)
LEVELS = even_levels(80, 120, 41)  # a dollar apart


def standing(model):
    return {
        float(level): round(float(usd), 6)
        for level, usd in zip(model.levels, model.column(), strict=True)
        if usd > 1e-9
    }


def test_three_candles_and_two_tiers_by_hand():
    """Candle 1 only sets open interest. Candle 2: it rises by 10 coins at (100+100+100)/3: 1,000 USD,
    500 long and 500 short: longs 375 at 90 and 125 at 95, shorts 375 at 110 and 125 at 105.
    Candle 3: low 94 touches the longs at 95 (125 of 1,000 gone, 12.5 %), and open interest falls
    from 20 to 14, 30 %: of what is left 0.7 / 0.875 = 80 % stays.
    """
    model = LiquidationModel(LEVELS, BY_HAND)
    model.step(Bar(100, 100, 100, 0), 10)
    assert standing(model) == {}
    model.step(Bar(100, 100, 100, 0), 20)
    assert standing(model) == {90.0: 375.0, 95.0: 125.0, 105.0: 125.0, 110.0: 375.0}
    model.step(Bar(99, 94, 96, 0), 14)
    assert standing(model) == {90.0: 300.0, 105.0: 100.0, 110.0: 300.0}
    ledger = model.ledger()
    assert (ledger.opened, ledger.consumed, ledger.outside) == (1000.0, 125.0, 0.0)
    assert ledger.faded == pytest.approx(175.0)
    assert ledger.standing == pytest.approx(700.0)


def test_a_fall_that_liquidations_explain_fades_nothing():
    """12.5 % consumed and 12.5 % less open interest: what is left stays."""
    model = LiquidationModel(LEVELS, BY_HAND)
    model.step(Bar(100, 100, 100, 0), 10)
    model.step(Bar(100, 100, 100, 0), 20)
    model.step(Bar(100, 95, 96, 0), 17.5)
    assert standing(model) == {90.0: 375.0, 105.0: 125.0, 110.0: 375.0}


def test_a_position_between_two_levels_is_shared_in_proportion():
    """Opened at 100.25: longs at 90.225 and 95.2375, shorts at 110.275 and 105.2625."""
    model = LiquidationModel(LEVELS, BY_HAND)
    model.step(Bar(100.25, 100.25, 100.25, 0), 10)
    model.step(Bar(100.25, 100.25, 100.25, 0), 20)
    usd = 10 * 100.25 / 2
    assert standing(model)[90.0] == pytest.approx(usd * 0.75 * (1 - 0.225))
    assert standing(model)[91.0] == pytest.approx(usd * 0.75 * 0.225)


def test_shorts_are_consumed_from_above():
    """A high of 107 takes the shorts at 105 and leaves those at 110."""
    model = LiquidationModel(LEVELS, BY_HAND)
    model.step(Bar(100, 100, 100, 0), 10)
    model.step(Bar(100, 100, 100, 0), 20)
    model.step(Bar(107, 100, 106, 0), 20)
    assert set(standing(model)) == {90.0, 95.0, 110.0}


def test_without_open_interest_a_share_of_turnover_opens():
    """5 % of 20,000 is 1,000 USD."""
    model = LiquidationModel(LEVELS, BY_HAND)
    model.step(Bar(100, 100, 100, 20_000))
    assert model.ledger().opened == pytest.approx(1000.0)


def test_churn_opens_and_fades_at_once():
    """2 % of 5,000 turnover changes hands: 100 USD open anew and 100 / 2,000 of what stood closes."""
    model = LiquidationModel(LEVELS, ModelAssumptions(tiers=TWO_TIERS, churn_share=0.02))
    model.step(Bar(100, 100, 100, 0), 10)
    model.step(Bar(100, 100, 100, 0), 20)
    model.step(Bar(100, 100, 100, 5_000), 20)
    assert model.ledger().standing == pytest.approx(1000 * 0.95 + 100)


def test_memory_forgets_what_is_older_than_the_range():
    """After `memory_bars` quiet bars 1/e is left."""
    model = LiquidationModel(LEVELS, ModelAssumptions(tiers=TWO_TIERS, churn_share=0, memory_bars=10))
    model.step(Bar(100, 100, 100, 0), 10)
    model.step(Bar(100, 100, 100, 0), 20)
    for _ in range(10):
        model.step(Bar(100, 100, 100, 0), 20)
    assert model.ledger().standing == pytest.approx(1000 * np.exp(-1))


def test_what_lies_off_the_map_is_counted_as_outside():
    """Levels from 94 to 106 miss the tier 10 % away: three quarters."""
    model = LiquidationModel(even_levels(94, 106, 13), BY_HAND)
    model.step(Bar(100, 100, 100, 0), 10)
    model.step(Bar(100, 100, 100, 0), 20)
    assert (model.ledger().outside, model.ledger().standing) == (pytest.approx(750.0), pytest.approx(250.0))


def test_new_levels_carry_over_what_stands():
    """Moved to levels half a dollar finer, the same USD stand at the same prices."""
    model = LiquidationModel(LEVELS, BY_HAND)
    model.step(Bar(100, 100, 100, 0), 10)
    model.step(Bar(100, 100, 100, 0), 20)
    before = standing(model)
    model.move_to(even_levels(70, 130, 121))
    assert standing(model) == before
    assert model.ledger().standing == pytest.approx(1000.0)


@pytest.mark.parametrize(
    "bar",
    [Bar(100, 101, 100, 0), Bar(100, 99, 98, 0), Bar(100, 99, 101, 0), Bar(100, 0, 50, 0),
     Bar(float("nan"), 99, 100, 0), Bar(float("inf"), 99, 100, 0), Bar(100, 99, 100, -1)],
)  # fmt: skip
def test_a_bar_that_is_no_candle_is_refused_and_changes_nothing(bar):
    """High below low, a close outside, zero, not a number, negative turnover."""
    model = LiquidationModel(LEVELS, BY_HAND)
    with pytest.raises(ValueError, match="candle"):
        model.step(bar, 5.0)
    assert model.ledger().opened == 0.0


@pytest.mark.parametrize("levels", [[1.0], [2.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, float("nan")]])
def test_levels_must_ascend(levels):
    """Two or more ascending prices."""
    with pytest.raises(ValueError, match="levels"):
        LiquidationModel(np.array(levels))


@pytest.mark.parametrize("tiers", [(LeverageTier(10, 0.5, 0.01),), (LeverageTier(10, 1.0, 0.1),)])
def test_assumptions_must_make_sense(tiers):
    """Weights that do not sum to 1; a margin rate that liquidates at the entry."""
    with pytest.raises(ValueError, match="tier"):
        ModelAssumptions(tiers=tiers)


def candles(seed, count=60):
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    highs = closes * (1 + rng.exponential(0.004, count))
    lows = closes * (1 - rng.exponential(0.004, count))
    interest = 1e5 * np.exp(np.cumsum(rng.normal(0, 0.03, count)))
    return highs, lows, closes, rng.lognormal(12, 1, count), interest


@given(st.integers(0, 10_000), st.booleans())
def test_conservation(seed, knows_interest):
    """What is opened is consumed, faded, outside or standing; nothing stands past the price."""
    highs, lows, closes, turnover, interest = candles(seed)
    model = LiquidationModel(LEVELS, ModelAssumptions(memory_bars=200))
    for index in range(closes.size):
        model.step(
            Bar(highs[index], lows[index], closes[index], turnover[index]),
            interest[index] if knows_interest else None,
        )
        assert (model.column() >= 0).all()
        assert model.longs[closes[index] <= LEVELS].sum() == 0
        assert model.shorts[closes[index] >= LEVELS].sum() == 0
    ledger = model.ledger()
    assert ledger.opened > 0
    assert ledger.consumed + ledger.faded + ledger.outside + ledger.standing == pytest.approx(ledger.opened)


@given(st.integers(0, 10_000), st.sampled_from([1e-6, 10.0, 1e5]), st.sampled_from([0.5, 10.0, 1e4]))
def test_scale_invariance(seed, price_factor, size_factor):
    """Prices times k with as many USD, sizes times n: the same map in another unit."""
    highs, lows, closes, turnover, interest = candles(seed, 40)
    plain = build_columns(highs, lows, closes, turnover, interest, LEVELS)
    scaled = build_columns(
        highs * price_factor, lows * price_factor, closes * price_factor, turnover * size_factor,
        interest / price_factor * size_factor, LEVELS * price_factor,
    )  # fmt: skip
    np.testing.assert_allclose(
        scaled, plain * size_factor, rtol=1e-6, atol=float(plain.max()) * 1e-9 * size_factor
    )


def test_history_and_steps_are_the_same_model():
    """The simulator adds a column at a time; the backtest builds them at once."""
    highs, lows, closes, turnover, interest = candles(1)
    interest[10] = np.nan
    columns = build_columns(highs, lows, closes, turnover, interest, LEVELS)
    model = LiquidationModel(LEVELS)
    for index in range(closes.size):
        known = None if np.isnan(interest[index]) else float(interest[index])
        model.step(Bar(highs[index], lows[index], closes[index], turnover[index]), known)
        np.testing.assert_allclose(columns[:, index], model.column())


def test_no_look_ahead():
    """Cutting the candles at any time does not change the columns before the cut."""
    highs, lows, closes, turnover, interest = candles(2)
    whole = build_columns(highs, lows, closes, turnover, interest, LEVELS)
    for cut in (1, 17, 42):
        part = build_columns(highs[:cut], lows[:cut], closes[:cut], turnover[:cut], interest[:cut], LEVELS)
        np.testing.assert_array_equal(part, whole[:, :cut])
