"""What an instrument allows: steps, limits, leverage, and the price range around the market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Any

ONE = Decimal(1)
DEFAULT_LIMIT_X = Decimal("0.05")
DEFAULT_LIMIT_Y = Decimal("0.1")


@dataclass(frozen=True)
class InstrumentRules:
    """The limits of one linear perpetual, read from its instruments-info row.

    Prices are in USDT a coin, quantities in base coins, `price_limit_x` and `_y` fractions.
    """

    symbol: str
    status: str
    is_prelisting: bool
    tick_size: Decimal
    min_price: Decimal
    max_price: Decimal
    qty_step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    max_market_qty: Decimal
    min_notional_usd: Decimal
    min_leverage: Decimal
    max_leverage: Decimal
    leverage_step: Decimal
    price_limit_x: Decimal
    price_limit_y: Decimal
    funding_interval_min: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> InstrumentRules:
        """Read a row of `/v5/market/instruments-info`.

        Raises:
            KeyError: a field that decides about orders is missing.
        """
        price, lot, leverage = row["priceFilter"], row["lotSizeFilter"], row["leverageFilter"]
        risk = row.get("riskParameters") or {}
        return cls(
            symbol=row["symbol"],
            status=row["status"],
            is_prelisting=bool(row.get("isPreListing", False)),
            tick_size=Decimal(price["tickSize"]),
            min_price=Decimal(price["minPrice"]),
            max_price=Decimal(price["maxPrice"]),
            qty_step=Decimal(lot["qtyStep"]),
            min_qty=Decimal(lot["minOrderQty"]),
            max_qty=Decimal(lot["maxOrderQty"]),
            max_market_qty=Decimal(lot["maxMktOrderQty"]),
            min_notional_usd=Decimal(lot.get("minNotionalValue") or "0"),
            min_leverage=Decimal(leverage["minLeverage"]),
            max_leverage=Decimal(leverage["maxLeverage"]),
            leverage_step=Decimal(leverage["leverageStep"]),
            price_limit_x=Decimal(risk.get("priceLimitRatioX") or DEFAULT_LIMIT_X),
            price_limit_y=Decimal(risk.get("priceLimitRatioY") or DEFAULT_LIMIT_Y),
            funding_interval_min=int(row.get("fundingInterval") or 480),
        )

    @property
    def maintenance_rate(self) -> Decimal:
        """Maintenance margin as a fraction of the position's value: half of the smallest initial margin."""
        return ONE / (2 * self.max_leverage)

    def price(self, value: float) -> Decimal:
        """A market price in USDT as a Decimal on the tick grid, nearest tick."""
        return self._on_grid(Decimal(repr(value)), ROUND_HALF_EVEN)

    def price_down(self, value: Decimal) -> Decimal:
        """The tick at or below a price in USDT."""
        return self._on_grid(value, ROUND_DOWN)

    def price_up(self, value: Decimal) -> Decimal:
        """The tick at or above a price in USDT."""
        return self._on_grid(value, ROUND_UP)

    def qty_down(self, value: Decimal) -> Decimal:
        """The quantity step at or below a quantity in base coins."""
        return (value / self.qty_step).to_integral_value(ROUND_DOWN) * self.qty_step

    def highest_buy(self, mark: Decimal, index: Decimal) -> Decimal:
        """The highest price in USDT at which a buy is accepted (order-price-limit page of the docs)."""
        inner = max(index, mark * (1 + self.price_limit_x))
        return self.price_down(min(inner, mark * (1 + self.price_limit_y), self.max_price))

    def lowest_sell(self, mark: Decimal, index: Decimal) -> Decimal:
        """The lowest price in USDT at which a sell is accepted."""
        inner = min(index, mark * (1 - self.price_limit_x))
        return self.price_up(max(inner, mark * (1 - self.price_limit_y), self.min_price))

    def _on_grid(self, value: Decimal, rounding: str) -> Decimal:
        steps = (value / self.tick_size).to_integral_value(rounding)
        return (steps * self.tick_size).quantize(self.tick_size)
