"""Prices at which a position wants to be looked at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from whalestack.db.live import PriceWatch, SeenPrice

REPEAT_S = 1.0
LONGEST_REPEAT_S = 16.0


@dataclass
class _Reached:
    """A watch that was reached: the best price beyond it, and when it is told again."""

    watch: PriceWatch
    best: SeenPrice
    tell_at_s: float
    wait_s: float


class WatchBoard:
    """Tells when a watched price is reached: at once, and then again and again until it moves on.

    A watch that was reached stays reached when the price falls back: what is told is the best price
    since then. The repetition is there because the job it causes may be lost, or fail; the monitor
    moves the watch to the next price that matters once it has done its work. The pauses grow, so
    that an exchange that is away is not asked by every position each second.

    Args:
        repeat_s: real seconds until the second telling of the same watch; each pause is twice the last.
        now_s: monotonic real seconds.
    """

    def __init__(self, repeat_s: float = REPEAT_S, now_s: Callable[[], float] = time.monotonic) -> None:
        self._repeat_s = repeat_s
        self._now_s = now_s
        self._watches: Mapping[str, PriceWatch] = {}
        self._reached: dict[str, _Reached] = {}
        self._lock = threading.Lock()

    def update(self, watches: Mapping[str, PriceWatch]) -> None:
        """Take the watches as they are now; what was reached of others is forgotten."""
        with self._lock:
            self._watches = watches
            self._reached = {
                symbol: each for symbol, each in self._reached.items() if watches.get(symbol) == each.watch
            }

    @property
    def symbols(self) -> list[str]:
        """The watched coins."""
        return list(self._watches)

    def look(self, symbol: str, price: float, ts_ms: int) -> SeenPrice | None:
        """What there is to tell of a coin now.

        Args:
            symbol: Bybit symbol.
            price: its last price.
            ts_ms: when it had it, market ms.

        Returns:
            The best price seen at or beyond the coin's watch, None if the watch was not reached or
            it is not yet time to tell so again.
        """
        with self._lock:
            watch = self._watches.get(symbol)
            if watch is None:
                return None
            reached = self._note(symbol, watch, SeenPrice(price, ts_ms))
            if reached is None or self._now_s() < reached.tell_at_s:
                return None
            reached.tell_at_s = self._now_s() + reached.wait_s
            reached.wait_s = min(2 * reached.wait_s, LONGEST_REPEAT_S)
            return reached.best

    def _note(self, symbol: str, watch: PriceWatch, seen: SeenPrice) -> _Reached | None:
        reached = self._reached.get(symbol)
        if not watch.is_reached(seen.price):
            return reached
        if reached is None:
            reached = self._reached[symbol] = _Reached(watch, seen, self._now_s(), self._repeat_s)
        elif _is_farther(watch, seen.price, reached.best.price):
            reached.best = seen
        return reached


def _is_farther(watch: PriceWatch, price: float, best: float) -> bool:
    return price > best if watch.above is not None else price < best
