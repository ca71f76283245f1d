"""One account over a random past: skipping changes nothing, seeds repeat, the sums are right."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.backtest.random_market import START_MS, WARM_UP_MS, candles, market, settings
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.run import AccountRun, Outcome
from whalestack.backtest.variants import traders
from whalestack.config import Settings

SOURCE = candles(bars=380)
CONFIG = settings()
SYMBOLS = tuple(coin.symbol for coin in SOURCE.coins)
MARKET = market(SOURCE)


@pytest.fixture(scope="module")
def played() -> Played:
    return play(MARKET, CONFIG, START_MS + WARM_UP_MS, 2**62)


def named(*names: str) -> tuple[Settings, ...]:
    return traders(names, CONFIG, SYMBOLS)


def run(played: Played, *names: str, walk_all: bool = False) -> Outcome:
    return AccountRun(played, named(*names), equity_usd=Decimal(20_000), walk_all=walk_all).run()


@pytest.mark.parametrize("name", ["conservative", "aggressive-ladder", "reversal-fixed"])
def test_passing_over_what_cannot_matter_changes_nothing(played: Played, name: str) -> None:
    quick, whole = run(played, name), run(played, name, walk_all=True)

    assert len(quick.trades) > 0
    assert quick.decisions.text() == whole.decisions.text()
    assert quick.trades == whole.trades
    assert quick.end_usd == whole.end_usd
    assert quick.points < whole.points / 5


def test_traders_of_one_account_share_its_places(played: Played) -> None:
    together = run(played, "conservative", "aggressive")

    assert {"conservative", "aggressive"} == {trade.agent for trade in together.trades}
    assert together.refusals.get("symbol_taken", 0) > 0


def test_the_same_seed_makes_the_same_decisions(played: Played) -> None:
    assert run(played, "aggressive").decisions.digest() == run(played, "aggressive").decisions.digest()


def test_the_balance_is_what_the_trades_came_to(played: Played) -> None:
    outcome = run(played, "aggressive")
    closed = [trade for trade in outcome.trades if trade.reason != "end_of_data"]

    assert len(closed) > 0
    if not outcome.open_trades:
        total = sum(trade.pnl_usd for trade in closed)
        assert outcome.end_usd == pytest.approx(outcome.start_usd + total)


def test_no_trade_risks_more_than_its_share(played: Played) -> None:
    """A stop costs one per cent of the equity, and what a gap past it costs, not more."""
    worst = min(trade.equity_pct for trade in run(played, "conservative").trades)

    assert worst > -1.5 * CONFIG.risk_per_trade_pct
