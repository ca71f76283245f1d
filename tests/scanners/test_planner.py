"""Which maps a round fetches when it cannot fetch all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.scanners.planner import (
    MapTarget,
    batch_size,
    batches,
    calls_for_round,
    max_age_s,
    most_rounds_between,
    plan_round,
)

NOW = datetime(2025, 10, 19, 12, tzinfo=UTC)


def target(
    symbol: str, timeframe: str, age_s: float | None = None, rank: int | None = None, failures: int = 0
) -> MapTarget:
    tried_at = None if age_s is None else NOW - timedelta(seconds=age_s)
    return MapTarget(symbol, timeframe, tried_at, rank, failures)


def plan(targets: list[MapTarget], capacity: int) -> list[tuple[str, str]]:
    chosen = plan_round(targets, capacity=capacity, now=NOW, refresh_interval_s=300)
    return [(each.symbol, each.timeframe) for each in chosen]


def urgent(*targets: MapTarget) -> tuple[str, str]:
    """Of two places the one that goes by urgency; the other goes to a map that has waited for days."""
    first, second = plan([target("OLD", "1y", 1e6, failures=9), *targets], 2)
    return second if first[0] == "OLD" else first


def test_what_was_never_tried_comes_first() -> None:
    """Before a map that is an hour old."""
    assert [("B", "1y")] == plan([target("A", "12h", 3600), target("B", "1y")], 1)


def test_short_ranges_come_more_often_than_long_ones() -> None:
    """Both 10 minutes old: the 12h map is due every 5 minutes, the 1y map every hour."""
    assert ("A", "12h") == urgent(target("A", "1y", 600), target("A", "12h", 600))


def test_ranked_coins_come_more_often_than_others() -> None:
    """A ranked coin's map of 5 minutes is as urgent as another's of 20."""
    assert ("HOT", "7d") == urgent(target("COLD", "7d", 900), target("HOT", "7d", 300, rank=1))


def test_a_map_that_failed_comes_less_often_each_time() -> None:
    """Failed twice, the 12h map is due after 20 minutes instead of 5."""
    assert ("GOOD", "12h") == urgent(target("BAD", "12h", 900, failures=2), target("GOOD", "12h", 300))


def test_half_of_a_round_goes_to_what_has_waited_longest() -> None:
    """However hot the others are."""
    hot = [target(f"HOT{i}", "12h", 1800, rank=i + 1) for i in range(9)]
    cold = [target("COLD", "1y", 1900), target("COLD", "180d", 1900)]
    chosen = plan(hot + cold, 4)
    assert {("COLD", "1y"), ("COLD", "180d")} < set(chosen)
    assert 4 == len(chosen)


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


@given(
    coins=st.integers(1, 5),
    capacity=st.integers(1, 45),
    hot=st.lists(st.frozensets(st.integers(0, 4)), min_size=1, max_size=5),
    failing=st.frozensets(st.integers(0, 39)),
)
@settings(max_examples=60, deadline=None)
def test_no_map_gets_older_than_the_bound_that_follows_from_the_capacity(
    coins: int, capacity: int, hot: list[frozenset[int]], failing: frozenset[int]
) -> None:
    """Whatever is hot, however the ranking turns, and though some maps fail each time: between two tries
    of any map lie at most ceil(maps / half of the capacity) rounds, so its age stays under the bound."""
    keys = [(f"C{i}", name) for i in range(coins) for name in SERVED_TIMEFRAMES]
    most = most_rounds_between(len(keys), capacity)
    tried: dict[tuple[str, str], int] = {}
    for round_ in range(2 * most + 2):
        now = NOW + timedelta(seconds=300 * round_)
        ranked = {f"C{i}": i + 1 for i in hot[round_ % len(hot)]}
        targets = [
            MapTarget(
                *key,
                tried_at=NOW + timedelta(seconds=300 * tried[key]) if key in tried else None,
                rank=ranked.get(key[0]),
                failures=round_ if place in failing else 0,
            )
            for place, key in enumerate(keys)
        ]
        for each in plan_round(targets, capacity=capacity, now=now, refresh_interval_s=300):
            tried[each.symbol, each.timeframe] = round_
        if round_ >= most - 1:
            assert len(keys) == len(tried)
            assert round_ - min(tried.values()) < most
            oldest_s = 300 * (round_ - min(tried.values()) + 1)
            assert oldest_s < max_age_s(len(keys), capacity, 300)


def test_the_bound_of_known_plans() -> None:
    """500 coins x 8 ranges: all of them each round is two rounds at most; 2,700 calls a round are four;
    80 a minute are 24 rounds."""
    assert 600 == max_age_s(4000, 5400, 300)
    assert 1200 == max_age_s(4000, 2700, 300)
    assert 24 * 300 == max_age_s(4000, 360, 300)


def test_a_coins_maps_stay_in_one_batch_where_they_fit() -> None:
    """3 coins of 8 maps in batches of 20: two coins in the first, one in the second. In batches of 5 they
    do not fit."""
    targets = [target(symbol, name) for symbol in "ABC" for name in SERVED_TIMEFRAMES]
    assert [16, 8] == [len(batch) for batch in batches(targets, 20)]
    assert [5, 3] * 3 == [len(batch) for batch in batches(targets, 5)]


def test_a_batch_is_no_larger_than_its_calls() -> None:
    """In 60 s two workers get 27 calls of 30 a minute with 10 % reserved: 13 each; never less than one."""
    small = {"reserve_pct": 10, "workers": 2, "within_s": 60}
    assert 13 == batch_size(most=24, calls_per_min=30, **small)
    assert 24 == batch_size(most=24, calls_per_min=1200, **small)
    assert 1 == batch_size(most=24, calls_per_min=1, **small)


def test_calls_for_a_round_leave_the_reserve() -> None:
    """1200 a minute for 300 s less 10 % are 5400; at 60 times the speed of the clock, 5 s, 90."""
    assert 5400 == calls_for_round(calls_per_min=1200, reserve_pct=10, real_interval_s=300)
    assert 90 == calls_for_round(calls_per_min=1200, reserve_pct=10, real_interval_s=5)
    assert 1 == calls_for_round(calls_per_min=1, reserve_pct=100, real_interval_s=5)
