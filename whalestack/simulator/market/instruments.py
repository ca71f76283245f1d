"""Rows of `/v5/market/instruments-info`: recorded ones, and derived ones for the rest.

A derived row takes its tick size and quantity step from the numbers seen in the
candles and everything else from what Bybit gives a small perp. Which rows are derived
is told by `Instruments.derived`, and `/sim/health` repeats it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from whalestack.errors import StopAndTell

DERIVED_MAX_LEVERAGE = "25.00"
_LATER_FIELDS: dict[str, Any] = {
    "symbolId": 0,
    "symbolType": "",
    "displayName": "",
    "forbidUplWithdrawal": False,
    "skipCallAuction": False,
}
"""Fields that Bybit added after the recorded reply was taken."""


@dataclass(frozen=True)
class Seen:
    """What the candles tell of a coin's contract.

    Args:
        price: a recent price in USDT.
        price_decimals: decimals of the finest price seen.
        launch_ms: opening moment of the first candle.
        daily_turnover_usd: traded in a day, USDT.
    """

    price: float
    price_decimals: int
    launch_ms: int
    daily_turnover_usd: float


@dataclass(frozen=True)
class Instruments:
    """The rows of a market, and which of them were not recorded."""

    rows: dict[str, dict[str, Any]]
    derived: tuple[str, ...]


@cache
def read_recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of the newest recorded reply in a folder, by symbol; empty if there is none.

    Raises:
        StopAndTell: a file is there and is not a reply of instruments-info.
    """
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        return {}
    try:
        rows = json.loads(files[-1].read_text())["result"]["list"]
        return {row["symbol"]: row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise StopAndTell(f"{files[-1]} is not a recorded reply of instruments-info: {error}") from error


def instruments_for(seen: Mapping[str, Seen], recorded: Mapping[str, dict[str, Any]]) -> Instruments:
    """A row for every coin seen; recorded rows keep everything but a tick that is too coarse."""
    rows = {
        symbol: _refined(recorded[symbol], known, number)
        if symbol in recorded
        else derived_row(symbol, known, number)
        for number, (symbol, known) in enumerate(seen.items(), start=1)
    }
    return Instruments(rows, tuple(symbol for symbol in seen if symbol not in recorded))


def _refined(row: dict[str, Any], seen: Seen, number: int) -> dict[str, Any]:
    """A recorded row with today's fields; its tick follows candles that are finer than it."""
    full = {**row, **_LATER_FIELDS, "symbolId": number}
    if Decimal(row["priceFilter"]["tickSize"]) > Decimal(1).scaleb(-seen.price_decimals):
        full["priceFilter"] = _price_filter(seen)
        full["priceScale"] = str(seen.price_decimals)
    return full


def _price_filter(seen: Seen) -> dict[str, str]:
    tick = Decimal(1).scaleb(-seen.price_decimals)
    return {"minPrice": f"{tick:f}", "maxPrice": f"{tick * 1_999_999:f}", "tickSize": f"{tick:f}"}


def quantity_step(price: float) -> Decimal:
    """A step worth between 0.1 and 1 USDT, at most 1,000 coins and a power of ten."""
    exponent = 0
    while price * 10.0**exponent > 1.0:
        exponent -= 1
    while price * 10.0 ** (exponent + 1) <= 1.0 and exponent < 3:
        exponent += 1
    return Decimal(1).scaleb(exponent)


def derived_row(symbol: str, seen: Seen, number: int) -> dict[str, Any]:
    """A row for a coin that the recorded reply does not have."""
    step = quantity_step(seen.price)
    most = Decimal(int(max(seen.daily_turnover_usd * 0.005, 50_000.0) / seen.price / float(step)) or 1) * step
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "launchTime": str(seen.launch_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(seen.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": DERIVED_MAX_LEVERAGE, "leverageStep": "0.01"},
        "priceFilter": _price_filter(seen),
        "lotSizeFilter": {
            "maxOrderQty": f"{most:f}",
            "minOrderQty": f"{step:f}",
            "qtyStep": f"{step:f}",
            "postOnlyMaxOrderQty": f"{most:f}",
            "maxMktOrderQty": f"{max(step, most / 5 // step * step):f}",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 240,
        "settleCoin": "USDT",
        "copyTrading": "none",
        "upperFundingRate": "0.02",
        "lowerFundingRate": "-0.02",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.15"},
        **_LATER_FIELDS,
        "symbolId": number,
    }
