"""Orders as the exchange keeps them: what was asked for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

ZERO = Decimal(0)


class Side(StrEnum):
    """The side of an order or of a position."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """+1 for Buy, -1 for Sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """Limit or market."""

    LIMIT = "Limit"
    MARKET = "Market"


class TimeInForce(StrEnum):
    """How long an order may wait."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"


class Status(StrEnum):
    """Bybit's orderStatus. New, PartiallyFilled and Untriggered are open."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    DEACTIVATED = "Deactivated"

    @property
    def is_open(self) -> bool:
        return self in OPEN_STATUSES


OPEN_STATUSES = frozenset({Status.NEW, Status.PARTIALLY_FILLED, Status.UNTRIGGERED, Status.TRIGGERED})


class TriggerBy(StrEnum):
    """The price that sets a stop or a target off."""

    LAST = "LastPrice"
    MARK = "MarkPrice"
    INDEX = "IndexPrice"


@dataclass(frozen=True)
class Protection:
    """Stop and target of a position or of the order that opens it, prices in USDT, None if not set."""

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    stop_by: TriggerBy = TriggerBy.LAST
    target_by: TriggerBy = TriggerBy.LAST

    @property
    def is_empty(self) -> bool:
        return self.stop_loss is None and self.take_profit is None


@dataclass(frozen=True)
class OrderSpec:
    """An order as it was asked for: quantity in base coins, prices in USDT.

    `trigger_direction` is 1 for a rise to `trigger_price`, 2 for a fall, 0 for none.
    """

    symbol: str
    side: Side
    order_type: OrderType
    qty: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    link_id: str = ""
    reduce_only: bool = False
    close_on_trigger: bool = False
    protection: Protection = Protection()
    trigger_price: Decimal | None = None
    trigger_direction: int = 0
    trigger_by: TriggerBy = TriggerBy.LAST


@dataclass
class Order:
    """An accepted order. Times in market milliseconds, values and fees in USDT."""

    order_id: str
    spec: OrderSpec
    created_ms: int
    updated_ms: int
    last_price_on_created: Decimal
    status: Status = Status.NEW
    qty: Decimal = ZERO
    price: Decimal | None = None
    protection: Protection = field(default_factory=Protection)
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    fee: Decimal = ZERO
    closed_pnl: Decimal = ZERO
    fill_count: int = 0
    stop_order_type: str = ""
    create_type: str = "CreateByUser"
    parent_link_id: str = ""
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"
    closed_ms: int | None = None

    @property
    def symbol(self) -> str:
        return self.spec.symbol

    @property
    def side(self) -> Side:
        return self.spec.side

    @property
    def link_id(self) -> str:
        return self.spec.link_id

    @property
    def is_open(self) -> bool:
        return self.status.is_open

    @property
    def is_child(self) -> bool:
        """True for the stop and target orders that the exchange makes for a position."""
        return self.stop_order_type in ("StopLoss", "TakeProfit")

    @property
    def leaves_qty(self) -> Decimal:
        """What may still fill, base coins; 0 when the order is finished."""
        return self.qty - self.filled_qty if self.is_open else ZERO

    @property
    def average_price(self) -> Decimal | None:
        """Volume-weighted fill price in USDT, None before the first fill."""
        return self.filled_value / self.filled_qty if self.filled_qty else None


@dataclass(frozen=True)
class Execution:
    """One fill, or one funding payment. `fee` in USDT, positive when paid."""

    exec_id: str
    exec_type: str
    order: Order
    symbol: str
    side: Side
    price: Decimal
    qty: Decimal
    fee: Decimal
    fee_rate: Decimal
    is_maker: bool
    closed_qty: Decimal
    leaves_qty: Decimal
    mark_price: Decimal
    pnl: Decimal
    executed_ms: int
    seq: int

    @property
    def value(self) -> Decimal:
        """Price times quantity, USDT."""
        return self.price * self.qty


@dataclass
class ClosedPnl:
    """What one closing order made: it grows with each closing fill of that order, all in USDT."""

    order: Order
    leverage: Decimal
    created_ms: int
    updated_ms: int
    qty: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_value: Decimal = ZERO
    pnl: Decimal = ZERO
    open_fee: Decimal = ZERO
    close_fee: Decimal = ZERO
    fill_count: int = 0
    exec_type: str = "Trade"
