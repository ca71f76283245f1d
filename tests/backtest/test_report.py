"""What the report and its page say first, and what they must not say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.backtest.random_market import START_MS
from tests.backtest.test_figures import TRADE
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.figures import EquityCurve, figures_of
from whalestack.backtest.page import apart, page
from whalestack.backtest.report import AgentReport, Report
from whalestack.backtest.run import Outcome

AT_MS = START_MS + 300_000 * np.arange(3, dtype=np.int64)


def account(title: str, *results_usd: float) -> AgentReport:
    """An account with so many trades, each of 1,000 USD."""
    trades = tuple(replace(TRADE, pnl_usd=usd, pnl_pct=usd / 10) for usd in results_usd)
    end_usd = 10_000.0 + sum(results_usd)
    curve = EquityCurve(AT_MS, np.array([10_000.0, 10_000.0, end_usd]), np.zeros(3))
    return AgentReport(
        name=title,
        title=title,
        figures=figures_of(trades, 10_000.0, seed=1),
        by_coin={},
        by_month={},
        by_agent={},
        curve=curve,
        random=None,
        outcome=Outcome(trades, Decisions(), len(trades), {}, 10_000.0, end_usd, (), 0),
    )


def report(*agents: AgentReport) -> Report:
    return Report("candles", START_MS, START_MS + 900_000, 300, 3, ("X",), 1.0, {}, {}, (), (), agents)


def test_whoever_loses_is_said_to_lose_in_the_first_line() -> None:
    assert report(account("a", -10.0)).headline.startswith("It loses")
    assert report(account("a", -10.0), account("b", 5.0)).headline.startswith("1 of 2 traders lose")


def test_a_gain_of_few_trades_or_an_uncertain_one_is_no_gain() -> None:
    few, unsure = account("a", *[10.0] * 20), account("b", *[100.0, -95.0] * 20)

    assert few.verdict.startswith("No profit that can be told from chance")
    assert unsure.verdict.startswith("No profit that can be told from chance")
    assert "is not shown" in report(few, unsure).headline


def test_a_sure_gain_is_counted_with_a_warning() -> None:
    sure = account("a", *[10.0, 20.0] * 20)

    assert sure.verdict.startswith("It gains")
    assert "some look good by chance" in report(sure, account("b", 1.0)).headline


def test_the_page_says_why_plans_were_refused_and_what_was_checked() -> None:
    careful = account("a", -10.0)
    careful.outcome.refusals["unproven_range"] = 3
    told = report(careful)
    made = page(told, ["look-ahead: nothing knew <what> came later"])

    assert "refused: unproven_range 3" in made
    assert told.as_json()["agents"][0]["refusals"] == {"unproven_range": 3}
    assert "nothing knew &lt;what&gt; came later" in made


def test_accounts_that_never_differ_are_one_line() -> None:
    """Two strategies whose stops never moved must not look like two results."""
    found = apart([account("trailing", 10.0), account("fixed stop", 10.0), account("ladder", 20.0)])

    assert [titles for _, titles in found] == [["trailing", "fixed stop"], ["ladder"]]
    assert "trailing = fixed stop" in page(report(*(each for each, _ in found), account("fixed stop", 10.0)))


def test_a_single_trade_has_no_interval_on_the_page() -> None:
    row = account("a", -10.0).row()

    assert (row["mean_from"], row["mean_to"]) == (None, None)
    assert "nan" not in page(report(account("a", -10.0))).lower()
