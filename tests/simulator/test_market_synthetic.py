"""The seeded market."""

from __future__ import annotations

import numpy as np
import pytest

from whalestack.errors import StopAndTell
from whalestack.simulator.market.played import PlayedMarket
from whalestack.simulator.market.synthetic import open_synthetic
from whalestack.simulator.market.tempers import synthetic_coins

START_MS = 1_760_875_200_000
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def day() -> PlayedMarket:
    """Sixty coins after a day."""
    market = open_synthetic(60, start_ms=START_MS, seed=7)
    for hour in range(1, 25):
        market.advance(START_MS + hour * HOUR_MS)
    return market


def test_the_same_seed_is_the_same_market() -> None:
    one, two = (open_synthetic(5, start_ms=START_MS, seed=3) for _ in range(2))
    assert one.advance(START_MS + HOUR_MS) == two.advance(START_MS + HOUR_MS)
    assert one.ticker("BTCUSDT") == two.ticker("BTCUSDT")


def test_another_seed_is_another_market() -> None:
    one, two = (open_synthetic(5, start_ms=START_MS, seed=seed) for seed in (3, 4))
    assert one.advance(START_MS + HOUR_MS) != two.advance(START_MS + HOUR_MS)


def test_a_coin_that_is_not_played_is_named() -> None:
    with pytest.raises(StopAndTell, match="NOSUCHUSDT"):
        open_synthetic(5, start_ms=START_MS, seed=3, symbols=("BTCUSDT", "NOSUCHUSDT"))


def test_how_often_the_market_is_asked_changes_nothing() -> None:
    one, two = (open_synthetic(5, start_ms=START_MS, seed=3) for _ in range(2))
    often = [tick for second in range(1, 601) for tick in one.advance(START_MS + second * 1000)]
    assert two.advance(START_MS + 600_000) == often


def test_there_are_majors_memes_and_as_many_coins_as_asked() -> None:
    names = {coin.symbol for coin in synthetic_coins(60)}
    assert {"BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "1000BONKUSDT"} <= names
    assert 600 == len({coin.symbol for coin in synthetic_coins(600)})


def test_coins_have_very_different_tempers(day: PlayedMarket) -> None:
    """A day's range: gold under 5 %, BTC under 15 %, at least five coins over 20 %."""
    ranges = {}
    for symbol in day.symbols:
        state = day.ticker(symbol)
        ranges[symbol] = state.high_24h / state.low_24h - 1
    assert ranges["XAUTUSDT"] < 0.05
    assert ranges["BTCUSDT"] < 0.15
    assert sum(value > 0.2 for value in ranges.values()) >= 5


def test_there_are_jumps_cascades_and_quiet(day: PlayedMarket) -> None:
    """Some five minutes move over 4 %, some fall with open interest, some hours stay within 0.3 %."""
    jumps = falls = quiet = 0
    for symbol in day.symbols:
        found = day.candles(symbol, 300, end_ms=day.now_ms, limit=288)
        jumps += int((np.abs(found.close / found.open - 1) > 0.04).sum())
        change = found.open_interest[1:] / found.open_interest[:-1] - 1
        falls += int((change < -0.05).sum())
        hours = day.candles(symbol, 3600, end_ms=day.now_ms, limit=24)
        quiet += int((hours.high / hours.low - 1 < 0.003).sum())
    assert min(jumps, falls, quiet) > 3


def test_moves_make_liquidations(day: PlayedMarket) -> None:
    events = day.liquidations()
    assert {"long", "short"} == {event.side for event in events}
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    assert events[-3:] == day.liquidations(events[-4].seq)


def test_a_year_of_candles_lies_behind(day: PlayedMarket) -> None:
    days = day.candles("BTCUSDT", 86_400, end_ms=day.now_ms, limit=1000)
    assert len(days) > 365
    assert np.all(np.diff(days.start_ms) == 86_400_000)
    assert np.allclose(days.open[1:], days.close[:-1], rtol=0.02)


def test_tickers_hold_together(day: PlayedMarket) -> None:
    for symbol in day.symbols:
        state = day.ticker(symbol)
        assert state.low_24h <= state.last <= state.high_24h
        assert state.bid <= state.last <= state.ask or state.bid < state.ask
        assert state.turnover_24h > 0
        assert state.open_interest > 0
        assert state.next_funding_ms > day.now_ms
        assert abs(state.mark / state.last - 1) < 0.05


def test_prices_are_whole_ticks(day: PlayedMarket) -> None:
    for tick in day.advance(day.now_ms + 5_000):
        size = float(day.instrument(tick.symbol)["priceFilter"]["tickSize"])
        assert abs(tick.price / size - round(tick.price / size)) < 1e-6
