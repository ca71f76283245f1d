"""The statements between a signal and its order: each as much as one transaction may hold, so that an
order waits for few answers of the database. What they decide is decided by their conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from whalestack.db.engine import Database
from whalestack.db.models import Base, Order, Signal, TradePlan

Model = TypeVar("Model", bound=Base)

# What a plan that enters has of its own, beside its status and its times.
PLAN_NUMBERS = (
    "direction",
    "cluster_id",
    "limit_price",
    "expected_entry_price",
    "stop_loss",
    "take_profit",
    "qty",
    "leverage",
    "liquidation_price",
    "equity_usd",
    "worst_loss_usd",
    "reward_pct",
    "risk_pct",
    "costs_pct",
    "success_rate",
    "observations",
)


def _names(model: type[Base]) -> tuple[str, ...]:
    return tuple(column.name for column in model.__table__.columns)


def _columns(model: type[Base]) -> str:
    return ", ".join(f"{model.__tablename__}.{name}" for name in _names(model))


def _model(model: type[Model], values: Sequence[Any]) -> Model:
    return model(**dict(zip(_names(model), values, strict=True)))


_SIGNAL = text(f"select {_columns(Signal)} from signals where id = :signal_id")  # noqa: S608
# Does not wait for the disk (docs/decisions/0013): without it the signal is simply looked at again.
_CLAIM = text(
    f"""
    with hasty as materialized (
        select set_config('synchronous_commit', 'off', true)
    ), made as (
        insert into trade_plans (signal_id, agent_name, strategy, symbol, direction, created_at, updated_at)
        select id, :agent_name, :strategy, symbol, direction, :now, :now
        from signals, hasty where id = :signal_id
        on conflict (signal_id, agent_name) do nothing
        returning *
    )
    select {_columns(Signal)}, {_columns(TradePlan).replace("trade_plans.", "made.")}
    from signals join made on made.signal_id = signals.id
    """  # noqa: S608 - the names of columns
)
# Whoever is about to decide on it is waited for.
_CLAIMED = text(
    f"""
    select {_columns(TradePlan)} from trade_plans
    where signal_id = :signal_id and agent_name = :agent_name for update
    """  # noqa: S608 - the names of columns
)


def claim_plan(
    db: Database, signal_id: int, agent_name: str, strategy: str, now: datetime
) -> tuple[Signal, TradePlan] | None:
    """A signal and the agent's one plan for it, made in status checking if it is not there yet; committed.

    Returns:
        Both as values that no session knows; None where there is no such signal.
    """
    asked = {"signal_id": signal_id, "agent_name": agent_name}
    with db.alone() as connection:
        row = connection.execute(_CLAIM, {**asked, "strategy": strategy, "now": now}).one_or_none()
        if row is not None:
            width = len(_names(Signal))
            return _model(Signal, row[:width]), _model(TradePlan, row[width:])
        signal = connection.execute(_SIGNAL, {"signal_id": signal_id}).one_or_none()
        if signal is None:
            return None
        plan = connection.execute(_CLAIMED, asked).one()
    return _model(Signal, signal), _model(TradePlan, plan)


_ENTER = text(
    f"""
    with plan as (
        update trade_plans
        set status = 'entering', updated_at = :now, expires_at = :expires_at,
            inputs = inputs || cast(:ages as jsonb), {", ".join(f"{name} = :{name}" for name in PLAN_NUMBERS)}
        where id = :plan_id and status = 'checking'
        returning id
    ), intents as (
        insert into orders
        select intent.* from plan cross join jsonb_populate_recordset(null::orders, cast(:intents as jsonb))
            as intent
    ), acted as (
        update signals set status = 'acted', reasons = '[]', updated_at = :now
        from plan where signals.id = :signal_id and signals.status <> 'acted'
    ), logged as (
        insert into agent_logs (agent_name, action, symbol, details, created_at)
        select :agent_name, 'plan_entering', :symbol, cast(:details as jsonb), :now from plan
    )
    select id from plan
    """  # noqa: S608 - the names of columns
)


def enter(
    session: Session,
    plan: TradePlan,
    orders: Sequence[Order],
    *,
    ages_s: Mapping[str, float],
    details: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Write that a plan enters, with its numbers and the intents of all its orders.

    Args:
        session: of the transaction that has looked for room.
        plan: with its numbers and its `expires_at`.
        orders: whole rows.
        ages_s: how old what it was made from was.
        details: for the agent's log.
        now: market time.

    Returns:
        False, and nothing is written, where the plan is not being checked any more.

    Raises:
        sqlalchemy.exc.IntegrityError: another plan has the symbol.
    """
    values = {
        **{name: getattr(plan, name) for name in PLAN_NUMBERS},
        "plan_id": plan.id,
        "signal_id": plan.signal_id,
        "agent_name": plan.agent_name,
        "symbol": plan.symbol,
        "expires_at": plan.expires_at,
        "now": now,
        "ages": json.dumps(ages_s),
        "details": json.dumps(details),
        "intents": json.dumps([_as_json(order) for order in orders], default=str),
    }
    return session.execute(_ENTER, values).one_or_none() is not None


def _as_json(row: Base) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _names(type(row))}


# A row is changed only after its symbol's book is locked, here as in `trading_store.locked_order`.
_BOOK = """
    with book as materialized (
        select pg_advisory_xact_lock(hashtextextended('ws:book:' || symbol, 0))
        from orders where order_link_id = any(:ids) limit 1
    )
"""
_MARK_SENT = text(
    f"""
    {_BOOK}
    update orders set status = 'sent', sent_at = :now, attempts = attempts + 1, updated_at = :now
    from book where order_link_id = any(:ids) and status = 'intent'
    returning order_link_id
    """  # noqa: S608 - nothing of it comes from outside
)
_ACCEPTED = text(
    f"""
    {_BOOK}
    update orders set status = 'new', updated_at = :now,
        exchange_order_id = coalesce(exchange_order_id, :exchange_order_id)
    from book where order_link_id = any(:ids) and status = 'sent'
    returning order_link_id
    """  # noqa: S608 - nothing of it comes from outside
)


def mark_sent(db: Database, order_link_ids: Sequence[str], sent_at: datetime) -> list[str]:
    """Commit, all at once, that intents of one symbol are being sent; those that this caller may send."""
    with db.alone() as connection:
        rows: Sequence[Row[Any]] = connection.execute(
            _MARK_SENT, {"ids": list(order_link_ids), "now": sent_at}
        ).all()
    marked = {row.order_link_id for row in rows}
    return [each for each in order_link_ids if each in marked]


def mark_accepted(db: Database, order_link_id: str, exchange_order_id: str, now: datetime) -> bool:
    """Commit that the exchange has an order which nobody has heard of since it was sent.

    Returns:
        False, and nothing is written, where the row does not say `sent` any more.
    """
    values = {"ids": [order_link_id], "exchange_order_id": exchange_order_id, "now": now}
    with db.alone() as connection:
        return connection.execute(_ACCEPTED, values).one_or_none() is not None
