"""What can be traded, and what is large or fast for each coin."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base


class Coin(Base):
    """One Bybit linear perpetual, with the name CoinGlass gives its coin.

    `coinglass_symbol` is None where CoinGlass has no such coin; `price_multiplier` is
    how many coins one contract unit holds (1000 for 1000PEPEUSDT): a Bybit price is
    the CoinGlass price times this.
    """

    __tablename__ = "coins"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    base_coin: Mapped[str]
    coinglass_symbol: Mapped[str | None] = mapped_column(index=True)
    price_multiplier: Mapped[int] = mapped_column(default=1, server_default="1")
    tick_size: Mapped[Decimal]
    qty_step: Mapped[Decimal]
    min_order_qty: Mapped[Decimal]
    max_order_qty: Mapped[Decimal]
    max_market_order_qty: Mapped[Decimal]
    min_notional_usd: Mapped[Decimal]
    min_leverage: Mapped[Decimal]
    max_leverage: Mapped[Decimal]
    leverage_step: Mapped[Decimal]
    price_limit_ratio: Mapped[Decimal | None]
    funding_interval_min: Mapped[int]
    launched_at: Mapped[datetime | None]
    delisted_at: Mapped[datetime | None]
    status: Mapped[str]
    is_prelisting: Mapped[bool] = mapped_column(default=False, server_default="false")
    is_major: Mapped[bool] = mapped_column(default=False, server_default="false")
    blacklisted: Mapped[bool] = mapped_column(default=False, server_default="false")
    turnover_24h_usd: Mapped[float | None]
    skipped_reason: Mapped[str | None]
    updated_at: Mapped[datetime]


class CoinThreshold(Base):
    """What is large and what is fast for one coin, learned from its own past."""

    __tablename__ = "coin_thresholds"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    min_cluster_threshold: Mapped[float] = mapped_column(
        comment="USD; smaller clusters are noise for this coin"
    )
    avg_cluster_size: Mapped[float] = mapped_column(comment="USD; the coin's typical cluster")
    market_cap: Mapped[float | None] = mapped_column(comment="USD")
    observations: Mapped[int] = mapped_column(default=0, server_default="0")
    cluster_observations: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="refreshes that avg_cluster_size was learned from; 0: a seed"
    )
    oi_change_pct: Mapped[float | None] = mapped_column(
        comment="15-minute open interest change that is a spike"
    )
    volume_ratio: Mapped[float | None] = mapped_column(
        comment="5-minute volume over its 1-hour average that is a spike"
    )
    price_change_pct: Mapped[float | None] = mapped_column(comment="5-minute price change that triggers")
    mover_1m_pct: Mapped[float | None]
    mover_5m_pct: Mapped[float | None]
    last_updated: Mapped[datetime]
