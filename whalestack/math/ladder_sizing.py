"""How much to buy in a ladder: the loss with every rung filled is a set share of the equity.

The same rules as for a single order (`whalestack.math.sizing`), held for every state in which
a ladder may stand. The state nearest to liquidation is the one with only the first rung filled,
because each further rung brings the average nearer to the stop: so leverage is chosen there.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from whalestack.math.directions import Direction
from whalestack.math.ladder import Ladder, Shape, Spacing, plan_ladder, rung_prices, rung_weights
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import decimal_of
from whalestack.math.sizing import InstrumentLimits, PositionSize, choose_leverage, liquidation_price


@dataclass(frozen=True)
class LadderShape:
    """How a ladder looks before anything is bought: see `rung_weights` and `rung_prices`.

    Args:
        near, far: prices of the first and the last rung.
        count: of rungs.
        sizes, ratio: of neighbouring rungs.
        spacing: of their prices.
    """

    near: Decimal
    far: Decimal
    count: int
    sizes: Shape
    ratio: float
    spacing: Spacing

    def average(self, direction: Direction, tick: Decimal) -> Decimal:
        """The average entry when every rung fills, before quantities are rounded to steps."""
        prices = rung_prices(direction, self.near, self.far, self.count, self.spacing, tick)
        weights = rung_weights(self.count, self.sizes, self.ratio)
        return sum((price * weight for price, weight in zip(prices, weights, strict=True)), Decimal(0))


def size_ladder(
    direction: Direction,
    shape: LadderShape,
    *,
    stop_price: Decimal,
    tick: Decimal,
    equity_usd: Decimal,
    available_usd: Decimal,
    risk_pct: float,
    limits: InstrumentLimits,
    taker_fee_rate: Decimal,
    slippage_pct: float,
    max_leverage: float,
    maintenance_margin_rate: Decimal,
    max_notional_usd: Decimal,
) -> tuple[Ladder, PositionSize] | Refusal:
    """The rungs of a trade and the size of the whole.

    Args:
        direction, shape: of the trade.
        stop_price: of the whole position, beyond every rung, rounded.
        tick: the instrument's tick size.
        equity_usd, available_usd, risk_pct, limits, taker_fee_rate, slippage_pct, max_leverage,
        maintenance_margin_rate, max_notional_usd: as in `whalestack.math.sizing.size_position`.

    Returns:
        The ladder, and what `size_position` would say of it: `liquidation_price` is that of the
        first rung alone, the nearest to the stop that it can be. Or a refusal of either.
    """
    if equity_usd <= 0 or available_usd <= 0:
        return Refusal("no_equity", f"equity {equity_usd:.2f} USD, available {available_usd:.2f} USD")
    distance = abs(shape.near - stop_price) / shape.near
    leverage = choose_leverage(distance, maintenance_margin_rate, limits, decimal_of(max_leverage))
    if isinstance(leverage, Refusal):
        return leverage
    affordable_usd = available_usd / (1 / leverage + taker_fee_rate)
    ladder = plan_ladder(
        direction,
        near=shape.near,
        far=shape.far,
        stop_price=stop_price,
        count=shape.count,
        shape=shape.sizes,
        ratio=shape.ratio,
        spacing=shape.spacing,
        tick=tick,
        limits=limits,
        risk_usd=equity_usd * decimal_of(risk_pct) / 100,
        taker_fee_rate=taker_fee_rate,
        slippage_pct=slippage_pct,
        max_notional_usd=min(affordable_usd, max_notional_usd),
    )
    if isinstance(ladder, Refusal):
        return ladder
    nearest = liquidation_price(direction, shape.near, leverage, maintenance_margin_rate)
    return ladder, _whole(ladder, leverage, equity_usd, nearest)


def _whole(ladder: Ladder, leverage: Decimal, equity_usd: Decimal, nearest: Decimal) -> PositionSize:
    notional = ladder.total_qty * ladder.average_entry
    return PositionSize(
        qty=ladder.total_qty,
        leverage=leverage,
        notional_usd=notional,
        margin_usd=notional / leverage,
        worst_loss_usd=ladder.worst_loss_usd,
        worst_loss_pct=float(ladder.worst_loss_usd / equity_usd * 100),
        liquidation_price=nearest,
    )
