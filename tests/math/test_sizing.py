"""Size, leverage, liquidation price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.refusals import Refusal
from whalestack.math.sizing import (
    InstrumentLimits,
    PositionSize,
    choose_leverage,
    liquidation_price,
    loss_per_unit_usd,
    size_position,
)

D = Decimal
LIMITS = InstrumentLimits(
    qty_step=D("0.1"),
    min_order_qty=D("0.1"),
    max_order_qty=D(100_000),
    max_market_order_qty=D(50_000),
    min_notional_usd=D(5),
    min_leverage=D(1),
    max_leverage=D(25),
    leverage_step=D("0.01"),
)


def sized(direction="LONG", entry="100", stop="95", equity="10000", limits=LIMITS, **more):
    arguments = {
        "entry_price": D(entry),
        "stop_price": D(stop),
        "equity_usd": D(equity),
        "available_usd": D(equity),
        "risk_pct": 1.0,
        "limits": limits,
        "taker_fee_rate": D("0.00055"),
        "slippage_pct": 0.1,
        "max_leverage": 10.0,
        "maintenance_margin_rate": D("0.02"),
    }
    return size_position(direction, **{**arguments, **more})


def test_loss_per_coin_by_hand():
    """100 to 95: 5, fees (100 + 95) * 0.00055 = 0.10725, slippage 95 * 0.001 = 0.095: 5.20225."""
    assert loss_per_unit_usd(D(100), D(95), taker_fee_rate=D("0.00055"), slippage_pct=0.1) == D("5.20225")


@pytest.mark.parametrize(
    ("direction", "leverage", "expected"),
    [("LONG", 10, "92"), ("SHORT", 10, "108"), ("LONG", 1, "2"), ("LONG", 50, "100")],
)
def test_liquidation_price_by_hand(direction, leverage, expected):
    """100 * (1 -+ (1/leverage - 0.02)): at 10 times 8 % away, at 50 times at once."""
    assert liquidation_price(direction, D(100), D(leverage), D("0.02")) == D(expected)


def test_leverage_by_hand():
    """A stop 5 % away: liquidation at 5 * 1.25 + 2 = 8.25 % needs 12.12 times at most."""
    assert choose_leverage(D("0.05"), D("0.02"), LIMITS, D(100)) == D("12.12")
    assert choose_leverage(D("0.05"), D("0.02"), LIMITS, D(10)) == D(10)
    assert choose_leverage(D("0.001"), D("0.02"), LIMITS, D(100)) == D(25)


def test_leverage_below_the_coins_least_is_refused():
    """A stop 90 % away needs 1 / (0.9 * 1.25 + 0.02) = 0.87 times."""
    refusal = choose_leverage(D("0.9"), D("0.02"), LIMITS, D(10))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "leverage_below_minimum"


def test_size_by_hand():
    """1 % of 10,000 is 100; 100 / 5.20225 = 19.22 coins, rounded down to 19.2.

    Loss 19.2 * 5.20225 = 99.8832; margin 1920 / 10 = 192; liquidation at 92.
    """
    size = sized()
    assert isinstance(size, PositionSize)
    assert (size.qty, size.leverage, size.notional_usd) == (D("19.2"), D(10), D(1920))
    assert (size.margin_usd, size.worst_loss_usd, size.liquidation_price) == (D(192), D("99.88320"), D(92))
    assert size.worst_loss_pct == pytest.approx(0.998832)
    assert size.clamped_by == ()


def test_a_short_by_hand():
    """Stop 105: 5 + 205 * 0.00055 + 0.105 = 5.21775 a coin; 19.16 rounds to 19.1."""
    size = sized("SHORT", stop="105")
    assert isinstance(size, PositionSize)
    assert (size.qty, size.liquidation_price) == (D("19.1"), D(108))


def test_a_dollar_account_and_a_large_one_risk_the_same_share():
    """The same settings run both: sizes are proportional."""
    small, large = sized(equity="1000"), sized(equity="100000")
    assert isinstance(small, PositionSize)
    assert isinstance(large, PositionSize)
    assert (small.qty, large.qty) == (D("1.9"), D("192.2"))


@pytest.mark.parametrize(
    ("more", "qty", "clamped_by"),
    [
        ({"available_usd": D(100)}, "9.9", ("margin",)),  # 100 / (100 * (0.1 + 0.00055)) = 9.945
        ({"max_notional_usd": D(1000)}, "10.0", ("exposure",)),
        ({"limits": replace(LIMITS, max_market_order_qty=D(7))}, "7.0", ("largest order",)),
    ],
)
def test_what_makes_it_smaller_is_said(more, qty, clamped_by):
    """Margin, exposure, and the largest order that one stop can close."""
    size = sized(**more)
    assert isinstance(size, PositionSize)
    assert (size.qty, size.clamped_by) == (D(qty), clamped_by)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"equity": "0"}, "no_equity"),
        ({"available_usd": D(0)}, "no_equity"),
        ({"stop": "100"}, "stop_on_wrong_side"),
        ({"stop": "101"}, "stop_on_wrong_side"),
        ({"stop": "-1"}, "stop_on_wrong_side"),
        ({"equity": "5"}, "below_minimum_qty"),  # 0.0096 coins
        ({"equity": "60", "limits": replace(LIMITS, min_notional_usd=D(20))}, "below_minimum_value"),
        ({"max_notional_usd": D(-5)}, "below_minimum_qty"),
        ({"stop": "10"}, "leverage_below_minimum"),
    ],
)
def test_refusals(more, code):
    """Too small is refused, never made larger."""
    refusal = sized(**more)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


@given(
    st.sampled_from(["LONG", "SHORT"]),
    st.decimals("0.001", "1000", places=4),
    st.integers(200, 2000),
    st.decimals("50", "10000000", places=2),
    st.sampled_from([D("0.001"), D("0.1"), D(1), D(1000)]),
    st.floats(0.1, 5),
)
def test_the_risk_budget_holds_after_rounding(direction, entry, stop_basis_points, equity, step, risk_pct):
    """Loss at the stop within the budget, limits kept, liquidation beyond the stop, margin affordable."""
    way = 1 if direction == "LONG" else -1
    stop = entry * (1 - way * D(stop_basis_points) / 10_000)
    limits = replace(LIMITS, qty_step=step, min_order_qty=step)
    size = sized(direction, str(entry), str(stop), str(equity), limits, risk_pct=risk_pct)
    if isinstance(size, Refusal):
        assert size.code in {"below_minimum_qty", "below_minimum_value"}
        return
    assert size.worst_loss_usd <= equity * D(repr(risk_pct)) / 100 * (1 + D("1e-20"))
    assert size.qty % step == 0
    assert size.qty <= limits.largest_qty
    assert (stop - size.liquidation_price) * way > 0
    assert size.margin_usd <= equity
