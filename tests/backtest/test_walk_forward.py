"""Walk-forward: chosen on the past alone, judged on what follows, and nothing else is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from tests.backtest.random_market import START_MS, WARM_UP_MS, candles, market, settings
from whalestack.backtest.candles import Candles, CoinCandles
from whalestack.backtest.command import Request, backtest_of
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.repair import Rows
from whalestack.backtest.run import AccountRun, Outcome
from whalestack.backtest.variants import traders
from whalestack.backtest.walk_forward import Fold, Tuning, out_of_sample, parse_tuning, walk_forward
from whalestack.config import Settings
from whalestack.errors import StopAndTell

SOURCE = candles(coins=2, bars=240)
CONFIG = settings()
BEGIN_MS = START_MS + WARM_UP_MS
TEAMS = [traders(["aggressive"], CONFIG, ())]
RISK = Tuning("risk_per_trade_pct", (0.5, 2.0))
HOUR_MS = 3_600_000


def stretch_of(source: Candles = SOURCE) -> Played:
    return play(market(source), CONFIG, BEGIN_MS, 2**62)


class Book:
    """A run whose results are written down beforehand: by setting, in the early and in the late hours."""

    def __init__(self, early: dict[float, float], late: dict[float, float], turn_ms: int) -> None:
        self._early, self._late, self._turn_ms = early, late, turn_ms
        self.asked: list[tuple[int, int, float]] = []

    def __call__(self, stretch: Played, team: Sequence[Settings]) -> Outcome:
        value = team[0].risk_per_trade_pct
        self.asked.append((stretch.begin_ms, stretch.end_ms, value))
        earned = (self._early if stretch.begin_ms < self._turn_ms else self._late)[value]
        return Outcome((), Decisions(), 0, {}, 100.0, 100.0 + earned, (), 0)


def walked(run: Book, parts: int = 1) -> tuple[Fold, ...]:
    prepared = market(SOURCE)

    def replay(begin_ms: int, end_ms: int) -> Played:
        return play(prepared, CONFIG, begin_ms, end_ms)

    return walk_forward(stretch_of(), TEAMS, RISK, parts, replay=replay, run=run)


def test_a_setting_that_was_good_early_and_is_bad_later_is_shown_as_such() -> None:
    """Planted: 2 % of risk wins ten early and loses twenty later; 0.5 % would have won. Nobody knew."""
    book = Book({0.5: 1.0, 2.0: 10.0, 1.0: 3.0}, {0.5: 5.0, 2.0: -20.0, 1.0: -4.0}, BEGIN_MS + HOUR_MS)

    (fold,) = walked(book)

    assert fold.chosen == 2.0
    assert fold.past_pct == pytest.approx(10.0)
    assert fold.pnl_pct == pytest.approx(-20.0)
    # The setting as it stands is told beside it, and the winner in hindsight nowhere.
    assert fold.kept_pct == pytest.approx(-4.0)
    assert "5.0" not in " ".join([fold.line(), *out_of_sample([fold])])
    assert "out of sample" in out_of_sample([fold])[0]
    assert "-20.00 %" in out_of_sample([fold])[0]


def test_on_a_part_only_the_value_that_was_chosen_before_is_tried() -> None:
    """And the setting as it stands, for comparison: what was not chosen is never looked at there."""
    book = Book({0.5: 1.0, 2.0: 10.0, 1.0: 3.0}, {2.0: -20.0, 1.0: -4.0}, BEGIN_MS + HOUR_MS)

    (fold,) = walked(book)

    on_the_part = {value for begin_ms, _, value in book.asked if begin_ms == fold.begin_ms}
    assert on_the_part == {2.0, CONFIG.risk_per_trade_pct}


def test_parts_do_not_overlap_and_their_pasts_end_where_they_begin() -> None:
    flat = {0.5: 0.0, 2.0: 0.0, 1.0: 0.0}
    book = Book(flat, flat, 0)

    folds = walked(book, parts=3)

    whole = stretch_of()
    assert all(one.end_ms == other.begin_ms for one, other in pairwise(folds))
    assert folds[-1].end_ms == whole.end_ms
    assert {fold.end_ms - fold.begin_ms for fold in folds} == {folds[0].end_ms - folds[0].begin_ms}
    pasts = {end_ms for begin_ms, end_ms, _ in book.asked if begin_ms == whole.begin_ms}
    assert pasts == {fold.begin_ms for fold in folds}


def test_of_equal_values_the_first_is_chosen() -> None:
    flat = {0.5: 0.0, 2.0: 0.0, 1.0: 0.0}
    assert walked(Book(flat, flat, 0))[0].chosen == 0.5


def test_the_choice_does_not_know_the_candles_after_it() -> None:
    """Played for real, twice: after the first part's beginning every candle is another one."""
    request = Request("db", agents=("aggressive",), walk_forward=1, tune="risk_per_trade_pct=0.5,2")
    (known,) = backtest_of(request, CONFIG, SOURCE).folds
    (other,) = backtest_of(request, CONFIG, with_another_end(known.begin_ms)).folds

    assert (other.chosen, other.past_pct) == (known.chosen, known.past_pct)
    assert other.pnl_pct != known.pnl_pct


