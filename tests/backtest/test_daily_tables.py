"""The backtest leaves alone what the running system would: the daily tables of hit rates, replayed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import insert

from tests.backtest.random_market import START_MS, WARM_UP_MS, candles, settings
from tests.scanners.market_rows import add_coin
from whalestack.backtest import daily_tables
from whalestack.backtest.candles import Candles
from whalestack.backtest.coin_maps import MapRules
from whalestack.backtest.daily_tables import EVERY_MS, DailyTables
from whalestack.backtest.followed_clusters import Followed
from whalestack.backtest.lookahead import LookaheadCheck, check
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.prepared import prepare
from whalestack.backtest.rankings import MappedCoin
from whalestack.backtest.repair import CLOSE, HIGH, LOW, OPEN
from whalestack.backtest.run import AccountRun, Outcome
from whalestack.backtest.variants import traders
from whalestack.clock import ManualClock, from_ms
from whalestack.config import Settings
from whalestack.db.coin_inputs import coin_inputs
from whalestack.db.engine import Database
from whalestack.db.models import LiquidationCluster
from whalestack.math.accuracy_table import rows_about, unproven_ranges
from whalestack.math.timeframes import TIMEFRAMES, horizon_s
from whalestack.parity.past import write_past
from whalestack.scanners.accuracy import AccuracyScanner
from whalestack.tasks.schedule import AT_START, entries

BEGIN_MS = START_MS + WARM_UP_MS
DAYS = 8
SOURCE = candles(coins=2, bars=(DAYS * 24 + 8) * 12)
CONTRACTS = prepare(SOURCE, begin_ms=BEGIN_MS).instruments
CONFIG = settings(accuracy_min_observations=5, min_observations=10**6)
LONG_DAYS = 66


def played(source: Candles = SOURCE, *, end_ms: int = 2**62) -> Played:
    market = prepare(source, begin_ms=BEGIN_MS, contracts=CONTRACTS)
    return play(market, CONFIG, BEGIN_MS, end_ms, rules=MapRules(timeframes=("12h", "3d", "7d")))


@pytest.fixture(scope="module")
def stretch() -> Played:
    return played()


@pytest.fixture(scope="module")
def weeks() -> Played:
    """Every target is a cluster of 7d, of which enough weeks of a random walk say that it is chance."""
    source = candles(coins=1, bars=LONG_DAYS * 288)
    market = prepare(source, begin_ms=BEGIN_MS, contracts=CONTRACTS)
    return play(market, CONFIG, BEGIN_MS, 2**62, rules=MapRules(timeframes=("7d",)))


def run(stretch: Played, name: str = "aggressive", **changes: object) -> Outcome:
    [trader] = traders([name], CONFIG.model_copy(update=changes), ())
    return AccountRun(stretch, (trader,)).run()


# --- the same table as the running system's --------------------------------------------------------


@pytest.mark.parametrize("day", [1, DAYS])
def test_a_table_is_the_one_that_the_scanner_makes(db: Database, stretch: Played, day: int) -> None:
    """Of the same clusters and candles; and a coin's decision reads the same rows of it."""
    at_ms = BEGIN_MS + day * EVERY_MS
    write_past(db, stretch.market, at_ms)
    for mapped in stretch.coins.values():
        write_coin(db, mapped, at_ms)

    made = AccuracyScanner(db=db, settings=CONFIG, clock=ManualClock(at_ms)).scan().rows

    assert made == stretch.tables.table(day)
    assert {row.timeframe for row in made} == ({"12h"} if day == 1 else {"12h", "3d", "7d"})
    for symbol in stretch.coins:
        known = coin_inputs(db, symbol, from_ms(at_ms), from_ms(at_ms)).accuracy
        assert by_name(known) == by_name(rows_about(made, symbol))
        unproven = stretch.tables.unproven(symbol, at_ms, TIMEFRAMES)
        assert unproven == unproven_ranges(known)


def by_name(rows: object) -> dict[tuple[str, str], str]:
    return {(each.group, each.timeframe): each.verdict for each in rows}  # type: ignore[attr-defined]


def write_coin(db: Database, mapped: MappedCoin, now_ms: int) -> None:
    """A coin and every cluster that its maps have shown by now."""
    symbol, turnover = mapped.series.symbol, mapped.series.turnover_24h(now_ms)
    add_coin(db, symbol, from_ms(now_ms), turnover_24h_usd=turnover, is_major=mapped.coin.is_major)
    rows = [_row(each, mapped) for each in mapped.maps.followed()]
    with db.begin() as work:
        work.session.execute(
            insert(LiquidationCluster), [row for row in rows if row["detected_at"] <= from_ms(now_ms)]
        )


def _row(followed: Followed, mapped: MappedCoin) -> dict[str, object]:
    seen_ms = mapped.first_refresh_ms + followed.detected * mapped.maps.rules.refresh_ms
    own = {name: value for name, value in followed.cluster._asdict().items() if name != "id"}
    return own | {
        "detected_price": followed.detected_price,
        "detected_at": from_ms(seen_ms),
        "last_seen_at": from_ms(seen_ms),
        "horizon_at": from_ms(seen_ms + horizon_s(followed.cluster.timeframe) * 1000),
    }


