"""Queue `heatmap`: the full refresh of every coin and every range."""

from __future__ import annotations

from whalestack.runtime import Runtime
from whalestack.tasks.base import task


@task("heatmap.refresh", exclusive=True)
def refresh(runtime: Runtime) -> None:
    """Start a round, unless one is still running."""
    runtime.heatmap_scanner.start_round()


@task("heatmap.fetch_batch", survives_worker=True)
def fetch_batch(runtime: Runtime, round_id: int, batch: str, items: list[list[str]]) -> None:
    """Fetch some maps of a round."""
    runtime.heatmap_scanner.fetch_batch(round_id, batch, items)
