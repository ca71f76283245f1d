"""What Bybit says and is told, as values. Prices and quantities are `Decimal`, times UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class Side(StrEnum):
    """The side of an order, as Bybit spells it."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


@dataclass(frozen=True)
class Instrument:
    """One linear perpetual of `/v5/market/instruments-info`."""

    symbol: str
    base_coin: str
    quote_coin: str
    status: str
    launched_at: datetime | None
    delisted_at: datetime | None
    is_prelisting: bool
    tick_size: Decimal
    min_price: Decimal
    max_price: Decimal
    qty_step: Decimal
    min_order_qty: Decimal
    max_order_qty: Decimal
    max_market_order_qty: Decimal
    min_notional_usd: Decimal
    min_leverage: Decimal
    max_leverage: Decimal
    leverage_step: Decimal
    funding_interval_min: int
    price_limit_ratio: Decimal | None


@dataclass(frozen=True)
class Ticker:
    """The state of one perpetual. Open interest is in base coins, both sides counted."""

    symbol: str
    last_price: Decimal
    mark_price: Decimal
    index_price: Decimal
    bid_price: Decimal
    ask_price: Decimal
    open_interest: Decimal
    turnover_24h_usd: Decimal
    volume_24h: Decimal
    price_24h_change_pct: Decimal
    funding_rate_pct: Decimal
    next_funding_at: datetime | None


@dataclass(frozen=True)
class Kline:
    """One bar; `volume` in base coins."""

    symbol: str
    interval: str
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover_usd: float
    is_closed: bool = True


@dataclass(frozen=True)
class OpenInterestPoint:
    """Open interest in base coins, both sides, at one time."""

    timestamp_ms: int
    open_interest: float


@dataclass(frozen=True)
class OrderRequest:
    """An order to send. Price None means a market order.

    An order that opens carries its `stop_loss`; a `reduce_only` one must not (Bybit refuses it).
    """

    symbol: str
    side: Side
    qty: Decimal
    order_link_id: str
    price: Decimal | None = None
    time_in_force: str = "GTC"
    reduce_only: bool = False
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


class NamedOrder(Protocol):
    """What names an order of ours: a request to place it, or an `OrderName`."""

    @property
    def symbol(self) -> str: ...

    @property
    def order_link_id(self) -> str: ...


@dataclass(frozen=True)
class OrderName:
    """An order by its coin and our id of it."""

    symbol: str
    order_link_id: str


@dataclass(frozen=True)
class OrderAck:
    """Bybit has taken the order over; what became of it is told by the stream and by asking."""

    order_link_id: str
    exchange_order_id: str


@dataclass(frozen=True)
class OrderState:
    """An order as the exchange sees it. `status` is Bybit's word (New, Filled, Cancelled...)."""

    symbol: str
    exchange_order_id: str
    order_link_id: str
    side: Side
    order_type: str
    status: str
    price: Decimal
    qty: Decimal
    filled_qty: Decimal
    avg_fill_price: Decimal | None
    reduce_only: bool
    stop_order_type: str
    stop_loss: Decimal | None
    take_profit: Decimal | None
    reject_reason: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Execution:
    """One fill. `closed_qty` is how much of it reduced a position."""

    exec_id: str
    symbol: str
    exchange_order_id: str
    order_link_id: str
    side: Side
    price: Decimal
    qty: Decimal
    fee_usd: Decimal
    is_maker: bool
    exec_type: str
    stop_order_type: str
    closed_qty: Decimal
    leaves_qty: Decimal
    executed_at: datetime


@dataclass(frozen=True)
class Position:
    """An open position, one-way mode. A stop or target of None is not set."""

    symbol: str
    side: Side
    size: Decimal
    avg_price: Decimal
    mark_price: Decimal | None
    leverage: Decimal
    liquidation_price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    unrealised_pnl_usd: Decimal
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True)
class ClosedPnl:
    """What one closing order made, fees included, as Bybit counts it; its own fee where that is told."""

    symbol: str
    exchange_order_id: str
    closing_side: Side
    qty: Decimal
    avg_entry_price: Decimal
    avg_exit_price: Decimal
    pnl_usd: Decimal
    created_at: datetime
    close_fee_usd: Decimal = Decimal(0)


@dataclass(frozen=True)
class Wallet:
    """The unified account in USD."""

    equity_usd: Decimal
    available_usd: Decimal
    wallet_balance_usd: Decimal


@dataclass(frozen=True)
class FeeRates:
    """Fractions of the traded value: 0.00055 is 0.055 %."""

    taker: Decimal
    maker: Decimal


@dataclass(frozen=True)
class KeyInfo:
    """What the API key may do. Live trading refuses a key that may withdraw."""

    is_read_only: bool
    may_trade: bool
    may_withdraw: bool
    is_bound_to_address: bool
