"""Queue `trailing`: stops move with profit, and no position stays without one."""

from __future__ import annotations

from celery import shared_task

from whalestack.tasks.base import WhalestackTask


@shared_task(name="trailing.check_symbol", bind=True)
def check_symbol(self: WhalestackTask, symbol: str) -> None:
    """Move the stop of one position where its profit has earned it."""
    self.runtime.position_monitor.check_symbol(symbol)


@shared_task(name="trailing.sweep", bind=True, exclusive=True)
def sweep(self: WhalestackTask) -> None:
    """Look at every open position."""
    self.runtime.position_monitor.check_all()


@shared_task(name="trailing.watchdog", bind=True, exclusive=True)
def watchdog(self: WhalestackTask) -> None:
    """Protect whatever the exchange holds without a stop."""
    self.runtime.stop_watchdog.run()