def with_another_end(from_ms: int) -> Candles:
    """The candles turned upside down from a moment on. The last one stays: contracts are derived from it."""

    def changed(coin: CoinCandles) -> CoinCandles:
        rows = coin.rows[300]
        late = (rows.start_ms >= from_ms) & (rows.start_ms < rows.start_ms[-1])
        turn = rows.values[3, ~late][-1] ** 2
        values = rows.values.copy()
        opened, high, low, close = turn / rows.values[:4, late]
        values[:4, late] = np.round(np.stack([opened, low, high, close]), 4)
        return replace(coin, rows={300: Rows(rows.start_ms, values)})

    return Candles(tuple(changed(coin) for coin in SOURCE.coins))


def test_the_parts_are_played_with_the_equity_that_was_asked_for() -> None:
    """A ladder needs more than 10,000 USD: its part is that of an account of 50,000."""
    request = Request(
        "db",
        agents=("aggressive-ladder",),
        equity_usd=50_000.0,
        walk_forward=1,
        tune="risk_per_trade_pct=1",
    )
    (fold,) = backtest_of(request, CONFIG, SOURCE).folds
    team = traders(["aggressive-ladder"], CONFIG, tuple(coin.symbol for coin in SOURCE.coins))
    part = play(market(SOURCE), CONFIG, fold.begin_ms, fold.end_ms)
    alone = AccountRun(part, team, equity_usd=Decimal(50_000)).run()

    assert fold.trades == len(alone.trades) > 0
    assert fold.pnl_pct == fold.kept_pct


def test_parts_together_are_compounded() -> None:
    fold = Fold("a", "x", 0, 1, 1.0, 0.0, 10.0, 3, 0.0)

    (line,) = out_of_sample([fold, replace(fold, pnl_pct=-10.0, trades=2)])

    assert "-1.00 % in 5 trades of 2 parts" in line


@pytest.mark.parametrize(("tune", "parts"), [("brave=1", 2), ("entry_wait_s=soon", 2), ("", 2), ("x=1", 0)])
def test_what_cannot_be_tuned_is_said_before_anything_is_played(tune: str, parts: int) -> None:
    with pytest.raises(StopAndTell):
        backtest_of(Request("nowhere", walk_forward=parts, tune=tune), CONFIG)


def test_parts_shorter_than_a_refresh_are_refused() -> None:
    flat = {0.5: 0.0, 2.0: 0.0, 1.0: 0.0}
    with pytest.raises(StopAndTell, match="shorter"):
        walked(Book(flat, flat, 0), parts=1000)


def test_whole_numbers_stay_whole() -> None:
    assert parse_tuning("entry_wait_s=60,90", CONFIG) == Tuning("entry_wait_s", (60, 90))
