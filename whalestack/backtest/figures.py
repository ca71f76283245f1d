"""What trades come to: counts, ratios, drawdown, exposure, by coin and by month, and how sure the mean is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whalestack.backtest.ledger import ClosedTrade
from whalestack.backtest.series import CoinSeries
from whalestack.clock import from_ms
from whalestack.math.directions import sign
from whalestack.math.heatmap import Floats, Ints

RESAMPLES = 10_000
CONFIDENCE_PCT = 95.0
LEAST_FOR_BOUNDS = 5
STEP_MS = 300_000
"""Equity is looked at so often."""


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds between which it lies with 95 % confidence; none of too few values."""

    mean: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """In per cent."""
        if self.low is None or self.high is None:
            return f"{self.mean:+.2f} %"
        return f"{self.mean:+.2f} %, 95 % between {self.low:+.2f} and {self.high:+.2f}"


@dataclass(frozen=True)
class Figures:
    """What trades come to.

    Args:
        trades: how many.
        win_rate_pct: share with a profit after costs.
        profit_factor: what was won over what was lost, None without a loss.
        pnl_pct: of the equity at the beginning.
        mean_trade_pct: result of a trade in per cent of its entry value; None without trades.
        hold_h: mean hours in a trade.
        stopped_pct: share that ended at a stop.
    """

    trades: int
    win_rate_pct: float
    profit_factor: float | None
    pnl_pct: float
    mean_trade_pct: Interval | None
    hold_h: float
    stopped_pct: float


@dataclass(frozen=True, eq=False)
class EquityCurve:
    """Equity every five minutes, open trades at the price of the moment.

    Args:
        at_ms: (E,). equity_usd: (E,). exposed_usd: (E,) value of what is held, at entry price.
    """

    at_ms: Ints
    equity_usd: Floats
    exposed_usd: Floats

    @property
    def drawdown_pct(self) -> float:
        """The deepest fall from a high before it, per cent of the high."""
        highs = np.maximum.accumulate(self.equity_usd)
        return float(((highs - self.equity_usd) / highs).max() * 100)

    @property
    def exposure_pct(self) -> float:
        """What was held on average, per cent of the equity."""
        return float((self.exposed_usd / self.equity_usd).mean() * 100)

    @property
    def time_in_trade_pct(self) -> float:
        """The share of time with anything held."""
        return float((self.exposed_usd > 0).mean() * 100)


def figures_of(trades: Sequence[ClosedTrade], start_usd: float, *, seed: int) -> Figures:
    """Sum trades up.

    Args:
        trades: over.
        start_usd: equity at the beginning.
        seed: of the resampling.
    """
    pnl = np.array([trade.pnl_usd for trade in trades])
    if not len(trades):
        return Figures(0, 0.0, None, 0.0, None, 0.0, 0.0)
    lost = -float(pnl[pnl < 0].sum())
    return Figures(
        trades=len(trades),
        win_rate_pct=float((pnl > 0).mean() * 100),
        profit_factor=float(pnl[pnl > 0].sum()) / lost if lost > 0 else None,
        pnl_pct=float(pnl.sum()) / start_usd * 100,
        mean_trade_pct=bootstrap_mean(np.array([trade.pnl_pct for trade in trades]), seed=seed),
        hold_h=float(np.mean([(trade.exit_ms - trade.entry_ms) / 3_600_000 for trade in trades])),
        stopped_pct=100 * sum(trade.reason == "stop_loss" for trade in trades) / len(trades),
    )


def bootstrap_mean(values: Floats, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The mean and the percentile bootstrap's bounds of it (Efron 1979).

    Args:
        values: (N,) at least one. With few values the bounds are too narrow, as any bootstrap's; of fewer
            than five there are none: those of a single value would lie on it.
        seed: of the resampling.
        resamples: how often the values are drawn anew.
    """
    if values.size < LEAST_FOR_BOUNDS:
        return Interval(float(values.mean()), None, None)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, values.size, (resamples, values.size))].mean(axis=1)
    tail = (100 - CONFIDENCE_PCT) / 2
    low, high = np.percentile(means, (tail, 100 - tail))
    return Interval(float(values.mean()), float(low), float(high))


def grouped(
    trades: Sequence[ClosedTrade], key: Callable[[ClosedTrade], str], start_usd: float, *, seed: int
) -> Mapping[str, Figures]:
    """The figures of each group, in the order of their keys."""
    groups: dict[str, list[ClosedTrade]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return {name: figures_of(groups[name], start_usd, seed=seed) for name in sorted(groups)}


def month_of(trade: ClosedTrade) -> str:
    """The month in which a trade ended."""
    return f"{from_ms(trade.exit_ms):%Y-%m}"


def equity_curve(
    trades: Sequence[ClosedTrade],
    series: Mapping[str, CoinSeries],
    *,
    begin_ms: int,
    end_ms: int,
    start_usd: float,
) -> EquityCurve:
    """Equity from the trades and the candles.

    A trade counts as wholly open from its first fill to its last: a ladder's rungs and parts of an exit
    are not told apart between the two.
    """
    at_ms = np.arange(begin_ms, end_ms + 1, STEP_MS, dtype=np.int64)
    equity, exposed = np.full(at_ms.size, start_usd), np.zeros(at_ms.size)
    for trade in trades:
        first, last = np.searchsorted(at_ms, (trade.entry_ms, trade.exit_ms)).tolist()
        held = slice(first, last)
        coin = series[trade.symbol]
        bars = np.clip((at_ms[held] - coin.start_ms) // coin.bar_ms - 1, 0, coin.bars.shape[1] - 1)
        moved = (coin.walk.closes[bars] - trade.entry_price) * sign(trade.direction)
        equity[held] += moved * trade.qty
        equity[last:] += trade.pnl_usd
        exposed[held] += trade.qty * trade.entry_price
    return EquityCurve(at_ms, equity, exposed)
