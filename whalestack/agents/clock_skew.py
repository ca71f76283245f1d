"""How far our clock is from Bybit's. Requests are signed with real time, whatever the market's speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whalestack.clients.bybit.port import MarketPort


@dataclass(frozen=True)
class SkewReading:
    """One measurement, real milliseconds.

    Args:
        skew_ms: the server's clock less ours; above 0 ours is behind.
        uncertain_ms: half the round trip: the true skew lies within this of `skew_ms`.
    """

    skew_ms: float
    uncertain_ms: float

    def is_beyond(self, limit_ms: float) -> bool:
        """Whether the clocks are apart by more than the limit, however the answer travelled."""
        return abs(self.skew_ms) - self.uncertain_ms > limit_ms


def measure_skew(exchange: MarketPort, wall_ms: Callable[[], int]) -> SkewReading:
    """Ask the server for its time, which it read somewhere between our two looks at the clock.

    Args:
        exchange: asked once.
        wall_ms: our real clock, ms since the epoch; the one that signs requests.

    Raises:
        TryAgain: no answer.
    """
    before = wall_ms()
    server = exchange.server_time_ms()
    after = wall_ms()
    return SkewReading(skew_ms=server - (before + after) / 2, uncertain_ms=(after - before) / 2)
