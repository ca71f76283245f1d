"""Was one intent carried out twice? Judged by what was accepted, not by what the client believes.

Two views, both over accepted orders that could open a position (not reduce-only, not made by the
exchange):

* the same order_link_id accepted more than once. The order book refuses that; this count is taken
  from the record of acceptances, so it would show if the refusal broke;
* twins: orders of one owner in the same symbol, alike in side, quantity, price, stop and target, with
  different ids (or none), accepted within `TWIN_WINDOW_MS` of real time, while the first still waits
  or what it filled is still held. That is what a resend under a fresh id looks like. A ladder's rungs
  differ in price, two agents differ in owner, and an entry after a close is a new trade.

Beside them, as a hint and not as a verdict: stacked entries, orders of one owner in a symbol where an
entry of his for another occasion still waits or is held.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from whalestack.simulator.exchange.order import Order

TWIN_WINDOW_MS = 60_000


def owner_of(link_id: str) -> str:
    """The part of a link id that names whose order it is: what stands before the first underscore."""
    return link_id.split("_", 1)[0]


def intent_of(link_id: str) -> str:
    """The link id without its leg (what follows the last underscore): agent and occasion."""
    return link_id.rsplit("_", 1)[0]


@dataclass(frozen=True)
class Twins:
    """Two accepted orders that look like one intent sent twice, by their exchange ids and link ids."""

    symbol: str
    first_order_id: str
    first_link_id: str
    second_order_id: str
    second_link_id: str


class DuplicateWatch:
    """Counts acceptances by link id and by intent, and finds twins."""

    def __init__(self) -> None:
        self.by_link_id: Counter[str] = Counter()
        self.entries_by_intent: Counter[str] = Counter()
        self.twins: list[Twins] = []
        self.stacked_entries = 0
        self._entries: defaultdict[str, list[tuple[int, Order]]] = defaultdict(list)

    def accepted(self, order: Order, real_ms: int) -> None:
        """Count an order that the exchange took, at a real moment in ms."""
        if order.link_id:
            self.by_link_id[order.link_id] += 1
        if order.spec.reduce_only or order.spec.close_on_trigger:
            return
        if order.link_id:
            self.entries_by_intent[intent_of(order.link_id)] += 1
        alive = [entry for entry in self._entries[order.symbol] if _is_alive(entry[1])]
        self._judge(order, [(ms, other) for ms, other in alive if other.order_id != order.order_id], real_ms)
        self._entries[order.symbol] = [*alive, (real_ms, order)]

    @property
    def same_id_twice(self) -> int:
        """Acceptances beyond the first of any link id."""
        return sum(count - 1 for count in self.by_link_id.values() if count > 1)

    @property
    def duplicated_orders(self) -> int:
        """Orders accepted for an intent that had been accepted before, by either view."""
        return self.same_id_twice + len(self.twins)

    def position_closed(self, symbol: str) -> None:
        """Nothing that filled in this symbol is held any more; only waiting orders can have twins."""
        self._entries[symbol] = [entry for entry in self._entries[symbol] if entry[1].is_open]

    def _judge(self, order: Order, alive: list[tuple[int, Order]], real_ms: int) -> None:
        mates = [(ms, other) for ms, other in alive if _same_owner(other.link_id, order.link_id)]
        occasions = {intent_of(other.link_id) for _, other in mates} - {intent_of(order.link_id)}
        self.stacked_entries += bool(occasions)
        for accepted_ms, other in mates:
            if real_ms - accepted_ms <= TWIN_WINDOW_MS and _alike(other, order):
                ids = (other.order_id, other.link_id, order.order_id, order.link_id)
                self.twins.append(Twins(order.symbol, *ids))
                return


def _is_alive(order: Order) -> bool:
    """Whether an entry still waits or has filled; what filled and was closed has been forgotten."""
    return order.is_open or bool(order.filled_qty)


def _same_owner(one: str, other: str) -> bool:
    return not one or not other or owner_of(one) == owner_of(other)


def _alike(one: Order, other: Order) -> bool:
    """Two different orders that ask for the same; two of one id are counted as such."""
    if one.link_id and one.link_id == other.link_id:
        return False
    parts = [
        (order.side, order.spec.qty, order.spec.price, order.protection, order.spec.trigger_price)
        for order in (one, other)
    ]
    return parts[0] == parts[1]
