"""Of ordinary tables only what is over goes, and never what a trade refers to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db import row_retention
from whalestack.db.engine import Database
from whalestack.db.models import (
    AgentLog,
    Base,
    LiquidationCluster,
    OutboxMessage,
    RefreshRound,
    Signal,
    TradePlan,
)
from whalestack.db.retention import Retention
from whalestack.db.row_retention import RowRetention

OLD_DAYS, YOUNG_DAYS = 500, 20


@pytest.fixture
def old(clock: ManualClock) -> datetime:
    return clock.now() - timedelta(days=OLD_DAYS)


@pytest.fixture
def young(clock: ManualClock) -> datetime:
    return clock.now() - timedelta(days=YOUNG_DAYS)


def add(db: Database, *rows: Base) -> None:
    with db.begin() as work:
        work.session.add_all(rows)


def left(db: Database, column: Any) -> list[Any]:
    with db.begin() as work:
        return sorted(work.session.scalars(select(column)).all())


def message(key: str, created_at: datetime, status: str) -> OutboxMessage:
    return OutboxMessage(
        event_key=key,
        kind="signal",
        channel="log",
        agent_name="a",
        scanner="s",
        text="t",
        status=status,
        due_at=created_at,
        created_at=created_at,
    )


def cluster(symbol: str, detected_at: datetime, **changes: Any) -> LiquidationCluster:
    values: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": "7d",
        "price_low": 1.0,
        "price_high": 2.0,
        "price_center": 1.5,
        "leverage": 1e6,
        "side": "long",
        "detected_price": 3.0,
        "distance_pct": 10.0,
        "detected_at": detected_at,
        "last_seen_at": detected_at,
        "horizon_at": detected_at,
        "hit_target": True,
        "hit_at": detected_at,
        "decided_at": detected_at,
    }
    return LiquidationCluster(**(values | changes))


def test_messages_that_are_over_go_and_those_on_their_way_stay(
    db: Database, settings: Settings, clock: ManualClock, old: datetime, young: datetime
) -> None:
    over = ("sent", "failed", "unknown", "dropped")
    add(db, *(message(f"old-{status}", old, status) for status in (*over, "due", "sending")))
    add(db, *(message(f"young-{status}", young, status) for status in over))

    Retention(db, settings, clock).apply()

    assert left(db, OutboxMessage.event_key) == sorted(
        ["old-due", "old-sending", *(f"young-{status}" for status in over)]
    )


def test_logs_and_ended_rounds_go(
    db: Database, settings: Settings, clock: ManualClock, old: datetime, young: datetime
) -> None:
    for at in (old, young):
        add(db, AgentLog(agent_name="a", action="x", created_at=at))
        for status in ("done", "running"):
            add(db, RefreshRound(started_at=at, coins=1, maps_due=1, batches_due=1, status=status))

    report = Retention(db, settings, clock).apply()

    assert left(db, AgentLog.created_at) == [young]
    assert left(db, RefreshRound.started_at) == [old, young, young]
    assert {name: report.removed[name] for name in ("agent_logs", "refresh_rounds")} == {
        "agent_logs": 1,
        "refresh_rounds": 1,
    }


def test_a_cluster_that_is_undecided_young_or_was_planned_for_stays(
    db: Database, settings: Settings, clock: ManualClock, old: datetime, young: datetime
) -> None:
    add(
        db,
        cluster("GONEUSDT", old),
        cluster("MISSEDUSDT", old, hit_target=False, hit_at=None),
        cluster("YOUNGUSDT", young),
        cluster("OPENUSDT", old, hit_target=None, hit_at=None, decided_at=None),
        cluster("TRADEDUSDT", old, traded=True),
    )
    planned = cluster("PLANNEDUSDT", old)
    signal = Signal(
        symbol="PLANNEDUSDT",
        direction="LONG",
        occasion="o",
        scanner="signals",
        triggered_at=old,
        price=1.0,
        oi_change_pct=1.0,
        volume_spike_ratio=1.0,
        price_change_pct=1.0,
        rank=1,
        score=1.0,
        ranked_at=old,
        updated_at=old,
    )
    add(db, planned, signal)
    plan = TradePlan(
        signal_id=signal.id,
        agent_name="a",
        strategy="CONSERVATIVE",
        symbol="PLANNEDUSDT",
        direction="LONG",
        status="expired",
        cluster_id=planned.id,
        created_at=old,
        updated_at=old,
    )
    add(db, plan)

    Retention(db, settings, clock).apply()

    assert left(db, LiquidationCluster.symbol) == ["OPENUSDT", "PLANNEDUSDT", "TRADEDUSDT", "YOUNGUSDT"]


def test_a_large_backlog_takes_several_runs(
    db: Database, settings: Settings, clock: ManualClock, old: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_retention, "MAX_BATCHES", 2)
    add(db, *(cluster(f"C{number}USDT", old) for number in range(1_200)))
    keeper = RowRetention(db, settings, clock)
    assert [(run.removed, run.is_complete) for run in (keeper.apply(), keeper.apply())] == [
        ({"liquidation_clusters": 1_000}, False),
        ({"liquidation_clusters": 200}, True),
    ]
