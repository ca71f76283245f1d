"""Queue `refetch`: what is known of one coin, needed fresh now."""

from __future__ import annotations

from whalestack.runtime import Runtime
from whalestack.tasks.base import task


@task("refetch.coin", survives_worker=True)
def coin(runtime: Runtime, symbol: str, reason: str, signal_id: int | None = None) -> None:
    """Fetch every range of one coin; with a signal, learn its record and thresholds anew as well
    and let the trader look at it again."""
    if signal_id is not None:
        runtime.coin_history_scanner.refresh(symbol)
        runtime.threshold_scanner.refresh(symbol)
    runtime.heatmap_scanner.refetch(symbol, reason, then_signal_id=signal_id)
