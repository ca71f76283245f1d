"""Queue `trade`: entries, order state, reconciliation. A redelivered message finds its row and stops."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from whalestack.tasks.base import WhalestackTask


@shared_task(name="trade.act_on_signal", bind=True, acks_late=True, reject_on_worker_lost=True)
def act_on_signal(self: WhalestackTask, signal_id: int) -> None:
    """Plan and enter, or refuse and say why."""
    self.runtime.autotrader.act_on_signal(signal_id)


@shared_task(name="trade.private_event", bind=True, acks_late=True, reject_on_worker_lost=True)
def private_event(self: WhalestackTask, topic: str, rows: list[dict[str, Any]], received_ms: int) -> None:
    """Apply what the private stream told."""
    self.runtime.order_keeper.apply_event(topic, rows, received_ms)


@shared_task(name="trade.poll", bind=True, exclusive=True)
def poll(self: WhalestackTask) -> None:
    """Ask the exchange what the stream may have missed."""
    self.runtime.order_keeper.poll()


@shared_task(name="trade.reconcile", bind=True, exclusive=True)
def reconcile(self: WhalestackTask) -> None:
    """Compare both sides and repair or raise."""
    self.runtime.reconciler.run()


@shared_task(name="trade.expire_plans", bind=True, exclusive=True)
def expire_plans(self: WhalestackTask) -> None:
    """End the plans whose pullback did not come."""
    self.runtime.autotrader.expire_plans()


@shared_task(name="trade.sweep", bind=True, exclusive=True)
def sweep(self: WhalestackTask) -> None:
    """Send again what a lost message left lying."""
    self.runtime.autotrader.sweep()
