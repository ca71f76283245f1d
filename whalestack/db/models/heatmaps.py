"""Heat maps, what stands out in them, what came of it, and how coins rank."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base, BigId, block_index
from whalestack.db.packed import Packed


class LiquidationSnapshot(Base):
    """What stands in one coin's heat map for one range from one fetch on: its last column.

    `prices` and `values` are parallel: value[i] in USD waits at price[i] (Bybit price
    units), levels without value left out. 14d rows are `derived` from the 30d map.
    A map that stands unchanged at the next fetch has no row of its own: `MapHead` tells
    until when the newest stood, the next row's `previous_seen_at` until when an older one did.
    """

    __tablename__ = "liquidation_snapshots"
    __table_args__ = (block_index("liquidation_snapshots", "fetched_at"),)

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    fetched_at: Mapped[datetime] = mapped_column(primary_key=True)
    map_time: Mapped[datetime | None] = mapped_column(comment="when the source computed it")
    price: Mapped[float] = mapped_column(comment="the coin's price at the fetch")
    prices: Mapped[Packed]
    values: Mapped[Packed]
    derived: Mapped[bool] = mapped_column(default=False, server_default="false")
    source: Mapped[str]
    previous_seen_at: Mapped[datetime | None] = mapped_column(
        comment="when the row before this one was last seen; nothing is known of the time between"
    )


class MapHead(Base):
    """The newest map of one coin and range: where it is stored, and when it was last seen so.

    The one place that knows how fresh a map is. It tells of the present only: who asks
    about the past reads `liquidation_map_spans`.
    """

    __tablename__ = "map_heads"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    fetched_at: Mapped[datetime] = mapped_column(comment="of the last fetch that showed it")
    snapshot_at: Mapped[datetime] = mapped_column(comment="`fetched_at` of its row in liquidation_snapshots")
    map_time: Mapped[datetime | None] = mapped_column(comment="when the source computed it last")
    price: Mapped[float] = mapped_column(comment="the coin's price at the last fetch")
    digest: Mapped[str] = mapped_column(comment="of levels, values and source; equal ones are the same map")


class LiquidationCluster(Base):
    """One cluster, followed from its first sight until it was hit or its horizon passed.

    `leverage` is its total value in USD. `hit_target` stays None while it is undecided.
    """

    __tablename__ = "liquidation_clusters"
    __table_args__ = (
        CheckConstraint("side in ('long', 'short')", name="side"),
        CheckConstraint("price_low <= price_high", name="edges"),
        Index("ix_liquidation_clusters_open", "symbol", "timeframe", postgresql_where="hit_target is null"),
        Index("ix_liquidation_clusters_symbol_detected_at", "symbol", "detected_at"),
    )

    id: Mapped[BigId]
    symbol: Mapped[str]
    timeframe: Mapped[str]
    price_low: Mapped[float]
    price_high: Mapped[float]
    price_center: Mapped[float] = mapped_column(comment="centre of mass")
    leverage: Mapped[float] = mapped_column(comment="total value in USD")
    side: Mapped[str] = mapped_column(comment="whose liquidations wait there: short above price, long below")
    detected_price: Mapped[float]
    distance_pct: Mapped[float] = mapped_column(comment="from the price at detection to the near edge")
    detected_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    horizon_at: Mapped[datetime] = mapped_column(comment="not hit until then: judged a miss")
    hit_at: Mapped[datetime | None]
    hit_target: Mapped[bool | None]
    decided_at: Mapped[datetime | None]
    beyond_pct: Mapped[float | None] = mapped_column(
        comment="how far price ran past the far edge after the hit"
    )
    came_back_pct: Mapped[float | None] = mapped_column(
        comment="how far price came back from its farthest point in the hour from the hit on"
    )
    adverse_wick_pct: Mapped[float | None] = mapped_column(
        comment="largest move against the way to it before the hit"
    )
    traded: Mapped[bool] = mapped_column(default=False, server_default="false")
    trade_outcome: Mapped[str | None]


class CoinLiquidationPattern(Base):
    """What one coin's past says about its clusters of one range."""

    __tablename__ = "coin_liquidation_patterns"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    avg_cluster_size: Mapped[float]
    success_rate: Mapped[float] = mapped_column(comment="0 to 1, shrunk toward the market's mean")
    hits: Mapped[int] = mapped_column(default=0, server_default="0")
    observations: Mapped[int] = mapped_column(default=0, server_default="0")
    success_low: Mapped[float | None] = mapped_column(comment="of hits over observations: 95 % interval")
    success_high: Mapped[float | None]
    avg_time_to_target: Mapped[float | None] = mapped_column(comment="seconds")
    speed_pct_per_h: Mapped[float | None] = mapped_column(
        comment="median over successes: distance over time to the target"
    )
    beyond_pct: Mapped[float | None] = mapped_column(comment="median run past the far edge after hits")
    came_back_pct: Mapped[float | None] = mapped_column(comment="median way back after hits")
    max_wick_up_pct: Mapped[float | None] = mapped_column(comment="high quantile of upward wicks")
    max_wick_down_pct: Mapped[float | None] = mapped_column(comment="high quantile of downward wicks")
    trades: Mapped[int] = mapped_column(default=0, server_default="0")
    trade_wins: Mapped[int] = mapped_column(default=0, server_default="0")
    updated_at: Mapped[datetime]


class CoinRanking(Base):
    """One coin's place in one ranking. A dropped coin has no rank and says why."""

    __tablename__ = "coin_rankings"
    __table_args__ = (Index("ix_coin_rankings_created_at", "created_at"),)

    symbol: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    rank: Mapped[int | None]
    imbalance_ratio: Mapped[float | None]
    direction: Mapped[str | None]
    score: Mapped[float | None]
    target_price: Mapped[float | None]
    price: Mapped[float | None]
    long_usd: Mapped[float | None]
    short_usd: Mapped[float | None]
    cluster_size_pct: Mapped[float | None]
    historical_success: Mapped[float | None]
    observations: Mapped[int | None]
    oldest_map_at: Mapped[datetime | None]
    dropped_reason: Mapped[str | None]
    made_of: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class RefreshRound(Base):
    """One full refresh: how many maps were asked for and what became of them."""

    __tablename__ = "refresh_rounds"

    id: Mapped[BigId]
    started_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]
    coins: Mapped[int]
    maps_due: Mapped[int]
    maps_stored: Mapped[int] = mapped_column(default=0, server_default="0")
    maps_unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    maps_failed: Mapped[int] = mapped_column(default=0, server_default="0")
    batches_due: Mapped[int]
    batches_done: Mapped[int] = mapped_column(default=0, server_default="0")
    status: Mapped[str] = mapped_column(default="running", server_default="running")
    problems: Mapped[list[Any]] = mapped_column(
        default=list, server_default="[]", comment="the first failed maps: coin, range, what was wrong"
    )
