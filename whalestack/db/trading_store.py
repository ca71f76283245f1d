"""Rows of signals, plans and orders: reads, claims and locks, no decisions.

Two locks serialise work on one symbol. The book lock lasts one transaction and guards
what the database says about the symbol. The action lock is held while something about the
symbol's position is being changed on the exchange, so that two workers cannot move its stop
in the wrong order; it belongs to a connection and ends with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from whalestack.db.models import (
    Fill,
    Order,
    Signal,
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


# Evaluated from left to right.
_LOCK_ENTRIES = text(
    "select pg_advisory_xact_lock(hashtextextended('ws:entries', 0)),"
    " pg_advisory_xact_lock(hashtextextended(:book, 0))"
)


def lock_entries(session: Session, symbol: str) -> None:
    """Let no other transaction enter any symbol until this one ends, and lock the book of this symbol;
    in this order, everywhere."""
    session.execute(_LOCK_ENTRIES, {"book": f"ws:book:{symbol}"})


_TRY_ACTION = text("select pg_try_advisory_xact_lock(hashtextextended(:key, 0))")
ASK_FOR_LOCK_EVERY_S = 0.05


@contextmanager
def action_lock(engine: Engine, symbol: str, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Whether this caller is the only one that acts on the symbol's position now.

    Args:
        engine: of this process.
        symbol: Bybit symbol.
        wait_s: real seconds to wait for somebody else's action; by default it does not wait.
    """
    with engine.connect() as connection, connection.begin():
        key = {"key": f"ws:act:{symbol}"}
        yield _comes_true(lambda: bool(connection.scalar(_TRY_ACTION, key)), wait_s)


def _comes_true(attempt: Callable[[], bool], wait_s: float) -> bool:
    deadline_s = time.monotonic() + wait_s
    while not attempt():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(ASK_FOR_LOCK_EVERY_S)
    return True


# The session's patience changes with the lock: "0" is none, and says that somebody else has it.
_LOCK_ACTION = text(
    """
    select set_config('idle_session_timeout',
        case when pg_try_advisory_lock(hashtextextended(:key, 0)) then '60s' else '0' end, false)
    """
)
_UNLOCK_ACTION = text(
    "select pg_advisory_unlock(hashtextextended(:key, 0)), set_config('idle_session_timeout', '0', false)"
)


@contextmanager
def acting_alone(engine: Engine, symbol: str, *, wait_s: float = 0.0) -> Iterator[Connection | None]:
    """The action lock with a connection to work on while it is held; None where somebody else has it.

    Each statement on the connection is a transaction of its own: what is written is committed at
    once, and the lock outlives it. A worker that stands still in the middle loses its session, and
    with it the lock, after a minute. Arguments as of `action_lock`.
    """
    key = {"key": f"ws:act:{symbol}"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_alone = _comes_true(lambda: connection.scalar(_LOCK_ACTION, key) != "0", wait_s)
        try:
            yield connection if is_alone else None
        finally:
            if is_alone and not _is_released(connection, key):
                # The pool must not hand on a session that still holds it.
                connection.invalidate()


def _is_released(connection: Connection, key: dict[str, str]) -> bool:
    try:
        connection.execute(_UNLOCK_ACTION, key)
    except DBAPIError:
        return False
    return True


def note_inputs(session: Session, plan: TradePlan, ages_s: Mapping[str, float]) -> None:
    """Keep what a plan was made from, where it comes to nothing in the last moment."""
    session.execute(
        update(TradePlan)
        .where(TradePlan.id == plan.id, TradePlan.status == "checking")
        .values(equity_usd=plan.equity_usd, inputs=TradePlan.inputs.concat(dict(ages_s)))
    )


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


def unattended_signals(session: Session, agent_name: str, young_since: datetime) -> Sequence[Signal]:
    """Signals that this agent has not decided on: no plan of its own, or one still being checked.

    What other agents made of a signal does not count while it is young; an old one that nobody
    has attended to is told as well, so that somebody ends it.
    """
    mine = TradePlan.agent_name == agent_name
    is_open = (Signal.status == "new") | (Signal.triggered_at >= young_since)
    return session.scalars(
        select(Signal)
        .outerjoin(TradePlan, (TradePlan.signal_id == Signal.id) & mine)
        .where(
            or_(
                is_open & TradePlan.id.is_(None),
                TradePlan.status == "checking",
            )
        )
        .order_by(Signal.id)
    ).all()


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


def orders_of(session: Session, order_link_ids: Sequence[str]) -> dict[str, Order]:
    """Those of the orders that are ours, by id."""
    found = session.scalars(select(Order).where(Order.order_link_id.in_(order_link_ids)))
    return {order.order_link_id: order for order in found}


def orders_in(session: Session, statuses: Sequence[str]) -> Sequence[Order]:
    """Orders in one of the statuses, oldest first."""
    return session.scalars(
        select(Order).where(Order.status.in_(statuses)).order_by(Order.created_at, Order.order_link_id)
    ).all()


def plan_orders(session: Session, plan_id: int, statuses: Sequence[str] | None = None) -> Sequence[Order]:
    """A plan's orders, nearest rung first; all of them, or those in one of the statuses."""
    found = select(Order).where(Order.plan_id == plan_id)
    if statuses is not None:
        found = found.where(Order.status.in_(statuses))
    # e0, e1, ... e10: a shorter leg stands before a longer one.
    return session.scalars(found.order_by(func.length(Order.leg), Order.leg)).all()


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


def mark_signal(
    session: Session, signal_id: int, status: str, reasons: list[dict[str, Any]], now: datetime
) -> None:
    """Say what became of a signal; one that was acted on stays so."""
    session.execute(
        update(Signal)
        .where(Signal.id == signal_id, Signal.status != "acted")
        .values(status=status, reasons=reasons, updated_at=now)
    )
