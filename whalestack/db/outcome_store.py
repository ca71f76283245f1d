"""Clusters that wait for their verdict, the bars that give it, and where judging had got to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Row, select, text, update
from sqlalchemy.orm import Session

from whalestack.clock import from_ms, to_ms
from whalestack.db.models import AgentLog, LiquidationCluster
from whalestack.math.directions import ClusterSide
from whalestack.math.outcomes import Path, Verdict
from whalestack.math.windows import MINUTE_MS

AGENT_NAME = "outcomes"
JUDGED_ACTION = "outcomes_judged"


@dataclass(frozen=True)
class Followed:
    """A cluster without a verdict. Times in market ms, prices in Bybit price units."""

    id: int
    symbol: str
    side: ClusterSide
    price_center: float
    far_edge: float
    detected_price: float
    detected_ms: int
    horizon_ms: int


@dataclass(frozen=True)
class AfterHit:
    """The hour from a hit on: how far price ran past the far edge, and back from its farthest point."""

    beyond_pct: float
    came_back_pct: float


def judged_until(session: Session) -> datetime | None:
    """Up to when the bars have been held against the clusters, None before the first time."""
    details = session.scalar(
        select(AgentLog.details)
        .where(AgentLog.agent_name == AGENT_NAME, AgentLog.action == JUDGED_ACTION)
        .order_by(AgentLog.id.desc())
        .limit(1)
    )
    return None if details is None else from_ms(int(details["until_ms"]))


def log_judged(session: Session, until: datetime, counts: dict[str, int], now: datetime) -> None:
    """Remember up to when, and say how many; older such rows go, only the last is ever asked for."""
    session.execute(
        text("delete from agent_logs where agent_name = :agent and action = :action and created_at < :old"),
        {"agent": AGENT_NAME, "action": JUDGED_ACTION, "old": now - timedelta(days=7)},
    )
    session.add(
        AgentLog(
            agent_name=AGENT_NAME,
            action=JUDGED_ACTION,
            symbol=None,
            details={"until_ms": to_ms(until), **counts},
            created_at=now,
        )
    )


_CANDIDATES = text(
    """
    with recent as (
        select symbol, max(high) as high, min(low) as low from candles
        where interval = '1' and start_at >= :since group by symbol
    )
    select cluster.id, cluster.symbol, cluster.side, cluster.price_center,
        case cluster.side when 'short' then cluster.price_high else cluster.price_low end as far_edge,
        cluster.detected_price, cluster.detected_at, cluster.horizon_at
    from liquidation_clusters as cluster left join recent using (symbol)
    where cluster.hit_target is null and cluster.decided_at is null
        and (cluster.horizon_at <= :now
            or (cluster.side = 'short' and recent.high >= cluster.price_center)
            or (cluster.side = 'long' and recent.low <= cluster.price_center))
    order by cluster.symbol, cluster.id
    """
)


def candidates(session: Session, *, since: datetime, now: datetime) -> list[Followed]:
    """Clusters that may have a verdict now: their centre lies in what price did, or their time is up.

    Args:
        session: open.
        since: one-minute bars from then on have not been held against the clusters yet.
        now: market time.
    """
    return [_followed(row) for row in session.execute(_CANDIDATES, {"since": since, "now": now})]


_UNMEASURED = text(
    """
    select id, symbol, side, price_center,
        case side when 'short' then price_high else price_low end as far_edge,
        detected_price, detected_at, horizon_at, hit_at
    from liquidation_clusters
    where hit_target and beyond_pct is null and hit_at > :oldest and hit_at <= :newest
    order by symbol, id
    """
)


def unmeasured_hits(session: Session, *, oldest: datetime, newest: datetime) -> list[tuple[Followed, int]]:
    """Clusters hit in a span of time whose run beyond is not measured yet, and when (market ms)."""
    rows = session.execute(_UNMEASURED, {"oldest": oldest, "newest": newest})
    return [(_followed(row), to_ms(row.hit_at)) for row in rows]


def _followed(row: Row[Any]) -> Followed:
    return Followed(
        id=row.id,
        symbol=row.symbol,
        side="short" if row.side == "short" else "long",
        price_center=row.price_center,
        far_edge=row.far_edge,
        detected_price=row.detected_price,
        detected_ms=to_ms(row.detected_at),
        horizon_ms=to_ms(row.horizon_at),
    )


_PATH = text(
    """
    select (extract(epoch from start_at) * 1000)::bigint as start_ms, high, low
    from candles
    where symbol = :symbol and interval = '1' and start_at >= :since and start_at <= :until
    order by start_at
    """
)


def load_path(session: Session, symbol: str, *, since_ms: int, until_ms: int) -> Path:
    """One-minute bars of a coin that open in a span of time."""
    rows = session.execute(
        _PATH, {"symbol": symbol, "since": from_ms(since_ms), "until": from_ms(until_ms)}
    ).all()
    columns = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 3)
    return Path(columns[:, 0].astype(np.int64), columns[:, 1], columns[:, 2], MINUTE_MS)


def store_verdicts(
    session: Session, verdicts: Mapping[int, Verdict | None], now: datetime
) -> tuple[int, ...]:
    """Write verdicts by cluster id, None for clusters given up; returns the ids that were written.

    A cluster that has a verdict keeps it. Rows that a heat-map batch is writing at this
    moment are passed over, not waited for (two transactions that wait for each other's
    rows would end one of them); the next scan finds them again.
    """
    free = session.scalars(
        select(LiquidationCluster.id)
        .where(
            LiquidationCluster.id.in_(verdicts),
            LiquidationCluster.hit_target.is_(None),
            LiquidationCluster.decided_at.is_(None),
        )
        .order_by(LiquidationCluster.id)
        .with_for_update(skip_locked=True)
    ).all()
    rows = [_decided_row(cluster_id, verdicts[cluster_id], now) for cluster_id in free]
    if rows:
        session.execute(update(LiquidationCluster), rows)
    return tuple(free)


def _decided_row(cluster_id: int, verdict: Verdict | None, now: datetime) -> dict[str, Any]:
    return {
        "id": cluster_id,
        "decided_at": now,
        "hit_target": None if verdict is None else verdict.hit,
        "hit_at": None if verdict is None or verdict.hit_ms is None else from_ms(verdict.hit_ms),
        "adverse_wick_pct": None if verdict is None else verdict.adverse_pct,
    }


def store_after_hits(session: Session, after: Mapping[int, AfterHit]) -> None:
    """Write by cluster id what followed the hit."""
    rows = [
        {"id": cluster_id, "beyond_pct": each.beyond_pct, "came_back_pct": each.came_back_pct}
        for cluster_id, each in sorted(after.items())
    ]
    if rows:
        session.execute(update(LiquidationCluster), rows)
