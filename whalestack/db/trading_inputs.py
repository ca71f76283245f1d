"""What a plan is made from: coin, maps, clusters, record, and the account's own history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from whalestack.db.models import (
    Candle,
    Coin,
    CoinRanking,
    LiquidationCluster,
    MapHead,
    MarketTick,
    Signal,
)
from whalestack.math.timeframes import TIMEFRAMES


@dataclass(frozen=True)
class EndedTrade:
    """What guards want to know of a trade that is over."""

    symbol: str
    agent_name: str
    status: str
    exit_time: datetime
    pnl_usd: Decimal


def map_times(session: Session, symbol: str, since: datetime) -> dict[str, datetime]:
    """When the latest map of each range of the coin was fetched; ranges without one are left out.

    Args:
        session: open.
        symbol: Bybit symbol.
        since: maps fetched before it do not count.
    """
    found = session.execute(
        select(MapHead.timeframe, MapHead.fetched_at).where(
            MapHead.symbol == symbol, MapHead.timeframe.in_(TIMEFRAMES), MapHead.fetched_at > since
        )
    )
    return {row.timeframe: row.fetched_at for row in found}


def standing_clusters(
    session: Session, symbol: str, now: datetime, times: dict[str, datetime]
) -> Sequence[LiquidationCluster]:
    """Clusters of the coin that are undecided and were still there in the latest map of their range.

    Args:
        session: open.
        symbol: Bybit symbol.
        now: market time.
        times: from `map_times`.
    """
    undecided = session.scalars(
        select(LiquidationCluster)
        .where(
            LiquidationCluster.symbol == symbol,
            LiquidationCluster.hit_target.is_(None),
            LiquidationCluster.horizon_at > now,
        )
        .order_by(LiquidationCluster.id)
    )
    return [
        cluster
        for cluster in undecided
        if cluster.timeframe in times and cluster.last_seen_at >= times[cluster.timeframe]
    ]


def just_hit(session: Session, symbol: str, side: str, since: datetime) -> LiquidationCluster | None:
    """The cluster of this side that price reached last, at or after `since`."""
    return session.scalars(
        select(LiquidationCluster)
        .where(
            LiquidationCluster.symbol == symbol,
            LiquidationCluster.side == side,
            LiquidationCluster.hit_at >= since,
        )
        .order_by(LiquidationCluster.hit_at.desc(), LiquidationCluster.id)
        .limit(1)
    ).one_or_none()


def price_range_since(session: Session, symbol: str, since: datetime) -> tuple[float, float] | None:
    """Lowest and highest last price since a moment, as ticks and minute bars tell; None without any.

    The minute in which `since` lies is told by its ticks alone: its bar knows older prices too.
    """
    first_bar = since + timedelta(minutes=1)
    bars = select(func.min(Candle.low), func.max(Candle.high)).where(
        Candle.symbol == symbol, Candle.interval == "1", Candle.start_at >= since
    )
    ticks = select(func.min(MarketTick.price), func.max(MarketTick.price)).where(
        MarketTick.symbol == symbol, MarketTick.ts.between(since, first_bar)
    )
    found = [row for query in (bars, ticks) if (row := session.execute(query).one())[0] is not None]
    return (min(row[0] for row in found), max(row[1] for row in found)) if found else None


def coin(session: Session, symbol: str) -> Coin | None:
    """The instrument, None where we do not know the symbol."""
    return session.get(Coin, symbol)


def latest_ranking(session: Session, symbol: str) -> CoinRanking | None:
    """The coin's place in the newest ranking that speaks of it."""
    return session.scalars(
        select(CoinRanking)
        .where(CoinRanking.symbol == symbol)
        .order_by(CoinRanking.created_at.desc())
        .limit(1)
    ).one_or_none()


def latest_signals(session: Session, symbol: str, limit: int = 5) -> Sequence[Signal]:
    """The coin's newest signals, newest first."""
    return session.scalars(
        select(Signal).where(Signal.symbol == symbol).order_by(Signal.id.desc()).limit(limit)
    ).all()