def test_the_first_table_comes_a_day_after_the_start() -> None:
    """Beat sends what has a whole day's interval after a day, and not at the start."""
    [entry] = [each for each in entries(CONFIG) if each.task == "history.accuracy"]

    assert entry.every_s * 1000 == EVERY_MS
    assert entry.task not in AT_START


# --- nothing after its moment is in it -------------------------------------------------------------


@given(hours=st.integers(1, DAYS * 24), seed=st.integers(0, 2**32 - 1), remove=st.booleans())
@examples(max_examples=8, deadline=None)
def test_what_comes_after_its_moment_changes_no_table(
    stretch: Played, hours: int, seed: int, remove: bool
) -> None:
    """Candles taken away, or others in their place."""
    cut_ms = BEGIN_MS + hours * 3_600_000
    end_ms = cut_ms if remove else stretch.end_ms
    other = played(SOURCE.until(cut_ms) if remove else changed(cut_ms, seed), end_ms=end_ms)
    days = range(1, stretch.tables.made_by(cut_ms - 1) + 1)

    assert [stretch.tables.table(day) for day in days] == [other.tables.table(day) for day in days]


def changed(from_ms: int, seed: int) -> Candles:
    """Other prices from a moment on."""
    rng = np.random.default_rng(seed)
    coins = []
    for coin in SOURCE.coins:
        rows = coin.rows[300]
        values, after = rows.values.copy(), rows.start_ms >= from_ms
        drift = np.exp(np.cumsum(rng.normal(0, 0.003, int(after.sum()))))
        for price in (OPEN, HIGH, LOW, CLOSE):
            values[price, after] = np.round(values[price, after] * drift, 4)
        coins.append(replace(coin, rows={300: replace(rows, values=values)}))
    return Candles(tuple(coins))


def looked_ahead() -> LookaheadCheck:
    """The check over two days, of which two tables say something."""
    source = candles(coins=2, bars=700)

    def replay(known: Candles, until_ms: int) -> Played:
        market = prepare(known, begin_ms=BEGIN_MS, contracts=CONTRACTS)
        return play(market, CONFIG, BEGIN_MS, until_ms, rules=MapRules(timeframes=("12h",)))

    def quick(stretch: Played, team: tuple[Settings, ...]) -> Outcome:
        return AccountRun(stretch, team).run()

    team = traders(["aggressive"], CONFIG, ())
    return check(source, replay(source, 2**62), [team], replay=replay, run=quick, seed=5, cuts=2)


def test_the_check_holds_tables_against_one_another() -> None:
    found = looked_ahead()

    assert found.is_clean, found.lines()


def test_tables_that_know_the_next_day_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = daily_tables.five_minute_bars
    monkeypatch.setattr(
        daily_tables, "five_minute_bars", lambda series, since, at: bars(series, since, at + EVERY_MS)
    )

    found = looked_ahead()

    assert any(cut.difference and "AccuracyRow" in cut.difference for cut in found.cuts)


# --- what follows for plans ------------------------------------------------------------------------


def test_a_range_that_is_not_shown_to_beat_chance_is_refused_from_its_table_on(weeks: Played) -> None:
    """Before the table that says so everything is as with TRADE_UNPROVEN, after it nothing is entered."""
    tables = weeks.tables
    told = next(day for day in range(1, LONG_DAYS) if tables.unproven("COIN0USDT", at(day), ["7d"]))
    careful, bold = run(weeks), run(weeks, trade_unproven=True)

    assert careful.refusals["unproven_range"] > 0
    assert "unproven_range" not in bold.refusals
    assert careful.decisions.until(at(told)) == bold.decisions.until(at(told))
    assert not entered_from(careful, at(told))
    assert entered_from(bold, at(told))


def at(day: int) -> int:
    return BEGIN_MS + day * EVERY_MS


def entered_from(outcome: Outcome, from_ms: int) -> list[str]:
    orders = [line for line in outcome.decisions.lines if line.split(" ")[1] == "order"]
    return [line for line in orders if int(line.split(" ")[0]) >= from_ms]


@pytest.mark.parametrize("enough", [1, 5, 12, 40])
def test_what_is_asked_of_a_table_is_what_stands_in_it(weeks: Played, enough: int) -> None:
    """Also where a look at the clusters' moments alone says that it can show nothing."""
    config = CONFIG.model_copy(update={"accuracy_min_observations": enough})
    tables = DailyTables(weeks.coins, config, BEGIN_MS)
    days = range(0, LONG_DAYS, 4)

    asked = [tables.unproven("COIN0USDT", at(day), TIMEFRAMES) for day in days]

    assert asked == [unproven_ranges(rows_about(tables.table(day), "COIN0USDT")) for day in days]
    assert any(asked) == (enough < 20)


def test_tables_are_made_when_a_plan_asks_and_once_for_all_accounts(
    weeks: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = [], daily_tables.accuracy_table

    def counted(*values: object, **named: object) -> object:
        made.append(values)
        return original(*values, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(daily_tables, "accuracy_table", counted)
    fresh = replace(weeks, tables=DailyTables(weeks.coins, CONFIG, BEGIN_MS))

    run(fresh, trade_unproven=True)
    assert made == []
    run(fresh)
    first = len(made)
    run(fresh, "aggressive-fixed")
    assert 0 < first == len(made) < LONG_DAYS
