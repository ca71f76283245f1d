"""Rows that the scanners' tests put into the market: coins, minutes, rankings, clusters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import repeat

from sqlalchemy import insert

from whalestack.db.engine import Database
from whalestack.db.models import Candle, Coin, CoinRanking, CoinThreshold, LiquidationCluster

MINUTE = timedelta(minutes=1)


def add_coin(db: Database, symbol: str, now: datetime, **changes: object) -> None:
    """A coin that trades."""
    row: dict[str, object] = {
        "symbol": symbol,
        "base_coin": symbol.removesuffix("USDT"),
        "coinglass_symbol": symbol.removesuffix("USDT"),
        "tick_size": Decimal("0.01"),
        "qty_step": Decimal("0.1"),
        "min_order_qty": Decimal("0.1"),
        "max_order_qty": Decimal(100_000),
        "max_market_order_qty": Decimal(50_000),
        "min_notional_usd": Decimal(5),
        "min_leverage": Decimal(1),
        "max_leverage": Decimal(25),
        "leverage_step": Decimal("0.01"),
        "funding_interval_min": 480,
        "status": "Trading",
        "updated_at": now,
    }
    with db.begin() as work:
        work.session.execute(insert(Coin).values(**row | changes))


def add_minutes(
    db: Database,
    symbol: str,
    until: datetime,
    closes: Sequence[float],
    *,
    turnover: Sequence[float] | float = 10.0,
    interest: Sequence[float | None] | float | None = 1000.0,
    highs: Sequence[float] | None = None,
    lows: Sequence[float] | None = None,
) -> None:
    """One-minute bars, the last of which closes at `until`."""
    turnovers = turnover if isinstance(turnover, Sequence) else repeat(turnover)
    interests = interest if isinstance(interest, Sequence) else repeat(interest)
    rows = [
        {
            "symbol": symbol,
            "interval": "1",
            "start_at": until - (len(closes) - index) * MINUTE,
            "open": close,
            "high": highs[index] if highs else close,
            "low": lows[index] if lows else close,
            "close": close,
            "volume": 1.0,
            "turnover_usd": usd,
            "open_interest": held,
        }
        for index, (close, usd, held) in enumerate(zip(closes, turnovers, interests, strict=False))
    ]
    with db.begin() as work:
        work.session.execute(insert(Candle), rows)


def add_thresholds(db: Database, symbol: str, now: datetime, **learned: float) -> None:
    """A coin's learned thresholds."""
    row = {"symbol": symbol, "min_cluster_threshold": 1.0, "avg_cluster_size": 10.0, "last_updated": now}
    with db.begin() as work:
        work.session.execute(insert(CoinThreshold).values(**row | learned))


def add_ranking(
    db: Database, symbol: str, at: datetime, rank: int | None, direction: str = "LONG", **changes: object
) -> None:
    """A coin's place in the ranking of a moment."""
    row = {
        "symbol": symbol,
        "created_at": at,
        "rank": rank,
        "direction": direction,
        "score": 90.0,
        "imbalance_ratio": 0.8,
        "target_price": 110.0,
        "price": 100.0,
        "dropped_reason": None if rank else "neutral",
    }
    with db.begin() as work:
        work.session.execute(insert(CoinRanking).values(**row | changes))


def add_cluster(
    db: Database,
    symbol: str,
    detected_at: datetime,
    *,
    side: str = "short",
    low: float = 104.0,
    center: float = 105.0,
    high: float = 106.0,
    horizon: timedelta = timedelta(hours=12),
    **changes: object,
) -> int:
    """A cluster seen at a price of 100; returns its id."""
    row = {
        "symbol": symbol,
        "timeframe": "12h",
        "price_low": low,
        "price_high": high,
        "price_center": center,
        "leverage": 1e6,
        "side": side,
        "detected_price": 100.0,
        "distance_pct": 4.0,
        "detected_at": detected_at,
        "last_seen_at": detected_at,
        "horizon_at": detected_at + horizon,
    }
    with db.begin() as work:
        statement = insert(LiquidationCluster).values(**row | changes).returning(LiquidationCluster.id)
        return work.session.execute(statement).scalar_one()
