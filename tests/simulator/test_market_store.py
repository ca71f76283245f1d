"""Candles of any interval out of candles of uneven lengths."""

from __future__ import annotations

import numpy as np

from whalestack.simulator.market.store import CandleStore, Minutes, Source, bucket_start, gather, join_sources

HOUR_MS = 3_600_000
T0 = 1_760_832_000_000  # 2025-10-19 00:00 UTC, a Sunday


def flat(interval_s: int, first_ms: int, count: int, price: float) -> Source:
    """Candles of one coin that open low, and close at the price, with 1 of volume a second."""
    start = first_ms + interval_s * 1000 * np.arange(count, dtype=np.int64)
    row = np.full((1, count), price)
    flow = np.full((1, count), float(interval_s))
    return Source(interval_s, start, np.stack([row, row + 1, row - 1, row, flow, flow * price, row * 10]))


def test_each_moment_is_covered_once_and_by_the_finest_candles() -> None:
    """Hours from 0 h, five minutes from 2.5 h: hours until 3 h, since half an hour is no whole one."""
    joined = join_sources([flat(3600, T0, 6, 100.0), flat(300, T0 + HOUR_MS * 5 // 2, 18, 200.0)])
    assert [3600_000] * 3 + [300_000] * 12 == joined.length_ms.tolist()
    ends = joined.start_ms + joined.length_ms
    assert joined.start_ms[1:].tolist() == ends[:-1].tolist()


def test_a_week_opens_on_monday() -> None:
    assert [T0 - 6 * 86_400_000] == bucket_start(np.array([T0 + 5]), 604_800).tolist()


def test_a_longer_candle_is_joined_from_shorter_ones() -> None:
    """Three minutes: open of the first, extremes of all, close of the last, volume of all."""
    bars = np.array([[1.0, 2, 3], [4, 9, 5], [0.5, 1, 2], [2, 3, 4], [10, 20, 30], [1, 2, 3], [7, 8, 9]])
    found = gather(T0 + 60_000 * np.arange(3, dtype=np.int64), bars, 300)
    assert (1, [1.0], [9.0], [0.5], [4.0], [60.0], [9.0]) == (
        len(found),
        found.open.tolist(),
        found.high.tolist(),
        found.low.tolist(),
        found.close.tolist(),
        found.volume.tolist(),
        found.open_interest.tolist(),
    )


def played() -> CandleStore:
    """Five-minute candles at 100 until 10:00, then seven minutes that climb by one each."""
    begin = T0 + 10 * HOUR_MS
    minutes = Minutes(begin, 1)
    for minute in range(7):
        price = np.array([100.0 + minute])
        if minutes.reach(begin + minute * 60_000, price, price):
            minutes.reopen(price)
        minutes.add(price, np.array([2.0]), 2 * price, price)
    return CandleStore(join_sources([flat(300, T0, 120, 100.0)]), minutes)


def test_the_past_and_the_played_meet_without_a_gap() -> None:
    found = played().candles(0, 300, end_ms=T0 + 11 * HOUR_MS, limit=3)
    begin = T0 + 10 * HOUR_MS
    assert [begin - 300_000, begin, begin + 300_000] == found.start_ms.tolist()
    assert [100.0, 104.0, 106.0] == found.close.tolist()
    assert [300.0, 10.0, 4.0] == found.volume.tolist()


def test_the_range_asked_for_is_obeyed() -> None:
    store, begin = played(), T0 + 10 * HOUR_MS
    found = store.candles(0, 60, end_ms=begin + 130_000, limit=1000, start_ms=begin + 60_000)
    assert [begin + 60_000, begin + 120_000] == found.start_ms.tolist()
    newest = store.candles(0, 300, end_ms=begin - 1, limit=2)
    assert [begin - 600_000, begin - 300_000] == newest.start_ms.tolist()


def test_minutes_before_the_play_are_cut_from_longer_candles() -> None:
    """One five-minute candle gives five minutes with a fifth of its volume each."""
    begin = T0 + 10 * HOUR_MS
    found = played().candles(0, 60, end_ms=begin - 1, limit=5)
    assert [60.0] * 5 == found.volume.tolist()
    assert (101.0, 99.0) == (found.high.max(), found.low.min())


def test_a_coin_has_no_candles_before_it_was_listed() -> None:
    source = flat(300, T0, 12, 100.0)
    source.bars[:, 0, :6] = np.nan
    store = CandleStore(join_sources([source]), Minutes(T0 + HOUR_MS, 1))
    assert 6 == len(store.candles(0, 300, end_ms=T0 + HOUR_MS, limit=100))


def test_a_market_followed_for_days_keeps_two_of_them_in_minutes() -> None:
    """Four days of minutes, begun at an odd one: older days become five minutes, no candle changes."""
    begin = T0 + 2 * 60_000
    minutes = Minutes(begin, 1)
    random = np.random.default_rng(2)
    for minute in range(4 * 1440):
        price = np.array([100.0 + random.random()])
        minutes.reach(begin + minute * 60_000, price, price)
        minutes.add(price + 0.5, np.ones(1), np.ones(1), price)
    store = CandleStore(join_sources([flat(60, T0, 2, 100.0)]), minutes)
    end = begin + 4 * 86_400_000
    before = [store.candles(0, interval_s, end_ms=end, limit=2000) for interval_s in (300, 3600)]
    store.fold()
    assert 2 * 1440 - 3 == store.minutes.count
    after = [store.candles(0, interval_s, end_ms=end, limit=2000) for interval_s in (300, 3600)]
    for old, new in zip(before, after, strict=True):
        assert old.start_ms.tolist() == new.start_ms.tolist()
        for name in ("open", "high", "low", "close", "volume", "turnover", "open_interest"):
            assert np.allclose(getattr(old, name), getattr(new, name))


def test_nothing_is_an_empty_answer() -> None:
    assert 0 == len(played().candles(0, 300, end_ms=T0 - 1, limit=10))
