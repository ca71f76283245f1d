"""How old every map is, against the age that no map should exceed. It tells; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
from sqlalchemy.orm import Session

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.map_failures import MapFailure, MapKey, map_failures
from whalestack.db.map_heads import MapAge, map_ages
from whalestack.db.refresh_rounds import last_round
from whalestack.db.usage_store import write_details
from whalestack.math.timeframes import GEOMETRY, TIMEFRAMES
from whalestack.scanners.planner import max_age_s
from whalestack.scanners.round_choice import capacity_of_round

SERVICE = "freshness"


@dataclass(frozen=True)
class MapFreshness:
    """One map's age.

    Args:
        age_s: market seconds since it was fetched, None if never.
        is_late: older than the bound, or never fetched.
        failures: how often in a row it has failed since.
        problem: what was wrong at the latest try.
    """

    symbol: str
    timeframe: str
    age_s: float | None
    is_late: bool
    failures: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class RangeFreshness:
    """The ages of one range's maps over all followed coins, market seconds; None where none was fetched.

    Args:
        coins: followed.
        never: coins whose map was never fetched.
        bound_s: the age that none should exceed.
        late_pct: share of the coins, never fetched ones among them, beyond it.
        failing: coins whose latest try failed.
    """

    timeframe: str
    coins: int
    never: int
    newest_s: float | None
    median_s: float | None
    p90_s: float | None
    oldest_s: float | None
    bound_s: float
    late_pct: float
    failing: int


@dataclass(frozen=True)
class Freshness:
    """All ages at one moment.

    Args:
        calls_per_min: that the plan, the owner and the server's headers leave.
        calls_per_round: of them, for one round.
        maps: that a round should fetch.
        ranges_refused: ranges that the last round was refused by the plan.
        ranges: one row each.
        all_maps: every map, the stalest first, never fetched ones before those.
    """

    calls_per_min: int
    calls_per_round: int
    maps: int
    bound_s: float
    ranges_refused: tuple[str, ...]
    ranges: tuple[RangeFreshness, ...]
    all_maps: tuple[MapFreshness, ...]


class FreshnessScanner:
    """Measures the ages, and writes them down for dashboards.

    Args:
        db: of this process.
        settings: the interval and the plan.
        clock: market time.
    """

    def __init__(self, *, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock

    def measure(self, calls_per_min: int) -> Freshness:
        """The ages now.

        Args:
            calls_per_min: of the budget.
        """
        with self._db.begin() as work:
            return self._measure(work.session, calls_per_min)

    def write(self, calls_per_min: int) -> None:
        """A row of `api_usage` for each range, with the ages in its details."""
        with self._db.begin() as work:
            found = self._measure(work.session, calls_per_min)
            rows = {each.timeframe: asdict(each) for each in found.ranges}
            write_details(work.session, SERVICE, rows, self._clock.now())

    def _measure(self, session: Session, calls_per_min: int) -> Freshness:
        ages, now = map_ages(session), self._clock.now()
        last = last_round(session)
        served = sum(GEOMETRY[age.timeframe].derived_from is None for age in ages)
        capacity = capacity_of_round(self._settings, self._clock, calls_per_min)
        bound_s = max_age_s(served, capacity, self._settings.refresh_interval_s)
        maps = _maps(ages, map_failures(session), now, bound_s)
        return Freshness(
            calls_per_min=calls_per_min,
            calls_per_round=capacity,
            maps=served,
            bound_s=bound_s,
            ranges_refused=tuple(sorted(last.ranges_refused)) if last else (),
            ranges=tuple(_of_ranges(maps, bound_s)),
            all_maps=tuple(sorted(maps, key=_staleness)),
        )


def _maps(
    ages: Sequence[MapAge], failures: Mapping[MapKey, MapFailure], now: datetime, bound_s: float
) -> list[MapFreshness]:
    found = []
    for age in ages:
        # A derived map fails with the one that it is made of.
        failure = failures.get((age.symbol, GEOMETRY[age.timeframe].derived_from or age.timeframe))
        age_s = None if age.fetched_at is None else (now - age.fetched_at).total_seconds()
        found.append(
            MapFreshness(
                age.symbol,
                age.timeframe,
                age_s,
                is_late=age_s is None or age_s > bound_s,
                failures=failure.failures if failure else 0,
                problem=failure.problem if failure else None,
            )
        )
    return found


def _of_ranges(maps: Iterable[MapFreshness], bound_s: float) -> Iterable[RangeFreshness]:
    by_range: dict[str, list[MapFreshness]] = {timeframe: [] for timeframe in TIMEFRAMES}
    for each in maps:
        by_range[each.timeframe].append(each)
    return (_of_range(timeframe, found, bound_s) for timeframe, found in by_range.items() if found)


def _of_range(timeframe: str, maps: Sequence[MapFreshness], bound_s: float) -> RangeFreshness:
    ages = np.array([each.age_s for each in maps if each.age_s is not None])
    newest, median, p90, oldest = (
        (round(float(np.quantile(ages, share)), 1) for share in (0.0, 0.5, 0.9, 1.0))
        if ages.size
        else (None, None, None, None)
    )
    return RangeFreshness(
        timeframe=timeframe,
        coins=len(maps),
        never=len(maps) - ages.size,
        newest_s=newest,
        median_s=median,
        p90_s=p90,
        oldest_s=oldest,
        bound_s=bound_s,
        late_pct=round(100 * sum(each.is_late for each in maps) / len(maps), 2),
        failing=sum(each.failures > 0 for each in maps),
    )


def _staleness(each: MapFreshness) -> tuple[bool, float]:
    return each.age_s is not None, -(each.age_s or 0.0)
