"""Prices at which a position wants to be looked at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from whalestack.db.live import PriceWatch

REPEAT_S = 1.0


class WatchBoard:
    """Tells when a watched price is reached: at once, and then once a second until it moves on.

    The repetition is there because the job it causes may be lost; the monitor moves the
    watch to the next step once it has done its work.

    Args:
        repeat_s: real seconds between two tellings of the same watch.
        now_s: monotonic real seconds.
    """

    def __init__(self, repeat_s: float = REPEAT_S, now_s: Callable[[], float] = time.monotonic) -> None:
        self._repeat_s = repeat_s
        self._now_s = now_s
        self._watches: Mapping[str, PriceWatch] = {}
        self._told: dict[str, tuple[PriceWatch, float]] = {}
        self._lock = threading.Lock()

    def update(self, watches: Mapping[str, PriceWatch]) -> None:
        """Take the watches as they are now."""
        self._watches = watches

    @property
    def symbols(self) -> list[str]:
        """The watched coins."""
        return list(self._watches)

    def is_reached(self, symbol: str, price: float) -> bool:
        """Whether `price` reaches the coin's watch and it is time to tell so."""
        watch = self._watches.get(symbol)
        if watch is None or not watch.is_reached(price):
            return False
        now_s = self._now_s()
        with self._lock:
            told = self._told.get(symbol)
            if told is not None and told[0] == watch and now_s - told[1] < self._repeat_s:
                return False
            self._told[symbol] = (watch, now_s)
        return True
