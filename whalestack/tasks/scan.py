"""Queue `scan`: what moves, what spikes, how the coins rank."""

from __future__ import annotations

from celery import shared_task

from whalestack.tasks.base import WhalestackTask


@shared_task(name="scan.universe", bind=True, exclusive=True)
def universe(self: WhalestackTask) -> None:
    """Follow listings, delistings and names."""
    self.runtime.coin_scanner.refresh()


@shared_task(name="scan.movers", bind=True, exclusive=True)
def movers(self: WhalestackTask) -> None:
    """Find the coins whose price moved fast."""
    self.runtime.mover_scanner.scan()


@shared_task(name="scan.spikes", bind=True, exclusive=True)
def spikes(self: WhalestackTask) -> None:
    """Find the coins whose open interest or volume jumped."""
    self.runtime.spike_scanner.scan()


@shared_task(name="scan.board", bind=True, exclusive=True)
def board(self: WhalestackTask) -> None:
    """Write every coin's changes and ranks."""
    self.runtime.board_scanner.scan()


@shared_task(name="scan.ranking", bind=True, exclusive=True)
def ranking(self: WhalestackTask) -> None:
    """Rank all coins from their latest maps."""
    self.runtime.ranking_scanner.rank()


@shared_task(name="scan.spike_seen", bind=True)
def spike_seen(self: WhalestackTask, symbol: str) -> None:
    """Decide whether a coin that just moved gives a signal."""
    self.runtime.signal_scanner.consider(symbol)
