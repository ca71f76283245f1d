"""A plan's status follows from its orders and trades; nobody sets it by hand."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from whalestack.db import trading_store as store
from whalestack.db.models import TradePlan
from whalestack.db.order_states import UNFINISHED


def settle(session: Session, plan_id: int, now: datetime) -> TradePlan:
    """Put a plan that has reached the exchange into the status its orders and trades say.

    Open while a trade runs, entering while an order may still fill, then closed if there ever
    was a trade, refused if no order was ever taken, and expired otherwise. An order that may
    still fill keeps the plan, and with it the symbol, after its trade has ended.
    """
    plan = store.locked_plan(session, plan_id)
    if plan.status in ("entering", "open"):
        status = _status(session, plan_id)
        if status != plan.status:
            plan.status, plan.updated_at = status, now
    return plan


def _status(session: Session, plan_id: int) -> str:
    trades = store.plan_trades(session, plan_id)
    orders = store.plan_orders(session, plan_id)
    if any(trade.status == "open" for trade in trades):
        return "open"
    if any(order.status in UNFINISHED for order in orders):
        return "entering"
    if trades:
        return "closed"
    return "refused" if all(order.status in ("refused", "rejected") for order in orders) else "expired"
