"""What a comparison is made of: held jobs, the same past, stored maps, the differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.backtest.random_market import START_MS, WARM_UP_MS, candles, market, settings
from whalestack.backtest.coin_maps import CoinMaps, MapRules, ModelBars
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.played_coins import assumptions_of, play
from whalestack.clock import from_ms
from whalestack.db.engine import Database
from whalestack.db.heatmap_rows import StoredMap
from whalestack.db.market_frames import load_frame
from whalestack.db.market_store import BarRow, MarketStore
from whalestack.db.packed import pack, unpack
from whalestack.db.pattern_store import hourly_wicks as stored_wicks
from whalestack.dispatch import Job, RecordingDispatcher
from whalestack.errors import StopAndTell
from whalestack.math.clusters import find_clusters
from whalestack.math.heatmap import LevelMap
from whalestack.math.liquidation_pass import FastLiquidationModel
from whalestack.parity.compare import Comparison, OtherMaps, Stretch, compare
from whalestack.parity.held_jobs import MARK, HeldJobs
from whalestack.parity.maps_apart import clusters_shared_pct
from whalestack.parity.past import HOUR_MS, write_past
from whalestack.parity.stored_maps import StoredMaps, columns_of, maker_of
from whalestack.scanners.coin_history import WICK_LOOKBACK, WICK_QUANTILE

BEGIN_MS = START_MS + WARM_UP_MS
MARKET = market(candles())
RULES = MapRules()


def job(task: str, symbol: str = "") -> Job:
    return Job(task, {"symbol": symbol} if symbol else {})


# --- held jobs ------------------------------------------------------------------------------------


def test_held_jobs_leave_when_they_are_told_to_coin_by_coin() -> None:
    onward = RecordingDispatcher()
    held = HeldJobs(onward)
    for each in (
        job("trade.spike_seen", "B"),
        job("trailing.check_symbol", "B"),
        job("trade.spike_seen", "A"),
    ):
        held.send(each)

    assert onward.jobs == []
    held.let_go(lambda each: each.task.startswith("trailing."))
    assert onward.jobs == [job("trailing.check_symbol", "B")]
    held.let_go(lambda _: True)
    assert onward.jobs[1:] == [job("trade.spike_seen", "A"), job("trade.spike_seen", "B")]


def test_a_mark_is_no_job() -> None:
    onward = RecordingDispatcher()
    held = HeldJobs(onward)
    held.send(Job(MARK))

    assert held.marked.acquire(blocking=False)
    assert held.take(lambda _: True) == []


# --- the same past --------------------------------------------------------------------------------


def test_the_past_that_is_written_is_the_one_that_the_backtest_knows(db: Database) -> None:
    stranger = BarRow("COIN0USDT", "1", START_MS - 60_000, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    MarketStore(db).put_bars([stranger])

    write_past(db, MARKET, BEGIN_MS)

    with db.begin() as work:
        frame = load_frame(work.session, now=from_ms(BEGIN_MS), minutes=WARM_UP_MS // 60_000 + 60)
    known = MARKET.coins["COIN0USDT"].series.minutes
    count = WARM_UP_MS // 60_000
    row = frame.symbols.index("COIN0USDT")
    assert np.isnan(frame.prices[row, :60]).all()
    assert frame.prices[row, 60:].tolist() == known.closes[:count].tolist()
    assert frame.turnover_usd[row, 60:].tolist() == known.turnover[:count].tolist()
    assert frame.open_interest[row, 60:].tolist() == known.interest[:count].tolist()


def test_hours_are_written_up_to_the_last_whole_one(db: Database) -> None:
    now_ms = BEGIN_MS + HOUR_MS // 2
    write_past(db, MARKET, now_ms)

    now = from_ms(now_ms)
    with db.begin() as work:
        found = stored_wicks(
            work.session, ["COIN1USDT"], since=now - WICK_LOOKBACK, now=now, quantile=WICK_QUANTILE
        )
    assert MarketStore(db).last_bar_ms("COIN1USDT", "60") == BEGIN_MS - HOUR_MS
    # The half hour whose minutes are there as well is no hour yet.
    assert found["COIN1USDT"].observations == WARM_UP_MS // HOUR_MS


# --- stored maps ----------------------------------------------------------------------------------


def made_maps(symbol: str = "COIN0USDT", refreshes: int = 3) -> list[dict[str, LevelMap]]:
    """Maps of a coin at consecutive refreshes, as the model makes them."""
    bars = MARKET.coins[symbol].model_bars(BEGIN_MS)
    assumptions = assumptions_of(MARKET.instruments[symbol], settings())
    model = FastLiquidationModel(assumptions, memory_bars=RULES.memory_bars(bars.bar_ms))
    at = bars.first_refresh_at - 1 + np.arange(refreshes)
    part = slice(0, int(at[-1]) + 1)
    columns = model.advance(
        *(each[part] for each in (bars.highs, bars.lows, bars.closes, bars.turnover_usd, bars.open_interest)),
        column_at=at,
    )
    return [
        {
            name: columns.level_map(refresh, which, timeframe=name, map_time_ms=BEGIN_MS)
            for which, name in enumerate(RULES.timeframes)
        }
        for refresh in range(refreshes)
    ]


def stored(level_map: LevelMap) -> LevelMap:
    """As it comes back out of the database: five digits, nothing of empty levels."""
    held = level_map.values > 0
    prices, values = (unpack(pack(each[held])) for each in (level_map.prices, level_map.values))
    return LevelMap(level_map.timeframe, level_map.price, prices, values, level_map.map_time_ms)


def stored_coin(maps: list[dict[str, LevelMap]], symbol: str = "COIN0USDT") -> CoinMaps:
    rounds = [
        [StoredMap(symbol, from_ms(BEGIN_MS), stored(each)) for each in found.values()] for found in maps
    ]
    minutes = MARKET.coins[symbol].series.minutes
    nothing = np.empty(0)
    return maker_of(rounds)(
        symbol,
        RULES,
        ModelBars(nothing, nothing, nothing, nothing, nothing, 300_000, 0, 0),
        minute_highs=minutes.highs,
        minute_lows=minutes.lows,
        first_minute=WARM_UP_MS // 60_000,
        refreshes=len(maps),
        weigh_at=np.ones(len(maps), dtype=bool),
    )


def test_stored_maps_give_the_clusters_of_the_maps_that_were_made() -> None:
    maps = made_maps(refreshes=1)

    standing = stored_coin(maps).standing(0)

    expected = [cluster for each in maps[0].values() for cluster in find_clusters(each)]
    assert len(standing) == len(expected) > 0
    found = {(each.timeframe, each.side, each.price_low, each.price_high) for each in standing}
    # The numbers of the levels bring their exact prices back.
    assert found == {(each.timeframe, each.side, each.price_low, each.price_high) for each in expected}
    assert sum(each.value_usd for each in standing) == pytest.approx(
        sum(each.value_usd for each in expected), rel=1e-4
    )


def test_a_range_without_a_map_has_no_clusters() -> None:
    maps = [{name: each for name, each in found.items() if name != "1y"} for found in made_maps()]

    assert all(each.timeframe != "1y" for each in stored_coin(maps).standing(0))


def test_maps_of_one_refresh_must_have_one_price() -> None:
    first, *_ = made_maps(refreshes=1)
    other = first["7d"]
    moved = LevelMap("7d", other.price * 1.01, other.prices, other.values, other.map_time_ms)

    with pytest.raises(StopAndTell, match="2 prices"):
        columns_of([{**first, "7d": moved}], RULES)


def test_a_refresh_without_maps_is_refused() -> None:
    with pytest.raises(StopAndTell, match="COIN0USDT has no map"):
        stored_coin([*made_maps(refreshes=1), {}])


def test_stored_maps_are_played() -> None:
    end_ms = BEGIN_MS + 2 * 300_000
    rounds = [
        [
            StoredMap(symbol, from_ms(BEGIN_MS), stored(each))
            for symbol in MARKET.coins
            for each in made_maps(symbol)[refresh].values()
        ]
        for refresh in range(3)
    ]
    played = play(MARKET, settings(), BEGIN_MS, end_ms, make_maps=maker_of(rounds))
    assert all(isinstance(coin.maps, StoredMaps) for coin in played.coins.values())
    own = play(MARKET, settings(), BEGIN_MS, end_ms)
    # Both were made by one pass over the same candles.
    assert clusters_shared_pct(played.coins, own.coins) == 100.0


# --- the comparison -------------------------------------------------------------------------------


def decided(*lines: str) -> Decisions:
    return Decisions(list(lines))


def compared(system: Decisions, backtest: Decisions, failed: tuple[str, ...] = ()) -> Comparison:
    other = OtherMaps(decided(), None)
    return Comparison(system, backtest, other, other, (), failed, 900.0)


def test_the_order_within_a_moment_is_no_difference() -> None:
    found = compared(decided("1 a", "1 b", "20 c"), decided("1 b", "20 c", "1 a"))

    assert found.is_equal
    assert found.equal_lines == 3
    assert found.differences() == []


def test_differences_are_the_lines_that_one_side_lacks() -> None:
    found = compared(decided("1 a", "2 b", "2 b"), decided("1 a", "2 b", "3 c"))

    assert not found.is_equal
    assert found.equal_lines == 2
    assert found.differences() == [("2 b", "3 c")]


def test_a_task_that_failed_is_a_difference() -> None:
    assert not compared(decided(), decided(), failed=("boom",)).is_equal


def test_a_strategy_that_there_is_not_is_named() -> None:
    with pytest.raises(StopAndTell, match="no strategy brave"):
        Stretch(Path(), ("A",), 0, 300_000, agents=("brave",)).settings()


def test_a_folder_that_holds_something_is_left_alone(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    folder = shared_data / "bybit_candles_50perps_20251019_20251022"
    begin_ms = 1_760_960_400_000

    with pytest.raises(StopAndTell, match="not empty"):
        compare(Stretch(folder, ("HYPEUSDT",), begin_ms, begin_ms + 300_000), tmp_path)
    assert (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("begin_ms", "end_ms", "said"),
    [
        (1_760_960_401_000, 1_760_960_700_000, "whole 300 s"),
        (1_760_960_400_000, 1_760_960_400_000, "not be empty"),
        (1_700_000_100_000, 1_700_000_400_000, "can be compared from 2025-10-19"),
    ],
)
def test_a_stretch_that_cannot_be_compared_is_refused(
    shared_data: Path, tmp_path: Path, begin_ms: int, end_ms: int, said: str
) -> None:
    folder = shared_data / "bybit_candles_50perps_20251019_20251022"

    with pytest.raises(StopAndTell, match=said):
        compare(Stretch(folder, ("HYPEUSDT",), begin_ms, end_ms), tmp_path)
