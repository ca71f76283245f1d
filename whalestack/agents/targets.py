"""Which clusters a plan aims at, and which lie behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whalestack.agents.plan_inputs import PlanInputs
from whalestack.config import Settings
from whalestack.db.models import CoinLiquidationPattern, LiquidationCluster
from whalestack.math.accuracy_table import AccuracyRow
from whalestack.math.clusters import Cluster
from whalestack.math.directions import Direction, sign, target_side
from whalestack.math.refusals import Refusal
from whalestack.math.timeframes import TIMEFRAMES, TRADABLE_TIMEFRAMES, may_trade_range

# Of the coin's typical leading cluster: what stands behind a stop matters from this size.
ATTRACTIVE_SHARE = 0.5


def considered_ranges(
    patterns: Mapping[str, CoinLiquidationPattern], ranges: Sequence[str], settings: Settings
) -> tuple[str, ...]:
    """Of `ranges`, those whose clusters may be targets: long ones, and short ones with a record."""
    return tuple(
        each for each in ranges if each in TRADABLE_TIMEFRAMES or _has_record(patterns, each, settings)
    )


def nearest_target(inputs: PlanInputs, direction: Direction, settings: Settings) -> LiquidationCluster | None:
    """The nearest cluster ahead that may be traded; small ones are noise."""
    ahead = [each for each in _ahead(inputs, direction, settings) if each.timeframe not in inputs.unproven]
    return min(ahead, key=lambda each: (abs(_near_edge(each) - inputs.tick.last), each.id), default=None)


def no_target(inputs: PlanInputs, direction: Direction, settings: Settings) -> Refusal:
    """Why there is none: nothing lies ahead, or nothing whose range is shown to beat chance."""
    ranges = {each.timeframe for each in _ahead(inputs, direction, settings)}
    if not ranges:
        return Refusal("no_target", f"no tradable cluster lies ahead of a {direction}")
    told = [_unproven_text(inputs.unproven[each]) for each in TIMEFRAMES if each in ranges]
    return Refusal("unproven_range", f"clusters are not shown to beat chance: {'; '.join(told)}")


def _unproven_text(row: AccuracyRow) -> str:
    worse = min(row.over_random, row.over_mirror, key=lambda each: each.low)
    return (
        f"{row.timeframe} of {row.group} {worse.value * 100:+.1f} points"
        f" ({worse.low * 100:+.1f} to {worse.high * 100:+.1f}) over {row.hit.n:.0f} observations"
    )


def _ahead(inputs: PlanInputs, direction: Direction, settings: Settings) -> list[LiquidationCluster]:
    """The clusters ahead of the price that are no noise and of a range that may be traded."""
    shown = {each.timeframe for each in inputs.clusters}
    ranges = considered_ranges(inputs.patterns, tuple(shown), settings)
    return [
        cluster
        for cluster in significant(inputs)
        if cluster.side == target_side(direction)
        and cluster.timeframe in ranges
        and (_near_edge(cluster) - inputs.tick.last) * sign(direction) > 0
    ]


def nearest_behind(inputs: PlanInputs, direction: Direction, settings: Settings) -> Cluster | None:
    """The nearest cluster on the stop's side that a stop within its bounds could meet at all."""
    price = inputs.tick.last
    reach = price * settings.stop_max_pct / 100
    near = [
        each
        for each in significant(inputs)
        if each.side != target_side(direction) and 0 < (price - _near_edge(each)) * sign(direction) <= reach
    ]
    nearest = min(near, key=lambda each: abs(_near_edge(each) - price), default=None)
    return None if nearest is None else cluster_value(nearest)


def significant(inputs: PlanInputs) -> list[LiquidationCluster]:
    """The clusters that are not noise for this coin."""
    least_usd = inputs.threshold.min_cluster_threshold if inputs.threshold is not None else 0.0
    return [cluster for cluster in inputs.clusters if cluster.leverage >= least_usd]


def attractive(inputs: PlanInputs) -> list[LiquidationCluster]:
    """The clusters large enough to draw price through a stop, of the ranges that hold the rest.

    The shorter ranges' positions stand in the longer maps too; taking both would find
    something behind every price, and no stop would be far enough.
    """
    least_usd = inputs.threshold.avg_cluster_size * ATTRACTIVE_SHARE if inputs.threshold is not None else 0.0
    large = [each for each in inputs.clusters if each.leverage >= least_usd]
    return [each for each in large if each.timeframe in TRADABLE_TIMEFRAMES]


def _has_record(patterns: Mapping[str, CoinLiquidationPattern], timeframe: str, settings: Settings) -> bool:
    record = patterns.get(timeframe)
    return record is not None and may_trade_range(
        timeframe,
        hits=record.hits,
        observations=record.observations,
        min_observations=settings.min_observations,
        min_success=settings.short_range_min_success,
    )


def _near_edge(cluster: LiquidationCluster) -> float:
    return cluster.price_low if cluster.side == "short" else cluster.price_high


def cluster_value(row: LiquidationCluster) -> Cluster:
    """A stored cluster as the mathematics takes it."""
    return Cluster(
        timeframe=row.timeframe,
        side="short" if row.side == "short" else "long",
        price_low=row.price_low,
        price_high=row.price_high,
        price_center=row.price_center,
        value_usd=row.leverage,
        distance_pct=row.distance_pct,
    )
