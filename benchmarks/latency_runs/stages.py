"""Where the time of each order went, put together from four witnesses of one machine's clock: the
simulator's answers and its record, the processes' log lines, and the rows of the database."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

# The end of each stage, in the order in which they come; a stage begins where the one before ends.
STAGES = (
    "stream_to_detector",
    "detector_to_trade_task",
    "signal_row",
    "plan_claimed",
    "guards_freshness_plan",
    "intent_commit_and_leverage",
    "sent_commit_and_place",
)


@dataclass(frozen=True)
class Spike:
    """One tick that crossed the threshold, and when the simulator handed it to its sockets, real ms."""

    symbol: str
    sent_ms: float


@dataclass(frozen=True)
class Journey:
    """What became of a spike: the moments at which its stages ended, real ms; `missing` names the
    first one that never came."""

    spike: Spike
    ends_ms: tuple[float, ...] = ()
    missing: str = ""

    @property
    def total_ms(self) -> float:
        return self.ends_ms[-1] - self.spike.sent_ms

    def stages_ms(self) -> list[float]:
        """The length of each stage."""
        begins = (self.spike.sent_ms, *self.ends_ms[:-1])
        return [end - begin for begin, end in zip(begins, self.ends_ms, strict=True)]


def log_moments(log: Path, event: str) -> dict[str, list[float]]:
    """When a process logged an event of a coin, real ms, by symbol."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in _lines(log, event):
        found[row["symbol"]].append(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000)
    return found


def _lines(log: Path, event: str) -> Iterator[dict[str, Any]]:
    with log.open() as lines:
        for line in lines:
            if f'"{event}"' in line:
                yield json.loads(line)


_ROWS = text(
    """
    select signals.symbol, extract(epoch from signals.triggered_at) * 1000 as signal_ms,
        extract(epoch from plans.created_at) * 1000 as plan_ms, plans.status, plans.reasons,
        orders.order_link_id, extract(epoch from orders.created_at) * 1000 as intent_ms,
        extract(epoch from orders.sent_at) * 1000 as sent_ms
    from signals
    left join trade_plans as plans on plans.signal_id = signals.id
    left join orders on orders.plan_id = plans.id and orders.leg = 'e0'
    order by signals.id
    """
)


def journeys(
    spikes: Sequence[Spike], session: Session, logs: Path, events: Sequence[dict[str, Any]]
) -> list[Journey]:
    """Each spike's way.

    Args:
        spikes: one a coin, in any order.
        session: of the run's database.
        logs: of the run's processes.
        events: the simulator's record.
    """
    rows = {row.symbol: row for row in session.execute(_ROWS)}
    seen = log_moments(logs / "streams.log", "trigger_seen")
    # In `scan`, where the minute's scanner was quicker than the streams' message.
    considered = log_moments(logs / "worker-trade.log", "signal_considered")
    for symbol, moments in log_moments(logs / "worker-scan.log", "signal_considered").items():
        considered[symbol] = sorted(considered[symbol] + moments)
    accepted = {
        event.get("link_id"): float(event["real_ms"]) for event in events if event["kind"] == "order_accepted"
    }
    return [_journey(spike, rows.get(spike.symbol), seen, considered, accepted) for spike in spikes]


def _journey(
    spike: Spike,
    row: Any,
    seen: dict[str, list[float]],
    considered: dict[str, list[float]],
    accepted: dict[str | None, float],
) -> Journey:
    told_ms = _first_after(seen.get(spike.symbol, []), spike.sent_ms - 5.0)
    if told_ms is None:
        return Journey(spike, missing="not seen by the streams")
    if row is None:
        return Journey(spike, missing="no signal")
    if float(row.signal_ms) < spike.sent_ms:
        return Journey(spike, missing="had its signal before")
    if row.order_link_id is None:
        codes = [reason["code"] for reason in row.reasons or ()]
        return Journey(spike, missing=f"no order: {row.status} {' '.join(codes)}")
    accepted_ms = accepted.get(row.order_link_id)
    written_ms = _first_after(considered.get(spike.symbol, []), float(row.signal_ms))
    if accepted_ms is None or written_ms is None:
        return Journey(spike, missing="not accepted")
    # The minute's scanner may have been quicker than the streams' message.
    told_ms = min(told_ms, float(row.signal_ms))
    times = (row.signal_ms, written_ms, row.plan_ms, row.intent_ms, row.sent_ms)
    signal_ms, written_ms, plan_ms, intent_ms, sent_ms = map(float, times)
    ends = (told_ms, signal_ms, written_ms, plan_ms, intent_ms, sent_ms, accepted_ms)
    return Journey(spike, ends)


def _first_after(moments_ms: Sequence[float], since_ms: float) -> float | None:
    return next((each for each in moments_ms if each >= since_ms), None)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 90th and 99th percentile, and the largest."""
    if not values:
        return {}
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else list(values) * 99
    return {
        "p50": round(median(values), 1),
        "p90": round(cuts[89], 1),
        "p99": round(cuts[98], 1),
        "max": round(max(values), 1),
    }
