"""Rankings in the database, and what they are made from besides the maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from whalestack.db.models import Coin, CoinLiquidationPattern, CoinRanking, CoinThreshold, RefreshRound


@dataclass(frozen=True)
class RankableCoin:
    """A followed coin; a major is collected, never ranked."""

    symbol: str
    is_major: bool


@dataclass(frozen=True)
class Record:
    """How often a coin's clusters of one range were hit within their horizon."""

    symbol: str
    timeframe: str
    hits: int
    observations: int


def rankable_coins(session: Session) -> list[RankableCoin]:
    """Every followed coin, by symbol."""
    query = select(Coin.symbol, Coin.is_major).where(Coin.skipped_reason.is_(None)).order_by(Coin.symbol)
    return [RankableCoin(symbol, is_major) for symbol, is_major in session.execute(query)]


def records(session: Session) -> list[Record]:
    """Every coin's record on every range."""
    pattern = CoinLiquidationPattern
    query = select(pattern.symbol, pattern.timeframe, pattern.hits, pattern.observations)
    return [Record(*row) for row in session.execute(query)]


def typical_sizes(session: Session) -> dict[str, float]:
    """The learned typical cluster size of each coin that has one, USD."""
    query = select(CoinThreshold.symbol, CoinThreshold.avg_cluster_size).where(
        CoinThreshold.cluster_observations > 0
    )
    return {row.symbol: row.avg_cluster_size for row in session.execute(query)}


def insert_ranking(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write one ranking: a row for each coin, ranked or dropped."""
    if rows:
        session.execute(insert(CoinRanking), list(rows))


def latest_ranks(session: Session) -> dict[str, int]:
    """Rank by symbol in the latest ranking, of the coins that have one."""
    latest = select(func.max(CoinRanking.created_at)).scalar_subquery()
    query = select(CoinRanking.symbol, CoinRanking.rank).where(
        CoinRanking.created_at == latest, CoinRanking.rank.is_not(None)
    )
    return {symbol: rank for symbol, rank in session.execute(query) if rank is not None}


def round_ended_since_ranking(session: Session) -> bool:
    """Whether a refresh has ended since the latest ranking: then there is something new to learn."""
    ended = session.scalar(select(func.max(RefreshRound.finished_at)))
    ranked = session.scalar(select(func.max(CoinRanking.created_at)))
    return ended is not None and (ranked is None or ended > ranked)
