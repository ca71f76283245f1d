"""Coins that moved fast for their own habits: `fast_price_movers`, every minute, all coins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.dialects.postgresql import insert

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database, UnitOfWork
from whalestack.db.live import LiveMarket
from whalestack.db.models import FastPriceMover
from whalestack.math.triggers import MarketMove, is_mover
from whalestack.scanners.moves import MinuteMoves
from whalestack.scanners.refetching import Refetcher

log = structlog.get_logger()


@dataclass(frozen=True)
class MoverReport:
    """What one look at the last minute found.

    Args:
        coins: coins with a bar for the minute.
        movers: those that moved fast, fastest first.
        refetched: of these, those whose maps are fetched again.
    """

    coins: int
    movers: tuple[str, ...]
    refetched: tuple[str, ...]


class MoverScanner:
    """Looks at a closed minute of every coin. The streams see movers within it.

    A second look at the same minute changes nothing: a row is one coin in one minute.

    Args:
        db: of this process.
        live: keeps the cool-down of refetches.
        settings: floors and cool-down.
        clock: market time.
    """

    def __init__(self, *, db: Database, live: LiveMarket, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._refetcher = Refetcher(live=live, settings=settings, clock=clock)

    def look(self, minute: MinuteMoves) -> MoverReport:
        """Find, store and have refetched."""
        movers = _movers(minute)
        with self._db.begin() as work:
            _store(work, minute, movers)
            refetched = self._refetcher.ask(work, movers, "mover")
        report = MoverReport(len(minute.moves), tuple(movers), refetched)
        log.info("movers_scanned", coins=report.coins, movers=len(movers), refetched=len(refetched))
        return report


def _movers(minute: MinuteMoves) -> dict[str, MarketMove]:
    """Those that moved fast for themselves, fastest first."""
    found = [
        (symbol, move) for symbol, move in minute.moves.items() if is_mover(move, minute.thresholds(symbol))
    ]
    found.sort(key=lambda pair: (-_speed(pair[1]), pair[0]))
    return dict(found)


def _speed(move: MarketMove) -> float:
    return max(abs(move.price_change_1m_pct or 0.0), abs(move.price_change_5m_pct or 0.0))


def _store(work: UnitOfWork, minute: MinuteMoves, movers: Mapping[str, MarketMove]) -> None:
    if not movers:
        return
    rows = [
        {
            "symbol": symbol,
            "detected_at": minute.ended_at,
            "price_1min_change": move.price_change_1m_pct,
            "price_5min_change": move.price_change_5m_pct,
            "price": move.price,
        }
        for symbol, move in movers.items()
    ]
    work.session.execute(insert(FastPriceMover).values(rows).on_conflict_do_nothing())
