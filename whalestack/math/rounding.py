"""Rounding to what the exchange takes, always to the side that cannot hurt.

- An entry never pays more than planned: a LONG's limit rounds down, a SHORT's up.
- A stop never risks more than planned: a LONG's rounds up (toward the entry), a SHORT's
  down. A tick nearer to the entry may be hit a tick earlier; a tick further would lose
  more than the risk that the size was computed from.
- A take-profit never asks for more than planned: a LONG's rounds down, a SHORT's up, so
  it stays on this side of the cluster's centre.
- A quantity rounds down.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Literal

from whalestack.math.directions import Direction

Toward = Literal["down", "up", "nearest"]
_ROUNDING = {"down": ROUND_FLOOR, "up": ROUND_CEILING, "nearest": ROUND_HALF_EVEN}


def decimal_of(value: float) -> Decimal:
    """The decimal that a float prints as: 0.1 is 0.1, not 0.1000000000000000055."""
    return Decimal(repr(float(value)))


def round_price(price: Decimal, tick: Decimal, toward: Toward) -> Decimal:
    """A multiple of `tick`, at least one tick.

    Args:
        price: in quote currency, above 0.
        tick: the instrument's tick size, above 0.
        toward: "down", "up" or "nearest".

    Raises:
        ValueError: tick or price is not above 0.
    """
    if tick <= 0 or price <= 0:
        raise ValueError(f"a price of {price} cannot be rounded to a tick of {tick}")
    steps = (price / tick).to_integral_value(rounding=_ROUNDING[toward])
    return max(steps, Decimal(1)) * tick


def round_entry(direction: Direction, price: Decimal, tick: Decimal) -> Decimal:
    """A limit that opens: a LONG's down, a SHORT's up."""
    return round_price(price, tick, "down" if direction == "LONG" else "up")


def round_stop(direction: Direction, price: Decimal, tick: Decimal) -> Decimal:
    """The stop of a position: a LONG's up, a SHORT's down."""
    return round_price(price, tick, "up" if direction == "LONG" else "down")


def round_take_profit(direction: Direction, price: Decimal, tick: Decimal) -> Decimal:
    """The target of a position: a LONG's down, a SHORT's up."""
    return round_price(price, tick, "down" if direction == "LONG" else "up")


def round_qty_down(qty: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `qty`; 0 where there is none.

    Raises:
        ValueError: the step is not above 0.
    """
    if step <= 0:
        raise ValueError(f"a quantity cannot be rounded to a step of {step}")
    return max((qty / step).to_integral_value(rounding=ROUND_FLOOR), Decimal(0)) * step
