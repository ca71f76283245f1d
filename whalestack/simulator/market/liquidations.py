"""Liquidations that a played market makes: derived, since candles do not record them.

When a minute moves more than three times as far as is usual for the coin, a share of
its turnover is taken to be positions closed by force, on the side the move ran against.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Literal

import numpy as np

from whalestack.simulator.market.base import FloatArray, Liquidation
from whalestack.simulator.market.store import CLOSE, OPEN, TURNOVER

_KEPT = 5000
_MEMORY_MINUTES = 120.0
_SURPRISE = 3.0
_LEAST_MOVE = 0.0015
_MOST_OF_TURNOVER = 0.2


class LiquidationFeed:
    """Makes and keeps recent liquidations.

    Args:
        symbols: the coins, in the order of the arrays.
        seed: of the sizes.
    """

    def __init__(self, symbols: Sequence[str], seed: int) -> None:
        self._symbols = symbols
        self._random = np.random.default_rng([seed, 11])
        self._usual = np.full(len(symbols), 0.001)
        self._seq = count(1)
        self._recent: deque[Liquidation] = deque(maxlen=_KEPT)

    def minute(self, end_ms: int, bars: FloatArray) -> None:
        """Look at a minute that has just closed; bars shape (7, n)."""
        move = bars[CLOSE] / bars[OPEN] - 1.0
        surprise = np.abs(move) / self._usual
        self._usual += (np.maximum(np.abs(move), 1e-5) - self._usual) / _MEMORY_MINUTES
        for coin in np.flatnonzero((surprise > _SURPRISE) & (np.abs(move) > _LEAST_MOVE)).tolist():
            share = min(0.02 * float(surprise[coin]), _MOST_OF_TURNOVER)
            self._force(end_ms, coin, bars[:, coin], share * float(bars[TURNOVER, coin]))

    def _force(self, end_ms: int, coin: int, bar: FloatArray, total_usd: float) -> None:
        pieces = int(self._random.integers(1, 4))
        sizes = self._random.dirichlet(np.ones(pieces)) * total_usd
        for number, usd in enumerate(sizes.tolist()):
            share = (number + 1) / pieces
            price = float(bar[OPEN] + (bar[CLOSE] - bar[OPEN]) * share)
            ts_ms = end_ms - 60_000 + int(60_000 * share) - 1
            self.add(ts_ms, coin, fallen=bool(bar[CLOSE] < bar[OPEN]), price=price, turnover_usd=usd)

    def add(self, ts_ms: int, coin: int, *, fallen: bool, price: float, turnover_usd: float) -> None:
        """Record one; a falling price closes longs."""
        side: Literal["long", "short"] = "long" if fallen else "short"
        entry = Liquidation(
            next(self._seq), ts_ms, self._symbols[coin], side, price, turnover_usd / price, turnover_usd
        )
        self._recent.append(entry)

    def after(self, seq: int) -> list[Liquidation]:
        """Those with a number above `seq`, oldest first."""
        if not self._recent or self._recent[-1].seq <= seq:
            return []
        newer = len(self._recent) - (self._recent[-1].seq - seq)
        return list(self._recent)[max(newer, 0) :]
