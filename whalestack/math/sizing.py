"""How much to buy: the loss at the stop, costs included, is a set share of the equity.

Decimal in and out, because the result goes to the exchange as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from whalestack.math.directions import Direction, sign
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import decimal_of, round_qty_down

# The liquidation price lies at least this much further from the entry than the stop does:
# a stop is a market order, and a fast market fills it late.
LIQUIDATION_MARGIN = Decimal("0.25")


@dataclass(frozen=True)
class InstrumentLimits:
    """What the exchange accepts for one perpetual. Quantities in base coins.

    `max_market_order_qty` counts for entries too: the stop closes by a market order, and
    a position that one such order cannot close is not protected by it.
    """

    qty_step: Decimal
    min_order_qty: Decimal
    max_order_qty: Decimal
    max_market_order_qty: Decimal
    min_notional_usd: Decimal
    min_leverage: Decimal
    max_leverage: Decimal
    leverage_step: Decimal

    @property
    def largest_qty(self) -> Decimal:
        """The largest quantity that can be opened and then closed by one stop, base coins."""
        return min(self.max_order_qty, self.max_market_order_qty)


@dataclass(frozen=True)
class PositionSize:
    """A size that the exchange takes.

    Args:
        qty: base coins, a multiple of the step.
        leverage: to set before the order.
        notional_usd: qty times the entry price, or the limit where that is dearer.
        margin_usd: notional over leverage.
        worst_loss_usd: lost at the stop by an entry at its limit, fees and slippage included.
        worst_loss_pct: the same in per cent of the equity.
        liquidation_price: approximate, isolated; it lies beyond the stop.
        clamped_by: what made it smaller than the risk alone would have it.
    """

    qty: Decimal
    leverage: Decimal
    notional_usd: Decimal
    margin_usd: Decimal
    worst_loss_usd: Decimal
    worst_loss_pct: float
    liquidation_price: Decimal
    clamped_by: tuple[str, ...] = ()


def loss_per_unit_usd(
    entry_price: Decimal, stop_price: Decimal, *, taker_fee_rate: Decimal, slippage_pct: float
) -> Decimal:
    """What one base coin loses from entry to stop: the distance, a taker's fee at both ends,
    and slippage at the stop.

    Args:
        entry_price, stop_price: quote currency.
        taker_fee_rate: a fraction, 0.00055 is 0.055 %.
        slippage_pct: how much worse than the stop price it fills, per cent.
    """
    fees = (entry_price + stop_price) * taker_fee_rate
    return abs(entry_price - stop_price) + fees + stop_price * decimal_of(slippage_pct) / 100


def liquidation_price(
    direction: Direction, entry_price: Decimal, leverage: Decimal, maintenance_margin_rate: Decimal
) -> Decimal:
    """Where an isolated position is closed by force, about.

    `entry * (1 - 1/leverage + mmr)` for a LONG, `entry * (1 + 1/leverage - mmr)` for a
    SHORT (Bybit, liquidation price under isolated margin, without extra margin). Under
    cross margin the whole account stands behind it and the price lies further away.

    Returns:
        At least 0.
    """
    room = 1 / leverage - maintenance_margin_rate
    return max(entry_price * (1 - sign(direction) * room), Decimal(0))


def choose_leverage(
    stop_distance: Decimal, maintenance_margin_rate: Decimal, limits: InstrumentLimits, max_leverage: Decimal
) -> Decimal | Refusal:
    """The highest leverage whose liquidation price still lies well beyond the stop.

    Args:
        stop_distance: fraction of the entry price.
        maintenance_margin_rate: fraction.
        limits: of the coin.
        max_leverage: of the account's settings.

    Returns:
        A multiple of the coin's leverage step, or Refusal `leverage_below_minimum`.
    """
    needed = stop_distance * (1 + LIQUIDATION_MARGIN) + maintenance_margin_rate
    allowed = min(1 / needed, limits.max_leverage, max_leverage)
    steps = (allowed / limits.leverage_step).to_integral_value(rounding=ROUND_FLOOR)
    leverage = steps * limits.leverage_step
    if leverage < limits.min_leverage or leverage <= 0:
        return Refusal(
            "leverage_below_minimum",
            f"a stop {stop_distance * 100:.2f} % away needs at most {allowed:.2f} times, "
            f"the coin's least is {limits.min_leverage:f}",
        )
    return leverage


def size_position(
    direction: Direction,
    *,
    entry_price: Decimal,
    stop_price: Decimal,
    equity_usd: Decimal,
    available_usd: Decimal,
    risk_pct: float,
    limits: InstrumentLimits,
    taker_fee_rate: Decimal,
    slippage_pct: float,
    max_leverage: float,
    maintenance_margin_rate: Decimal,
    max_notional_usd: Decimal | None = None,
    limit_price: Decimal | None = None,
) -> PositionSize | Refusal:
    """The size of a trade. It holds for every price that the order may fill at.

    Risk, leverage and liquidation are reckoned from the limit, which is the worst such price:
    a better one lies nearer to the stop and farther from the liquidation. Money is reckoned from
    the dearer of the two, which for a SHORT is the price that is expected.

    Args:
        direction: of the trade.
        entry_price, stop_price: quote currency; the price the plan expects to get, rounded.
        equity_usd: of the account.
        available_usd: that may be put up as margin.
        risk_pct: per cent of the equity that may be lost at the stop.
        limits: of the coin.
        taker_fee_rate, slippage_pct: as in `loss_per_unit_usd`.
        max_leverage: of the account's settings.
        maintenance_margin_rate: a fraction, of the coin's risk tier.
        max_notional_usd: what the exposure rules leave, None for no bound.
        limit_price: of the order, None where it is the entry price.

    Returns:
        Refusal `no_equity`, `stop_on_wrong_side`, `leverage_below_minimum`,
        `below_minimum_qty` or `below_minimum_value` (the size that the risk allows is
        smaller than the exchange takes; it is never made larger).
    """
    if equity_usd <= 0 or available_usd <= 0:
        return Refusal("no_equity", f"equity {equity_usd:.2f} USD, available {available_usd:.2f} USD")
    worst = entry_price if limit_price is None else limit_price
    dearest = max(entry_price, worst)
    if stop_price <= 0 or any((each - stop_price) * sign(direction) <= 0 for each in (entry_price, worst)):
        return Refusal(
            "stop_on_wrong_side", f"a {direction} at {entry_price:f} with a stop at {stop_price:f}"
        )
    distance = abs(worst - stop_price) / worst
    leverage = choose_leverage(distance, maintenance_margin_rate, limits, decimal_of(max_leverage))
    if isinstance(leverage, Refusal):
        return leverage
    per_unit = loss_per_unit_usd(worst, stop_price, taker_fee_rate=taker_fee_rate, slippage_pct=slippage_pct)
    # The fee of the opening order comes out of the same money as the margin.
    affordable = available_usd / (dearest * (1 / leverage + taker_fee_rate))
    bounds = {
        "risk": equity_usd * decimal_of(risk_pct) / 100 / per_unit,
        "margin": affordable,
        "largest order": limits.largest_qty,
    }
    if max_notional_usd is not None:
        bounds["exposure"] = max(max_notional_usd, Decimal(0)) / dearest
    qty = round_qty_down(min(bounds.values()), limits.qty_step)
    too_small = below_minimum(qty, min(entry_price, worst), limits)
    if too_small is not None:
        return too_small
    return PositionSize(
        qty=qty,
        leverage=leverage,
        notional_usd=qty * dearest,
        margin_usd=qty * dearest / leverage,
        worst_loss_usd=qty * per_unit,
        worst_loss_pct=float(qty * per_unit / equity_usd * 100),
        liquidation_price=liquidation_price(direction, worst, leverage, maintenance_margin_rate),
        clamped_by=tuple(name for name, bound in bounds.items() if bound < bounds["risk"]),
    )


def below_minimum(qty: Decimal, price: Decimal, limits: InstrumentLimits) -> Refusal | None:
    """Why the exchange would refuse an order for being too small, None if it would not.

    Returns:
        Refusal `below_minimum_qty` or `below_minimum_value`.
    """
    if qty <= 0 or qty < limits.min_order_qty:
        return Refusal(
            "below_minimum_qty",
            f"{qty.normalize():f} coins is all that may be bought, the exchange takes "
            f"{limits.min_order_qty.normalize():f} or more",
        )
    if qty * price < limits.min_notional_usd:
        return Refusal(
            "below_minimum_value",
            f"{qty * price:.2f} USD is all that may be bought, the exchange takes "
            f"{limits.min_notional_usd:.2f} USD or more",
        )
    return None
