"""Nothing knows the future, and the check that says so sees whoever does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.backtest.random_market import START_MS, WARM_UP_MS, candles, settings
from whalestack.backtest.candles import Candles
from whalestack.backtest.coin_maps import CoinMaps, MapRules, ModelBars
from whalestack.backtest.lookahead import LookaheadCheck, check, first_difference
from whalestack.backtest.played_coins import Finder, MapMaker, Played, play
from whalestack.backtest.prepared import prepare
from whalestack.backtest.run import AccountRun, Outcome
from whalestack.backtest.series import CoinSeries
from whalestack.backtest.sightings import Lesson, Sightings, find_sightings
from whalestack.backtest.variants import traders
from whalestack.config import Settings

SOURCE = candles(bars=300)
CONFIG = settings()
BEGIN_MS = START_MS + WARM_UP_MS
END_MS = 2**62
CONTRACTS = prepare(SOURCE, begin_ms=BEGIN_MS).instruments
Replay = Callable[[Candles, int], Played]


def replayed(
    *,
    knows_ms: int = BEGIN_MS,
    contracts: Mapping[str, dict[str, Any]] = CONTRACTS,
    find: Finder = find_sightings,
    make_maps: MapMaker = CoinMaps,
) -> Replay:
    """Plays the candles; `knows_ms` is until when the base of open interest is looked at."""

    def replay(known: Candles, until_ms: int) -> Played:
        market = prepare(known, begin_ms=knows_ms, contracts=contracts)
        return play(market, CONFIG, BEGIN_MS, until_ms, find=find, make_maps=make_maps)

    return replay


def run(stretch: Played, team: tuple[Settings, ...]) -> Outcome:
    return AccountRun(stretch, team).run()


def checked(replay: Replay, *names: str, run: Callable[..., Outcome] = run) -> LookaheadCheck:
    teams = [traders([name], CONFIG, ()) for name in names or ("aggressive",)]
    return check(SOURCE, replay(SOURCE, END_MS), teams, replay=replay, run=run, seed=3, cuts=2)


def test_nothing_knows_what_comes_later() -> None:
    found = checked(replayed(), "conservative", "reversal-ladder")

    assert found.is_clean, found.lines()
    assert all(cut.decisions > 0 and cut.facts > 100 for cut in found.cuts)
    assert "nothing knew" in found.lines()[0]


# --- planted: each of them knows the future, and is caught ------------------------------------------


def only_those_that_pay(series: CoinSeries, taught: list[Lesson], end_ms: int) -> Sightings:
    """Keeps the triggers after which the price goes on for an hour."""
    found = find_sightings(series, taught, end_ms)
    now = np.array([series.number_at(each) for each in found.at_ms.tolist()], dtype=int)
    then = np.minimum(now + 720, series.total_points - 1)
    paid = np.array([series.price(b) > series.price(a) for a, b in zip(now, then, strict=True)], dtype=bool)
    keep = paid == (found.ways > 0)
    return Sightings(found.at_ms[keep], found.ways[keep])


def one_candle_ahead(symbol: str, rules: MapRules, bars: ModelBars, **keywords: Any) -> CoinMaps:
    """Maps of the candle that is still to come."""
    moved: dict[str, Any] = {
        name: np.append(getattr(bars, name)[1:], getattr(bars, name)[-1])
        for name in ("highs", "lows", "closes", "turnover_usd", "open_interest")
    }
    return CoinMaps(symbol, rules, replace(bars, **moved), **keywords)


def test_triggers_that_know_the_next_hour_are_seen() -> None:
    found = checked(replayed(find=only_those_that_pay))

    assert not found.is_clean
    assert "SOMETHING KNEW" in found.lines()[0]
    assert any(cut.difference and "trigger" in cut.difference for cut in found.cuts)


def test_maps_that_know_the_next_candle_are_seen() -> None:
    assert not checked(replayed(make_maps=one_candle_ahead)).is_clean


def test_open_interest_that_rests_on_the_whole_is_seen() -> None:
    """A base that is the mean of all candles, also those after the decision."""
    assert not checked(replayed(knows_ms=START_MS + 10**9)).is_clean


def test_contracts_that_are_derived_from_the_last_price_are_seen() -> None:
    """So the check itself leaves the contracts as they are."""
    assert not checked(replayed(contracts={}), "conservative").is_clean


def test_an_account_that_knows_how_it_ends_is_seen() -> None:
    """Same triggers, same maps: it turns round where the price will end a tenth higher. It is named."""

    def clairvoyant(stretch: Played, team: tuple[Settings, ...]) -> Outcome:
        series = next(iter(stretch.coins.values())).series
        rises = series.price(series.total_points - 1) > 1.1 * series.price(0)
        return run(stretch, traders(["reversal"], CONFIG, ()) if rises else team)

    found = checked(replayed(), "aggressive", run=clairvoyant)

    assert not found.is_clean
    assert any(cut.difference and cut.difference.startswith("AGGRESSIVE") for cut in found.cuts)


@pytest.mark.parametrize(
    ("whole", "cut", "expected"),
    [
        (["1 a", "2 b"], ["1 a"], "with the future: 2 b; without: (nothing)"),
        (["1 a"], ["1 a", "2 b"], "with the future: (nothing); without: 2 b"),
        (["1 a"], ["1 a"], None),
    ],
)
def test_the_first_line_that_differs_is_named(whole: list[str], cut: list[str], expected: str | None) -> None:
    assert first_difference(whole, cut) == expected
