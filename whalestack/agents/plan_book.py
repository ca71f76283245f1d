"""A plan's status follows from its orders and trades; nobody sets it by hand."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from whalestack.db import trade_store
from whalestack.db import trading_store as store
from whalestack.db.models import Order, TradePlan
from whalestack.db.order_states import UNFINISHED

# The stream may tell that an order was filled before it tells of the fill, and the poll
# fetches one that was lost; after this nobody waits for it any more.
FILLS_ARE_AWAITED_FOR = timedelta(days=1)


def settle(session: Session, plan_id: int, now: datetime) -> TradePlan:
    """Put a plan that has reached the exchange into the status its orders and trades say.

    Open while a trade runs, entering while an order may still fill or a fill is still to be
    told, then closed if there ever was a trade, refused if no order was ever taken, and
    expired otherwise. So an order that may still fill keeps the plan, and with it the symbol,
    after its trade has ended. A fill that crossed a cancel opens the plan again.
    """
    plan = store.locked_plan(session, plan_id)
    if plan.status == "checking":
        return plan
    status = _status(session, plan_id, now)
    would_activate = status in store.ACTIVE_PLANS and plan.status not in store.ACTIVE_PLANS
    if status != plan.status and not (would_activate and store.has_active_plan(session, plan.symbol)):
        plan.status, plan.updated_at = status, now
        session.flush()
    return plan


def _status(session: Session, plan_id: int, now: datetime) -> str:
    trades = trade_store.plan_trades(session, plan_id)
    orders = store.plan_orders(session, plan_id)
    if any(trade.status == "open" for trade in trades):
        return "open"
    if any(_may_still_tell(session, order, now) for order in orders):
        return "entering"
    if trades:
        return "closed"
    return "refused" if all(order.status in ("refused", "rejected") for order in orders) else "expired"


def _may_still_tell(session: Session, order: Order, now: datetime) -> bool:
    if order.status in UNFINISHED:
        return True
    is_awaited = now - order.updated_at < FILLS_ARE_AWAITED_FOR
    return is_awaited and trade_store.known_filled_qty(session, order.order_link_id) < order.filled_qty
