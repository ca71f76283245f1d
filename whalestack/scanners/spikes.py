"""Coins whose open interest or volume jumped for their own habits: `oi_volume_spikes`, every minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.dialects.postgresql import insert

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database, UnitOfWork
from whalestack.db.live import LiveMarket
from whalestack.db.models import OiVolumeSpike
from whalestack.dispatch import Job
from whalestack.math.triggers import MarketMove, TriggerThresholds, is_spike, is_trigger
from whalestack.scanners.moves import MinuteMoves
from whalestack.scanners.refetching import Refetcher

log = structlog.get_logger()

CONSIDER_TASK = "scan.spike_seen"


@dataclass(frozen=True)
class SpikeReport:
    """What one look at the last minute found.

    Args:
        coins: coins with a bar for the minute.
        spikes: those whose open interest or volume jumped, strongest first.
        triggers: of these, those whose price moved with it: told to the signal scanner.
        refetched: of the spikes, those whose maps are fetched again.
    """

    coins: int
    spikes: tuple[str, ...]
    triggers: tuple[str, ...]
    refetched: tuple[str, ...]


class SpikeScanner:
    """Looks at a closed minute of every coin. The streams see spikes within it.

    What the streams see first, this sees again, and the signal is one and the same; what
    they miss while they reconnect is not missed.

    Args:
        db: of this process.
        live: keeps the cool-down of refetches.
        settings: floors and cool-down.
        clock: market time.
    """

    def __init__(self, *, db: Database, live: LiveMarket, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._refetcher = Refetcher(live=live, settings=settings, clock=clock)

    def look(self, minute: MinuteMoves) -> SpikeReport:
        """Find, store, have refetched and have considered."""
        spikes = _spikes(minute)
        triggers = [
            symbol for symbol, move in spikes.items() if _triggers_some_way(move, minute.thresholds(symbol))
        ]
        with self._db.begin() as work:
            _store(work, minute, spikes)
            for symbol in triggers:
                # After the cool-down of a minute this would be told again by the next scan.
                work.dispatch_after_commit(Job(CONSIDER_TASK, {"symbol": symbol}, expires_s=60))
            refetched = self._refetcher.ask(work, spikes, "spike")
        report = SpikeReport(len(minute.moves), tuple(spikes), tuple(triggers), refetched)
        log.info(
            "spikes_scanned",
            coins=report.coins,
            spikes=len(spikes),
            triggers=len(triggers),
            refetched=len(refetched),
        )
        return report


def _spikes(minute: MinuteMoves) -> dict[str, MarketMove]:
    """Those that spike for themselves, strongest first in multiples of their threshold."""
    found = []
    for symbol, move in minute.moves.items():
        own = minute.thresholds(symbol)
        if is_spike(move, own):
            found.append((_strength(move, own), symbol, move))
    found.sort(key=lambda each: (-each[0], each[1]))
    return {symbol: move for _, symbol, move in found}


def _strength(move: MarketMove, own: TriggerThresholds) -> float:
    by_interest = abs(move.oi_change_15m_pct or 0.0) / own.oi_change_pct
    return max(by_interest, (move.volume_spike_ratio or 0.0) / own.volume_ratio)


def _triggers_some_way(move: MarketMove, own: TriggerThresholds) -> bool:
    return is_trigger(move, "LONG", own) or is_trigger(move, "SHORT", own)


def _store(work: UnitOfWork, minute: MinuteMoves, spikes: Mapping[str, MarketMove]) -> None:
    if not spikes:
        return
    rows = [
        {
            "symbol": symbol,
            "detected_at": minute.ended_at,
            "oi_change_pct": move.oi_change_15m_pct,
            "volume_spike_ratio": move.volume_spike_ratio,
            "price_change_pct": move.price_change_5m_pct,
            "price": move.price,
        }
        for symbol, move in spikes.items()
    ]
    work.session.execute(insert(OiVolumeSpike).values(rows).on_conflict_do_nothing())
