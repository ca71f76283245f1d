"""What a running system decided, as the backtest's lines of text.

Signals and closes are the system's own rows; orders, fills and stops are the exchange's record.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from whalestack.agents.order_ids import parse_link_id
from whalestack.backtest.decisions import Decisions
from whalestack.clock import to_ms
from whalestack.db.models import Signal, Trade
from whalestack.parity.system import SteppedSystem

PAGE = 5000
STOP_ORDERS = {"StopLoss": "stop", "TakeProfit": "target"}
Event = dict[str, Any]


def decisions_of(system: SteppedSystem) -> Decisions:
    """Everything decided since the system was started."""
    found = Decisions()
    for event in _events(system):
        _TAKE.get(event["kind"], _nothing)(found, event)
    with system.runtime.reading() as session:
        _take_rows(found, session)
    return found


def _events(system: SteppedSystem) -> Iterator[Event]:
    last = 0
    while True:
        page = system.ask_simulator("GET", f"/sim/events?after_seq={last}&limit={PAGE}")["events"]
        if not isinstance(page, list) or not page:
            return
        yield from page
        last = page[-1]["seq"]


def _take_rows(found: Decisions, session: Session) -> None:
    for signal in session.scalars(select(Signal)):
        found.signal(to_ms(signal.triggered_at), signal.symbol, signal.direction, signal.rank)
    for trade in session.scalars(select(Trade).where(Trade.status != "open")):
        if trade.exit_time is not None and trade.pnl_usd is not None:
            found.close(
                to_ms(trade.exit_time),
                trade.agent_name,
                trade.symbol,
                trade.side,
                trade.exit_reason or "",
                trade.pnl_usd,
            )


def _take_order(found: Decisions, event: Event) -> None:
    link = parse_link_id(event["link_id"] or "")
    if link is None or event["reduce_only"]:
        return
    found.order(
        event["ts_ms"],
        link.agent_name,
        event["symbol"],
        event["side"],
        link.leg,
        qty=Decimal(event["qty"]),
        price=Decimal(event["price"]),
        stop=Decimal(event["stop_loss"]),
        target=Decimal(event["take_profit"]),
    )


def _take_fill(found: Decisions, event: Event) -> None:
    if event["exec_type"] == "Funding":
        return
    link = parse_link_id(event["link_id"] or "")
    what = link.leg if link else STOP_ORDERS.get(event["stop_order_type"], "liquidation")
    found.fill(
        event["ts_ms"], event["symbol"], event["side"], what, Decimal(event["qty"]), Decimal(event["price"])
    )


def _take_stop(found: Decisions, event: Event) -> None:
    found.stop(event["ts_ms"], event["symbol"], Decimal(event["old"]), Decimal(event["new"]))


def _nothing(_found: Decisions, _event: Event) -> None:
    """Other events are no decisions."""


_TAKE = {"order_accepted": _take_order, "fill": _take_fill, "stop_moved": _take_stop}
