"""What the next round fetches, and in what batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from whalestack.clients.coinglass.plans import plan_obstacle
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.coin_store import FollowedCoin
from whalestack.db.map_failures import MapFailure, MapKey, map_failures
from whalestack.db.map_heads import MapAge, map_ages
from whalestack.db.ranking_store import latest_ranks
from whalestack.db.refresh_rounds import last_round
from whalestack.errors import StopAndTell
from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.scanners.planner import (
    MapTarget,
    batch_size,
    batches,
    calls_for_round,
    plan_round,
)

# A batch must be over before its task's time limit (120 s): its last call begins so early that the
# answer's time-out and the storing still fit.
BATCH_REAL_S = 75.0
LEAST_FETCH_REAL_S = 10.0


@dataclass(frozen=True)
class RoundChoice:
    """The next round.

    Args:
        batches: of maps, the most urgent first.
        maps: in all of them.
        left_out: maps for which there are no calls this time.
        not_served: ranges that the plan does not serve; one coin of each is tried, to see when that changes.
    """

    batches: Sequence[Sequence[MapTarget]]
    maps: int
    left_out: int
    not_served: frozenset[str]


def fetch_within_s(settings: Settings) -> float:
    """Real seconds from the start of a batch in which its calls may begin."""
    return max(LEAST_FETCH_REAL_S, BATCH_REAL_S - settings.coinglass_timeout_s)


def check_plan(settings: Settings) -> None:
    """Refuse to ask for what COINGLASS_PLAN does not hold.

    Raises:
        StopAndTell: the plan serves no heat maps.
    """
    obstacle = plan_obstacle(settings.coinglass_plan, told=None)
    if obstacle is not None:
        raise StopAndTell(f"{obstacle}; no call is made")


def capacity_of_round(settings: Settings, clock: Clock, calls_per_min: int) -> int:
    """Calls that a round may spend."""
    return calls_for_round(
        calls_per_min=calls_per_min,
        reserve_pct=settings.coinglass_refetch_reserve_pct,
        real_interval_s=clock.real_seconds(settings.refresh_interval_s),
    )


def choose_round(
    session: Session, coins: Sequence[FollowedCoin], settings: Settings, clock: Clock, calls_per_min: int
) -> RoundChoice:
    """Every map where the plan allows it, else half by waiting and half by urgency; see `planner`."""
    ages = map_ages(session)
    not_served = _not_served(session, ages)
    targets = _without(not_served, _targets(coins, ages, map_failures(session), latest_ranks(session)))
    capacity = capacity_of_round(settings, clock, calls_per_min)
    chosen = plan_round(
        targets, capacity=capacity, now=clock.now(), refresh_interval_s=settings.refresh_interval_s
    )
    size = batch_size(
        most=settings.heatmap_batch,
        calls_per_min=calls_per_min,
        reserve_pct=settings.coinglass_refetch_reserve_pct,
        workers=settings.heatmap_workers,
        within_s=fetch_within_s(settings),
    )
    return RoundChoice(
        batches=batches(chosen, size),
        maps=len(chosen),
        left_out=len(targets) - len(chosen),
        not_served=not_served,
    )


def _not_served(session: Session, ages: Sequence[MapAge]) -> frozenset[str]:
    """Ranges that the last round was refused by the plan, and of which it brought no map at all."""
    last = last_round(session)
    if last is None or not last.ranges_refused:
        return frozenset()
    came = {age.timeframe for age in ages if age.fetched_at is not None and age.fetched_at >= last.started_at}
    return last.ranges_refused - came


def _targets(
    coins: Sequence[FollowedCoin],
    ages: Sequence[MapAge],
    failures: Mapping[MapKey, MapFailure],
    ranks: Mapping[str, int],
) -> list[MapTarget]:
    fetched = {(age.symbol, age.timeframe): age.fetched_at for age in ages}
    return [
        _target((coin.symbol, timeframe), fetched, failures, ranks)
        for coin in coins
        for timeframe in SERVED_TIMEFRAMES
    ]


def _target(
    key: MapKey,
    fetched: Mapping[MapKey, datetime | None],
    failures: Mapping[MapKey, MapFailure],
    ranks: Mapping[str, int],
) -> MapTarget:
    came_at, failure = fetched.get(key), failures.get(key)
    failed_at = failure.failed_at if failure else None
    tries = [moment for moment in (came_at, failed_at) if moment is not None]
    return MapTarget(
        *key,
        tried_at=max(tries, default=None),
        rank=ranks.get(key[0]),
        failures=failure.failures if failure else 0,
    )


def _without(not_served: frozenset[str], targets: Sequence[MapTarget]) -> list[MapTarget]:
    """The targets, of the ranges that are not served one each."""
    probes = dict.fromkeys(not_served, targets[0].symbol) if targets else {}
    return [each for each in targets if probes.get(each.timeframe, each.symbol) == each.symbol]
