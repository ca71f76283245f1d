"""The account as the guards see it: what is held, what was lost, how the last trades ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from whalestack.clients.bybit.types import Position, Wallet
from whalestack.db.account_rows import AccountRows
from whalestack.db.trading_inputs import EndedTrade

_ZERO = Decimal(0)


@dataclass(frozen=True)
class AccountFigures:
    """One moment of the account. Exposure is at entry or mark price, whichever was at hand.

    Args:
        equity_usd, available_usd: of the wallet, open profit included.
        exposure_by_symbol: what is held or may fill at any moment, USD.
        day_loss_pct: lost since midnight UTC, open loss included, per cent of the equity at midnight.
        drawdown_pct: below the highest equity that closed trades ever reached, per cent of it.
        stop_streak: how many of the agent's latest trades in a row were stopped out at a loss.
        last_stop_at: when the latest of them was.
        coin_stopped_at: when each coin was last stopped out at a loss.
        agent_by_symbol: whose plan or trade each coin is taken by, where the database knows.
    """

    equity_usd: Decimal
    available_usd: Decimal
    exposure_by_symbol: dict[str, Decimal]
    day_loss_pct: float
    drawdown_pct: float
    stop_streak: int
    last_stop_at: datetime | None
    coin_stopped_at: dict[str, datetime]
    agent_by_symbol: dict[str, str] = field(default_factory=dict)

    @property
    def exposure_usd(self) -> Decimal:
        return sum(self.exposure_by_symbol.values(), _ZERO)

    @property
    def open_positions(self) -> int:
        return len(self.exposure_by_symbol)

    def positions_of(self, agent_name: str) -> int:
        """How many coins are taken by plans and trades of one agent."""
        return list(self.agent_by_symbol.values()).count(agent_name)

    def exposure_pct(self, symbol: str | None = None) -> float:
        """Exposure of one coin or of all, per cent of the equity."""
        held = self.exposure_usd if symbol is None else self.exposure_by_symbol.get(symbol, _ZERO)
        return float(held / self.equity_usd * 100) if self.equity_usd > 0 else 0.0


def account_figures(
    rows: AccountRows, *, wallet: Wallet, positions: Sequence[Position], agent_name: str, now: datetime
) -> AccountFigures:
    """Put the account together from both sides.

    Args:
        rows: our side, read after the exchange has answered.
        wallet, positions: as the exchange says, so that what a person holds counts too.
        agent_name: whose streak of stops counts.
        now: market time.
    """
    return figures_of(
        wallet=wallet,
        ended=rows.ended,
        exposure=exposure_by_symbol(rows, positions),
        holders=holders(rows),
        agent_name=agent_name,
        now=now,
    )


def figures_of(
    *,
    wallet: Wallet,
    ended: Sequence[EndedTrade],
    exposure: dict[str, Decimal],
    holders: dict[str, str],
    agent_name: str,
    now: datetime,
) -> AccountFigures:
    """The account from its facts.

    Args:
        wallet: as the exchange says.
        ended: all trades that are over, by the time they ended.
        exposure: what is held or may fill at any moment, by symbol, USD.
        holders: symbol to agent.
        agent_name: whose streak of stops counts.
        now: market time.
    """
    stops = [trade for trade in ended if _is_lost_stop(trade)]
    streak = _stop_streak(trade for trade in ended if trade.agent_name == agent_name)
    own_stops = [trade.exit_time for trade in stops if trade.agent_name == agent_name]
    return AccountFigures(
        equity_usd=wallet.equity_usd,
        available_usd=wallet.available_usd,
        exposure_by_symbol=exposure,
        day_loss_pct=day_loss_pct(wallet, ended, now),
        drawdown_pct=drawdown_pct(wallet, ended),
        stop_streak=streak,
        last_stop_at=own_stops[-1] if own_stops else None,
        coin_stopped_at={trade.symbol: trade.exit_time for trade in stops},
        agent_by_symbol=holders,
    )


def day_loss_pct(wallet: Wallet, ended: Iterable[EndedTrade], now: datetime) -> float:
    """Lost since midnight UTC, in per cent of the wallet at midnight; 0 for a day in profit."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    realised = sum((trade.pnl_usd for trade in ended if trade.exit_time >= midnight), _ZERO)
    at_midnight = wallet.wallet_balance_usd - realised
    lost = at_midnight - wallet.equity_usd
    return float(max(lost, _ZERO) / at_midnight * 100) if at_midnight > 0 else 0.0


def drawdown_pct(wallet: Wallet, ended: Iterable[EndedTrade]) -> float:
    """How far the equity is below its highest, in per cent of the highest.

    The past is reckoned back from today's wallet by the trades' own results, so money that
    the owner puts in or takes out is neither profit nor loss.
    """
    results = [trade.pnl_usd for trade in ended]
    balance = wallet.wallet_balance_usd - sum(results, _ZERO)
    highest = balance
    for result in results:
        balance += result
        highest = max(highest, balance)
    return float(max(highest - wallet.equity_usd, _ZERO) / highest * 100) if highest > 0 else 0.0


def exposure_by_symbol(rows: AccountRows, positions: Iterable[Position]) -> dict[str, Decimal]:
    """What is held or may fill at any moment, USD, from the database and from these positions."""
    held = {plan.symbol: plan.usd for plan in rows.plans}
    for trade in rows.trades:
        held[trade.symbol] = max(held.get(trade.symbol, _ZERO), trade.usd)
    for position in positions:
        value = position.size * (position.mark_price or position.avg_price)
        held[position.symbol] = max(held.get(position.symbol, _ZERO), value)
    return held


def holders(rows: AccountRows) -> dict[str, str]:
    """Symbol to agent; at most one plan and one trade hold a symbol, and a plan's trade is its own."""
    return {held.symbol: held.agent_name for held in (*rows.plans, *rows.trades)}


def _stop_streak(trades: Iterable[EndedTrade]) -> int:
    streak = 0
    for trade in trades:
        streak = streak + 1 if _is_lost_stop(trade) else 0
    return streak


def _is_lost_stop(trade: EndedTrade) -> bool:
    """A stop that had been trailed into profit is no sign that something is wrong."""
    return trade.status == "stopped_out" and trade.pnl_usd < 0
