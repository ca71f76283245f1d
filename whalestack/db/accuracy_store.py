"""What hit rates are made from, and the rows that keep them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
from sqlalchemy import Row, delete, func, insert, select, text
from sqlalchemy.orm import Session

from whalestack.clock import from_ms, to_ms
from whalestack.db.models import AccuracyRecord, Coin
from whalestack.math.accuracy import BarGrid, Sightings
from whalestack.math.accuracy_bars import FIVE_MS, HOUR_MS, LEAST_MINUTES
from whalestack.math.accuracy_table import AccuracyRow, CoinKind, Scope, Verdict
from whalestack.math.chance import Difference, Share
from whalestack.math.heatmap import Floats
from whalestack.math.timeframes import TIMEFRAMES


@dataclass(frozen=True)
class FollowedTurnover:
    """A followed coin, as kinds are told by it."""

    symbol: str
    is_major: bool
    turnover_24h_usd: float


def turnovers(session: Session) -> list[FollowedTurnover]:
    """Every coin that is followed."""
    rows = session.execute(
        select(Coin.symbol, Coin.is_major, func.coalesce(Coin.turnover_24h_usd, 0.0)).where(
            Coin.skipped_reason.is_(None)
        )
    )
    return [FollowedTurnover(*row) for row in rows]


_SIGHTINGS = text(
    """
    select timeframe, (extract(epoch from detected_at) * 1000)::bigint as seen_ms, detected_price,
        price_center
    from liquidation_clusters
    where symbol = :symbol and detected_at >= :since and horizon_at <= :now
    order by timeframe, detected_at, id
    """
)


def sightings(session: Session, symbol: str, *, since: datetime, now: datetime) -> Iterator[Sightings]:
    """The coin's clusters whose horizon has passed, by range, each as it was first seen."""
    rows = session.execute(_SIGHTINGS, {"symbol": symbol, "since": since, "now": now}).all()
    for timeframe in dict.fromkeys(row.timeframe for row in rows):
        of_range = [row for row in rows if row.timeframe == timeframe]
        yield Sightings(
            symbol,
            timeframe,
            np.array([row.seen_ms for row in of_range], dtype=np.int64),
            _floats([row.detected_price for row in of_range]),
            _floats([row.price_center for row in of_range]),
        )


_BARS = text(
    """
    select (extract(epoch from bar) * 1000)::bigint as start_ms, high, low, close from (
        select date_bin('5 minutes', start_at, timestamptz 'epoch') as bar, max(high) as high,
            min(low) as low, (array_agg(close order by start_at desc))[1] as close
        from candles
        where symbol = :symbol and interval = '1' and start_at >= :since and start_at < :until
        group by bar having count(*) >= :least
    ) as bars order by bar
    """
)


def five_minute_bars(session: Session, symbol: str, *, since: datetime, now: datetime) -> BarGrid | None:
    """The coin's bars put together from minutes; only those that have ended. None without any."""
    until = from_ms(to_ms(now) // FIVE_MS * FIVE_MS)
    rows = session.execute(
        _BARS, {"symbol": symbol, "since": since, "until": until, "least": LEAST_MINUTES}
    ).all()
    return _grid(rows, FIVE_MS)


_HOURS = text(
    """
    select (extract(epoch from start_at) * 1000)::bigint as start_ms, high, low, close from candles
    where symbol = :symbol and interval = '60' and start_at >= :since and start_at <= :until
    order by start_at
    """
)


def hourly_bars(session: Session, symbol: str, *, since: datetime, now: datetime) -> BarGrid | None:
    """The coin's hourly bars that have ended. None without any."""
    until = from_ms(to_ms(now) - HOUR_MS)
    rows = session.execute(_HOURS, {"symbol": symbol, "since": since, "until": until}).all()
    return _grid(rows, HOUR_MS)


def _grid(rows: Sequence[Row[Any]], bar_ms: int) -> BarGrid | None:
    if not rows:
        return None
    columns = np.array([tuple(row) for row in rows], dtype=np.float64).T
    return BarGrid.of(columns[0].astype(np.int64), columns[1], columns[2], columns[3], bar_ms)


def store_rows(session: Session, rows: Sequence[AccuracyRow], *, source: str, now: datetime) -> None:
    """Write one table."""
    if rows:
        session.execute(insert(AccuracyRecord), [_stored(row, source, now) for row in rows])


def forget_coins(session: Session, before: datetime) -> None:
    """Delete the rows of single coins from tables made before a moment; what is said of all stays."""
    session.execute(
        delete(AccuracyRecord).where(AccuracyRecord.scope == "coin", AccuracyRecord.computed_at < before)
    )


def latest_table(session: Session) -> tuple[datetime, list[AccuracyRow]] | None:
    """The newest table and when it was made, None before the first."""
    made_at = session.scalar(select(func.max(AccuracyRecord.computed_at)))
    if made_at is None:
        return None
    stored = session.scalars(select(AccuracyRecord).where(AccuracyRecord.computed_at == made_at))
    order = {each: place for place, each in enumerate(TIMEFRAMES)}
    rows = sorted((as_accuracy_row(each) for each in stored), key=lambda row: order[row.timeframe])
    return made_at, rows


def as_accuracy_row(row: AccuracyRecord) -> AccuracyRow:
    """A stored row as the mathematics takes it."""

    def share(name: str) -> Share:
        low, rate, high = (getattr(row, f"{name}_{each}") for each in ("low", "rate", "high"))
        return Share(rate, low, high, row.observations)

    def difference(name: str) -> Difference:
        return Difference(getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high"))

    return AccuracyRow(
        scope=cast(Scope, row.scope),
        group=row.group_name,
        timeframe=row.timeframe,
        clusters=row.clusters,
        votes=row.votes,
        periods=row.periods,
        distance_pct=row.distance_pct,
        hit=share("hit"),
        random=share("random"),
        mirror=share("mirror"),
        over_random=difference("over_random"),
        over_mirror=difference("over_mirror"),
        verdict=cast(Verdict, row.verdict),
        kind=cast(CoinKind | None, row.kind),
    )


def _stored(row: AccuracyRow, source: str, now: datetime) -> Mapping[str, Any]:
    shares = {"hit": row.hit, "random": row.random, "mirror": row.mirror}
    differences = {"over_random": row.over_random, "over_mirror": row.over_mirror}
    return (
        {
            "computed_at": now,
            "scope": row.scope,
            "group_name": row.group,
            "kind": row.kind,
            "timeframe": row.timeframe,
            "source": source,
            "clusters": row.clusters,
            "votes": row.votes,
            "periods": row.periods,
            "observations": row.hit.n,
            "distance_pct": row.distance_pct,
            "verdict": row.verdict,
        }
        | {f"{name}_rate": share.rate for name, share in shares.items()}
        | {f"{name}_low": share.low for name, share in shares.items()}
        | {f"{name}_high": share.high for name, share in shares.items()}
        | {name: each.value for name, each in differences.items()}
        | {f"{name}_low": each.low for name, each in differences.items()}
        | {f"{name}_high": each.high for name, each in differences.items()}
    )


def _floats(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)
