"""Queue `trailing`: stops move with profit, and no position stays without one."""

from __future__ import annotations

from whalestack.runtime import Runtime
from whalestack.tasks.base import task


@task("trailing.check_symbol")
def check_symbol(runtime: Runtime, symbol: str) -> None:
    """Move the stop of one position where its profit has earned it."""
    runtime.position_monitor.check_symbol(symbol)


@task("trailing.sweep", exclusive=True)
def sweep(runtime: Runtime) -> None:
    """Look at every open position."""
    runtime.position_monitor.check_all()


@task("trailing.watchdog", exclusive=True)
def watchdog(runtime: Runtime) -> None:
    """Protect whatever the exchange holds without a stop."""
    runtime.stop_watchdog.run()
