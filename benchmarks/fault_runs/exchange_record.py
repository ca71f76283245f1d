"""The simulator seen from outside: its own record of what happened, and how it is steered.

Every judgement of harm is made from here, never from what our own database believes.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import requests

PAGE = 5000
ZERO = Decimal(0)
Row = dict[str, Any]


@dataclass
class ExchangeRecord:
    """Follows the simulator's event log.

    Args:
        url: of the simulator.
        positions: signed size in base coins by symbol; flat ones are left out.
        stops: the stop of each open position.
        accepted: accepted orders by link id, with how often.
        refused: link ids that were refused at least once.
        fills: every fill by its id.
        opened_by: link ids of the orders that opened a position, once for each life of a position.
        loosened: moves of a stop away from profit, as the exchange carried them out.
    """

    url: str
    positions: dict[str, Decimal] = field(default_factory=dict)
    stops: dict[str, Decimal | None] = field(default_factory=dict)
    accepted: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    refused: set[str] = field(default_factory=set)
    fills: dict[str, Row] = field(default_factory=dict)
    loosened: list[Row] = field(default_factory=list)
    opened_by: list[str] = field(default_factory=list)
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self) -> None:
        """Take in every event since the last call."""
        with self._lock:
            while True:
                events = self.events(after_seq=self._seen)
                for event in events:
                    self._take(event)
                    self._seen = event["seq"]
                if len(events) < PAGE:
                    return

    def held(self) -> dict[str, Decimal]:
        """The open positions as far as the record was followed."""
        with self._lock:
            return dict(self.positions)

    def _take(self, event: Row) -> None:
        kind, symbol = event["kind"], event["symbol"]
        if kind == "order_accepted" and event.get("link_id"):
            self.accepted[event["link_id"]] += 1
        elif kind == "order_refused":
            self.refused.add(event["link_id"])
        elif kind == "fill":
            self.fills[event["exec_id"]] = event
        elif kind in ("position_opened", "position_changed", "position_closed"):
            self._note_position(event)
        elif kind in ("stop_set", "stop_moved", "stop_removed"):
            self._note_stop(symbol, event)

    def _note_position(self, event: Row) -> None:
        symbol, signed = event["symbol"], Decimal(event["signed_qty"])
        if event["kind"] == "position_opened":
            self.opened_by.append(event["opened_by"])
        if signed:
            self.positions[symbol] = signed
            stop = event["stop_loss"]
            self.stops[symbol] = None if stop is None else Decimal(stop)
        else:
            self.positions.pop(symbol, None)
            self.stops.pop(symbol, None)

    def _note_stop(self, symbol: str, event: Row) -> None:
        new = event["new"]
        self.stops[symbol] = None if new is None else Decimal(new)
        if event["kind"] == "stop_moved":
            way = 1 if self.positions.get(symbol, ZERO) > 0 else -1
            if (Decimal(new) - Decimal(event["old"])) * way < 0:
                self.loosened.append(event)

    # --- asking and steering --------------------------------------------------------------

    def stats(self) -> Row:
        """The simulator's counts and judgements."""
        return dict(self._get("/sim/stats"))

    def messages(self) -> dict[str, list[str]]:
        """What each channel has taken."""
        return dict(self._get("/sim/messages"))

    def rules(self) -> list[Row]:
        """The fault rules that stand, with how often each has struck."""
        return list(self._get("/sim/faults")["rules"])

    def add_rule(self, **rule: Any) -> None:
        """Let a fault rule stand."""
        self._post("/sim/faults", rule)

    def clear_rules(self) -> None:
        """Remove every fault rule."""
        requests.delete(f"{self.url}/sim/faults", timeout=10).raise_for_status()

    def push_price(self, symbol: str, price: float) -> float:
        """Force a price; returns it as rounded."""
        return float(self.push(symbol, price)["price"])

    def push(self, symbol: str, price: float, **more: float) -> Row:
        """Force a price, with `turnover_usd` and `open_interest`; the simulator's answer."""
        return dict(self._post("/sim/price", {"symbol": symbol, "price": price, **more}))

    def events(self, *, after_seq: int = 0, kind: str | None = None) -> list[Row]:
        """One page of the record, oldest first."""
        query = {"after_seq": after_seq, "limit": PAGE} | ({} if kind is None else {"kind": kind})
        return list(self._get("/sim/events", **query)["events"])

    def put_clock_ahead(self, ahead_ms: int) -> None:
        """Put Bybit's clock ahead of ours."""
        self._post("/sim/clock", {"ahead_ms": ahead_ms})

    def all_events(self, kind: str | None = None) -> list[Row]:
        """The whole record, or all of one kind, oldest first."""
        found: list[Row] = []
        while page := self.events(after_seq=found[-1]["seq"] if found else 0, kind=kind):
            found += page
        return found

    def _get(self, path: str, **params: Any) -> Any:
        reply = requests.get(f"{self.url}{path}", params=params, timeout=20)
        reply.raise_for_status()
        return reply.json()

    def _post(self, path: str, body: Row) -> Any:
        reply = requests.post(f"{self.url}{path}", json=body, timeout=20)
        reply.raise_for_status()
        return reply.json()
