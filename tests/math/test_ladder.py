"""Scaled entries."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.ladder import Ladder, RungCount, allowed_rungs, plan_ladder, rung_prices, rung_weights
from whalestack.math.refusals import Refusal
from whalestack.math.sizing import InstrumentLimits, loss_per_unit_usd

D = Decimal
LIMITS = InstrumentLimits(D("0.1"), D("0.1"), D(100_000), D(50_000), D(5), D(1), D(25), D("0.01"))


def planned(direction="LONG", near="100", far="96", stop="90", count=3, limits=LIMITS, **more):
    arguments = {
        "near": D(near),
        "far": D(far),
        "stop_price": D(stop),
        "count": count,
        "shape": "flat",
        "ratio": 1.0,
        "spacing": "even",
        "tick": D("0.01"),
        "limits": limits,
        "risk_usd": D(100),
        "taker_fee_rate": D(0),
        "slippage_pct": 0.0,
    }
    return plan_ladder(direction, **{**arguments, **more})


@pytest.mark.parametrize(
    ("equity", "symbol", "expected"),
    [
        ("9999", "AIAUSDT", "capital_too_small"),
        ("10000", "AIAUSDT", RungCount(3, 5)),
        ("99999", "COAIUSDT", "coin_not_listed"),
        ("100000", "COAIUSDT", RungCount(5, 10)),
        ("1000000", "COAIUSDT", RungCount(10, 20)),
    ],
)
def test_capital_decides_who_may_scale(equity, symbol, expected):
    """Under 10k never; to 100k listed coins, 3 to 5; to 1M 5 to 10; above 10 to 20."""
    allowed = allowed_rungs(D(equity), symbol, {"AIAUSDT"})
    assert (allowed.code if isinstance(allowed, Refusal) else allowed) == expected


def test_weights_by_hand():
    """Doubling over three rungs: 1, 2, 4 sevenths; decreasing is the reverse; flat thirds."""
    assert rung_weights(3, "increasing", 2.0) == (D(1) / 7, D(2) / 7, D(4) / 7)
    assert rung_weights(3, "decreasing", 2.0) == (D(4) / 7, D(2) / 7, D(1) / 7)
    assert rung_weights(4, "flat", 2.0) == (D("0.25"),) * 4


@pytest.mark.parametrize(("count", "ratio"), [(1, 1.0), (21, 1.0), (3, 0.9), (3, 2.1)])
def test_weights_out_of_range(count, ratio):
    """2 to 20 rungs, a ratio of 1 to 2."""
    with pytest.raises(ValueError, match="ladder"):
        rung_weights(count, "increasing", ratio)


def test_prices_by_hand():
    """100 to 96 in three: 98 half way; 100 to 81 by ratio: 90; a SHORT rounds up."""
    assert rung_prices("LONG", D(100), D(96), 3, "even", D("0.01")) == (D(100), D(98), D(96))
    assert rung_prices("LONG", D(100), D(81), 3, "ratio", D("0.01")) == (D(100), D(90), D(81))
    assert rung_prices("SHORT", D(100), D("100.5"), 3, "even", D("0.5"))[1] == D("100.5")


def test_ladder_by_hand():
    """Rungs at 100, 98, 96, stop 90, no costs: losses 10, 8, 6 a coin, mean 8 a coin.

    100 USD of risk buys 12.5 coins: 4.1666 each, 4.1 after rounding. Average entry 98,
    worst loss 4.1 * (10 + 8 + 6) = 98.4.
    """
    ladder = planned()
    assert isinstance(ladder, Ladder)
    assert [(rung.price, rung.qty) for rung in ladder.rungs] == [
        (D(100), D("4.1")), (D(98), D("4.1")), (D(96), D("4.1")),
    ]  # fmt: skip
    assert (ladder.total_qty, ladder.average_entry, ladder.worst_loss_usd) == (D("12.3"), D(98), D("98.4"))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"near": "96", "far": "100"}, "bad_ladder"),
        ({"stop": "97"}, "bad_ladder"),
        ({"stop": "0"}, "bad_ladder"),
        ({"direction": "SHORT"}, "bad_ladder"),
        ({"near": "100.4", "far": "100.2", "stop": "100", "tick": D(1)}, "bad_ladder"),
        ({"risk_usd": D(1)}, "below_minimum_qty"),
        ({"risk_usd": D(-1)}, "below_minimum_qty"),
        ({"limits": replace(LIMITS, min_notional_usd=D(500))}, "below_minimum_value"),
    ],
)
def test_refusals(more, code):
    """Each rung keeps to the coin's limits by itself."""
    refusal = planned(**more)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


def test_the_whole_keeps_to_what_one_stop_can_close():
    """Seven coins at most by a market order: 2.3 a rung."""
    ladder = planned(limits=replace(LIMITS, max_market_order_qty=D(7)))
    assert isinstance(ladder, Ladder)
    assert ladder.total_qty == D("6.9")


@given(
    st.sampled_from(["LONG", "SHORT"]),
    st.integers(2, 20),
    st.sampled_from(["flat", "increasing", "decreasing"]),
    st.floats(1, 2),
    st.sampled_from(["even", "ratio"]),
    st.decimals("0.01", "1000", places=4),
    st.integers(10, 500),
    st.integers(10, 900),
    st.decimals("1", "1000000", places=2),
    st.sampled_from([D("0.0001"), D("0.01"), D(1)]),
)
def test_for_any_settings_sizes_and_risk_hold(
    direction, count, shape, ratio, spacing, near, depth, beyond, risk_usd, step
):
    """Steps and minimum respected, the sum within a step a rung, the loss within the budget."""
    way = 1 if direction == "LONG" else -1
    far = near * (1 - way * D(depth) / 10_000)
    stop = far * (1 - way * D(beyond) / 10_000)
    limits = replace(
        LIMITS, qty_step=step, min_order_qty=step, max_order_qty=D(10**9), max_market_order_qty=D(10**9)
    )
    costs = {"taker_fee_rate": D("0.00055"), "slippage_pct": 0.1}
    ladder = planned(
        direction, str(near), str(far), str(stop), count, limits,
        shape=shape, ratio=ratio, spacing=spacing, risk_usd=risk_usd, tick=D("0.0001"), **costs,
    )  # fmt: skip
    if isinstance(ladder, Refusal):
        return
    weights = rung_weights(count, shape, ratio)
    losses = [loss_per_unit_usd(rung.price, stop, **costs) for rung in ladder.rungs]
    asked = risk_usd / sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
    assert len(ladder.rungs) == count
    assert all(rung.qty % step == 0 and rung.qty >= step for rung in ladder.rungs)
    assert all(rung.qty * rung.price >= limits.min_notional_usd for rung in ladder.rungs)
    assert asked - count * step < ladder.total_qty <= min(asked, limits.largest_qty) * (1 + D("1e-20")) or (
        ladder.total_qty <= limits.largest_qty < asked
    )
    assert ladder.worst_loss_usd <= risk_usd * (1 + D("1e-20"))
    lowest, highest = sorted((ladder.rungs[0].price, ladder.rungs[-1].price))
    assert lowest <= ladder.average_entry <= highest
