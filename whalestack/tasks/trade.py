"""Queue `trade`: entries, order state, reconciliation. A redelivered message finds its row and stops."""

from __future__ import annotations

from typing import Any

from whalestack.errors import TryAgain
from whalestack.math.triggers import MarketMove
from whalestack.runtime import Runtime
from whalestack.scanners.signals import SeenMove
from whalestack.tasks.base import task


@task("trade.act_on_signal", survives_worker=True)
def act_on_signal(runtime: Runtime, signal_id: int) -> None:
    """Plan and enter, or refuse and say why."""
    runtime.trader_team.act_on_signal(signal_id)


@task("trade.spike_seen", survives_worker=True)
def spike_seen(runtime: Runtime, symbol: str, move: dict[str, Any], seen_ms: int) -> None:
    """Decide whether a coin that moves at this moment gives a signal, and act on it at once.

    `move` is as the streams measured it. Another message for the traders would be another wait; where
    this worker dies before they have acted, their sweep finds the signal.
    """
    seen = SeenMove(MarketMove(**move), seen_ms)
    signal_id = runtime.signal_scanner.consider(symbol, seen, hand_on=False).signal_id
    if signal_id is not None:
        runtime.trader_team.act_on_signal(signal_id)


@task("trade.private_event", survives_worker=True)
def private_event(runtime: Runtime, topic: str, rows: list[dict[str, Any]], received_ms: int) -> None:
    """Apply what the private stream told."""
    runtime.order_keeper.apply_event(topic, rows, received_ms)


@task("trade.poll", exclusive=True)
def poll(runtime: Runtime, unless_within_s: float = 0.0) -> None:
    """Ask the exchange what the stream may have missed, unless that was just done."""
    runtime.order_keeper.poll(unless_within_s=unless_within_s)


@task("trade.reconcile", exclusive=True)
def reconcile(runtime: Runtime, unless_within_s: float = 0.0) -> None:
    """Compare both sides and repair or raise, unless they were just compared."""
    runtime.reconciler.run(unless_within_s=unless_within_s)


@task("trade.expire_plans", exclusive=True)
def expire_plans(runtime: Runtime, unless_within_s: float = 0.0) -> None:
    """End the plans whose pullback did not come, unless that was just looked at."""
    if _is_due(runtime, "trade.expire_plans", unless_within_s):
        runtime.trader_team.expire_plans()


@task("trade.sweep", exclusive=True)
def sweep(runtime: Runtime, unless_within_s: float = 0.0) -> None:
    """Send again what a lost message left lying, unless that was just done."""
    if _is_due(runtime, "trade.sweep", unless_within_s):
        runtime.trader_team.sweep()


def _is_due(runtime: Runtime, name: str, unless_within_s: float) -> bool:
    """Whether no other message of the schedule began this within so many market seconds."""
    if unless_within_s <= 0:
        return True
    try:
        return runtime.live.claim("task", name, hold_s=runtime.clock.real_seconds(unless_within_s))
    except TryAgain:
        return True
