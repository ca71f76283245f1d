"""Coins of the universe, for tests that follow them."""

from __future__ import annotations

from sqlalchemy import text

from whalestack.db.engine import Database

INSERT = """
    insert into coins (symbol, base_coin, coinglass_symbol, price_multiplier, tick_size, qty_step,
        min_order_qty, max_order_qty, max_market_order_qty, min_notional_usd, min_leverage, max_leverage,
        leverage_step, funding_interval_min, status, turnover_24h_usd, updated_at)
    values (:symbol, 'A', 'A', 1000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 480, :status, :turnover, now())
"""


def add_coin(db: Database, symbol: str, *, turnover: float | None = None, status: str = "Trading") -> None:
    """A coin as `scan.universe` would store it."""
    with db.begin() as work:
        work.session.execute(text(INSERT), {"symbol": symbol, "status": status, "turnover": turnover})


def delist(db: Database, symbol: str) -> None:
    """The coin trades no longer."""
    with db.begin() as work:
        work.session.execute(
            text("update coins set status = 'Closed' where symbol = :symbol"), {"symbol": symbol}
        )
