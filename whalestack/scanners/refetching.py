"""Asking for a coin's maps again, once in a while whoever asks."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import UnitOfWork
from whalestack.db.live import LiveMarket
from whalestack.dispatch import Job
from whalestack.errors import TryAgain

log = structlog.get_logger()

REFETCH_TASK = "refetch.coin"
PURPOSE = "refetch"


class Refetcher:
    """Sends `refetch.coin` for coins that moved, with one cool-down for all processes.

    Args:
        live: keeps the cool-down.
        settings: how long it is.
        clock: turns it into real seconds.
    """

    def __init__(self, *, live: LiveMarket, settings: Settings, clock: Clock) -> None:
        self._live = live
        self._settings = settings
        self._clock = clock

    def ask(self, work: UnitOfWork, symbols: Iterable[str], reason: str) -> tuple[str, ...]:
        """Have the maps of these coins fetched after the commit; returns those not cooling down.

        Without Redis nobody can say who asked last: then nothing is asked for, for the
        refresh of all coins brings these maps too.

        Args:
            work: the caller's transaction.
            symbols: coins, most urgent first.
            reason: ``mover`` or ``spike``.
        """
        asked = []
        for symbol in symbols:
            try:
                is_free = self._is_free(symbol)
            except TryAgain as error:
                log.warning("refetch_not_asked", reason=reason, error=str(error))
                break
            if is_free:
                work.dispatch_after_commit(
                    Job(
                        REFETCH_TASK,
                        {"symbol": symbol, "reason": reason},
                        # Older than a map may be, the move is no reason any more.
                        expires_s=self._settings.heatmap_max_age_s,
                    )
                )
                asked.append(symbol)
        return tuple(asked)

    def _is_free(self, symbol: str) -> bool:
        if self._settings.refetch_cooldown_s == 0:
            return True
        hold_s = self._clock.real_seconds(self._settings.refetch_cooldown_s)
        return self._live.claim(PURPOSE, symbol, hold_s=hold_s)
