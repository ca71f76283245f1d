"""Plans and trades of one account, and the account as the guards see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from whalestack.agents.account import AccountFigures, figures_of
from whalestack.agents.plans import PlannedTrade
from whalestack.agents.pnl import FillFact, TradeTotals, trade_totals
from whalestack.clients.bybit.types import Wallet
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.db.trading_inputs import EndedTrade
from whalestack.math.directions import Direction
from whalestack.simulator.exchange import Exchange
from whalestack.simulator.exchange.order import Execution
from whalestack.simulator.exchange.protective_orders import STOP_LOSS

ZERO = Decimal(0)
END = "end_of_data"


@dataclass
class OpenPlan:
    """A plan that has reached the exchange, and its trade.

    Args:
        settings: of its trader.
        signal_id: the occasion.
        planned: every number of it.
        link_ids: of its entry orders, by id, the leg.
        expires_ms: until then unfilled entry orders wait.
        fills: of its trade.
        entered_ms: of the first fill, None before.
        last_entry_ms: of the latest fill that opened.
        last: the price when its profit was looked at last.
        best: the best price since the last entry, None before one was seen.
        exit_reason: of the last closing fill.
    """

    symbol: str
    settings: Settings
    signal_id: int
    planned: PlannedTrade
    expires_ms: int
    link_ids: dict[str, str] = field(default_factory=dict)
    fills: list[FillFact] = field(default_factory=list)
    entered_ms: int | None = None
    last_entry_ms: int = 0
    last: Decimal = ZERO
    best: Decimal | None = None
    exit_reason: str = ""

    @property
    def direction(self) -> Direction:
        return self.planned.direction

    @property
    def agent(self) -> str:
        return self.settings.autotrader_name

    def totals(self) -> TradeTotals:
        """The trade as its fills tell it."""
        return trade_totals(self.direction, self.fills)


@dataclass(frozen=True)
class ClosedTrade:
    """A trade that is over. `pnl_pct` is in per cent of the entry value, fees and funding taken off;
    `equity_pct` in per cent of the balance at its beginning."""

    agent: str
    symbol: str
    direction: Direction
    strategy: str
    rungs: int
    entry_ms: int
    exit_ms: int
    entry_price: float
    exit_price: float
    qty: float
    stop_loss: float
    take_profit: float
    pnl_usd: float
    pnl_pct: float
    fees_usd: float
    equity_pct: float
    reason: str


class Ledger:
    """What the account has planned, holds and has traded.

    Args:
        exchange: the account.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.plans: dict[str, OpenPlan] = {}
        self.trades: list[ClosedTrade] = []
        self._ended: list[EndedTrade] = []

    def figures(self, agent: str, now: datetime) -> AccountFigures:
        """The account now, at the latest mark prices."""
        margin = self._exchange.margin()
        return figures_of(
            wallet=Wallet(margin.equity, margin.available, margin.balance),
            ended=self._ended,
            exposure=self._exposure(),
            holders={symbol: plan.agent for symbol, plan in self.plans.items()},
            agent_name=agent,
            now=now,
        )

    def _exposure(self) -> dict[str, Decimal]:
        """As `whalestack.agents.account.exposure_by_symbol`: the largest of plan, trade and position."""
        state = self._exchange.state
        held = {
            symbol: plan.planned.size.qty * plan.planned.expected_entry_price
            for symbol, plan in self.plans.items()
        }
        for position in state.open_positions():
            value = max(position.entry_value, position.size * state.mark(position.symbol))
            held[position.symbol] = max(held.get(position.symbol, ZERO), value)
        return held

    def book(self, execution: Execution) -> str:
        """Take a fill in; returns what it is for the record of decisions, empty for funding."""
        plan = self.plans[execution.symbol]
        plan.fills.append(
            FillFact(execution.side.value, execution.price, execution.qty, execution.fee, execution.exec_type)
        )
        if execution.exec_type == "Funding":
            return ""
        leg = plan.link_ids.get(execution.order.link_id)
        if leg is not None:
            plan.entered_ms = plan.entered_ms or execution.executed_ms
            plan.last_entry_ms, plan.best = execution.executed_ms, None
            return leg
        if execution.exec_type == "BustTrade":
            plan.exit_reason = "liquidation"
            return "liquidation"
        is_stop = execution.order.stop_order_type == STOP_LOSS
        plan.exit_reason = "stop_loss" if is_stop else "take_profit"
        return "stop" if is_stop else "target"

    def close(self, plan: OpenPlan, now_ms: int) -> ClosedTrade:
        """The plan's trade is over."""
        totals = plan.totals()
        status = "stopped_out" if plan.exit_reason == "stop_loss" else "closed"
        self._ended.append(EndedTrade(plan.symbol, plan.agent, status, from_ms(now_ms), totals.pnl_usd))
        trade = self._closed(plan, totals, now_ms)
        self.trades.append(trade)
        del self.plans[plan.symbol]
        return trade

    def close_on_paper(self, plan: OpenPlan, price: Decimal, now_ms: int) -> None:
        """Count a trade that is still open at the end as if the market had closed it there, fee and all.

        Losers that are held on would flatter the others.
        """
        position = self._exchange.state.position(plan.symbol)
        fee = position.size * price * self._exchange.state.fees.taker
        opens = plan.fills[0].side
        fill = FillFact("Sell" if opens == "Buy" else "Buy", price, position.size, fee, "Trade")
        plan.exit_reason = END
        totals = trade_totals(plan.direction, [*plan.fills, fill])
        self.trades.append(self._closed(plan, totals, now_ms))

    def _closed(self, plan: OpenPlan, totals: TradeTotals, now_ms: int) -> ClosedTrade:
        before = self._exchange.state.account.balance - totals.pnl_usd
        return ClosedTrade(
            agent=plan.agent,
            symbol=plan.symbol,
            direction=plan.direction,
            strategy=plan.settings.autotrader_strategy,
            rungs=len(plan.planned.rungs),
            entry_ms=plan.entered_ms or now_ms,
            exit_ms=now_ms,
            entry_price=float(totals.entry_price or 0),
            exit_price=float(totals.exit_price or 0),
            qty=float(totals.entry_qty),
            stop_loss=float(plan.planned.stop_loss),
            take_profit=float(plan.planned.take_profit),
            pnl_usd=float(totals.pnl_usd),
            pnl_pct=totals.pnl_pct,
            fees_usd=float(totals.fees_usd),
            equity_pct=float(totals.pnl_usd / before * 100) if before > 0 else 0.0,
            reason=plan.exit_reason,
        )
