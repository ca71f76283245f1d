"""Rows of signals, plans, orders, fills and trades: reads, claims and locks, no decisions.

Two locks serialise work on one symbol. The book lock lasts one transaction and guards
what the database says about the symbol. The action lock is held while something about the
symbol's position is being changed on the exchange, so that two workers cannot move its stop
in the wrong order; it belongs to a connection and ends with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.db.models import (
    AgentLog,
    Fill,
    Order,
    PositionMonitorLog,
    Signal,
    Switch,
    Trade,
    TradePlan,
)

UNFINISHED = ("intent", "sent", "unknown", "new", "partially_filled")
ON_EXCHANGE = ("sent", "unknown", "new", "partially_filled")
ACTIVE_PLANS = ("entering", "open")


def lock_book(session: Session, symbol: str) -> None:
    """Let no other transaction change what the database says of this symbol until this one ends."""
    session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"ws:book:{symbol}"}
    )


@contextmanager
def action_lock(engine: Engine, symbol: str) -> Iterator[bool]:
    """Whether this caller is the only one that acts on the symbol's position now; it does not wait."""
    with engine.connect() as connection, connection.begin():
        yield bool(
            connection.scalar(
                text("select pg_try_advisory_xact_lock(hashtextextended(:key, 0))"),
                {"key": f"ws:act:{symbol}"},
            )
        )


# --- signals and plans --------------------------------------------------------------


