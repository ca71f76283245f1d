"""Market time runs `speed` times as fast as real time, from a common origin."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.clock import ManualClock, MarketClock, SteppedClock, from_ms, to_ms


def test_at_speed_one_without_origins_it_is_the_wall_clock() -> None:
    assert abs(MarketClock().now_ms() - time.time() * 1000) < 1000


def test_a_minute_of_market_time_passes_in_a_second_at_speed_sixty() -> None:
    real_origin_ms = time.time_ns() // 1_000_000 - 1000
    clock = MarketClock(60.0, real_origin_ms, 5_000_000)
    assert 5_060_000 <= clock.now_ms() < 5_060_000 + 60_000
    assert clock.real_seconds(300) == 5.0


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_ms(datetime(2025, 1, 1))  # noqa: DTZ001 - the naive moment is the point


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_milliseconds_survive_the_way_through_a_datetime(timestamp_ms: int) -> None:
    assert to_ms(from_ms(timestamp_ms)) == timestamp_ms
    assert from_ms(timestamp_ms).tzinfo is UTC


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(1_000)
    clock.advance(2.5)
    assert clock.now_ms() == 3_500


def test_a_stepped_clock_is_one_for_all_who_map_its_file(tmp_path: Path) -> None:
    moved = SteppedClock.make(tmp_path / "clock", 1_000)
    seen = SteppedClock(tmp_path / "clock")
    moved.set_ms(61_000)
    assert (seen.now_ms(), seen.now()) == (61_000, from_ms(61_000))
    with pytest.raises(ValueError, match="does not go back"):
        seen.set_ms(60_999)
