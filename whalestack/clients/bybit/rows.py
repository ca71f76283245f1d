"""Bybit's JSON rows as our values. A row that is not as documented says where and what."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from whalestack.clients.bybit.types import (
    ClosedPnl,
    Execution,
    FeeRates,
    Instrument,
    Kline,
    OpenInterestPoint,
    OrderState,
    Position,
    Side,
    Ticker,
    Wallet,
)
from whalestack.clock import from_ms

Row = Mapping[str, Any]
T = TypeVar("T")
ZERO = Decimal(0)
# No figure of an exchange has more digits; arithmetic on a wilder one overflows.
LARGEST_EXPONENT = 30
# Words that Bybit writes where it means "none".
NOTHING = frozenset({"", "UNKNOWN", "None", "EC_NoError"})


class BadRow(ValueError):
    """A row lacks a field, or has something else in it. Names the coin and the field."""


def read_row(parse: Callable[[Row], T], row: object) -> T:
    """`parse(row)`, with every way a row can be malformed turned into `BadRow`.

    Raises:
        BadRow: naming the symbol of the row and what is wrong with it.
    """
    if not isinstance(row, Mapping):
        raise BadRow(f"a row is {type(row).__name__} instead of an object")
    try:
        return parse(row)
    except (
        KeyError,
        TypeError,
        ValueError,
        InvalidOperation,
        OverflowError,
        OSError,
        AttributeError,
    ) as error:
        raise BadRow(f"{row.get('symbol', 'row')}: {type(error).__name__} {error}") from error


def instrument(row: Row) -> Instrument:
    price, lot, leverage = row["priceFilter"], row["lotSizeFilter"], row["leverageFilter"]
    return Instrument(
        symbol=_name(row, "symbol"),
        base_coin=_name(row, "baseCoin"),
        quote_coin=_name(row, "quoteCoin"),
        status=_name(row, "status"),
        launched_at=_moment_or_none(row.get("launchTime")),
        delisted_at=_moment_or_none(row.get("deliveryTime")),
        is_prelisting=bool(row.get("isPreListing", False)),
        tick_size=_positive(price, "tickSize"),
        min_price=_decimal(price, "minPrice"),
        max_price=_decimal(price, "maxPrice"),
        qty_step=_positive(lot, "qtyStep"),
        min_order_qty=_decimal(lot, "minOrderQty"),
        max_order_qty=_decimal(lot, "maxOrderQty"),
        max_market_order_qty=_decimal_or(lot, "maxMktOrderQty", _decimal(lot, "maxOrderQty")),
        min_notional_usd=_decimal_or(lot, "minNotionalValue", ZERO),
        min_leverage=_decimal(leverage, "minLeverage"),
        max_leverage=_decimal(leverage, "maxLeverage"),
        leverage_step=_decimal(leverage, "leverageStep"),
        funding_interval_min=int(row["fundingInterval"]),
        price_limit_ratio=_decimal_or_none(row.get("riskParameters") or {}, "priceLimitRatioX"),
    )


def ticker(row: Row) -> Ticker:
    last = _positive(row, "lastPrice")
    return Ticker(
        symbol=_name(row, "symbol"),
        last_price=last,
        mark_price=_decimal_or(row, "markPrice", last),
        index_price=_decimal_or(row, "indexPrice", last),
        bid_price=_decimal_or(row, "bid1Price", last),
        ask_price=_decimal_or(row, "ask1Price", last),
        open_interest=_decimal_or(row, "openInterest", ZERO),
        turnover_24h_usd=_decimal_or(row, "turnover24h", ZERO),
        volume_24h=_decimal_or(row, "volume24h", ZERO),
        price_24h_change_pct=_decimal_or(row, "price24hPcnt", ZERO) * 100,
        funding_rate_pct=_decimal_or(row, "fundingRate", ZERO) * 100,
        next_funding_at=_moment_or_none(row.get("nextFundingTime")),
    )


def kline(symbol: str, interval: str, row: object) -> Kline:
    """One bar of seven strings: start, open, high, low, close, volume, turnover.

    Raises:
        BadRow: not seven numbers.
    """
    try:
        if not isinstance(row, list):
            raise TypeError(type(row).__name__)
        start_ms = int(row[0])
        opened, high, low, close, volume, turnover = (_float(number) for number in row[1:])
        return Kline(symbol, interval, start_ms, opened, high, low, close, volume, turnover)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise BadRow(f"{symbol} {interval}: a bar is not seven numbers: {error}") from error


def open_interest_point(row: Row) -> OpenInterestPoint:
    return OpenInterestPoint(int(row["timestamp"]), _float(row["openInterest"]))


def order_state(row: Row) -> OrderState:
    return OrderState(
        symbol=_name(row, "symbol"),
        exchange_order_id=_name(row, "orderId"),
        order_link_id=_word(row, "orderLinkId"),
        side=Side(row["side"]),
        order_type=_name(row, "orderType"),
        status=_name(row, "orderStatus"),
        price=_decimal_or(row, "price", ZERO),
        qty=_decimal(row, "qty"),
        filled_qty=_decimal_or(row, "cumExecQty", ZERO),
        avg_fill_price=_above_zero(row, "avgPrice"),
        reduce_only=bool(row.get("reduceOnly", False)),
        stop_order_type=_word(row, "stopOrderType"),
        stop_loss=_above_zero(row, "stopLoss"),
        take_profit=_above_zero(row, "takeProfit"),
        reject_reason=_word(row, "rejectReason"),
        created_at=_moment(row, "createdTime"),
        updated_at=_moment(row, "updatedTime"),
    )


def execution(row: Row) -> Execution:
    return Execution(
        exec_id=_name(row, "execId"),
        symbol=_name(row, "symbol"),
        exchange_order_id=_word(row, "orderId"),
        order_link_id=_word(row, "orderLinkId"),
        side=Side(row["side"]),
        price=_decimal(row, "execPrice"),
        qty=_decimal(row, "execQty"),
        fee_usd=_decimal_or(row, "execFee", ZERO),
        is_maker=bool(row.get("isMaker", False)),
        exec_type=_name(row, "execType"),
        stop_order_type=_word(row, "stopOrderType"),
        closed_qty=_decimal_or(row, "closedSize", ZERO),
        leaves_qty=_decimal_or(row, "leavesQty", ZERO),
        executed_at=_moment(row, "execTime"),
    )


def position(row: Row) -> Position | None:
    """The position of a row, None where Bybit lists a coin without one.

    The private stream calls the average price `entryPrice`, the REST API `avgPrice`.
    """
    size = _decimal_or(row, "size", ZERO)
    if size == 0:
        return None
    return Position(
        symbol=_name(row, "symbol"),
        side=Side(row["side"]),
        size=size,
        avg_price=_positive(row, "avgPrice" if row.get("avgPrice") else "entryPrice"),
        mark_price=_above_zero(row, "markPrice"),
        leverage=_decimal_or(row, "leverage", ZERO),
        liquidation_price=_above_zero(row, "liqPrice"),
        stop_loss=_above_zero(row, "stopLoss"),
        take_profit=_above_zero(row, "takeProfit"),
        unrealised_pnl_usd=_decimal_or(row, "unrealisedPnl", ZERO),
        created_at=_moment_or_none(row.get("createdTime")),
        updated_at=_moment_or_none(row.get("updatedTime")),
    )


def closed_pnl(row: Row) -> ClosedPnl:
    return ClosedPnl(
        symbol=_name(row, "symbol"),
        exchange_order_id=_name(row, "orderId"),
        closing_side=Side(row["side"]),
        qty=_decimal(row, "closedSize" if row.get("closedSize") else "qty"),
        avg_entry_price=_decimal(row, "avgEntryPrice"),
        avg_exit_price=_decimal(row, "avgExitPrice"),
        pnl_usd=_decimal(row, "closedPnl"),
        created_at=_moment(row, "createdTime"),
        close_fee_usd=_decimal_or(row, "closeFee", ZERO),
    )


def wallet(row: Row) -> Wallet:
    """The account; in isolated margin its totals are empty, and the USDT row stands for them."""
    usdt: Row = next((coin for coin in row.get("coin") or [] if coin.get("coin") == "USDT"), {})
    wallet_usd = _decimal_or(row, "totalWalletBalance", _decimal_or(usdt, "walletBalance", ZERO))
    bound = sum(
        (_decimal_or(usdt, name, ZERO) for name in ("totalPositionIM", "totalOrderIM", "locked")), ZERO
    )
    free_usdt = max(ZERO, _decimal_or(usdt, "walletBalance", ZERO) - bound)
    return Wallet(
        equity_usd=_decimal_or(row, "totalEquity", _decimal_or(usdt, "equity", wallet_usd)),
        available_usd=_decimal_or(row, "totalAvailableBalance", free_usdt),
        wallet_balance_usd=wallet_usd,
    )


def fee_rates(row: Row) -> FeeRates:
    return FeeRates(taker=_decimal(row, "takerFeeRate"), maker=_decimal(row, "makerFeeRate"))


def _name(row: Row, field: str) -> str:
    value = row[field]
    if not isinstance(value, str) or not value:
        raise BadRow(f"{field} is {value!r}")
    return value


def _word(row: Row, field: str) -> str:
    value = row.get(field) or ""
    return "" if value in NOTHING else str(value)


def _decimal(row: Row, field: str) -> Decimal:
    value = row[field]
    if not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        raise BadRow(f"{field} is {value!r}")
    number = Decimal(value)
    if not number.is_finite() or (number and abs(number.adjusted()) > LARGEST_EXPONENT):
        raise BadRow(f"{field} is {value!r}")
    return number


def _float(value: object) -> float:
    number = float(value) if isinstance(value, str | int | float) else math.nan
    if not math.isfinite(number):
        raise BadRow(f"{value!r} is no number")
    return number


def _positive(row: Row, field: str) -> Decimal:
    number = _decimal(row, field)
    if number <= 0:
        raise BadRow(f"{field} is {number}")
    return number


def _decimal_or(row: Row, field: str, default: Decimal) -> Decimal:
    return default if row.get(field) in (None, "") else _decimal(row, field)


def _decimal_or_none(row: Row, field: str) -> Decimal | None:
    return None if row.get(field) in (None, "") else _decimal(row, field)


def _above_zero(row: Row, field: str) -> Decimal | None:
    """Prices that Bybit writes as "", "0" or "0.00" where there is none."""
    number = _decimal_or_none(row, field)
    return number if number is not None and number > 0 else None


def _moment(row: Row, field: str) -> datetime:
    return from_ms(int(row[field]))


def _moment_or_none(value: object) -> datetime | None:
    if value in (None, "", "0", 0):
        return None
    if not isinstance(value, str | int):
        raise BadRow(f"a time is {value!r}")
    return from_ms(int(value))
