"""The latest move of every coin, out of one frame: what movers and spikes both look at."""

from __future__ import annotations

import math

from whalestack.db.market_frames import OI_CARRIED_MINUTES, MarketFrame
from whalestack.math.heatmap import Floats
from whalestack.math.triggers import MarketMove
from whalestack.math.windows import (
    BASELINE_MINUTES,
    SPIKE_MINUTES,
    change_pct,
    forward_fill,
    volume_spike_ratio,
)

# Enough for the hour before the five minutes, and for open interest carried from before it.
FRAME_MINUTES = BASELINE_MINUTES + SPIKE_MINUTES + OI_CARRIED_MINUTES


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
