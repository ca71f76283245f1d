"""Queue `refetch`: maps of one coin that is needed fresh now."""

from __future__ import annotations

from whalestack.runtime import Runtime
from whalestack.tasks.base import task


@task("refetch.coin", survives_worker=True)
def coin(runtime: Runtime, symbol: str, reason: str, signal_id: int | None = None) -> None:
    """Fetch every range of one coin; with a signal, let the trader look at it again."""
    runtime.heatmap_scanner.refetch(symbol, reason, then_signal_id=signal_id)
