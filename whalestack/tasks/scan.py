"""Queue `scan`: what moves, what spikes, how the coins rank."""

from __future__ import annotations

from typing import Any

from whalestack.math.triggers import MarketMove
from whalestack.runtime import Runtime
from whalestack.scanners.signals import SeenMove
from whalestack.tasks.base import task


@task("scan.universe", exclusive=True)
def universe(runtime: Runtime) -> None:
    """Follow listings, delistings and names."""
    runtime.coin_scanner.refresh()


@task("scan.moves", exclusive=True)
def moves(runtime: Runtime) -> None:
    """Find the coins whose price moved fast, and those whose open interest or volume jumped."""
    runtime.move_scanner.scan()


@task("scan.board", exclusive=True)
def board(runtime: Runtime) -> None:
    """Write every coin's changes and ranks."""
    runtime.board_scanner.scan()


@task("scan.board_check", exclusive=True)
def board_check(runtime: Runtime) -> None:
    """Hold the board against CoinGlass's own."""
    runtime.board_check.check()


@task("scan.tickers", exclusive=True)
def tickers(runtime: Runtime) -> None:
    """Have every coin's ticker archived: what the streams bring is not a reply that could be kept."""
    runtime.bybit.tickers()


@task("scan.ranking", exclusive=True)
def ranking(runtime: Runtime) -> None:
    """Rank all coins from their latest maps."""
    runtime.ranking_scanner.rank()


@task("scan.spike_seen")
def spike_seen(
    runtime: Runtime, symbol: str, move: dict[str, Any] | None = None, seen_ms: int | None = None
) -> None:
    """Decide whether a coin gives a signal that moved within the last minute, or whose move goes on;
    `move` is as the streams measured it."""
    seen = SeenMove(MarketMove(**move), seen_ms) if move is not None and seen_ms is not None else None
    runtime.signal_scanner.consider(symbol, seen)
