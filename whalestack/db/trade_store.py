"""Rows of fills and trades: reads and locks, no decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.db.models import Fill, Signal, Trade, TradePlan


def insert_fill(session: Session, values: dict[str, Any]) -> bool:
    """Store one fill; False where the exchange's id of it is known already."""
    stored = session.execute(
        insert(Fill)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["exec_id"])
        .returning(Fill.exec_id)
    )
    return stored.scalar_one_or_none() is not None


def trade_fills(session: Session, trade_id: int) -> Sequence[Fill]:
    """All fills of a trade, oldest first."""
    return session.scalars(
        select(Fill).where(Fill.trade_id == trade_id).order_by(Fill.executed_at, Fill.exec_id)
    ).all()


def known_filled_qty(session: Session, order_link_id: str) -> Decimal:
    """How much of an order the fills that we know add up to, base units."""
    total = session.scalar(select(func.sum(Fill.qty)).where(Fill.order_link_id == order_link_id))
    return total if total is not None else Decimal(0)


def stray_fills(session: Session, symbol: str, since: datetime) -> Sequence[Fill]:
    """Fills of the symbol that belong to no trade yet, executed at or after `since`."""
    return session.scalars(
        select(Fill)
        .where(Fill.symbol == symbol, Fill.trade_id.is_(None), Fill.executed_at >= since)
        .order_by(Fill.executed_at, Fill.exec_id)
    ).all()


def open_trades(session: Session) -> Sequence[Trade]:
    """All open trades, oldest first."""
    return session.scalars(select(Trade).where(Trade.status == "open").order_by(Trade.id)).all()


def open_trade(session: Session, symbol: str, *, lock: bool = False) -> Trade | None:
    """The symbol's open trade; a symbol has at most one."""
    found = select(Trade).where(Trade.symbol == symbol, Trade.status == "open")
    if lock:
        found = found.with_for_update().execution_options(populate_existing=True)
    return session.scalars(found).one_or_none()


def ended_trade(
    session: Session, symbol: str, moment: datetime, *, plan_id: int | None, side: str
) -> Trade | None:
    """The ended trade that a late fill belongs to, locked.

    It was running at `moment`, or it came of the same plan and ended later, or it ended with
    something left open which this fill, of the other side, closes.
    """
    was_running = (Trade.entry_time <= moment) & (Trade.exit_time >= moment)
    same_plan = (Trade.plan_id == plan_id) & (Trade.exit_time >= moment)
    was_left_open = (
        (Trade.open_qty > 0)
        & (Trade.exit_time <= moment)
        & (Trade.side == ("SHORT" if side == "Buy" else "LONG"))
    )
    belongs = was_running | was_left_open
    return session.scalars(
        select(Trade)
        .where(
            Trade.symbol == symbol,
            Trade.status != "open",
            belongs if plan_id is None else belongs | same_plan,
        )
        .order_by(Trade.id.desc())
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def locked_trade(session: Session, trade_id: int) -> Trade:
    """One trade, locked until the transaction ends."""
    return session.scalars(
        select(Trade).where(Trade.id == trade_id).with_for_update().execution_options(populate_existing=True)
    ).one()


def scanner_of(session: Session, trade: Trade) -> str:
    """The scanner behind the signal of which a trade came, empty where there is none."""
    found = session.scalar(
        select(Signal.scanner)
        .join(TradePlan, TradePlan.signal_id == Signal.id)
        .where(TradePlan.id == trade.plan_id)
    )
    return found or ""


def plan_trades(session: Session, plan_id: int) -> Sequence[Trade]:
    """The trades that came of a plan: nearly always one."""
    return session.scalars(select(Trade).where(Trade.plan_id == plan_id).order_by(Trade.id)).all()


@dataclass(frozen=True)
class AgentResult:
    """What came of one agent's trades. A win is a closed trade with a profit after all costs.

    Args:
        agent_name: who opened them.
        trades: closed ones.
        open: still running.
        wins, stopped: of the closed ones.
        mean_pnl_pct, total_pnl_pct: per cent of the entry value, over the closed ones.
        pnl_usd: of the closed ones.
    """

    agent_name: str
    trades: int = 0
    open: int = 0
    wins: int = 0
    stopped: int = 0
    mean_pnl_pct: float | None = None
    total_pnl_pct: float = 0.0
    pnl_usd: Decimal = Decimal(0)

    @property
    def win_pct(self) -> float | None:
        """Share of wins among the closed trades, per cent; None without any."""
        return self.wins / self.trades * 100 if self.trades else None


def agent_results(session: Session, mode: str) -> dict[str, AgentResult]:
    """Every agent's results in one mode: simulated and real trades are never added up."""
    closed = Trade.status != "open"
    found = session.execute(
        select(
            Trade.agent_name,
            func.count().filter(closed),
            func.count().filter(~closed),
            func.count().filter(closed, Trade.pnl_usd > 0),
            func.count().filter(Trade.status == "stopped_out"),
            func.avg(Trade.pnl_pct).filter(closed),
            func.coalesce(func.sum(Trade.pnl_pct).filter(closed), 0.0),
            func.coalesce(func.sum(Trade.pnl_usd).filter(closed), Decimal(0)),
        )
        .where(Trade.mode == mode)
        .group_by(Trade.agent_name)
        .order_by(Trade.agent_name)
    )
    return {row[0]: AgentResult(*row) for row in found}


def exposure_usd(trade: Trade) -> Decimal:
    """What an open trade holds, at its entry price."""
    return trade.open_qty * trade.entry_price
