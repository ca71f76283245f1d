"""What we learn of an order moves its row, and only along the state machine.

Messages come late, twice and in any order, from the stream and from asking. A row takes from
each what moves it forward and ignores the rest, so the same set of messages leaves the same
row whatever their order.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

from sqlalchemy.orm import Session

from whalestack.clients.bybit.types import OrderState
from whalestack.db import trading_store as store
from whalestack.db.models import Order
from whalestack.db.order_states import UNFINISHED, may_move

# Bybit's words for an order's state, in ours. A word that is not here (a new one of Bybit's)
# is taken as "it is there", and what was filled still counts.
STATUS_WORDS = {
    "Created": "new",
    "New": "new",
    "Untriggered": "new",
    "Triggered": "new",
    "PartiallyFilled": "partially_filled",
    "Filled": "filled",
    "Cancelled": "cancelled",
    "PartiallyFilledCanceled": "cancelled",
    "Deactivated": "cancelled",
    "Rejected": "rejected",
}
# An order of ours cannot be older on the exchange than its intent; this much is for skewed clocks.
_OLDER_THAN_INTENT = timedelta(minutes=1)


class Seen(Enum):
    """What a state told by the exchange turned out to be."""

    OURS = "ours"
    NOT_OURS = "not_ours"
    TAKEN_ID = "taken_id"


def apply_state(session: Session, state: OrderState, now: datetime) -> Seen:
    """Bring our row of an order up to what the exchange says of it.

    Returns:
        OURS, NOT_OURS where no row has this id, TAKEN_ID where the id belongs to an order that
        is not the one we wrote down: an id that Bybit remembers from before this database.
    """
    row = store.locked_order(session, state.order_link_id) if state.order_link_id else None
    if row is None:
        return Seen.NOT_OURS
    _was_sent(session, row, now)
    if not _is_same_order(row, state):
        move(row, "rejected", now, reason="link_id_taken")
        return Seen.TAKEN_ID
    row.exchange_order_id = state.exchange_order_id or row.exchange_order_id
    if state.filled_qty > row.filled_qty:
        row.filled_qty, row.avg_fill_price = state.filled_qty, state.avg_fill_price
    move(row, STATUS_WORDS.get(state.status, "new"), now, reason=state.reject_reason or None)
    return Seen.OURS


def says_nothing_new(row: Order, state: OrderState) -> bool:
    """Whether the row says already what the exchange says of it."""
    return (
        _is_same_order(row, state)
        and row.status == STATUS_WORDS.get(state.status, "new")
        and row.exchange_order_id == state.exchange_order_id
        and row.filled_qty >= state.filled_qty
    )


def apply_fill(session: Session, row: Order, filled_qty: Decimal, leaves_qty: Decimal, now: datetime) -> None:
    """A fill tells of its order too: that it is there, and how much of it is done.

    Args:
        session: in which the row was read.
        row: the order, locked.
        filled_qty: the sum of all fills we know of it, base units.
        leaves_qty: what the exchange says is left of it after this fill.
        now: market time.
    """
    _was_sent(session, row, now)
    row.filled_qty = max(row.filled_qty, filled_qty)
    is_done = leaves_qty <= 0 and filled_qty >= row.qty
    move(row, "filled" if is_done else "partially_filled", now)


def move(row: Order, status: str, now: datetime, *, reason: str | None = None) -> bool:
    """Move an order's row if the state machine allows it; False leaves the row as it is."""
    if row.status == status or not may_move(row.status, status):
        return False
    row.status = status
    row.updated_at = now
    row.reason = reason or row.reason
    if status not in UNFINISHED:
        row.resolved_at = now
    return True


def _was_sent(session: Session, row: Order, now: datetime) -> None:
    """Only a database restored from a backup has an intent that the exchange knows already."""
    if row.status == "intent":
        move(row, "sent", now)
        session.flush()


def _is_same_order(row: Order, state: OrderState) -> bool:
    return (
        row.symbol == state.symbol
        and row.side == state.side.value
        and state.created_at >= row.created_at - _OLDER_THAN_INTENT
    )
