"""When a coin moves enough to act on, for its own habits and never below the floors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalestack.math.directions import Direction, sign
from whalestack.math.heatmap import Floats
from whalestack.math.quantiles import quantile_or_floor


@dataclass(frozen=True)
class TriggerThresholds:
    """What is fast for one coin.

    Args:
        oi_change_pct: rise of open interest over 15 minutes.
        volume_ratio: 5-minute volume over its average of the hour before.
        price_change_pct: price change over 5 minutes, in the ranked direction.
        mover_1m_pct, mover_5m_pct: price change, either way, that makes a mover.
    """

    oi_change_pct: float
    volume_ratio: float
    price_change_pct: float
    mover_1m_pct: float
    mover_5m_pct: float


@dataclass(frozen=True)
class MarketMove:
    """What a coin did lately. None where it cannot be known: too little history, or a gap.

    Args:
        price_change_1m_pct, price_change_5m_pct: signed.
        oi_change_15m_pct: signed, of open interest in base coins.
        volume_spike_ratio: volume of the last 5 minutes over the average 5 minutes of the
            hour before them.
        price: the price at the end of the move.
    """

    price_change_1m_pct: float | None
    price_change_5m_pct: float | None
    oi_change_15m_pct: float | None
    volume_spike_ratio: float | None
    price: float = 0.0


@dataclass(frozen=True, eq=False)
class MoveHistory:
    """One coin's past moves, (N,) each; NaN where unknown. Lengths may differ."""

    price_change_1m_pct: Floats
    price_change_5m_pct: Floats
    oi_change_15m_pct: Floats
    volume_spike_ratio: Floats


def is_trigger(move: MarketMove, direction: Direction, thresholds: TriggerThresholds) -> bool:
    """Whether open interest, volume and price all say that the ranked move has begun."""
    return not missing_conditions(move, direction, thresholds)


def missing_conditions(
    move: MarketMove, direction: Direction, thresholds: TriggerThresholds
) -> tuple[str, ...]:
    """Which of the three conditions fails, with its figures; none means a trigger.

    Open interest must have risen by the threshold or more; volume and price must be over
    theirs. What is unknown fails.
    """
    price_change = move.price_change_5m_pct
    forward = None if price_change is None else price_change * sign(direction)
    failed = []
    if move.oi_change_15m_pct is None or move.oi_change_15m_pct < thresholds.oi_change_pct:
        failed.append(_lack("open interest", move.oi_change_15m_pct, thresholds.oi_change_pct, " %"))
    if move.volume_spike_ratio is None or move.volume_spike_ratio <= thresholds.volume_ratio:
        failed.append(_lack("volume", move.volume_spike_ratio, thresholds.volume_ratio, " times"))
    if forward is None or forward <= thresholds.price_change_pct:
        failed.append(_lack(f"price toward {direction}", forward, thresholds.price_change_pct, " %"))
    return tuple(failed)


def is_mover(move: MarketMove, thresholds: TriggerThresholds) -> bool:
    """Whether the price moved fast, either way, over 1 or 5 minutes."""
    return _reaches(move.price_change_1m_pct, thresholds.mover_1m_pct) or _reaches(
        move.price_change_5m_pct, thresholds.mover_5m_pct
    )


def is_spike(move: MarketMove, thresholds: TriggerThresholds) -> bool:
    """Whether open interest (either way: a collapse redraws the map too) or volume jumped."""
    ratio = move.volume_spike_ratio
    return _reaches(move.oi_change_15m_pct, thresholds.oi_change_pct) or (
        ratio is not None and ratio > thresholds.volume_ratio
    )


def learn_thresholds(
    history: MoveHistory, *, floors: TriggerThresholds, quantile: float, min_observations: int
) -> TriggerThresholds:
    """Thresholds at a high quantile of the coin's own past, never below the floors.

    A move that is ordinary for that coin is no spike. Price changes count by size, open
    interest by its rises and falls as they were (a trigger needs a rise).

    Args:
        history: past moves of the coin; NaN is left out.
        floors: what every coin must reach at least.
        quantile: 0 to 1; 0.95 is exceeded by one past move in twenty.
        min_observations: with fewer the floor alone counts.
    """

    def learned(past: Floats, floor: float) -> float:
        known = past[np.isfinite(past)]
        return quantile_or_floor(known, quantile, floor) if known.size >= min_observations else floor

    one_minute, five_minutes = np.abs(history.price_change_1m_pct), np.abs(history.price_change_5m_pct)
    return TriggerThresholds(
        oi_change_pct=learned(history.oi_change_15m_pct, floors.oi_change_pct),
        volume_ratio=learned(history.volume_spike_ratio, floors.volume_ratio),
        price_change_pct=learned(five_minutes, floors.price_change_pct),
        mover_1m_pct=learned(one_minute, floors.mover_1m_pct),
        mover_5m_pct=learned(five_minutes, floors.mover_5m_pct),
    )


def _reaches(change: float | None, threshold: float) -> bool:
    return change is not None and abs(change) >= threshold


def _lack(what: str, value: float | None, threshold: float, unit: str) -> str:
    if value is None:
        return f"{what} unknown, {threshold:.2f}{unit} needed"
    return f"{what} {value:.2f}{unit}, {threshold:.2f}{unit} needed"
