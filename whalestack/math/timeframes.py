"""The ranges of heat maps: their geometry, which may be traded, and how long each is judged.

Geometry as recorded from CoinGlass's charts (a column for each candle of the range);
14d is not served and is derived from the 30d map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DAY_S = 86_400
LONGEST_HORIZON_S = 30 * DAY_S


@dataclass(frozen=True)
class RangeGeometry:
    """One range of heat map.

    Args:
        name: as CoinGlass spells it.
        column_s: market seconds a column stands for.
        columns: number of columns.
        derived_from: the range it is computed from, None where it is served.
    """

    name: str
    column_s: int
    columns: int
    derived_from: str | None = None

    @property
    def span_s(self) -> int:
        """Market seconds from the first column's start to the last one's end."""
        return self.column_s * self.columns

    @property
    def horizon_s(self) -> int:
        """Market seconds in which a cluster of this range must be hit to count as a hit.

        The range's own length: what a day's positions attract, they attract within about
        a day. Capped at 30 days, or a cluster of the year's map would wait a year for its
        verdict and teach nothing.
        """
        return min(self.span_s, LONGEST_HORIZON_S)


_ALL = (
    RangeGeometry("12h", 300, 144),
    RangeGeometry("24h", 300, 288),
    RangeGeometry("3d", 900, 288),
    RangeGeometry("7d", 1800, 336),
    RangeGeometry("14d", 7200, 168, derived_from="30d"),
    RangeGeometry("30d", 7200, 372),
    RangeGeometry("90d", 21_600, 360),
    RangeGeometry("180d", 43_200, 360),
    RangeGeometry("1y", 86_400, 360),
)

GEOMETRY: Mapping[str, RangeGeometry] = MappingProxyType({each.name: each for each in _ALL})
TIMEFRAMES: tuple[str, ...] = tuple(GEOMETRY)
SERVED_TIMEFRAMES: tuple[str, ...] = tuple(each.name for each in _ALL if each.derived_from is None)
TRADABLE_TIMEFRAMES: tuple[str, ...] = ("7d", "14d", "30d", "90d", "180d", "1y")


def horizon_s(timeframe: str) -> int:
    """Market seconds in which a cluster of `timeframe` is judged.

    Raises:
        KeyError: there is no such range.
    """
    return GEOMETRY[timeframe].horizon_s


def may_trade_range(
    timeframe: str, *, hits: int, observations: int, min_observations: int, min_success: float
) -> bool:
    """Whether a cluster of this range may be a target.

    7d and longer always; a shorter range only for a coin whose own record on it is good
    enough over enough observations.

    Args:
        timeframe: of the cluster.
        hits: the coin's own clusters of this range that were hit within their horizon.
        observations: the coin's own clusters of this range that were judged.
        min_observations: how many are enough.
        min_success: share of hits asked for, 0 to 1.
    """
    if timeframe in TRADABLE_TIMEFRAMES:
        return True
    return observations >= max(min_observations, 1) and hits / observations >= min_success
