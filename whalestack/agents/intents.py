"""The row of an order that is about to be sent."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from whalestack.clients.bybit.types import OrderRequest
from whalestack.db.models import Order


def intent(
    *,
    request: OrderRequest,
    agent_name: str,
    leg: str,
    now: datetime,
    plan_id: int | None = None,
    trade_id: int | None = None,
) -> Order:
    """The row of an order that is about to be sent; the caller commits it first."""
    return Order(
        order_link_id=request.order_link_id,
        agent_name=agent_name,
        plan_id=plan_id,
        trade_id=trade_id,
        symbol=request.symbol,
        leg=leg,
        side=request.side.value,
        order_type="Limit" if request.price is not None else "Market",
        time_in_force=request.time_in_force,
        price=request.price,
        qty=request.qty,
        reduce_only=request.reduce_only,
        stop_loss=request.stop_loss,
        take_profit=request.take_profit,
        status="intent",
        filled_qty=Decimal(0),
        attempts=0,
        created_at=now,
        updated_at=now,
    )
