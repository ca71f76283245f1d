"""Scaled entries: limit orders between two prices, whose average and worst loss are known first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from whalestack.math.directions import Direction, sign
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import decimal_of, round_entry, round_qty_down
from whalestack.math.sizing import InstrumentLimits, below_minimum, loss_per_unit_usd

Shape = Literal["flat", "increasing", "decreasing"]
Spacing = Literal["even", "ratio"]

LEAST_RUNGS = 2
MOST_RUNGS = 20
LARGEST_RATIO = 2.0


@dataclass(frozen=True)
class Rung:
    """One limit order of a ladder. Price in quote currency, quantity in base coins."""

    price: Decimal
    qty: Decimal


@dataclass(frozen=True)
class Ladder:
    """A ladder as it would be sent.

    Args:
        rungs: nearest to the market first.
        total_qty: of all rungs, base coins.
        average_entry: price when every rung fills.
        worst_loss_usd: lost at the stop when every rung fills, fees and slippage included.
    """

    rungs: tuple[Rung, ...]
    total_qty: Decimal
    average_entry: Decimal
    worst_loss_usd: Decimal


@dataclass(frozen=True)
class RungCount:
    """How many rungs an account may use."""

    least: int
    most: int


def allowed_rungs(equity_usd: Decimal, symbol: str, listed: Collection[str]) -> RungCount | Refusal:
    """Who may scale, and how deep.

    Under 10k never; 10k to 100k only the coins of a list, 3 to 5 rungs; to 1M 5 to 10;
    above 10 to 20.

    Args:
        equity_usd: of the account.
        symbol: of the coin.
        listed: coins that a smaller account may scale into.

    Returns:
        Refusal `capital_too_small` or `coin_not_listed`.
    """
    if equity_usd < 10_000:
        return Refusal("capital_too_small", f"{equity_usd:.0f} USD, scaled entries begin at 10000 USD")
    if equity_usd < 100_000:
        if symbol not in listed:
            return Refusal(
                "coin_not_listed", f"{symbol} is not a coin that accounts below 100000 USD scale into"
            )
        return RungCount(3, 5)
    return RungCount(5, 10) if equity_usd < 1_000_000 else RungCount(10, 20)


def rung_count(wanted: int, equity_usd: Decimal, allowed: RungCount) -> int:
    """How many rungs an account uses.

    Args:
        wanted: of the settings; 0 lets the capital decide: the fewest at the lower end of its
            bracket and the most at the upper, with the logarithm of the equity between.
        equity_usd: of the account, at least 10000.
        allowed: by `allowed_rungs` for the same equity.

    Returns:
        A number within `allowed`: wanting more or fewer than the capital allows changes nothing.
    """
    if wanted > 0:
        return min(max(wanted, allowed.least), allowed.most)
    # Each bracket of equity is a factor of ten: 10k, 100k, 1M. The fourth ends nowhere; at 10M it is full.
    part = (equity_usd.log10() % 1) if equity_usd < 10_000_000 else Decimal(1)
    return allowed.least + int((allowed.most - allowed.least) * part)


def rung_weights(count: int, shape: Shape, ratio: float) -> tuple[Decimal, ...]:
    """Shares of the total, nearest rung first, that sum to 1.

    Args:
        count: 2 to 20.
        shape: flat, increasing (further rungs are larger) or decreasing.
        ratio: of neighbouring rungs, 1 to 2; without meaning for flat.

    Raises:
        ValueError: count or ratio out of range.
    """
    if not LEAST_RUNGS <= count <= MOST_RUNGS:
        raise ValueError(f"a ladder has {LEAST_RUNGS} to {MOST_RUNGS} rungs, not {count}")
    if not 1 <= ratio <= LARGEST_RATIO:
        raise ValueError(f"a ladder's ratio is 1 to {LARGEST_RATIO:g}, not {ratio:g}")
    factor = Decimal(1) if shape == "flat" else decimal_of(ratio)
    raw = [factor**step for step in range(count)]
    if shape == "decreasing":
        raw.reverse()
    total = sum(raw, Decimal(0))
    return tuple(each / total for each in raw)


def rung_prices(
    direction: Direction, near: Decimal, far: Decimal, count: int, spacing: Spacing, tick: Decimal
) -> tuple[Decimal, ...]:
    """Prices from `near` to `far`, rounded as entries are.

    Args:
        direction: of the trade.
        near, far: quote currency, both above 0; both ends are rungs.
        count: 2 to 20.
        spacing: even (same distance) or ratio (same factor).
        tick: the instrument's tick size.
    """
    parts = [Decimal(step) / (count - 1) for step in range(count)]
    if spacing == "even":
        raw = [near + (far - near) * part for part in parts]
    else:
        raw = [near * (far / near) ** part for part in parts]
    return tuple(round_entry(direction, each, tick) for each in raw)


def plan_ladder(
    direction: Direction,
    *,
    near: Decimal,
    far: Decimal,
    stop_price: Decimal,
    count: int,
    shape: Shape,
    ratio: float,
    spacing: Spacing,
    tick: Decimal,
    limits: InstrumentLimits,
    risk_usd: Decimal,
    taker_fee_rate: Decimal,
    slippage_pct: float,
    max_notional_usd: Decimal | None = None,
) -> Ladder | Refusal:
    """A ladder whose loss at the stop, with every rung filled, is at most `risk_usd`.

    Args:
        direction: of the trade.
        near, far: prices of the first and the last rung; far is the better price.
        stop_price: beyond every rung.
        count, shape, ratio: see `rung_weights`.
        spacing, tick: see `rung_prices`.
        limits: of the coin; each rung keeps to them by itself.
        risk_usd: that may be lost.
        taker_fee_rate, slippage_pct: as in `whalestack.math.sizing.loss_per_unit_usd`.
        max_notional_usd: bound of the whole, None for none.

    Returns:
        Each rung's quantity is its share rounded down to the step, so the total is short of
        the size asked for by less than one step a rung. Refusal `bad_ladder` (prices or stop
        out of order, or two rungs that round to one price), `below_minimum_qty` or
        `below_minimum_value` (of a rung).
    """
    if (bad := _check_order(direction, near, far, stop_price)) is not None:
        return bad
    weights = rung_weights(count, shape, ratio)
    prices = rung_prices(direction, near, far, count, spacing, tick)
    if any((price - stop_price) * sign(direction) <= 0 for price in prices):
        return Refusal("bad_ladder", f"a rung rounds to the stop {stop_price:f} or past it")
    if any(one == other for one, other in pairwise(prices)):
        return Refusal("bad_ladder", f"two of {count} rungs round to one price, ticks are {tick:f}")
    losses = [
        loss_per_unit_usd(price, stop_price, taker_fee_rate=taker_fee_rate, slippage_pct=slippage_pct)
        for price in prices
    ]
    total = _total_qty(weights, prices, losses, risk_usd, limits, max_notional_usd)
    rungs = tuple(
        Rung(price, round_qty_down(total * weight, limits.qty_step))
        for price, weight in zip(prices, weights, strict=True)
    )
    for rung in rungs:
        if (too_small := below_minimum(rung.qty, rung.price, limits)) is not None:
            return too_small
    return _ladder(rungs, losses)


def _check_order(direction: Direction, near: Decimal, far: Decimal, stop: Decimal) -> Refusal | None:
    way = sign(direction)
    if min(near, far, stop) > 0 and (near - far) * way > 0 and (far - stop) * way > 0:
        return None
    return Refusal(
        "bad_ladder", f"a {direction} ladder from {near:f} to {far:f} with a stop at {stop:f} is out of order"
    )


def _total_qty(
    weights: tuple[Decimal, ...],
    prices: tuple[Decimal, ...],
    losses: list[Decimal],
    risk_usd: Decimal,
    limits: InstrumentLimits,
    max_notional_usd: Decimal | None,
) -> Decimal:
    """The size before rounding that keeps risk, exposure and the largest order."""
    mean_loss = sum((w * loss for w, loss in zip(weights, losses, strict=True)), Decimal(0))
    # One stop closes all rungs, so their sum keeps to what a single market order can close.
    total = min(max(risk_usd, Decimal(0)) / mean_loss, limits.largest_qty)
    if max_notional_usd is not None:
        mean_price = sum((w * price for w, price in zip(weights, prices, strict=True)), Decimal(0))
        total = min(total, max(max_notional_usd, Decimal(0)) / mean_price)
    return total


def _ladder(rungs: tuple[Rung, ...], losses: list[Decimal]) -> Ladder:
    total = sum((rung.qty for rung in rungs), Decimal(0))
    value = sum((rung.qty * rung.price for rung in rungs), Decimal(0))
    worst = sum((rung.qty * loss for rung, loss in zip(rungs, losses, strict=True)), Decimal(0))
    return Ladder(rungs, total, value / total, worst)
