"""What happened on the exchange, in order: the record that trading is judged by.

Each event has a running number, the market and the real moment, a fixed kind, the symbol and its
data. Counts are kept beside the list, so they stay exact when old events are dropped.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from whalestack.simulator.exchange.duplicates import DuplicateWatch
from whalestack.simulator.exchange.order import Execution, Order, Protection, Side
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.protection import ProtectionLedger
from whalestack.simulator.exchange.refusals import DUPLICATE_LINK_ID, Refused

DEFAULT_CAPACITY = 200_000
SHOWN_SPELLS = 50


class Kind(StrEnum):
    """The kinds of events."""

    ORDER_ACCEPTED = "order_accepted"
    ORDER_REFUSED = "order_refused"
    DUPLICATE_REFUSED = "duplicate_refused"
    ORDER_AMENDED = "order_amended"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_FILLED = "order_filled"
    FILL = "fill"
    TRIGGERED = "triggered"
    POSITION_OPENED = "position_opened"
    POSITION_CHANGED = "position_changed"
    POSITION_CLOSED = "position_closed"
    STOP_SET = "stop_set"
    STOP_MOVED = "stop_moved"
    STOP_REMOVED = "stop_removed"
    TARGET_SET = "target_set"
    TARGET_MOVED = "target_moved"
    TARGET_REMOVED = "target_removed"
    STOPS_REFUSED = "stops_refused"
    UNPROTECTED_FROM = "unprotected_from"
    LEVERAGE_SET = "leverage_set"
    FUNDING = "funding"
    LIQUIDATED = "liquidated"


@dataclass(frozen=True)
class Event:
    """One thing that happened; `ts_ms` is market time, `real_ms` the wall clock."""

    seq: int
    ts_ms: int
    real_ms: int
    kind: Kind
    symbol: str
    data: dict[str, Any]

    def row(self) -> dict[str, Any]:
        """The event as JSON."""
        return {
            "seq": self.seq,
            "ts_ms": self.ts_ms,
            "real_ms": self.real_ms,
            "kind": self.kind.value,
            "symbol": self.symbol,
            **self.data,
        }


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class EventLog:
    """Collects events and the two judgements made of them: doubled orders and naked positions.

    Args:
        capacity: how many events are kept; the counts go on beyond that.
        real_ms: the wall clock in ms, given by tests.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY, real_ms: Callable[[], int] = _wall_clock_ms) -> None:
        self._events: deque[Event] = deque(maxlen=capacity)
        self._real_ms = real_ms
        self._seq = 0
        self._entries_without_stop = 0
        self.counts: Counter[str] = Counter()
        self.refused_by_code: Counter[int] = Counter()
        self.api_calls: Counter[str] = Counter()
        self.api_refusals: Counter[str] = Counter()
        self.duplicates = DuplicateWatch()
        self.protection = ProtectionLedger()

    def add(self, kind: Kind, now_ms: int, symbol: str, **data: Any) -> None:
        """Append an event at a market moment."""
        self._seq += 1
        self.counts[kind.value] += 1
        self._events.append(Event(self._seq, now_ms, self._real_ms(), kind, symbol, data))

    def events(
        self, *, after_seq: int = 0, kind: str | None = None, symbol: str | None = None, limit: int = 1000
    ) -> list[Event]:
        """Events after a number, oldest first, at most `limit`."""
        found: list[Event] = []
        for event in self._events:
            if event.seq <= after_seq or (kind and event.kind != kind) or (symbol and event.symbol != symbol):
                continue
            found.append(event)
            if len(found) == limit:
                break
        return found

    def rows(self, **query: Any) -> list[dict[str, Any]]:
        """`events` as JSON rows; the same arguments."""
        return [event.row() for event in self.events(**query)]

    def api_call(self, path: str, code: int) -> None:
        """A request was answered with a retCode, or with HTTP 403."""
        self.api_calls[path] += 1
        if code:
            self.api_refusals[f"{path} {code}"] += 1

    def order_accepted(self, order: Order, now_ms: int) -> None:
        """An order was taken over."""
        self.duplicates.accepted(order, self._real_ms())
        stop = order.protection.stop_loss
        self._entries_without_stop += stop is None and not order.spec.reduce_only
        data = {**_named(order), "price": _text(order.price), "qty": _text(order.qty)}
        data |= {"reduce_only": order.spec.reduce_only, "stop_loss": _text(stop)}
        data |= {"take_profit": _text(order.protection.take_profit), "tif": order.spec.time_in_force.value}
        self.add(Kind.ORDER_ACCEPTED, now_ms, order.symbol, **data)

    def order_refused(self, symbol: str, link_id: str, refused: Refused, now_ms: int) -> None:
        """An order was not taken."""
        kind = Kind.DUPLICATE_REFUSED if refused.code == DUPLICATE_LINK_ID else Kind.ORDER_REFUSED
        self.refused_by_code[refused.code] += 1
        self.add(kind, now_ms, symbol, link_id=link_id, code=refused.code, text=refused.text)

    def order_event(self, kind: Kind, order: Order, now_ms: int) -> None:
        """An order changed: cancelled, filled, amended or triggered."""
        data = {**_named(order), "status": order.status.value, "filled_qty": _text(order.filled_qty)}
        self.add(
            kind, now_ms, order.symbol, **data, cancel_type=order.cancel_type, reason=order.reject_reason
        )

    def fill(self, execution: Execution, now_ms: int) -> None:
        """An order filled, whole or in part."""
        data = {**_named(execution.order), "exec_id": execution.exec_id, "exec_type": execution.exec_type}
        data |= {"price": _text(execution.price), "qty": _text(execution.qty), "fee": _text(execution.fee)}
        data |= {"closed_qty": _text(execution.closed_qty), "maker": execution.is_maker}
        self.add(Kind.FILL, now_ms, execution.symbol, **data, pnl=_text(execution.pnl))

    def position(self, position: Position, before: Decimal, now_ms: int) -> None:
        """A position's size changed from `before` (base coins, positive when long)."""
        if position.signed != before:
            kind = Kind.POSITION_CHANGED
            if not before:
                kind = Kind.POSITION_OPENED
            elif not position.signed:
                kind = Kind.POSITION_CLOSED
                self.duplicates.position_closed(position.symbol)
            data = {"signed_qty": _text(position.signed), "average_price": _text(position.average_price)}
            data |= {"stop_loss": _text(position.protection.stop_loss), "opened_by": position.opened_by}
            self.add(kind, now_ms, position.symbol, **data, realised=_text(position.realised))
        self._note_protection(position, now_ms)

    def stops(self, position: Position, before: Protection, now_ms: int) -> None:
        """Stop or target of an open position changed from `before`."""
        now = position.protection
        side = "" if position.side is None else position.side.value
        for old, new, kinds in (
            (before.stop_loss, now.stop_loss, (Kind.STOP_SET, Kind.STOP_MOVED, Kind.STOP_REMOVED)),
            (before.take_profit, now.take_profit, (Kind.TARGET_SET, Kind.TARGET_MOVED, Kind.TARGET_REMOVED)),
        ):
            if old != new:
                kind = kinds[0] if old is None else kinds[2] if new is None else kinds[1]
                self.add(kind, now_ms, position.symbol, old=_text(old), new=_text(new), side=side)
        self._note_protection(position, now_ms)

    def stats(self, now_ms: int) -> dict[str, Any]:
        """Counts and judgements until a market moment, as JSON."""
        watch, ledger = self.duplicates, self.protection
        return {
            "events": dict(self.counts),
            "orders_accepted": self.counts[Kind.ORDER_ACCEPTED.value],
            "orders_refused": self.counts[Kind.ORDER_REFUSED.value],
            "refused_by_code": {str(code): count for code, count in self.refused_by_code.items()},
            "duplicates_refused": self.counts[Kind.DUPLICATE_REFUSED.value],
            "duplicated_orders": watch.duplicated_orders,
            "same_link_id_accepted_twice": watch.same_id_twice,
            "twins": [vars(twins) for twins in watch.twins],
            "stacked_entries": watch.stacked_entries,
            "accepted_by_link_id": dict(watch.by_link_id),
            "entries_by_intent": dict(watch.entries_by_intent),
            "fills": self.counts[Kind.FILL.value],
            "positions_opened": self.counts[Kind.POSITION_OPENED.value],
            "positions_closed": self.counts[Kind.POSITION_CLOSED.value],
            "stops_set": self.counts[Kind.STOP_SET.value],
            "stops_moved": self.counts[Kind.STOP_MOVED.value],
            "liquidations": self.counts[Kind.LIQUIDATED.value],
            "unprotected_position_seconds": round(ledger.unprotected_seconds(now_ms), 3),
            "unprotected_spells": ledger.unprotected_spells,
            "unprotected_now": [spell.symbol for spell in ledger.unprotected_now()],
            "unprotected": [spell.row() for spell in ledger.spells(only_unprotected=True)[-SHOWN_SPELLS:]],
            "entries_without_stop": self._entries_without_stop,
            "api_calls": dict(self.api_calls),
            "api_refusals": dict(self.api_refusals),
        }

    def _note_protection(self, position: Position, now_ms: int) -> None:
        begins_naked = self.protection.record(
            position.symbol,
            now_ms,
            signed=position.signed,
            stop_loss=position.protection.stop_loss,
            opened_by=position.opened_by,
        )
        if begins_naked:
            data = {"signed_qty": _text(position.signed), "opened_by": position.opened_by}
            self.add(Kind.UNPROTECTED_FROM, now_ms, position.symbol, **data)


def _named(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "link_id": order.link_id,
        "side": Side(order.side).value,
        "order_type": order.spec.order_type.value,
        "stop_order_type": order.stop_order_type,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")
