"""Closing a position at the market by a reduce-only order, written down first like any other.

Reduce-only orders cannot open anything, so the worst a doubled close could do is be refused.
Still each is an intent with an id of its own, and while one of a position is unfinished no
other is made.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import structlog
from sqlalchemy.orm import Session

from whalestack.agents.intents import intent
from whalestack.agents.order_ids import exit_link_id, stray_exit_link_id
from whalestack.agents.order_sender import OrderSender
from whalestack.agents.pnl import direction_of
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import OrderRequest, Position
from whalestack.clock import Clock
from whalestack.db import trade_store
from whalestack.db import trading_inputs as inputs
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Trade
from whalestack.db.order_states import UNFINISHED

log = structlog.get_logger(__name__)

LEGS = 100
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class PositionCloser:
    """Closes positions.

    Args:
        db: of this process.
        exchange: says what is held.
        clock: market time.
        sender: sends the orders.
    """

    def __init__(self, *, db: Database, exchange: ExchangePort, clock: Clock, sender: OrderSender) -> None:
        self._db = db
        self._exchange = exchange
        self._clock = clock
        self._sender = sender

    def close(self, symbol: str, *, agent_name: str, reason: str) -> str:
        """Close what is held of a coin, as much of it as one market order may.

        The caller holds the symbol's action lock.

        Returns:
            flat where nothing is held, else the status of the order.

        Raises:
            TryAgain: nothing was sent; the next look closes.
        """
        position = self._exchange.position(symbol)
        if position is None:
            return "flat"
        order_link_id = self._intent(position, agent_name)
        log.warning("position_closing", symbol=symbol, agent_name=agent_name, reason=reason)
        return self._sender.send(order_link_id)

    def _intent(self, position: Position, agent_name: str) -> str:
        """Commit the order that closes, or find the one that is on its way already."""
        with self._db.begin() as work:
            store.lock_book(work.session, position.symbol)
            trade = trade_store.open_trade(work.session, position.symbol)
            if trade is not None and direction_of(position.side) != trade.side:
                trade = None
            known = store.exit_orders(
                work.session, position.symbol, agent_name, _prefix(position, trade, agent_name)
            )
            on_its_way = [order for order in known if order.status in UNFINISHED]
            if on_its_way:
                return on_its_way[0].order_link_id
            request = OrderRequest(
                symbol=position.symbol,
                side=position.side.opposite,
                qty=self._qty(work.session, position),
                order_link_id=_link_id(position, trade, agent_name, f"x{len(known) % LEGS}"),
                time_in_force="IOC",
                reduce_only=True,
            )
            work.session.add(
                intent(
                    request=request,
                    agent_name=agent_name,
                    leg=f"x{len(known) % LEGS}",
                    now=self._clock.now(),
                    trade_id=trade.id if trade is not None else None,
                )
            )
            return request.order_link_id

    def _qty(self, session: Session, position: Position) -> Decimal:
        coin = inputs.coin(session, position.symbol)
        return min(position.size, coin.max_market_order_qty) if coin is not None else position.size


def _link_id(position: Position, trade: Trade | None, agent_name: str, leg: str) -> str:
    if trade is not None:
        return exit_link_id(agent_name, trade.id, trade.entry_time, leg)
    opened_at = position.created_at or _EPOCH
    return stray_exit_link_id(agent_name, f"{position.symbol}:{position.side}", opened_at, leg)


def _prefix(position: Position, trade: Trade | None, agent_name: str) -> str:
    return _link_id(position, trade, agent_name, "x0").removesuffix("0")
