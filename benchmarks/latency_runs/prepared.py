"""Rows as the scanners write them, so that a coin is ranked, known and its maps are fresh."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from whalestack.db.map_heads import Head, put_heads
from whalestack.db.models import (
    Candle,
    CoinLiquidationPattern,
    CoinRanking,
    LiquidationCluster,
    LiquidationSnapshot,
)
from whalestack.math.timeframes import TIMEFRAMES

# Ahead of the clock: what the running rounds store meanwhile must not take the place of these rows.
AHEAD = timedelta(minutes=30)
TRADED_RANGE = "7d"


def rank_coins(session: Session, prices: dict[str, float], now: datetime) -> None:
    """A ranking in which every coin stands LONG on the first place, and a record of each coin."""
    session.execute(
        insert(CoinRanking),
        [
            {
                "symbol": symbol,
                "created_at": now + AHEAD,
                "rank": 1,
                "imbalance_ratio": 0.7,
                "direction": "LONG",
                "score": 60.0,
                "price": price,
                "target_price": price * 1.04,
                "made_of": {},
            }
            for symbol, price in prices.items()
        ],
    )
    session.execute(
        insert(CoinLiquidationPattern),
        [
            {
                "symbol": symbol,
                "timeframe": TRADED_RANGE,
                "avg_cluster_size": 1e6,
                "success_rate": 0.5,
                "hits": 5,
                "observations": 10,
                "max_wick_up_pct": 3.0,
                "max_wick_down_pct": 3.0,
                "updated_at": now,
            }
            for symbol in prices
        ],
    )


def put_maps(session: Session, symbol: str, price: float, target: float, now: datetime) -> None:
    """Fresh maps of every range, one of which holds a cluster of shorts at `target` and above."""
    session.execute(
        update(LiquidationCluster)
        .where(LiquidationCluster.symbol == symbol, LiquidationCluster.hit_target.is_(None))
        .values(hit_target=False, decided_at=now)
    )
    seen_at = now + AHEAD
    common = {"symbol": symbol, "fetched_at": seen_at, "price": price, "prices": [], "values": []}
    session.execute(
        insert(LiquidationSnapshot),
        [{**common, "timeframe": each, "source": "benchmark"} for each in TIMEFRAMES],
    )
    put_heads(session, [Head(symbol, each, seen_at, seen_at, None, price, "") for each in TIMEFRAMES])
    session.execute(
        insert(LiquidationCluster).values(
            symbol=symbol,
            timeframe=TRADED_RANGE,
            side="short",
            price_low=target,
            price_high=target * 1.02,
            price_center=target * 1.01,
            leverage=1e12,
            detected_price=price,
            distance_pct=(target / price - 1) * 100,
            detected_at=now,
            last_seen_at=seen_at,
            horizon_at=text("now() + interval '10 years'"),
        )
    )


def highest_since(session: Session, symbol: str, since: datetime) -> float:
    """The highest price of the minute bars since a moment, 0 without any."""
    highest = select(func.max(Candle.high)).where(
        Candle.symbol == symbol, Candle.interval == "1", Candle.start_at >= since
    )
    return float(session.scalar(highest) or 0.0)


def no_majors(symbols: Sequence[str]) -> list[str]:
    """The coins that automatic traders may trade."""
    return [symbol for symbol in symbols if symbol not in ("BTCUSDT", "ETHUSDT")]
