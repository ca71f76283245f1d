"""Queue `trailing`: stops move with profit, and no position stays without one."""

from __future__ import annotations

from whalestack.db.live import SeenPrice
from whalestack.runtime import Runtime
from whalestack.tasks.base import task


@task("trailing.check_symbol")
def check_symbol(
    runtime: Runtime, symbol: str, price_seen: float | None = None, seen_ms: int | None = None
) -> None:
    """Move the stop of a position where its profit has earned it, at the price now or at one seen:
    of the symbol, or of another one that has more at risk just now."""
    seen = SeenPrice(price_seen, seen_ms) if price_seen is not None and seen_ms is not None else None
    runtime.position_monitor.check_reached(symbol, seen)


@task("trailing.sweep", exclusive=True)
def sweep(runtime: Runtime) -> None:
    """Look at every open position."""
    runtime.position_monitor.check_all()


@task("trailing.watchdog", exclusive=True)
def watchdog(runtime: Runtime) -> None:
    """Protect whatever the exchange holds without a stop."""
    runtime.stop_watchdog.run()
