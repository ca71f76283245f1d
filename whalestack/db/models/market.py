"""Prices, open interest, volume, realised liquidations, and the moves seen in them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import REAL, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base, block_index

CHANGE_WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "24h": 86_400}
CHANGE_MEASURES = ("price", "oi", "volume")


class MarketTick(Base):
    """The state of one coin at one moment, thinned from the ticker stream."""

    __tablename__ = "market_ticks"
    __table_args__ = (block_index("market_ticks", "ts"),)

    symbol: Mapped[str] = mapped_column(primary_key=True)
    ts: Mapped[datetime] = mapped_column(primary_key=True)
    price: Mapped[float]
    mark_price: Mapped[float | None]
    open_interest: Mapped[float | None] = mapped_column(comment="base coin, both sides")
    turnover_24h_usd: Mapped[float | None]
    funding_rate_pct: Mapped[float | None]
    bid_price: Mapped[float | None]
    ask_price: Mapped[float | None]


class Candle(Base):
    """One OHLC bar. The bar that is still open is overwritten until it closes."""

    __tablename__ = "candles"
    __table_args__ = (block_index("candles", "start_at"),)

    symbol: Mapped[str] = mapped_column(primary_key=True)
    interval: Mapped[str] = mapped_column(primary_key=True, comment="Bybit's name: 1, 5, 60, D")
    start_at: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[float]
    high: Mapped[float]
    low: Mapped[float]
    close: Mapped[float]
    volume: Mapped[float] = mapped_column(comment="base coin")
    turnover_usd: Mapped[float]
    open_interest: Mapped[float | None] = mapped_column(comment="base coin, at the last tick of the bar")


class LiquidationOrder(Base):
    """One realised liquidation seen on a stream."""

    __tablename__ = "liquidation_orders"

    ts: Mapped[datetime] = mapped_column(primary_key=True)
    event_key: Mapped[str] = mapped_column(
        primary_key=True, comment="digest of the event: the streams have no id"
    )
    symbol: Mapped[str] = mapped_column(index=True)
    exchange: Mapped[str]
    side: Mapped[str] = mapped_column(comment="who was liquidated: long or short")
    price: Mapped[float]
    value_usd: Mapped[float]


class MarketChange(Base):
    """The board: each coin's changes over seven windows, and its rank in each, every minute."""

    __tablename__ = "market_changes"
    __table_args__ = (Index("ix_market_changes_ts", "ts"),)

    symbol: Mapped[str] = mapped_column(primary_key=True)
    ts: Mapped[datetime] = mapped_column(primary_key=True)
    price: Mapped[float]


# Twenty-one changes and their ranks, written once: price_change_5m_pct, oi_rank_1h and so on.
for _measure in CHANGE_MEASURES:
    for _window in CHANGE_WINDOWS:
        setattr(MarketChange, f"{_measure}_change_{_window}_pct", mapped_column(REAL))
        setattr(MarketChange, f"{_measure}_rank_{_window}", mapped_column(SmallInteger))


class FastPriceMover(Base):
    """A coin that moved fast for its own habits."""

    __tablename__ = "fast_price_movers"
    __table_args__ = (Index("ix_fast_price_movers_detected_at", "detected_at"),)

    symbol: Mapped[str] = mapped_column(primary_key=True)
    detected_at: Mapped[datetime] = mapped_column(primary_key=True)
    price_1min_change: Mapped[float | None] = mapped_column(comment="per cent")
    price_5min_change: Mapped[float | None] = mapped_column(comment="per cent")
    price: Mapped[float]


class OiVolumeSpike(Base):
    """A coin whose open interest or volume jumped for its own habits."""

    __tablename__ = "oi_volume_spikes"
    __table_args__ = (Index("ix_oi_volume_spikes_detected_at", "detected_at"),)

    symbol: Mapped[str] = mapped_column(primary_key=True)
    detected_at: Mapped[datetime] = mapped_column(primary_key=True)
    oi_change_pct: Mapped[float | None] = mapped_column(comment="over 15 minutes")
    volume_spike_ratio: Mapped[float | None] = mapped_column(
        comment="5-minute volume over its 1-hour average"
    )
    price_change_pct: Mapped[float | None] = mapped_column(comment="over 5 minutes")
    price: Mapped[float]
