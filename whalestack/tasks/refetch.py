"""Queue `refetch`: maps of one coin that is needed fresh now."""

from __future__ import annotations

from celery import shared_task

from whalestack.tasks.base import WhalestackTask


@shared_task(name="refetch.coin", bind=True, acks_late=True, reject_on_worker_lost=True)
def coin(self: WhalestackTask, symbol: str, reason: str, signal_id: int | None = None) -> None:
    """Fetch every range of one coin; with a signal, let the trader look at it again."""
    self.runtime.heatmap_scanner.refetch(symbol, reason, then_signal_id=signal_id)
