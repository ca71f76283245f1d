"""What is said of trades: checked against trades summed up by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backtest.random_market import START_MS, candles, market
from whalestack.backtest.baselines import buy_and_hold_pct, random_entries
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.figures import bootstrap_mean, equity_curve, figures_of, grouped, month_of
from whalestack.backtest.ledger import ClosedTrade
from whalestack.config import Settings
from whalestack.simulator.exchange.state import Fees

HOUR_MS = 3_600_000
TRADE = ClosedTrade(
    agent="bold",
    symbol="COIN0USDT",
    direction="LONG",
    strategy="AGGRESSIVE",
    rungs=1,
    entry_ms=START_MS + 2 * HOUR_MS,
    exit_ms=START_MS + 4 * HOUR_MS,
    entry_price=1.0,
    exit_price=1.1,
    qty=1000.0,
    stop_loss=0.95,
    take_profit=1.1,
    pnl_usd=98.0,
    pnl_pct=9.8,
    fees_usd=2.0,
    equity_pct=0.98,
    reason="take_profit",
)
LOSS = replace(TRADE, symbol="COIN1USDT", pnl_usd=-49.0, pnl_pct=-4.9, reason="stop_loss")


def test_three_trades_by_hand() -> None:
    figures = figures_of([TRADE, TRADE, LOSS], 10_000.0, seed=1)

    assert (3, pytest.approx(66.67, abs=0.01)) == (figures.trades, figures.win_rate_pct)
    assert figures.profit_factor == pytest.approx(196 / 49)
    assert figures.pnl_pct == pytest.approx(1.47)
    assert figures.hold_h == pytest.approx(2.0)
    assert figures.stopped_pct == pytest.approx(33.33, abs=0.01)


def test_without_a_trade_nothing_is_claimed() -> None:
    figures = figures_of([], 10_000.0, seed=1)

    assert (0, None, None) == (figures.trades, figures.profit_factor, figures.mean_trade_pct)


def test_the_bootstrap_of_a_normal_sample_is_near_its_standard_error() -> None:
    values = np.random.default_rng(2).normal(1.0, 2.0, 400)
    interval = bootstrap_mean(values, seed=3)
    error = 1.96 * values.std() / 20

    assert interval.mean == pytest.approx(values.mean())
    assert interval.low is not None
    assert interval.low == pytest.approx(values.mean() - error, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + error, abs=0.03)


def test_of_few_trades_no_interval_is_claimed() -> None:
    """That of one trade would be a point, and look like certainty."""
    interval = bootstrap_mean(np.array([1.0, 2.0, 3.0, 4.0]), seed=1)

    assert (2.5, None, None) == (interval.mean, interval.low, interval.high)
    assert "95 %" not in str(interval)


def test_trades_are_grouped_by_what_is_asked() -> None:
    by_coin = grouped([TRADE, LOSS], lambda trade: trade.symbol, 10_000.0, seed=1)

    assert ["COIN0USDT", "COIN1USDT"] == list(by_coin)
    assert "2025-10" == month_of(TRADE)


def test_the_curve_ends_where_the_trades_do_and_falls_between() -> None:
    series = {symbol: coin.series for symbol, coin in market(candles(coins=2, bars=200)).coins.items()}
    curve = equity_curve(
        [TRADE, LOSS], series, begin_ms=START_MS, end_ms=START_MS + 10 * HOUR_MS, start_usd=10_000.0
    )

    assert 10_000.0 == curve.equity_usd[0]
    assert curve.equity_usd[-1] == pytest.approx(10_049.0)
    assert curve.time_in_trade_pct == pytest.approx(20.0, abs=1.0)


def test_random_entries_know_neither_the_way_nor_the_moment() -> None:
    """A winner that nobody could repeat beats nearly every random entry; the draw repeats with its seed."""
    coins = market(candles(coins=1, bars=400)).coins
    series = {symbol: coin.series for symbol, coin in coins.items()}
    settings = {"bold": Settings(_env_file=None)}  # type: ignore[call-arg]
    span = {"begin_ms": START_MS + HOUR_MS, "end_ms": START_MS + 30 * HOUR_MS}
    first, second = (
        random_entries([TRADE], series, settings, seed=4, fees=Fees(), draws=60, **span) for _ in range(2)
    )

    assert first == second
    assert first is not None
    assert first.beaten_pct > 50
    assert first.low_pct <= first.mean_trade_pct <= first.high_pct


def test_where_nothing_moves_random_entries_lose_exactly_their_costs() -> None:
    """A taker's fee and the slippage at both ends, whenever they begin."""
    still = candles(coins=1, bars=200)
    still.coins[0].rows[300].values[:4] = 1.0
    series = {symbol: coin.series for symbol, coin in market(still).coins.items()}
    settings = {"bold": Settings(_env_file=None, slippage_pct=0.05)}  # type: ignore[call-arg]

    found = random_entries(
        [TRADE], series, settings, begin_ms=START_MS, end_ms=START_MS + 10 * HOUR_MS, seed=4, fees=Fees()
    )

    assert found is not None
    expected = -(2 * 0.055 + 2 * 0.05)
    assert (found.low_pct, found.mean_trade_pct, found.high_pct) == pytest.approx((expected,) * 3)
    assert found.beaten_pct == 100.0


def test_holding_costs_two_fees() -> None:
    series = {symbol: coin.series for symbol, coin in market(candles(coins=1, bars=100)).coins.items()}
    coin = series["COIN0USDT"]
    held = buy_and_hold_pct(series, START_MS, coin.end_ms, Fees())

    assert held == pytest.approx((coin.price(coin.total_points - 1) / coin.price(0) - 1) * 100 - 0.11)


def test_the_digest_is_that_of_the_lines() -> None:
    decisions = Decisions()
    decisions.signal(5, "XUSDT", "LONG", 1)

    assert "5 signal XUSDT LONG rank=1\n" == decisions.text()
    assert "d" not in decisions.until(5)
    assert 64 == len(decisions.digest())
