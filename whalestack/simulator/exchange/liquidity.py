"""How much the market takes at once, and at what price: a stand-in for an order book.

A market has a touch (bid and ask) and behind it levels that are each `LEVEL_GAP` further away.
What lies on one level is a share of what the coin trades in an average minute, drawn anew for each
order from a seeded generator. So an order that is small beside its market fills at the touch in
one piece, and one that is large fills in pieces, at worse and worse prices, or only in part.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from whalestack.simulator.exchange.instrument import InstrumentRules
from whalestack.simulator.exchange.order import Side

LEVEL_GAP = Decimal("0.0005")
MAX_LEVELS = 20
MINUTES_A_DAY = 1440


@dataclass(frozen=True)
class Quote:
    """The market of one symbol at one moment, prices in USDT, `minute_usd` its average minute turnover."""

    last: Decimal
    mark: Decimal
    index: Decimal
    bid: Decimal
    ask: Decimal
    minute_usd: Decimal

    def touch(self, side: Side) -> Decimal:
        """The price at which an order of this side fills first."""
        return self.ask if side is Side.BUY else self.bid

    def crosses(self, side: Side, limit: Decimal) -> bool:
        """Whether a limit in USDT fills at once."""
        return limit >= self.ask if side is Side.BUY else limit <= self.bid


class Liquidity:
    """Splits orders into fills.

    Args:
        rng: the generator of the sizes, seeded by the caller.
        depth_share: what one level holds, as a share of the coin's average minute turnover.
    """

    def __init__(self, rng: random.Random, depth_share: float = 0.5) -> None:
        self._rng = rng
        self.depth_share = depth_share

    def sweep(
        self,
        side: Side,
        qty: Decimal,
        quote: Quote,
        rules: InstrumentRules,
        *,
        limit: Decimal | None,
        must_complete: bool = False,
    ) -> list[tuple[Decimal, Decimal]]:
        """Fills of an order that takes, as (price in USDT, quantity in base coins).

        Args:
            side: side of the order.
            qty: wanted quantity, base coins.
            quote: the market now.
            rules: steps of the instrument.
            limit: worst acceptable price in USDT, None for none.
            must_complete: the last level takes whatever is left, as for stops and liquidations.
        """
        fills: list[tuple[Decimal, Decimal]] = []
        for price in self._levels(side, quote, rules):
            if qty <= 0 or (limit is not None and (price - limit) * side.sign > 0):
                break
            part = min(qty, self.capacity(price, quote, rules))
            fills.append((price, part))
            qty -= part
        if must_complete and qty > 0 and fills:
            fills[-1] = (fills[-1][0], fills[-1][1] + qty)
        return fills

    def capacity(self, price: Decimal, quote: Quote, rules: InstrumentRules) -> Decimal:
        """What one level holds at this moment, base coins, at least the smallest order."""
        usd = quote.minute_usd * Decimal(repr(round(self.depth_share * self._rng.uniform(0.5, 1.5), 6)))
        return max(rules.qty_down(usd / price), rules.min_qty)

    def _levels(self, side: Side, quote: Quote, rules: InstrumentRules) -> Iterator[Decimal]:
        touch = quote.touch(side)
        for step in range(MAX_LEVELS):
            away = touch * (1 + side.sign * LEVEL_GAP * step)
            price = rules.price_up(away) if side is Side.BUY else rules.price_down(away)
            yield max(price, rules.tick_size)
