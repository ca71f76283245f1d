"""The latest move of every coin: loaded once a minute, looked at by movers and by spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.market_frames import OI_CARRIED_MINUTES, MarketFrame, load_frame
from whalestack.math.heatmap import Floats
from whalestack.math.triggers import MarketMove, TriggerThresholds
from whalestack.math.windows import (
    BASELINE_MINUTES,
    SPIKE_MINUTES,
    change_pct,
    forward_fill,
    volume_spike_ratio,
)
from whalestack.scanners.thresholds import floors_of, load_thresholds

# Enough for the hour before the five minutes, and for open interest carried from before it.
FRAME_MINUTES = BASELINE_MINUTES + SPIKE_MINUTES + OI_CARRIED_MINUTES


@dataclass(frozen=True)
class MinuteMoves:
    """What every coin did up to the end of one minute, and what is fast for it.

    Args:
        ended_at: when the minute closed, market time.
        moves: by symbol; coins without a bar for the minute are left out.
        learned: thresholds of the coins that have any of their own.
        floors: of all others.
    """

    ended_at: datetime
    moves: Mapping[str, MarketMove]
    learned: Mapping[str, TriggerThresholds]
    floors: TriggerThresholds

    def thresholds(self, symbol: str) -> TriggerThresholds:
        """What is fast for this coin."""
        return self.learned.get(symbol, self.floors)


class MoveLooker(Protocol):
    """Who finds something in the moves of a minute. `MoverScanner` and `SpikeScanner` do."""

    def look(self, minute: MinuteMoves) -> object:
        """Find, store and pass on, in a transaction of its own."""


class MoveScanner:
    """Reads the last hour of the market once, and has everybody look who looks for moves.

    Args:
        db: of this process.
        settings: floors.
        clock: market time.
        lookers: in turn; where one fails the others have looked all the same.
    """

    def __init__(
        self, *, db: Database, settings: Settings, clock: Clock, lookers: Sequence[MoveLooker]
    ) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock
        self._lookers = lookers

    def scan(self) -> None:
        """Look at the last closed minute. Raises what a looker raised, after all have looked."""
        with self._db.begin() as work:
            minute = load_minute(work.session, self._settings, self._clock.now())
        with ExitStack() as turns:
            # A stack is left from its top: the first looker goes on last.
            for looker in reversed(self._lookers):
                turns.callback(looker.look, minute)


def load_minute(session: Session, settings: Settings, now: datetime) -> MinuteMoves:
    """The moves up to the last minute that closed by `now`, in two queries."""
    frame = load_frame(session, now=now, minutes=FRAME_MINUTES)
    learned = load_thresholds(session, settings)
    return MinuteMoves(frame.ended_at, latest_moves(frame), learned, floors_of(settings))


def latest_moves(frame: MarketFrame) -> dict[str, MarketMove]:
    """What each coin did up to the last closed minute; coins without a bar for it are left out.

    Args:
        frame: at least `FRAME_MINUTES` long.
    """
    interest = forward_fill(frame.open_interest, OI_CARRIED_MINUTES)
    one, five = change_pct(frame.prices, 1), change_pct(frame.prices, 5)
    fifteen, ratio = change_pct(interest, 15), volume_spike_ratio(frame.turnover_usd)
    return {
        symbol: MarketMove(
            price_change_1m_pct=_last(one, row),
            price_change_5m_pct=_last(five, row),
            oi_change_15m_pct=_last(fifteen, row),
            volume_spike_ratio=_last(ratio, row),
            price=float(frame.prices[row, -1]),
        )
        for row, symbol in enumerate(frame.symbols)
        if math.isfinite(frame.prices[row, -1])
    }


def _last(values: Floats, row: int) -> float | None:
    value = float(values[row, -1])
    return value if math.isfinite(value) else None
