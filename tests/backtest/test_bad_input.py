"""A folder as bad as they come: what can be repaired is played and counted, what cannot is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.backtest.random_market import START_MS, candles, settings
from whalestack.backtest.command import Request, Result, backtest_of
from whalestack.backtest.page import page
from whalestack.backtest.played_coins import play
from whalestack.backtest.prepared import prepare

HOUR_MS = 3_600_000
BARS = 500
LISTED_AT = 250
"""Number of the candle with which the young coin begins: 21 hours in."""


def frame_of(number: int) -> pd.DataFrame:
    rows = candles(coins=4, bars=BARS).coins[number].rows[300]
    frame = pd.DataFrame(rows.values.T, columns=["open", "high", "low", "close", "volume", "turnover"])
    frame.insert(0, "timestamp", pd.to_datetime(rows.start_ms, unit="ms").astype(str))
    return frame


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Four coins: good; damaged; of two time zones; listed yesterday."""
    folder = tmp_path_factory.mktemp("candles")
    good, damaged, zoned, young = (frame_of(number) for number in range(4))
    damaged = pd.concat([damaged.iloc[:100], damaged.iloc[110:300], damaged.iloc[299:]])  # a hole, a double
    damaged.iloc[[5, 6]] = damaged.iloc[[6, 5]].to_numpy()
    damaged.iloc[50, 3] = -1.0  # the low
    damaged.iloc[60, 5] = -7.0  # the volume
    zoned["timestamp"] += np.where(np.arange(BARS) % 2, "+02:00", "+00:00")
    for name, frame in (("AUSDT", good), ("BUSDT", damaged), ("CUSDT", zoned), ("DUSDT", young[LISTED_AT:])):
        frame.to_csv(folder / f"{name}_5m.csv", index=False)
    # From then on all but the young one are a day old.
    request = Request(str(folder), begin_ms=START_MS + 25 * HOUR_MS, agents=("aggressive",))
    return backtest_of(request, settings(min_listing_age_h=24.0))


def test_repairs_are_counted_in_the_report(result: Result) -> None:
    """Ten candles cut out and one dropped for its price: a hole of eleven."""
    expected = {"bad price": 1, "bad volume": 1, "duplicate": 1, "hole filled": 11, "out of order": 1}

    assert result.report.repairs == expected
    assert "hole filled: 11" in page(result.report)
    assert result.as_json()["repairs"] == expected


def test_a_coin_of_two_time_zones_is_left_out_and_named(result: Result) -> None:
    assert "several time zones" in result.report.left_out["CUSDT"]
    assert result.report.symbols == ("AUSDT", "BUSDT", "DUSDT")
    assert "CUSDT" in page(result.report)


def test_a_coin_listed_yesterday_joins_with_its_first_candle_and_is_refused_for_its_age(
    result: Result,
) -> None:
    """It triggers, is ranked, and the guard that knows its age says no: as in the running system."""
    (agent,) = result.report.agents

    assert agent.outcome.refusals.get("too_young", 0) > 0
    assert all(trade.symbol != "DUSDT" for trade in agent.outcome.trades)


def test_nothing_of_a_coin_is_known_before_it_is_listed() -> None:
    source = candles(coins=1, bars=BARS)
    late = source.coins[0].rows[300].part(slice(LISTED_AT, None))
    source.coins[0].rows[300] = late
    begin_ms = START_MS + 2 * HOUR_MS

    played = play(prepare(source, begin_ms=begin_ms), settings(), begin_ms, 2**62)

    listed_ms = START_MS + LISTED_AT * 300_000
    assert played.coins["COIN0USDT"].first_refresh_ms >= listed_ms + 300_000
    assert all(moment >= listed_ms for moment, *_ in played.triggers)
