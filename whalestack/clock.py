"""One clock for the whole system: beat, freshness, windows and expiry follow it.

Market time is what is stored and compared; real time is what sockets, locks and
message expiry count. At speed 1 they are the same. A recorded or synthetic market
may be played faster, and then one real second is `speed` market seconds.
"""

from __future__ import annotations

import mmap
import struct
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What services ask for the time."""

    def now_ms(self) -> int:
        """Market time in milliseconds since the epoch."""

    def now(self) -> datetime:
        """Market time as an aware UTC datetime."""

    def real_seconds(self, market_seconds: float) -> float:
        """The real duration of a market duration, both in seconds."""


def from_ms(timestamp_ms: int) -> datetime:
    """The aware UTC datetime of milliseconds since the epoch."""
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime.

    Raises:
        ValueError: the datetime is naive; guessing its zone would shift market data.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; give UTC")
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True)
class MarketClock:
    """Market time that runs `speed` times as fast as real time.

    Args:
        speed: market seconds in a real second, above 0.
        real_origin_ms: the real moment (ms since the epoch) at which market time
            was `market_origin_ms`. With both origins 0 and speed 1 it is the wall clock.
        market_origin_ms: see `real_origin_ms`.
    """

    speed: float = 1.0
    real_origin_ms: int = 0
    market_origin_ms: int = 0

    def now_ms(self) -> int:
        real_ms = time.time_ns() // 1_000_000
        return self.market_origin_ms + round((real_ms - self.real_origin_ms) * self.speed)

    def now(self) -> datetime:
        return from_ms(self.now_ms())

    def real_seconds(self, market_seconds: float) -> float:
        return market_seconds / self.speed


class SteppedClock:
    """Market time that stands still until somebody moves it, for every process that maps its file.

    A whole system on it does the same at the same market moments in every run, however busy the
    machine is.

    Args:
        path: eight bytes, milliseconds since the epoch; see `make`.
    """

    _FORMAT = struct.Struct("<q")

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), self._FORMAT.size)

    @classmethod
    def make(cls, path: Path, start_ms: int) -> SteppedClock:
        """A new clock's file, standing at `start_ms`."""
        path.write_bytes(cls._FORMAT.pack(start_ms))
        return cls(path)

    def now_ms(self) -> int:
        return int(self._FORMAT.unpack_from(self._shared)[0])

    def now(self) -> datetime:
        return from_ms(self.now_ms())

    def real_seconds(self, market_seconds: float) -> float:
        return market_seconds

    def set_ms(self, now_ms: int) -> None:
        """Move market time, for all processes at once.

        Raises:
            ValueError: it would go back.
        """
        if now_ms < self.now_ms():
            raise ValueError(f"market time does not go back: {self.now_ms()} to {now_ms}")
        self._FORMAT.pack_into(self._shared, 0, now_ms)


class ManualClock:
    """A clock for tests and the backtest: it moves only when told to.

    Args:
        start_ms: market time at the start, ms since the epoch.
    """

    def __init__(self, start_ms: int = 1_760_875_200_000) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        return self._now_ms

    def now(self) -> datetime:
        return from_ms(self._now_ms)

    def real_seconds(self, market_seconds: float) -> float:
        return market_seconds

    def put(self, now_ms: int) -> None:
        """Show this moment from now on, an earlier one too."""
        self._now_ms = now_ms

    def advance(self, seconds: float) -> None:
        """Move market time forward by `seconds`."""
        self._now_ms += round(seconds * 1000)
