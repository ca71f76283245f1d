"""What the best price of a position was, and the next price at which it wants to be looked at."""

from __future__ import annotations

from decimal import Decimal

from whalestack.agents.target_extension import extension_price
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.db.live import PriceWatch, SeenPrice
from whalestack.db.stop_looks import OpenPosition
from whalestack.math.directions import as_direction, sign
from whalestack.math.rounding import decimal_of
from whalestack.math.stops import next_look_price


def best_price(position: OpenPosition, price: Decimal, seen: SeenPrice | None) -> Decimal:
    """The best price since the position has its average entry, as far as anybody knows.

    Args:
        position: with what ticks and bars tell.
        price: the last price.
        seen: what the streams saw; one from before the last entry earns nothing.
    """
    known = [price]
    known += [decimal_of(each) for each in (position.lowest, position.highest) if each is not None]
    if seen is not None and from_ms(seen.ts_ms) >= position.entered_at:
        known.append(decimal_of(seen.price))
    return max(known) if position.side == "LONG" else min(known)


def next_watch(
    position: OpenPosition, price: Decimal, best: Decimal, stop: Decimal | None, settings: Settings
) -> PriceWatch:
    """Where the streams shall call next, an empty watch where there is nothing more to wait for.

    Args:
        position: open.
        price: the last price.
        best: from `best_price`.
        stop: where it is now.
        settings: the steps, and whether targets are pushed on.
    """
    direction = as_direction(position.side)
    way = sign(direction)
    following = next_look_price(
        direction,
        position.entry_price,
        price,
        stop,
        settings.trailing_steps_pct,
        tick_size=position.tick_size,
        best_price=best,
    )
    pushed_on = extension_price(position) if settings.extend_take_profit else None
    if pushed_on is not None and (pushed_on - best) * way <= 0:
        pushed_on = None
    ahead = [each for each in (following, pushed_on) if each is not None]
    if not ahead:
        return PriceWatch()
    limit = min(ahead, key=lambda each: each * way)
    at_risk_usd = float(((limit - stop) * way if stop is not None else limit) * position.open_qty)
    above, below = (float(limit), None) if direction == "LONG" else (None, float(limit))
    return PriceWatch(above, below, at_risk_usd)
