"""What the terminal shows and the closing line counts, read from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from whalestack.db.models import (
    Coin,
    CoinRanking,
    FastPriceMover,
    Fill,
    LiquidationCluster,
    LiquidationSnapshot,
    OiVolumeSpike,
    Order,
    OutboxMessage,
    PositionMonitorLog,
    RefreshRound,
    Signal,
    TaskRun,
    Trade,
    TradePlan,
)

Row = TypeVar("Row")

LATEST = 6


@dataclass(frozen=True)
class Facts:
    """What happened so far: the newest rows of each stage, newest first."""

    round: RefreshRound | None
    ranking: Sequence[CoinRanking]
    movers: Sequence[FastPriceMover]
    spikes: Sequence[OiVolumeSpike]
    signals: Sequence[Signal]
    plans: Sequence[TradePlan]
    orders: Sequence[Order]
    trades: Sequence[Trade]
    stop_moves: Sequence[PositionMonitorLog]
    messages: Sequence[OutboxMessage]


def read_facts(session: Session) -> Facts:
    """The newest rows, as the terminal shows them."""
    return Facts(
        round=session.scalar(select(RefreshRound).order_by(RefreshRound.id.desc()).limit(1)),
        ranking=_latest_ranking(session),
        movers=_newest(session, select(FastPriceMover).order_by(FastPriceMover.detected_at.desc())),
        spikes=_newest(session, select(OiVolumeSpike).order_by(OiVolumeSpike.detected_at.desc())),
        signals=_newest(session, select(Signal).order_by(Signal.id.desc())),
        plans=_newest(session, select(TradePlan).order_by(TradePlan.id.desc())),
        orders=_newest(session, select(Order).order_by(Order.created_at.desc())),
        trades=_newest(session, select(Trade).order_by(Trade.id.desc())),
        stop_moves=_newest(session, select(PositionMonitorLog).order_by(PositionMonitorLog.id.desc())),
        messages=_newest(session, _delivered().order_by(OutboxMessage.id.desc())),
    )


def _newest(session: Session, rows: Select[Row]) -> Sequence[Row]:
    return session.scalars(rows.limit(LATEST)).all()


def _delivered() -> Select[OutboxMessage]:
    """One row of each event that was delivered: the last channel's, which says it in the fewest words."""
    last = select(func.max(OutboxMessage.id)).where(OutboxMessage.status == "sent")
    return select(OutboxMessage).where(OutboxMessage.id.in_(last.group_by(OutboxMessage.event_key)))


def _latest_ranking(session: Session) -> Sequence[CoinRanking]:
    newest = select(func.max(CoinRanking.created_at)).scalar_subquery()
    ranked = select(CoinRanking).where(CoinRanking.created_at == newest, CoinRanking.rank.is_not(None))
    return session.scalars(ranked.order_by(CoinRanking.rank).limit(10)).all()


def count_stages(session: Session) -> dict[str, Any]:
    """How much each stage of the main job did, for the closing line."""

    def count(table: type, *conditions: Any) -> int:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

    fetched = select(func.coalesce(func.sum(RefreshRound.maps_stored + RefreshRound.maps_unchanged), 0))
    return {
        "coins": count(Coin, Coin.skipped_reason.is_(None)),
        "refresh_rounds": count(RefreshRound, RefreshRound.status == "finished"),
        "heatmaps_fetched": session.scalar(fetched),
        "snapshots_stored": count(LiquidationSnapshot),
        "clusters": count(LiquidationCluster),
        "clusters_judged": count(LiquidationCluster, LiquidationCluster.hit_target.is_not(None)),
        "rankings": count(CoinRanking, CoinRanking.rank.is_not(None)),
        "movers": count(FastPriceMover),
        "spikes": count(OiVolumeSpike),
        "signals": count(Signal),
        "refused": _refusals(session),
        "orders_sent": count(Order, Order.sent_at.is_not(None)),
        "fills": count(Fill),
        "trades_opened": count(Trade),
        "trades_closed": count(Trade, Trade.status != "open"),
        "stops_moved": count(
            PositionMonitorLog, PositionMonitorLog.action == "trail", PositionMonitorLog.status == "done"
        ),
        "messages_delivered": count(OutboxMessage, OutboxMessage.status == "sent"),
        "tasks_run": count(TaskRun, TaskRun.status == "ok"),
        "tasks_skipped_overlap": count(TaskRun, TaskRun.status == "skipped_overlap"),
        "tasks_expired": count(TaskRun, TaskRun.status == "expired"),
        "tasks_failed": count(TaskRun, TaskRun.status == "failed"),
    }


def _refusals(session: Session) -> dict[str, int]:
    """Refused plans by the code of each reason; one plan may have several."""
    counts: dict[str, int] = {}
    for reasons in session.scalars(select(TradePlan.reasons).where(TradePlan.status == "refused")):
        for reason in reasons:
            code = str(reason.get("code", reason)) if isinstance(reason, dict) else str(reason)
            counts[code] = counts.get(code, 0) + 1
    return dict(sorted(counts.items()))
