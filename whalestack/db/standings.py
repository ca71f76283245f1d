"""Where one coin stands in the latest ranking, and what of it is learned, in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from whalestack.db.engine import Database
from whalestack.db.market_store import LearnedThresholds


@dataclass(frozen=True)
class Standing:
    """What decides whether a move of the coin is a signal.

    Args:
        ranked_at: when the latest ranking of all was made, None if there is none.
        is_in_ranking: whether it speaks of the coin.
        rank, score, direction, target_price, dropped_reason: what it says.
        thresholds: the coin's own.
        is_cooling_down: whether the coin had a signal in this direction since then.
    """

    ranked_at: datetime | None
    is_in_ranking: bool
    rank: int | None
    score: float | None
    direction: str | None
    target_price: float | None
    dropped_reason: str | None
    thresholds: LearnedThresholds
    is_cooling_down: bool


_STANDING = text(
    """
    select latest.created_at as ranked_at, place.symbol is not null as is_in_ranking,
        place.rank, place.score, place.direction, place.target_price, place.dropped_reason,
        exists (
            select from signals
            where symbol = :symbol and direction = place.direction and triggered_at > :since
        ) as is_cooling_down,
        own.oi_change_pct, own.volume_ratio, own.price_change_pct, own.mover_1m_pct, own.mover_5m_pct
    from (select max(created_at) as created_at from coin_rankings) as latest
    left join coin_rankings as place on place.symbol = :symbol and place.created_at = latest.created_at
    left join coin_thresholds as own on own.symbol = :symbol
    """
)


def standing_of(db: Database, symbol: str, since: datetime) -> Standing:
    """Read it.

    Args:
        db: of this process.
        symbol: Bybit symbol.
        since: a signal younger than this cools the coin down.
    """
    with db.alone() as connection:
        row = connection.execute(_STANDING, {"symbol": symbol, "since": since}).one()
    return Standing(
        ranked_at=row.ranked_at,
        is_in_ranking=row.is_in_ranking,
        rank=row.rank,
        score=row.score,
        direction=row.direction,
        target_price=row.target_price,
        dropped_reason=row.dropped_reason,
        thresholds=LearnedThresholds(*row[8:]),
        is_cooling_down=row.is_cooling_down,
    )
