"""Which maps a round fetches when it cannot fetch all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.scanners.planner import MapTarget, batches, calls_for_round, plan_round

NOW = datetime(2025, 10, 19, 12, tzinfo=UTC)


def target(symbol: str, timeframe: str, age_s: float | None = None, rank: int | None = None) -> MapTarget:
    return MapTarget(symbol, timeframe, None if age_s is None else NOW - timedelta(seconds=age_s), rank)


def plan(targets: list[MapTarget], capacity: int) -> list[tuple[str, str]]:
    chosen = plan_round(targets, capacity=capacity, now=NOW, refresh_interval_s=300)
    return [(each.symbol, each.timeframe) for each in chosen]


def test_what_was_never_fetched_comes_first() -> None:
    """Before a map that is an hour old."""
    assert [("B", "1y")] == plan([target("A", "12h", 3600), target("B", "1y")], 1)


def test_short_ranges_come_more_often_than_long_ones() -> None:
    """Both 10 minutes old: the 12h map is due every 5 minutes, the 1y map every hour."""
    assert [("A", "12h")] == plan([target("A", "1y", 600), target("A", "12h", 600)], 1)


def test_ranked_coins_come_more_often_than_others() -> None:
    """A ranked coin's map of 5 minutes is as urgent as another's of 20."""
    assert [("HOT", "7d")] == plan([target("COLD", "7d", 900), target("HOT", "7d", 300, rank=1)], 1)


def test_hot_coins_do_not_starve_the_rest() -> None:
    """However hot, it is fetched again only after the cold one has had its turn."""
    assert [("COLD", "7d")] == plan([target("COLD", "7d", 1500), target("HOT", "7d", 300, rank=1)], 1)


@given(
    ages=st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=40),
    capacity=st.integers(0, 50),
)
def test_a_plan_is_as_large_as_it_may_be_and_names_no_map_twice(
    ages: list[float | None], capacity: int
) -> None:
    """Whatever the ages."""
    targets = [
        target(f"C{i // 8}", SERVED_TIMEFRAMES[i % 8], age, rank=i % 3 or None) for i, age in enumerate(ages)
    ]
    chosen = plan(targets, capacity)
    assert min(capacity, len(targets)) == len(chosen) == len(set(chosen))


@given(coins=st.integers(1, 6), capacity=st.integers(8, 20))
def test_every_map_is_fetched_in_the_end(coins: int, capacity: int) -> None:
    """With rounds of 300 s and room for some of the maps, no map stays away for ever."""
    fetched: dict[tuple[str, str], datetime] = {}
    now = NOW
    for _ in range(60):
        targets = [
            MapTarget(f"C{i}", name, fetched.get((f"C{i}", name)), rank=1 if i == 0 else None)
            for i in range(coins)
            for name in SERVED_TIMEFRAMES
        ]
        for each in plan_round(targets, capacity=capacity, now=now, refresh_interval_s=300):
            fetched[each.symbol, each.timeframe] = now
        now += timedelta(seconds=300)
    oldest = min(fetched.values())
    assert coins * 8 == len(fetched)
    assert now - oldest <= timedelta(seconds=300 * 40)


def test_a_coins_maps_stay_in_one_batch() -> None:
    """3 coins of 8 maps in batches of 20: two coins in the first, one in the second."""
    targets = [target(symbol, name) for symbol in "ABC" for name in SERVED_TIMEFRAMES]
    assert [16, 8] == [len(batch) for batch in batches(targets, 20)]
    assert [8, 8, 8] == [len(batch) for batch in batches(targets, 1)]


def test_calls_for_a_round_leave_the_reserve() -> None:
    """1200 a minute for 300 s less 10 % are 5400; at 60 times the speed of the clock, 5 s, 90."""
    assert 5400 == calls_for_round(calls_per_min=1200, reserve_pct=10, real_interval_s=300)
    assert 90 == calls_for_round(calls_per_min=1200, reserve_pct=10, real_interval_s=5)
    assert 1 == calls_for_round(calls_per_min=1, reserve_pct=100, real_interval_s=5)
