"""Public market data of the simulated Bybit: what the market plays, in Bybit's rows.

Times are market time. Only `/v5/market/time` tells the wall clock: it exists to measure the skew
against the clock that signs requests, and signatures are checked against the wall clock.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import numpy as np

from whalestack.simulator.bybit_rest_params import (
    Params,
    check_linear,
    page_of,
    text_of,
    whole_of,
)
from whalestack.simulator.exchange.refusals import bad_parameter
from whalestack.simulator.exchange.wire import RISK_LIMIT_USD, text
from whalestack.simulator.market.base import Candles, TickerState
from whalestack.simulator.world import World

Row = dict[str, Any]

KLINE_INTERVALS_S = {
    **{str(minutes): minutes * 60 for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": 86_400,
}
PERIODS_S = {"5min": 300, "15min": 900, "30min": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}
MISSING_INSTRUMENT_FIELDS: Row = {
    "symbolType": "",
    "displayName": "",
    "forbidUplWithdrawal": False,
    "preListingInfo": None,
}


class Decimals:
    """How many places a coin's prices and quantities are printed with."""

    def __init__(self, row: Row) -> None:
        self.price = _places(row["priceFilter"]["tickSize"])
        self.qty = _places(row["lotSizeFilter"]["qtyStep"])


class MarketApi:
    """Answers of the market endpoints."""

    def __init__(self, world: World) -> None:
        self._market = world.market
        self._clock = world.clock
        self._exchange = world.exchange
        self._bybit_real_ms = world.bybit_real_ms
        self._decimals: dict[str, Decimals] = {}

    def server_time(self, params: Params) -> Row:
        """GET /v5/market/time, the wall clock."""
        now_ns = self._bybit_real_ms() * 1_000_000
        return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}

    def instruments(self, params: Params) -> Row:
        """GET /v5/market/instruments-info, by symbol, in pages of 500."""
        check_linear(params)
        status, symbol = text_of(params, "status", "Trading"), text_of(params, "symbol", "")
        base = text_of(params, "baseCoin", "")
        rows = [self._instrument(number, name) for number, name in enumerate(sorted(self._market.symbols))]
        chosen = [
            row
            for row in rows
            if (row["symbol"] == symbol if symbol else row["status"] == status)
            and base in ("", row["baseCoin"])
        ]
        page, cursor = page_of(chosen, params, lambda row: str(row["symbol"]), limit=500, largest=1000)
        return {"category": "linear", "list": page, "nextPageCursor": cursor}

    def tickers(self, params: Params) -> Row:
        """GET /v5/market/tickers: one coin, or all in one reply."""
        check_linear(params)
        symbol = text_of(params, "symbol", "")
        symbols = [self._known(symbol)] if symbol else list(self._market.symbols)
        return {"category": "linear", "list": [self.ticker_row(name) for name in symbols]}

    def kline(self, params: Params) -> Row:
        """GET /v5/market/kline, newest first, the open candle included. W and M are not played."""
        if text_of(params, "category", "linear") != "linear":
            raise bad_parameter("params error: category invalid")
        symbol = self._known(text_of(params, "symbol"))
        interval_s = KLINE_INTERVALS_S.get(text_of(params, "interval"))
        if interval_s is None:
            raise bad_parameter("params error: interval invalid")
        start = whole_of(params, "start", -1, 0, 10**14)
        candles = self._market.candles(
            symbol,
            interval_s,
            end_ms=whole_of(params, "end", self._clock.now_ms(), 0, 10**14),
            limit=whole_of(params, "limit", 200, 1, 1000),
            start_ms=None if start < 0 else start,
        )
        rows = [self.candle_row(symbol, candles, number) for number in range(len(candles) - 1, -1, -1)]
        return {"category": "linear", "symbol": symbol, "list": rows}

    def open_interest(self, params: Params) -> Row:
        """GET /v5/market/open-interest: both sides in `openInterest`, newest first."""
        check_linear(params)
        symbol = self._known(text_of(params, "symbol"))
        moments, values = self._interest(params, symbol, "intervalTime", longest=200)
        rows = [
            {
                "openInterest": f"{value:.8f}",
                "singleOpenInterest": f"{value / 2:.8f}",
                "timestamp": str(moment),
            }
            for moment, value in zip(moments[::-1].tolist(), values[::-1].tolist(), strict=True)
        ]
        cursor = _older_than(moments, rows, params)
        return {"category": "linear", "symbol": symbol, "list": rows, "nextPageCursor": cursor}

    def account_ratio(self, params: Params) -> Row:
        """GET /v5/market/account-ratio. Derived: accounts lean against the move of the last candle."""
        check_linear(params)
        symbol = self._known(text_of(params, "symbol"))
        moments, _ = self._interest(params, symbol, "period", longest=500)
        interval_s = PERIODS_S[text_of(params, "period")]
        candles = self._market.candles(
            symbol, interval_s, end_ms=int(moments[-1]) if len(moments) else 0, limit=max(len(moments), 1)
        )
        moves = candles.close / candles.open - 1
        shares = np.clip(0.5 - 2 * moves, 0.2, 0.8)[::-1].tolist()
        rows = [
            {
                "symbol": symbol,
                "buyRatio": f"{share:.4f}",
                "sellRatio": f"{1 - share:.4f}",
                "timestamp": str(start),
            }
            for share, start in zip(shares, candles.start_ms[::-1].tolist(), strict=True)
        ]
        return {"list": rows, "nextPageCursor": _older_than(candles.start_ms, rows, params)}

    def funding_history(self, params: Params) -> Row:
        """GET /v5/market/funding/history. Derived: the present rate stands for every past interval."""
        check_linear(params)
        symbol = self._known(text_of(params, "symbol"))
        ticker = self._market.ticker(symbol)
        step = ticker.funding_interval_h * 3_600_000
        latest = min(self._clock.now_ms(), whole_of(params, "endTime", 10**14, 0, 10**14)) // step * step
        earliest = whole_of(params, "startTime", 0, 0, 10**14)
        moments = (latest - step * number for number in range(whole_of(params, "limit", 200, 1, 200)))
        rows = [
            {"symbol": symbol, "fundingRate": _rate(ticker.funding_rate), "fundingRateTimestamp": str(moment)}
            for moment in moments
            if moment >= earliest
        ]
        return {"category": "linear", "list": rows}

    def price_limit(self, params: Params) -> Row:
        """GET /v5/market/price-limit: the highest bid and the lowest ask that are accepted."""
        symbol = self._known(text_of(params, "symbol"))
        rules, quote_now = self._exchange.state.rules(symbol), self._exchange.state.quote(symbol)
        return {
            "symbol": symbol,
            "buyLmt": text(rules.highest_buy(quote_now.mark, quote_now.index)),
            "sellLmt": text(rules.lowest_sell(quote_now.mark, quote_now.index)),
            "ts": str(self._clock.now_ms()),
        }

    def risk_limit(self, params: Params) -> Row:
        """GET /v5/market/risk-limit: one tier for each coin, 15 coins a page."""
        check_linear(params)
        symbol = text_of(params, "symbol", "")
        symbols = [self._known(symbol)] if symbol else sorted(self._market.symbols)
        rows = [self._risk_row(name) for name in symbols]
        page, cursor = page_of(rows, params, lambda row: str(row["symbol"]), limit=15, largest=15)
        return {"category": "linear", "list": page, "nextPageCursor": cursor}

    # --- rows that the sockets send as well --------------------------------------------------

    def ticker_row(self, symbol: str) -> Row:
        """One coin of the tickers endpoint."""
        ticker = self._market.ticker(symbol)
        interest = ticker.open_interest
        return {
            **self.live_ticker_fields(symbol, ticker),
            "singleOpenInterest": self.qty_text(symbol, interest / 2),
            "singleOpenInterestValue": f"{interest / 2 * ticker.mark:.4f}",
            "predictedDeliveryPrice": "",
            "basisRate": "",
            "deliveryFeeRate": "",
            "deliveryTime": "0",
            "basis": "",
            "basisRateYear": "",
        }

    def live_ticker_fields(self, symbol: str, ticker: TickerState) -> Row:
        """The fields that REST and the tickers topic share."""
        prices = {
            "lastPrice": ticker.last,
            "indexPrice": ticker.index,
            "markPrice": ticker.mark,
            "prevPrice24h": ticker.prev_24h,
            "highPrice24h": ticker.high_24h,
            "lowPrice24h": ticker.low_24h,
            "prevPrice1h": ticker.prev_1h,
            "bid1Price": ticker.bid,
            "ask1Price": ticker.ask,
        }
        places = self.decimals(symbol)
        sizes = {"openInterest": ticker.open_interest, "volume24h": ticker.volume_24h}
        sizes |= {"bid1Size": ticker.bid_size, "ask1Size": ticker.ask_size}
        return {
            "symbol": symbol,
            **{name: f"{value:.{places.price}f}" for name, value in prices.items()},
            **{name: f"{value:.{places.qty}f}" for name, value in sizes.items()},
            "price24hPcnt": f"{ticker.last / ticker.prev_24h - 1:.6f}",
            "openInterestValue": f"{ticker.open_interest * ticker.mark:.4f}",
            "turnover24h": f"{ticker.turnover_24h:.4f}",
            "fundingRate": _rate(ticker.funding_rate),
            "nextFundingTime": str(ticker.next_funding_ms),
            "fundingIntervalHour": str(ticker.funding_interval_h),
            "fundingCap": str(self._market.instrument(symbol).get("upperFundingRate", "0.005")),
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }

    def candle_row(self, symbol: str, candles: Candles, number: int) -> list[str]:
        """One candle as Bybit's seven strings."""
        places = self.decimals(symbol)
        prices = (candles.open, candles.high, candles.low, candles.close)
        return [
            str(int(candles.start_ms[number])),
            *(f"{series[number]:.{places.price}f}" for series in prices),
            f"{candles.volume[number]:.{places.qty}f}",
            f"{candles.turnover[number]:.4f}",
        ]

    def price_text(self, symbol: str, value: float) -> str:
        """A price in USDT with the coin's places."""
        return f"{value:.{self.decimals(symbol).price}f}"

    def qty_text(self, symbol: str, value: float) -> str:
        """A quantity in base coins with the coin's places."""
        return f"{value:.{self.decimals(symbol).qty}f}"

    def decimals(self, symbol: str) -> Decimals:
        """The coin's places, looked up once."""
        known = self._decimals.get(symbol)
        if known is None:
            known = self._decimals[symbol] = Decimals(self._market.instrument(symbol))
        return known

    # --- the parts -------------------------------------------------------------------------------

    def _known(self, symbol: str) -> str:
        self._exchange.state.rules(symbol)
        return symbol

    def _instrument(self, number: int, symbol: str) -> Row:
        return {"symbolId": number + 1, **MISSING_INSTRUMENT_FIELDS, **self._market.instrument(symbol)}

    def _risk_row(self, symbol: str) -> Row:
        rules = self._exchange.state.rules(symbol)
        return {
            "id": 1,
            "symbol": symbol,
            "riskLimitValue": text(RISK_LIMIT_USD),
            "maintenanceMargin": _fraction(rules.maintenance_rate),
            "initialMargin": _fraction(1 / rules.max_leverage),
            "isLowestRisk": 1,
            "maxLeverage": text(rules.max_leverage),
            "mmDeduction": "",
        }

    def _interest(self, params: Params, symbol: str, name: str, *, longest: int) -> tuple[Any, Any]:
        interval_s = PERIODS_S.get(text_of(params, name))
        if interval_s is None:
            raise bad_parameter(f"params error: {name} invalid")
        end = min(whole_of(params, "endTime", 10**14, 0, 10**14), self._clock.now_ms())
        cursor = dict(parse_qsl(unquote(text_of(params, "cursor", ""))))
        end = min(end, whole_of(cursor, "lasttime", end + 1, 0, 10**14) - 1)
        limit = whole_of(params, "limit", 50, 1, longest)
        moments, values = self._market.open_interest_history(symbol, interval_s, end_ms=end, limit=limit)
        keep = moments >= whole_of(params, "startTime", 0, 0, 10**14)
        return moments[keep], values[keep]


def _older_than(moments: Any, rows: list[Row], params: Params) -> str:
    """The cursor to the page before the oldest row, empty when this page was not full."""
    if not rows or len(rows) < whole_of(params, "limit", 50, 1, 500):
        return ""
    return quote(f"lastid=0&lasttime={int(moments[0])}", safe="")


def _places(step: str) -> int:
    return len(step.partition(".")[2])


def _rate(value: float) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".") or "0"


def _fraction(value: Decimal) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
