"""Messages of the sockets, decoded. Only the fields that are used are looked at."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

from whalestack.db.market_store import BarRow, LiquidationRow

T = TypeVar("T")
# Bybit writes numbers as strings; the CoinGlass stream as numbers.
Number = str | int | float | None


class BadFrame(ValueError):
    """A message that is not what the stream documents; it is counted and left out."""


class Frame(msgspec.Struct, rename={"kind": "type"}):
    """The envelope of every Bybit message: data with a topic, or an answer with an op."""

    topic: str = ""
    kind: str = ""
    ts: int = 0
    data: msgspec.Raw = msgspec.Raw(b"")
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    req_id: str = ""


class TickerFields(
    msgspec.Struct,
    rename={
        "last": "lastPrice",
        "mark": "markPrice",
        "bid": "bid1Price",
        "ask": "ask1Price",
        "open_interest": "openInterest",
        "turnover_24h": "turnover24h",
        "funding_rate": "fundingRate",
    },
):
    """A ticker or its changes: a field that is absent has not changed."""

    last: Number = None
    mark: Number = None
    bid: Number = None
    ask: Number = None
    open_interest: Number = None
    turnover_24h: Number = None
    funding_rate: Number = None


class _Kline(msgspec.Struct):
    start: int
    interval: str
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    turnover: Number
    confirm: bool


class _Liquidation(msgspec.Struct):
    T: int
    s: str
    S: str
    v: Number
    p: Number


class CoinglassLiquidation(msgspec.Struct):
    """One event in either spelling of the CoinGlass stream; `side` 1 is a liquidated long."""

    price: Number
    side: int
    symbol: str
    time: int
    baseAsset: str = ""
    base_asset: str = ""
    exName: str = ""
    exchange: str = ""
    volUsd: Number = None
    volume_usd: Number = None


class _CoinglassFrame(msgspec.Struct):
    channel: str = ""
    data: list[CoinglassLiquidation] = []


_frame = msgspec.json.Decoder(Frame)
_ticker = msgspec.json.Decoder(TickerFields)
_klines = msgspec.json.Decoder(list[_Kline])
_liquidations = msgspec.json.Decoder(list[_Liquidation] | _Liquidation)
_rows = msgspec.json.Decoder(list[dict[str, Any]])
_coinglass = msgspec.json.Decoder(_CoinglassFrame)


def read_frame(raw: str | bytes) -> Frame:
    """The envelope of a Bybit message.

    Raises:
        BadFrame: it is no JSON object of that shape.
    """
    try:
        return _frame.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadFrame(str(error)) from None


def read_ticker(frame: Frame) -> TickerFields:
    """The data of a `tickers` message. Raises `BadFrame`."""
    return _decoded(_ticker, frame)


def read_bars(frame: Frame, symbol: str) -> list[BarRow]:
    """The data of a `kline` message. Raises `BadFrame`."""
    return [
        BarRow(
            symbol=symbol,
            interval=bar.interval,
            start_ms=bar.start,
            open=_needed(bar.open),
            high=_needed(bar.high),
            low=_needed(bar.low),
            close=_needed(bar.close),
            volume=_needed(bar.volume),
            turnover_usd=_needed(bar.turnover),
            is_closed=bar.confirm,
        )
        for bar in _decoded(_klines, frame)
    ]


def read_liquidations(frame: Frame) -> list[LiquidationRow]:
    """The data of an `allLiquidation` message; S "Buy" means that a long was liquidated.

    The documentation says object, its example and real messages are lists: both are read.
    Raises `BadFrame`.
    """
    found = _decoded(_liquidations, frame)
    events = found if isinstance(found, list) else [found]
    return [
        LiquidationRow(
            ts_ms=event.T,
            symbol=event.s,
            exchange="Bybit",
            side="long" if event.S == "Buy" else "short",
            price=_needed(event.p),
            value_usd=_needed(event.p) * _needed(event.v),
        )
        for event in events
    ]


def read_rows(frame: Frame) -> list[dict[str, Any]]:
    """The rows of a private message, as they are. Raises `BadFrame`."""
    return _decoded(_rows, frame)


def read_coinglass(raw: str | bytes) -> list[CoinglassLiquidation]:
    """The events of a CoinGlass message, none for an answer without data. Raises `BadFrame`."""
    try:
        return _coinglass.decode(raw).data
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadFrame(str(error)) from None


def number(value: Number) -> float | None:
    """The finite number of a field, None where it is absent or empty.

    Raises:
        BadFrame: it is something else.
    """
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except ValueError:
        raise BadFrame(f"{value!r} is no number") from None
    if not math.isfinite(found):
        raise BadFrame(f"{value!r} is no number")
    return found


def _needed(value: Number) -> float:
    found = number(value)
    if found is None:
        raise BadFrame("a number is missing")
    return found


def _decoded(decoder: msgspec.json.Decoder[T], frame: Frame) -> T:
    try:
        return decoder.decode(frame.data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadFrame(f"{frame.topic}: {error}") from None
