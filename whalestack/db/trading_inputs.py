"""What a plan is made from: coin, maps, clusters, record, and the account's own history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from whalestack.db.models import (
    Coin,
    CoinLiquidationPattern,
    CoinRanking,
    CoinThreshold,
    LiquidationCluster,
    Signal,
    Trade,
)
from whalestack.math.timeframes import TIMEFRAMES

# One step into the index for each range; grouping would read every map the coin ever had.
_LATEST_MAPS = text(
    """
    select wanted.timeframe, latest.fetched_at
    from unnest(cast(:timeframes as text[])) as wanted(timeframe)
    cross join lateral (
        select fetched_at from liquidation_snapshots
        where symbol = :symbol and timeframe = wanted.timeframe and fetched_at > :since
        order by fetched_at desc limit 1
    ) as latest
    """
)


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
        since: maps fetched before it do not count; it bounds the search on a hypertable.
    """
    found = session.execute(_LATEST_MAPS, {"symbol": symbol, "timeframes": list(TIMEFRAMES), "since": since})
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


def patterns(session: Session, symbol: str) -> dict[str, CoinLiquidationPattern]:
    """The coin's record on each range."""
    rows = session.scalars(select(CoinLiquidationPattern).where(CoinLiquidationPattern.symbol == symbol))
    return {row.timeframe: row for row in rows}


def has_clusters(session: Session, symbol: str) -> bool:
    """Whether anything was ever found for the coin, so that it can have a record."""
    found = select(LiquidationCluster.id).where(LiquidationCluster.symbol == symbol)
    return session.scalar(found.limit(1)) is not None


def threshold(session: Session, symbol: str) -> CoinThreshold | None:
    """What is large for the coin, None while nothing was learnt."""
    return session.get(CoinThreshold, symbol)


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


def ended_trades(session: Session, mode: str) -> list[EndedTrade]:
    """All trades that ended in this mode, oldest first. Trades of another mode are another account's."""
    rows = session.execute(
        select(Trade.symbol, Trade.agent_name, Trade.status, Trade.exit_time, Trade.pnl_usd)
        .where(Trade.status != "open", Trade.mode == mode, Trade.exit_time.is_not(None))
        .order_by(Trade.exit_time, Trade.id)
    )
    return [
        EndedTrade(symbol, agent, status, exit_time, pnl if pnl is not None else Decimal(0))
        for symbol, agent, status, exit_time, pnl in rows
        if exit_time is not None
    ]
