"""Replaying candle files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED_DATA
from whalestack.errors import StopAndTell
from whalestack.simulator.market.recorded import open_recorded, read_candles, recorded_span

T0 = 1_760_832_000_000  # 2025-10-19 00:00 UTC
RECORDED = SHARED_DATA / "bybit_candles_50perps_20251019_20251022"


def write(folder: Path, symbol: str, count: int = 60, *, seed: int = 1) -> np.ndarray:
    """A file of five-minute candles on a grid of 0.001; returns the rows."""
    random = np.random.default_rng(seed)
    close = np.round(5 * np.exp(np.cumsum(random.normal(0, 0.01, count))), 3)
    open_ = np.concatenate([[5.0], close[:-1]])
    high = np.round(np.maximum(open_, close) + np.abs(random.normal(0, 0.02, count)), 3)
    low = np.round(np.minimum(open_, close) - np.abs(random.normal(0, 0.02, count)), 3)
    volume = np.round(random.uniform(100, 1000, count), 1)
    rows = np.stack([open_, high, low, close, volume, np.round(volume * close, 4)])
    moments = [
        str(np.datetime64(T0 + 300_000 * number, "ms")).replace("T", " ")[:19] for number in range(count)
    ]
    lines = [",".join([moment, *map(str, row)]) for moment, row in zip(moments, rows.T.tolist(), strict=True)]
    header = "timestamp,open,high,low,close,volume,turnover"
    (folder / f"{symbol}_5m.csv").write_text("\n".join([header, *lines]) + "\n")
    return rows


def test_what_was_played_is_what_was_recorded(tmp_path: Path) -> None:
    """Candles built from the ticks equal the file, to the last digit of each price."""
    rows = write(tmp_path, "AAAUSDT")
    market = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    for moment in range(T0 + 20 * 300_000, T0 + 40 * 300_000, 7_000):
        market.advance(moment)
    market.advance(T0 + 40 * 300_000 - 1)
    found = market.candles("AAAUSDT", 300, end_ms=market.now_ms, limit=20)
    assert rows[:4, 20:40].tolist() == [
        found.open.tolist(),
        found.high.tolist(),
        found.low.tolist(),
        found.close.tolist(),
    ]
    assert np.allclose(rows[4, 20:40], found.volume)
    assert np.allclose(rows[5, 20:40], found.turnover)


def test_ticks_are_in_order_and_reach_the_extremes_of_each_candle(tmp_path: Path) -> None:
    rows = write(tmp_path, "AAAUSDT")
    market = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    ticks = market.advance(T0 + 22 * 300_000 - 1)
    assert sorted(tick.ts_ms for tick in ticks) == [tick.ts_ms for tick in ticks]
    second = [tick.price for tick in ticks if tick.ts_ms >= T0 + 21 * 300_000]
    assert (rows[1, 21], rows[2, 21]) == (max(second), min(second))


def test_nothing_after_the_present_is_shown(tmp_path: Path) -> None:
    """Halfway through a candle its close is the last tick, and no later candle exists."""
    write(tmp_path, "AAAUSDT")
    market = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    last = market.advance(T0 + 20 * 300_000 + 100_000)[-1]
    found = market.candles("AAAUSDT", 300, end_ms=T0 + 10**12, limit=1000)
    assert T0 + 20 * 300_000 == found.start_ms[-1]
    assert last.price == found.close[-1] == market.ticker("AAAUSDT").last
    moments, _ = market.open_interest_history("AAAUSDT", 300, end_ms=T0 + 10**12, limit=50)
    assert T0 + 20 * 300_000 == moments[-1]


def test_the_past_of_a_later_start_is_what_an_earlier_start_played(tmp_path: Path) -> None:
    """Where playing begins does not change the market: open interest included."""
    write(tmp_path, "AAAUSDT")
    early = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    early.advance(T0 + 30 * 300_000)
    late = open_recorded(tmp_path, (), start_ms=T0 + 30 * 300_000, seed=1)
    ours, theirs = (
        market.candles("AAAUSDT", 900, end_ms=T0 + 30 * 300_000 - 1, limit=10) for market in (early, late)
    )
    assert np.allclose(ours.high, theirs.high)
    ratio = ours.open_interest / theirs.open_interest
    assert np.allclose(ratio, ratio[0]), "the base is told by the past, changes are not"


def test_the_market_ends_with_its_files(tmp_path: Path) -> None:
    write(tmp_path, "AAAUSDT")
    market = open_recorded(tmp_path, (), start_ms=T0 + 50 * 300_000, seed=1)
    market.advance(T0 + 70 * 300_000)
    assert T0 + 60 * 300_000 == market.end_ms
    assert [] == market.advance(T0 + 80 * 300_000)
    newest = market.candles("AAAUSDT", 300, end_ms=market.now_ms, limit=2)
    assert T0 + 59 * 300_000 == newest.start_ms[-1], "the newest candles stay what they were"


def test_a_clock_outside_the_recording_is_told_what_to_set(tmp_path: Path) -> None:
    write(tmp_path, "AAAUSDT")
    with pytest.raises(
        StopAndTell, match=r"from 2025-10-19 00:00 UTC to 2025-10-19 05:00 UTC.*CLOCK_REAL_ORIGIN_MS"
    ):
        open_recorded(tmp_path, (), start_ms=T0 + 10**10, seed=1)


def test_a_coin_without_a_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, "AAAUSDT")
    with pytest.raises(StopAndTell, match="ZZZUSDT"):
        open_recorded(tmp_path, ("AAAUSDT", "ZZZUSDT"), start_ms=T0, seed=1)


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,open\n2025-10-19 00:00:00,1\n",
        "h\n2025-10-19 00:00:00,1,2,x,1,1,1\n",
        "h\n2025-10-19 00:00:00,1,2,nan,1,1,1\n",
        "h\nyesterday,1,2,1,1,1,1\n",
        "h\n2025-10-19 00:05:00,1,2,1,1,1,1\n2025-10-19 00:00:00,1,2,1,1,1,1\n",
        "h\n",
    ],
)
def test_a_broken_file_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "BADUSDT_5m.csv"
    path.write_text(text)
    with pytest.raises(StopAndTell, match="BADUSDT_5m"):
        read_candles(path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StopAndTell, match="no SYMBOL_5m"):
        recorded_span(tmp_path)


def test_a_coin_that_was_not_recorded_has_a_derived_row_and_it_is_said(tmp_path: Path) -> None:
    """The tick comes from the finest price seen: 0.001."""
    write(tmp_path, "AAAUSDT")
    market = open_recorded(tmp_path, (), start_ms=T0 + 300_000, seed=1)
    assert ("AAAUSDT",) == market.derived_instruments
    assert "0.001" == market.instrument("AAAUSDT")["priceFilter"]["tickSize"]
    assert str(T0) == market.instrument("AAAUSDT")["launchTime"]


def test_a_pushed_price_stands_and_later_points_keep_the_distance(tmp_path: Path) -> None:
    write(tmp_path, "AAAUSDT")
    market = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    plain = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    pushed = market.push_price("AAAUSDT", market.ticker("AAAUSDT").last * 0.9)
    state = market.ticker("AAAUSDT")
    assert pushed.price == state.last == state.mark
    later = T0 + 21 * 300_000
    ours, theirs = market.advance(later)[-1].price, plain.advance(later)[-1].price
    assert ours == pytest.approx(0.9 * theirs, rel=1e-3)


def test_what_is_traded_and_held_can_be_pushed_too(tmp_path: Path) -> None:
    """Later points keep the distance of open interest as they keep that of price."""
    write(tmp_path, "AAAUSDT")
    market = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    plain = open_recorded(tmp_path, (), start_ms=T0 + 20 * 300_000, seed=1)
    now_ms, before = market.now_ms, market.ticker("AAAUSDT")
    turnover = market.candles("AAAUSDT", 60, end_ms=now_ms, limit=1).turnover[-1]
    interest = before.open_interest * 1.04

    market.push_price("AAAUSDT", before.last, turnover_usd=5_000.0, open_interest=interest)

    assert interest == pytest.approx(market.ticker("AAAUSDT").open_interest)
    assert turnover + 5_000.0 == market.candles("AAAUSDT", 60, end_ms=now_ms, limit=1).turnover[-1]
    later = T0 + 21 * 300_000
    ours, theirs = market.advance(later)[-1].open_interest, plain.advance(later)[-1].open_interest
    assert ours == pytest.approx(1.04 * theirs, rel=1e-6)


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded candles of ../shared/data are not here")
def test_the_recorded_folder_plays_with_bursts_of_open_interest() -> None:
    """All 50 coins. Small ones gain several per cent of open interest in some 15 minutes; most are quiet."""
    first, last = recorded_span(RECORDED)
    assert "2025-10-19T12:00" == str(np.datetime64(first, "ms"))[:16]
    market = open_recorded(RECORDED, (), start_ms=last - 12 * 3_600_000, seed=7)
    assert 50 == len(market.symbols)
    assert 13 == len(market.derived_instruments)
    for symbol in ("EVAAUSDT", "COAIUSDT", "KGENUSDT"):
        _, interest = market.open_interest_history(symbol, 300, end_ms=last, limit=576)
        changes = interest[3:] / interest[:-3] - 1
        assert changes.max() > 0.05
        assert np.median(np.abs(changes)) < 0.02
