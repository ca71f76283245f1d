"""CoinGlass's answers that are tables: coins, markets, changes, histories, maps of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from whalestack.simulator.coin_names import Coin
from whalestack.simulator.heatmaps import CurrentLevels
from whalestack.simulator.market.base import Market

Params = Mapping[str, str]

COINS_ONLY_HERE = ("XMR", "KAS")
"""Coins that CoinGlass has and Bybit has not: a client must skip them by name."""
_INTERVALS_S = {
    "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400,
    "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400, "1w": 604_800,
}  # fmt: skip
_WINDOWS_S = {"5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "24h": 86_400}
_MOST_ROWS = 1000


class Refusal(Exception):
    """An answer that is not a success.

    Args:
        code: CoinGlass's code, a string.
        message: its text.
        status: of HTTP; most of its errors come with 200.
    """

    def __init__(self, code: str, message: str, status: int = 200) -> None:
        super().__init__(f"{code} {message}")
        self.code, self.message, self.status = code, message, status


def no_such_pair() -> Refusal:
    """What a wrong exchange or pair is answered."""
    return Refusal(
        "400",
        "The requested pair does not exist on the exchange. "
        "Please check the documentation to view supported exchanges and trading pairs.",
    )


def needed(params: Params, name: str) -> str:
    """A parameter that must be there. Raises Refusal."""
    value = params.get(name)
    if not value:
        raise Refusal("400", f"Required String parameter '{name}' is not present")
    return value


def whole_number(params: Params, name: str, default: int) -> int:
    """An optional whole number. Raises Refusal."""
    try:
        return int(params.get(name, default))
    except ValueError:
        raise Refusal("400", f"Parameter '{name}' is not a number") from None


def success(data: Any) -> bytes:
    """The envelope."""
    return orjson.dumps({"code": "0", "msg": "success", "data": data}, option=orjson.OPT_SERIALIZE_NUMPY)


def told(number: float) -> float:
    """Ten digits: what is left of a division by a thousand is no price."""
    return float(f"{number:.10g}")


def subscription(market: Market) -> bytes:
    """The plan of the key."""
    expires_ms = market.now_ms + 365 * 86_400_000
    return success({"level": "PROFESSIONAL", "expire_time": expires_ms, "expired": False})


def max_pain_row(coin: Coin, levels: CurrentLevels) -> dict[str, Any]:
    """The largest level on each side of the price."""
    above, by = levels.prices > levels.price, coin.contract_size
    short = int(np.argmax(np.where(above, levels.values, -1.0)))
    long = int(np.argmax(np.where(above, -1.0, levels.values)))
    return {
        "symbol": coin.name,
        "price": told(levels.price / by),
        "long_max_pain_liq_level": round(float(levels.values[long]), 2),
        "long_max_pain_liq_price": told(float(levels.prices[long]) / by),
        "short_max_pain_liq_level": round(float(levels.values[short]), 2),
        "short_max_pain_liq_price": told(float(levels.prices[short]) / by),
    }


def liquidation_map(coin: Coin, levels: CurrentLevels, exchanges: tuple[str, ...]) -> dict[str, Any]:
    """What stands now by price, in the shape that was recorded: one entry for each exchange."""
    shown = np.flatnonzero(levels.values > 0)
    by = coin.contract_size
    rows = {}
    for number in shown.tolist():
        price = float(f"{levels.prices[number] / by:.6g}")
        rows[f"{price:.10g}"] = [[price, round(float(levels.values[number]), 2), None, None]]
    entries = [{"liqMapV2": rows, "instrument": _map_instrument(coin, exchange)} for exchange in exchanges]
    return {"data": entries, "last_price": told(levels.price / by)}


def _map_instrument(coin: Coin, exchange: str) -> dict[str, Any]:
    return {"instrumentId": coin.symbol, "exName": exchange, "baseAsset": coin.name, "quoteAsset": "USDT"}


def exchange_pairs(market: Market, exchanges: tuple[str, ...], params: Params) -> bytes:
    """The pairs of each exchange."""
    asked = params.get("exchange")
    rows = [
        {"instrument_id": symbol, "base_asset": symbol.removesuffix("USDT"), "quote_asset": "USDT"}
        for symbol in market.symbols
    ]
    return success({exchange: rows for exchange in exchanges if asked in (None, exchange)})


def _changes(market: Market, coin: Coin) -> dict[str, dict[str, float]]:
    """Changes of price, interest and volume, per cent, and the amplitude, by window."""
    fine = market.candles(coin.symbol, 300, end_ms=market.now_ms, limit=577)
    out: dict[str, dict[str, float]] = {}
    for name, seconds in _WINDOWS_S.items():
        count = min(seconds // 300, len(fine) - 1)
        price, interest = fine.close[-1 - count], fine.open_interest[-1 - count]
        turnover = float(fine.turnover[-count:].sum())
        before = float(fine.turnover[-2 * count : -count].sum()) or turnover
        high, low = float(fine.high[-count:].max()), float(fine.low[-count:].min())
        out[name] = {
            "price": _percent(fine.close[-1], price),
            "interest": _percent(fine.open_interest[-1], interest),
            "volume": _percent(turnover, before),
            "amplitude": _percent(high, low),
        }
    return out


def _percent(now: float, before: float) -> float:
    return round((float(now) / float(before) - 1.0) * 100.0, 2) if before else 0.0


def coins_markets(market: Market, coins: Mapping[str, Coin], params: Params) -> bytes:
    """One row for each coin, in pages."""
    size = min(max(whole_number(params, "per_page", 10), 1), 1000)
    page = max(whole_number(params, "page", 1), 1)
    chosen = list(coins.values())[(page - 1) * size : page * size]
    return success([_market_row(market, coin) for coin in chosen])


def _market_row(market: Market, coin: Coin) -> dict[str, Any]:
    ticker, changes = market.ticker(coin.symbol), _changes(market, coin)
    interest_usd = ticker.open_interest * ticker.last
    row: dict[str, Any] = {
        "symbol": coin.name,
        "current_price": told(ticker.last / coin.contract_size),
        "avg_funding_rate_by_oi": told(ticker.funding_rate * 100.0),
        "avg_funding_rate_by_vol": told(ticker.funding_rate * 100.0),
        "market_cap_usd": round(interest_usd * 20.0, 2),
        "open_interest_market_cap_ratio": 0.05,
        "open_interest_usd": round(interest_usd, 2),
        "open_interest_volume_ratio": round(interest_usd / ticker.turnover_24h, 4)
        if ticker.turnover_24h
        else 0.0,
    }
    for window, change in changes.items():
        row[f"price_change_percent_{window}"] = change["price"]
        row[f"open_interest_change_percent_{window}"] = change["interest"]
        row[f"volume_change_percent_{window}"] = change["volume"]
    return row


def price_changes(market: Market, coins: Mapping[str, Coin]) -> bytes:
    """Price change and amplitude of every coin."""
    rows = []
    for coin in coins.values():
        ticker, changes = market.ticker(coin.symbol), _changes(market, coin)
        row: dict[str, Any] = {"symbol": coin.name, "current_price": told(ticker.last / coin.contract_size)}
        for window, change in changes.items():
            row[f"price_change_percent_{window}"] = change["price"]
            row[f"price_amplitude_percent_{window}"] = change["amplitude"]
        rows.append(row)
    return success(rows)


def _window(params: Params) -> tuple[int, int, int | None]:
    """(interval in seconds, limit, start in ms) of a history query. Raises Refusal."""
    interval_s = _INTERVALS_S.get(needed(params, "interval"))
    if interval_s is None:
        raise Refusal("400", "The requested interval is not supported")
    limit = min(max(whole_number(params, "limit", _MOST_ROWS), 1), _MOST_ROWS)
    start_ms = whole_number(params, "start_time", -1)
    return interval_s, limit, None if start_ms < 0 else start_ms


def interest_history(market: Market, coin: Coin, factor: float, params: Params) -> bytes:
    """Open interest of all exchanges as candles, in USD or in coins, numbers as strings."""
    interval_s, limit, start_ms = _window(params)
    end_ms = whole_number(params, "end_time", market.now_ms)
    found = market.candles(coin.symbol, interval_s, end_ms=end_ms, limit=limit, start_ms=start_ms)
    in_coins = params.get("unit", "usd") == "coin"
    closes = found.open_interest * (coin.contract_size if in_coins else found.close) * factor
    opens = np.concatenate([closes[:1], closes[:-1]])
    rows = [
        {"time": time_ms, "open": f"{first:.4f}", "high": f"{max(first, last):.4f}",
         "low": f"{min(first, last):.4f}", "close": f"{last:.4f}"}
        for time_ms, first, last in zip(found.start_ms.tolist(), opens.tolist(), closes.tolist(), strict=True)
    ]  # fmt: skip
    return success(rows)


def price_history(market: Market, exchanges: tuple[str, ...], params: Params) -> bytes:
    """Candles of a pair, numbers as strings."""
    if needed(params, "exchange") not in exchanges or needed(params, "symbol") not in market.symbols:
        raise no_such_pair()
    interval_s, limit, start_ms = _window(params)
    end_ms = whole_number(params, "end_time", market.now_ms)
    found = market.candles(params["symbol"], interval_s, end_ms=end_ms, limit=limit, start_ms=start_ms)
    columns = zip(
        found.start_ms.tolist(), found.open.tolist(), found.high.tolist(), found.low.tolist(),
        found.close.tolist(), found.turnover.tolist(), strict=True,
    )  # fmt: skip
    names = ("open", "high", "low", "close", "volume_usd")
    rows = [
        {"time": time_ms, **{name: f"{value:.10g}" for name, value in zip(names, values, strict=True)}}
        for time_ms, *values in columns
    ]
    return success(rows)
