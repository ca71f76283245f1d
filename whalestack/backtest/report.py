"""What a backtest came to, as one value that is printed, written as JSON, and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from whalestack.backtest.baselines import RandomEntries, buy_and_hold_pct, random_entries
from whalestack.backtest.candles import Candles
from whalestack.backtest.figures import EquityCurve, Figures, equity_curve, figures_of, grouped, month_of
from whalestack.backtest.ledger import ClosedTrade
from whalestack.backtest.played_coins import Played
from whalestack.backtest.run import Outcome
from whalestack.backtest.variants import title
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.simulator.exchange.state import Fees

FEW_TRADES = 30


@dataclass(frozen=True, eq=False)
class AgentReport:
    """One account's result."""

    name: str
    title: str
    figures: Figures
    by_coin: Mapping[str, Figures]
    by_month: Mapping[str, Figures]
    by_agent: Mapping[str, Figures]
    curve: EquityCurve
    random: RandomEntries | None
    outcome: Outcome

    @property
    def verdict(self) -> str:
        """What may be said of it, in one sentence."""
        mean = self.figures.mean_trade_pct
        if mean is None:
            return "No trade: nothing can be said."
        came = f"{self.figures.pnl_pct:+.2f} % of the equity in {self.figures.trades} trades"
        sure = f"mean trade {mean}"
        few = f"; {self.figures.trades} trades are few" if self.figures.trades < FEW_TRADES else ""
        if self.figures.pnl_pct < 0:
            return f"It loses: {came}; {sure}{few}."
        if not self.is_sure:
            return f"No profit that can be told from chance: {came}; {sure}{few}."
        return f"It gains: {came}; {sure}{few}."

    @property
    def is_sure(self) -> bool:
        """Whether the mean of enough trades is above zero with 95 % confidence."""
        mean = self.figures.mean_trade_pct
        return (
            self.figures.trades >= FEW_TRADES and mean is not None and mean.low is not None and mean.low > 0
        )

    def row(self) -> dict[str, object]:
        """The line of the table that compares traders."""
        figures, mean, random = self.figures, self.figures.mean_trade_pct, self.random
        return {
            "agent": self.title,
            "trades": figures.trades,
            "win_pct": round(figures.win_rate_pct, 1),
            "profit_factor": None if figures.profit_factor is None else round(figures.profit_factor, 2),
            "pnl_pct": round(figures.pnl_pct, 2),
            "drawdown_pct": round(self.curve.drawdown_pct, 2),
            "exposure_pct": round(self.curve.exposure_pct, 1),
            "in_trade_pct": round(self.curve.time_in_trade_pct, 1),
            "hold_h": round(figures.hold_h, 1),
            "mean_trade_pct": None if mean is None else round(mean.mean, 2),
            "mean_from": None if mean is None or mean.low is None else round(mean.low, 2),
            "mean_to": None if mean is None or mean.high is None else round(mean.high, 2),
            "random_pct": None if random is None else round(random.mean_trade_pct, 2),
            "beats_random_pct": None if random is None else round(random.beaten_pct, 1),
        }


@dataclass(frozen=True, eq=False)
class Report:
    """A whole backtest."""

    source: str
    begin_ms: int
    end_ms: int
    bar_s: int
    candles: int
    symbols: tuple[str, ...]
    buy_and_hold_pct: float
    repairs: Mapping[str, int]
    left_out: Mapping[str, str]
    derived_interest: tuple[str, ...]
    derived_instruments: tuple[str, ...]
    agents: tuple[AgentReport, ...]

    @property
    def headline(self) -> str:
        """The first line: if money is lost, it says so."""
        if len(self.agents) == 1:
            return self.agents[0].verdict
        losing = sum(each.figures.pnl_pct < 0 for each in self.agents)
        sure = sum(each.is_sure for each in self.agents)
        told = f"{losing} of {len(self.agents)} traders lose money"
        if sure:
            return (
                f"{told}; of {sure} the mean of {FEW_TRADES} trades or more is above zero with 95 % "
                "confidence, counted one by one: of many that are tried, some look good by chance."
            )
        return (
            f"{told}; none has {FEW_TRADES} trades or more whose mean is above zero with 95 % confidence: "
            "a profit that can be told from chance is not shown."
        )

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "headline": self.headline,
            "source": self.source,
            "from": from_ms(self.begin_ms).isoformat(),
            "to": from_ms(self.end_ms).isoformat(),
            "candle_s": self.bar_s,
            "candles": self.candles,
            "symbols": list(self.symbols),
            "buy_and_hold_pct": self.buy_and_hold_pct,
            "repairs": dict(self.repairs),
            "left_out": dict(self.left_out),
            "derived_open_interest": list(self.derived_interest),
            "derived_instruments": list(self.derived_instruments),
            "agents": [_agent_json(each) for each in self.agents],
        }


