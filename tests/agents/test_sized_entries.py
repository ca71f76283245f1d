"""For any ladder settings and any coin: what would be sent keeps the exchange's and the owner's limits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from tests.agents.test_guards import a_coin, a_tick, an_account
from whalestack.agents.plan_inputs import PlanInputs
from whalestack.agents.sized_entries import SizedEntry, size_entry
from whalestack.clients.bybit.types import FeeRates
from whalestack.config import Settings
from whalestack.math.directions import Direction
from whalestack.math.entry import EntryPlan
from whalestack.math.ladder import allowed_rungs, rung_weights
from whalestack.math.refusals import Refusal
from whalestack.math.sizing import loss_per_unit_usd

D = Decimal
FEES = FeeRates(D("0.00055"), D("0.0002"))


def inputs_of(direction: Direction, coin: dict[str, Any], equity_usd: Decimal) -> PlanInputs:
    limits: dict[str, Any] = {
        "tick_size": D("0.01"),
        "qty_step": D("0.1"),
        "min_order_qty": D("0.1"),
        "max_order_qty": D(10**7),
        "max_market_order_qty": D(10**6),
        "min_notional_usd": D(5),
        "min_leverage": D(1),
        "max_leverage": D(25),
        "leverage_step": D("0.01"),
    }
    return PlanInputs(
        direction=direction,
        coin=a_coin(**(limits | coin)),
        tick=a_tick(),
        clusters=(),
        hit=None,
        patterns={},
        threshold=None,
        wick_up_pct=6.0,
        wick_down_pct=6.0,
        account=an_account(equity_usd=equity_usd, available_usd=equity_usd),
        fees=FEES,
    )


def entry_of(direction: Direction, price: float, at_once: bool, beyond_pct: float = 0.0) -> EntryPlan:
    """An entry that expects `price`; its limit lies `beyond_pct` of it on the far side of the market."""
    way = 1 if direction == "LONG" else -1
    limit = price * (1 + way * beyond_pct / 100)
    return EntryPlan("CONSERVATIVE", direction, limit, price, price * (1 + way * 0.2), at_once, 20.0)


@example_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    direction=st.sampled_from(["LONG", "SHORT"]),
    price=st.floats(0.01, 50_000, allow_nan=False),
    at_once=st.booleans(),
    rungs=st.integers(0, 20),
    sizes=st.sampled_from(["flat", "increasing", "decreasing"]),
    spacing=st.sampled_from(["even", "ratio"]),
    ratio=st.floats(1, 2),
    depth_pct=st.floats(0.1, 4.9),
    risk_pct=st.floats(0.05, 3),
    equity_usd=st.decimals("9000", "20000000", places=2),
    tick=st.sampled_from([D("0.00001"), D("0.01"), D("0.5")]),
    step=st.sampled_from([D("0.001"), D("0.1"), D(1), D(100)]),
    beyond_pct=st.floats(0, 3),
    fills=st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=20, max_size=20),
)
def test_sizes_steps_and_risk_hold_for_any_settings(
    settings: Settings,
    direction: Direction,
    price: float,
    at_once: bool,
    rungs: int,
    sizes: str,
    spacing: str,
    ratio: float,
    depth_pct: float,
    risk_pct: float,
    equity_usd: Decimal,
    tick: Decimal,
    step: Decimal,
    beyond_pct: float,
    fills: list[tuple[bool, float]],
) -> None:
    """Steps and minimum respected; the sum within a step a rung; the loss at the stop within the budget,
    with every rung filled and with any number of them, from the nearest on, and for every price at
    which the orders may fill."""
    chosen = settings.model_copy(
        update={
            "ladder_rungs": rungs,
            "ladder_sizes": sizes,
            "ladder_spacing": spacing,
            "ladder_ratio": ratio,
            "ladder_depth_pct": depth_pct,
            "ladder_coins": ("COAI",),
            "risk_per_trade_pct": risk_pct,
        }
    )
    inputs = inputs_of(direction, {"tick_size": tick, "qty_step": step, "min_order_qty": step}, equity_usd)
    entry = entry_of(direction, price, at_once, beyond_pct if at_once else 0.0)
    sized = size_entry(inputs, entry, 6.0, chosen)
    if isinstance(sized, Refusal):
        return
    budget_usd = equity_usd * D(repr(risk_pct)) / 100
    assert all(rung.qty % step == 0 and rung.qty >= step for rung in sized.rungs)
    assert all(rung.qty * rung.price >= 5 or sized.no_ladder is not None for rung in sized.rungs)
    assert all(rung.price % tick == 0 for rung in sized.rungs)
    assert sum(rung.qty for rung in sized.rungs) == sized.size.qty
    assert sized.size.worst_loss_usd <= budget_usd * (1 + D("1e-20"))
    assert_every_fill_is_within(sized, direction, chosen, fills)
    if sized.no_ladder is None:
        assert_ladder(sized, direction, chosen, equity_usd, step)


def assert_every_fill_is_within(
    sized: SizedEntry, direction: Direction, settings: Settings, fills: list[tuple[bool, float]]
) -> None:
    """Any of the rungs fill, each at its limit or better by some part of the way to the stop."""
    way = 1 if direction == "LONG" else -1
    lost, stop = D(0), sized.stop_loss
    for rung, (does_fill, better) in zip(sized.rungs, fills, strict=False):
        if not does_fill:
            continue
        price = rung.price - (rung.price - stop) * D(repr(better))
        out_at = stop * (1 - way * D(repr(settings.slippage_pct)) / 100)
        lost += rung.qty * ((price - out_at) * way + (price + stop) * FEES.taker)
        # However the orders filled, the position is never liquidated before its stop.
        assert (stop - sized.size.liquidation_price) * way > 0
    assert lost <= sized.size.worst_loss_usd * (1 + D("1e-20"))


def test_an_order_that_fills_at_once_is_sized_from_its_limit(settings: Settings) -> None:
    """Expected at 100 and 0.1 % slippage: the limit is 100.1, and the loss from there is the 100 USD of
    the budget: 100.1 to 94 with fees and slippage is 6.30 a coin."""
    chosen = settings.model_copy(update={"ladder_rungs": 1})
    sized = size_entry(inputs_of("LONG", {}, D(10_000)), entry_of("LONG", 100.0, True, 2.0), 6.0, chosen)
    assert isinstance(sized, SizedEntry)
    assert (sized.expected_price, sized.rungs[0].price, sized.stop_loss) == (D(100), D("100.1"), D(94))
    per_coin = loss_per_unit_usd(D("100.1"), D(94), taker_fee_rate=FEES.taker, slippage_pct=0.1)
    assert sized.size.qty == D("15.8")
    assert sized.size.worst_loss_usd == D("15.8") * per_coin <= 100


def assert_ladder(
    sized: SizedEntry, direction: Direction, settings: Settings, equity_usd: Decimal, step: Decimal
) -> None:
    way = 1 if direction == "LONG" else -1
    allowed = allowed_rungs(equity_usd, "COAIUSDT", {"COAIUSDT"})
    assert not isinstance(allowed, Refusal)
    assert allowed.least <= len(sized.rungs) <= allowed.most
    weights = rung_weights(len(sized.rungs), settings.ladder_sizes, settings.ladder_ratio)
    # The whole before rounding is at least what each rung was cut from, and less than one step a rung more.
    whole = max(rung.qty / weight for rung, weight in zip(sized.rungs, weights, strict=True))
    assert sized.size.qty > whole - len(sized.rungs) * step - whole * D("1e-20")
    value = sum(rung.qty * rung.price for rung in sized.rungs)
    assert abs(sized.expected_price - value / sized.size.qty) < D("1e-15")
    for rung in sized.rungs:
        assert (rung.price - sized.stop_loss) * way > 0
        assert (sized.size.liquidation_price - sized.stop_loss) * way < 0
    losses = [
        rung.qty
        * loss_per_unit_usd(
            rung.price, sized.stop_loss, taker_fee_rate=FEES.taker, slippage_pct=settings.slippage_pct
        )
        for rung in sized.rungs
    ]
    assert abs(sum(losses) - sized.size.worst_loss_usd) < D("1e-9")
    filled = D(0)
    for loss in losses:
        filled += loss
        assert filled <= sized.size.worst_loss_usd * (1 + D("1e-20"))


def test_the_margin_that_is_there_bounds_a_ladder(settings: Settings) -> None:
    """A tenth of the equity is free: the whole ladder, at its leverage and with the fee, costs no more."""
    inputs = inputs_of("LONG", {}, D(50_000))
    poor = replace(inputs, account=replace(inputs.account, available_usd=D(500)))
    chosen = settings.model_copy(update={"ladder_coins": ("COAI",)})
    sized = size_entry(poor, entry_of("LONG", 100.0, False), 6.0, chosen)
    assert isinstance(sized, SizedEntry)
    assert sized.no_ladder is None
    needed = sized.size.margin_usd + sized.size.notional_usd * FEES.taker
    assert D(450) < needed <= D(500)
