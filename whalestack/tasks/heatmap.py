"""Queue `heatmap`: the full refresh of every coin and every range."""

from __future__ import annotations

from celery import shared_task

from whalestack.tasks.base import WhalestackTask


@shared_task(name="heatmap.refresh", bind=True, exclusive=True)
def refresh(self: WhalestackTask) -> None:
    """Start a round, unless one is still running."""
    self.runtime.heatmap_scanner.start_round()


@shared_task(name="heatmap.fetch_batch", bind=True)
def fetch_batch(self: WhalestackTask, round_id: int, items: list[list[str]]) -> None:
    """Fetch some maps of a round."""
    self.runtime.heatmap_scanner.fetch_batch(round_id, [(symbol, timeframe) for symbol, timeframe in items])