def make_agent_report(
    name: str, played: Played, traders: Sequence[Settings], outcome: Outcome, *, seed: int, fees: Fees
) -> AgentReport:
    """Sum one account's run up.

    Args:
        name: of the account.
        played: the stretch.
        traders: of the account.
        outcome: of the run.
        seed: of resampling and random entries.
        fees: trading fees.
    """
    trades, start = outcome.trades, outcome.start_usd
    series = {symbol: played.market.coins[symbol].series for symbol in played.coins}
    span = {"begin_ms": played.begin_ms, "end_ms": played.end_ms}
    by_name = {each.autotrader_name: each for each in traders}

    def group(key: Any) -> Mapping[str, Figures]:
        return grouped(trades, key, start, seed=seed)

    return AgentReport(
        name=name,
        title=" and ".join(title(each) for each in traders),
        figures=figures_of(trades, start, seed=seed),
        by_coin=group(lambda trade: trade.symbol),
        by_month=group(month_of),
        by_agent=group(lambda trade: trade.agent),
        curve=equity_curve(trades, series, start_usd=start, **span),
        random=random_entries(trades, series, by_name, seed=seed, fees=fees, **span),
        outcome=outcome,
    )


def make_report(
    source: str, candles: Candles, played: Played, agents: Sequence[AgentReport], fees: Fees
) -> Report:
    """Put a report together."""
    market = played.market
    series = {symbol: market.coins[symbol].series for symbol in played.coins}
    return Report(
        source=source,
        begin_ms=played.begin_ms,
        end_ms=played.end_ms,
        bar_s=market.bar_ms // 1000,
        candles=played.candles,
        symbols=tuple(played.coins),
        buy_and_hold_pct=buy_and_hold_pct(series, played.begin_ms, played.end_ms, fees),
        repairs=candles.repairs.totals(),
        left_out=candles.left_out,
        derived_interest=market.derived_interest,
        derived_instruments=market.derived_instruments,
        agents=tuple(agents),
    )


def figures_row(name: str, value: str, figures: Figures) -> dict[str, object]:
    """A line of a table by coin, month or trader."""
    return {
        name: value,
        "trades": figures.trades,
        "win_pct": round(figures.win_rate_pct, 1),
        "profit_factor": None if figures.profit_factor is None else round(figures.profit_factor, 2),
        "pnl_pct": round(figures.pnl_pct, 2),
        "stopped_pct": round(figures.stopped_pct, 1),
        "hold_h": round(figures.hold_h, 1),
    }


def _agent_json(agent: AgentReport) -> dict[str, Any]:
    outcome = agent.outcome
    return {
        "name": agent.name,
        "title": agent.title,
        "verdict": agent.verdict,
        **asdict(agent.figures),
        "drawdown_pct": agent.curve.drawdown_pct,
        "exposure_pct": agent.curve.exposure_pct,
        "time_in_trade_pct": agent.curve.time_in_trade_pct,
        "start_usd": outcome.start_usd,
        "end_usd": outcome.end_usd,
        "open_trades": list(outcome.open_trades),
        "signals": outcome.signals,
        "refusals": outcome.refusals,
        "digest": outcome.decisions.digest(),
        "random_entries": None if agent.random is None else asdict(agent.random),
        "by_coin": {name: asdict(each) for name, each in agent.by_coin.items()},
        "by_month": {name: asdict(each) for name, each in agent.by_month.items()},
        "by_agent": {name: asdict(each) for name, each in agent.by_agent.items()},
        "trades_made": [_trade_json(trade) for trade in outcome.trades],
    }


def _trade_json(trade: ClosedTrade) -> dict[str, Any]:
    times = {"entry_at": from_ms(trade.entry_ms).isoformat(), "exit_at": from_ms(trade.exit_ms).isoformat()}
    return {**asdict(trade), **times}