def claim_plan(session: Session, signal: Signal, agent_name: str, strategy: str, now: datetime) -> TradePlan:
    """The agent's one plan for the signal, locked; made in status checking if it is not there yet."""
    session.execute(
        insert(TradePlan)
        .values(
            signal_id=signal.id,
            agent_name=agent_name,
            strategy=strategy,
            symbol=signal.symbol,
            direction=signal.direction,
            status="checking",
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing(index_elements=["signal_id", "agent_name"])
    )
    return session.scalars(
        select(TradePlan)
        .where(TradePlan.signal_id == signal.id, TradePlan.agent_name == agent_name)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def locked_plan(session: Session, plan_id: int) -> TradePlan:
    """One plan, locked until the transaction ends."""
    return session.scalars(
        select(TradePlan)
        .where(TradePlan.id == plan_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def active_plans(session: Session) -> Sequence[TradePlan]:
    """Plans that have or may have something on the exchange, oldest first."""
    return session.scalars(
        select(TradePlan).where(TradePlan.status.in_(ACTIVE_PLANS)).order_by(TradePlan.id)
    ).all()


def has_active_plan(session: Session, symbol: str) -> bool:
    """Whether a plan has or may have something on the exchange in this symbol."""
    found = select(TradePlan.id).where(TradePlan.symbol == symbol, TradePlan.status.in_(ACTIVE_PLANS))
    return session.scalar(found.limit(1)) is not None


def unattended_signals(session: Session, agent_name: str) -> Sequence[Signal]:
    """Signals that this agent has not decided on: no plan of its own, or one still being checked."""
    mine = TradePlan.agent_name == agent_name
    return session.scalars(
        select(Signal)
        .outerjoin(TradePlan, (TradePlan.signal_id == Signal.id) & mine)
        .where(
            or_(
                (Signal.status == "new") & (TradePlan.id.is_(None)),
                TradePlan.status == "checking",
            )
        )
        .order_by(Signal.id)
    ).all()


# --- orders ---------------------------------------------------------------------------


def locked_order(session: Session, order_link_id: str) -> Order | None:
    """One order with its symbol's book, locked until the transaction ends.

    The book is locked first, always: two transactions that took them in different orders
    would wait for each other.
    """
    symbol = session.scalar(select(Order.symbol).where(Order.order_link_id == order_link_id))
    if symbol is None:
        return None
    lock_book(session, symbol)
    return session.scalars(
        select(Order)
        .where(Order.order_link_id == order_link_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def orders_in(session: Session, statuses: Sequence[str]) -> Sequence[Order]:
    """Orders in one of the statuses, oldest first."""
    return session.scalars(
        select(Order).where(Order.status.in_(statuses)).order_by(Order.created_at, Order.order_link_id)
    ).all()


def plan_orders(session: Session, plan_id: int, statuses: Sequence[str] | None = None) -> Sequence[Order]:
    """A plan's orders by leg; all of them, or those in one of the statuses."""
    found = select(Order).where(Order.plan_id == plan_id)
    if statuses is not None:
        found = found.where(Order.status.in_(statuses))
    return session.scalars(found.order_by(Order.order_link_id)).all()


def signals_with_intents(session: Session, agent_name: str, before: datetime) -> Sequence[int]:
    """Signals of which this agent has written an order before a moment and never sent it."""
    return session.scalars(
        select(TradePlan.signal_id)
        .join(Order, Order.plan_id == TradePlan.id)
        .where(Order.status == "intent", Order.agent_name == agent_name, Order.created_at < before)
        .distinct()
        .order_by(TradePlan.signal_id)
    ).all()


def orders_with_missing_fills(session: Session, since: datetime) -> Sequence[Order]:
    """Orders of which the exchange says that more was filled than our fills add up to."""
    known = func.coalesce(func.sum(Fill.qty), 0)
    return session.scalars(
        select(Order)
        .outerjoin(Fill, Fill.order_link_id == Order.order_link_id)
        .where(Order.filled_qty > 0, Order.updated_at >= since)
        .group_by(Order.order_link_id)
        .having(known < Order.filled_qty)
    ).all()


def exit_orders(session: Session, symbol: str, agent_name: str, prefix: str) -> Sequence[Order]:
    """Exit orders of one agent whose id begins with `prefix`."""
    return session.scalars(
        select(Order).where(
            Order.symbol == symbol,
            Order.agent_name == agent_name,
            Order.reduce_only,
            Order.order_link_id.startswith(prefix, autoescape=True),
        )
    ).all()


# --- fills and trades -------------------------------------------------------------------


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


def latest_fill_at(session: Session) -> datetime | None:
    """When the newest known fill was executed."""
    return session.scalar(select(func.max(Fill.executed_at)))


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


def open_stop_moves(session: Session, symbol: str) -> Sequence[PositionMonitorLog]:
    """Moves of the symbol's stop of which the outcome was never written, oldest first."""
    return session.scalars(
        select(PositionMonitorLog)
        .where(PositionMonitorLog.symbol == symbol, PositionMonitorLog.status.in_(("intent", "unknown")))
        .order_by(PositionMonitorLog.id)
    ).all()


def plan_trades(session: Session, plan_id: int) -> Sequence[Trade]:
    """The trades that came of a plan: nearly always one."""
    return session.scalars(select(Trade).where(Trade.plan_id == plan_id).order_by(Trade.id)).all()


# --- switches and the agents' log ---------------------------------------------------------


def locked_switch(session: Session, name: str, now: datetime) -> Switch:
    """One switch, locked until the transaction ends; made in the off position if it is not there."""
    session.execute(
        insert(Switch)
        .values(name=name, is_on=False, reason="", set_by="", set_at=now)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    return session.scalars(
        select(Switch).where(Switch.name == name).with_for_update().execution_options(populate_existing=True)
    ).one()


def set_switch(session: Session, name: str, *, is_on: bool, reason: str, set_by: str, now: datetime) -> None:
    """Put a switch into a position, with who and why."""
    values = {"is_on": is_on, "reason": reason, "set_by": set_by, "set_at": now}
    session.execute(
        insert(Switch).values(name=name, **values).on_conflict_do_update(index_elements=["name"], set_=values)
    )


def log_action(
    session: Session,
    *,
    agent_name: str,
    action: str,
    now: datetime,
    symbol: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write what an agent did, and why, under its name."""
    session.add(
        AgentLog(
            agent_name=agent_name,
            action=action,
            symbol=symbol,
            details=details or {},
            created_at=now,
        )
    )


def logged_since(
    session: Session, action: str, symbol: str, since: datetime, trade_id: int
) -> Sequence[datetime]:
    """When an action about a trade was logged at or after `since`, oldest first."""
    return session.scalars(
        select(AgentLog.created_at)
        .where(
            AgentLog.created_at >= since,
            AgentLog.action == action,
            AgentLog.symbol == symbol,
            AgentLog.details["trade_id"].as_integer() == trade_id,
        )
        .order_by(AgentLog.created_at)
    ).all()


def mark_signal(
    session: Session, signal_id: int, status: str, reasons: list[dict[str, Any]], now: datetime
) -> None:
    """Say what became of a signal; one that was acted on stays so."""
    session.execute(
        update(Signal)
        .where(Signal.id == signal_id, Signal.status != "acted")
        .values(status=status, reasons=reasons, updated_at=now)
    )


def exposure_usd(trade: Trade) -> Decimal:
    """What an open trade holds, at its entry price."""
    return trade.open_qty * trade.entry_price
