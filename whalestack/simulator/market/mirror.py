"""Paper trading: a market that follows another server that speaks Bybit's public API.

At the start the past is fetched over REST: instruments, candles of four lengths, open
interest. Then the public socket is followed: `kline.1` gives price, both extremes and
turnover of the minute, `tickers` the mark price, book, open interest and funding,
`allLiquidation` the liquidations. A thread of its own reads; `advance` takes what it has
read, so the world's loop never waits for the network.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import structlog

from whalestack.errors import StopAndTell
from whalestack.simulator.market.base import FloatArray, IntArray, Tick, TickerState
from whalestack.simulator.market.instruments import Instruments
from whalestack.simulator.market.mirror_rest import MirrorRest
from whalestack.simulator.market.mirror_socket import follow, socket_url
from whalestack.simulator.market.open_interest import derive_open_interest, last_known
from whalestack.simulator.market.played import next_funding_ms, spread
from whalestack.simulator.market.store import (
    FIELDS,
    INTEREST,
    MINUTE_MS,
    Backdrop,
    CandleStore,
    Minutes,
    Source,
    join_sources,
)
from whalestack.simulator.market.stored import StoredMarket

log = structlog.get_logger()

_PAST = (("5", 300), ("30", 1800), ("60", 3600), ("D", 86_400))
_PAST_CANDLES = 1000
_BAR = ("open", "high", "low", "close", "volume", "turnover")


class MirrorMarket(StoredMarket):
    """Follows a source; see `whalestack.simulator.market.base.Market` for the methods.

    Args:
        url: base URL of the source's REST API.
        rest: the source's REST API, asked for what a broken socket missed.
        instruments: the coins that are followed, with the source's own rows.
        store: candles up to now.
        tickers: the source's ticker rows by symbol.
        start_ms: market time now.
        seed: not used by a mirror except where a source has no liquidations.
    """

    end_ms: int | None = None
    derived_data = ("open_interest_before_the_start",)

    def __init__(
        self,
        url: str,
        rest: MirrorRest,
        instruments: Instruments,
        store: CandleStore,
        tickers: dict[str, dict[str, str]],
        *,
        start_ms: int,
        seed: int,
    ) -> None:
        super().__init__(instruments, store, start_ms=start_ms, seed=seed)
        self._fields: list[dict[str, str]] = [dict(tickers[symbol]) for symbol in self._symbols]
        self.last: FloatArray = np.array([float(row["lastPrice"]) for row in self._fields])
        self.interest: FloatArray = np.array([float(row["openInterest"]) for row in self._fields])
        self._minute: list[tuple[int, float, float]] = [(0, 0.0, 0.0)] * len(self._symbols)
        self._arrived: deque[dict[str, Any]] = deque(maxlen=200_000)
        self._stop = threading.Event()
        self._rest = rest
        self._heard_ms = start_ms
        store.minutes.reach(start_ms, self.last, self.interest)
        topics = [
            f"{kind}.{symbol}"
            for symbol in self._symbols
            for kind in ("tickers", "kline.1", "allLiquidation")
        ]
        self._thread = threading.Thread(
            target=follow,
            args=(socket_url(url), topics, self._arrived.append, self._missed, self._stop),
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _missed(self) -> list[dict[str, Any]]:
        """The minutes since the last message, as messages; called in the reading thread."""
        minutes = (self._now_ms - self._heard_ms) // MINUTE_MS + 2
        fetched = self._rest.candles(self._symbols, "1", int(min(minutes, _PAST_CANDLES)))
        return [
            {
                "topic": f"kline.1.{symbol}",
                "data": [
                    {
                        "start": row[0],
                        "timestamp": row[0] + MINUTE_MS - 1,
                        **dict(zip(_BAR, row[1:], strict=True)),
                    }
                    for row in rows.tolist()
                ],
            }
            for symbol, rows in zip(self._symbols, fetched, strict=True)
        ]

    def advance(self, now_ms: int) -> list[Tick]:
        self._now_ms = max(self._now_ms, now_ms)
        if self.store.minutes.reach(self._now_ms, self.last, self.interest):
            self.store.fold()
        ticks: list[Tick] = []
        while self._arrived:
            message = self._arrived.popleft()
            kind, _, symbol = str(message["topic"]).rpartition(".")
            if symbol in self._index:
                ticks += self._take(kind, self._index[symbol], message)
        return ticks

    def _take(self, kind: str, coin: int, message: dict[str, Any]) -> list[Tick]:
        if kind == "kline.1":
            return [tick for row in message["data"] for tick in self._take_candle(coin, row)]
        if kind == "tickers":
            self._take_ticker(coin, message["data"])
        elif kind == "allLiquidation":
            for row in message["data"]:
                usd = float(row["p"]) * float(row["v"])
                self._feed.add(
                    int(row["T"]), coin, fallen=row["S"] == "Buy", price=float(row["p"]), turnover_usd=usd
                )
        return []

    def _take_ticker(self, coin: int, data: dict[str, str]) -> None:
        """An absent field is unchanged."""
        self._fields[coin].update(data)
        self.interest[coin] = float(self._fields[coin]["openInterest"])

    def _take_candle(self, coin: int, row: dict[str, Any]) -> list[Tick]:
        """Ticks of a minute's message: extremes that are new since the last one, then the close."""
        volume, turnover = float(row["volume"]), float(row["turnover"])
        start_ms, seen_volume, seen_turnover = self._minute[coin]
        if int(row["start"]) < start_ms:
            return []
        fresh = start_ms != int(row["start"])
        if fresh:
            seen_volume = seen_turnover = 0.0
        self._minute[coin] = (int(row["start"]), volume, turnover)
        self._heard_ms = max(self._heard_ms, int(row["start"]))
        points = [*self._new_extremes(coin, row, fresh), float(row["close"])]
        ts_ms = min(int(row["timestamp"]), self._now_ms)
        if self.store.minutes.correct(coin, int(row["start"]), [float(row[name]) for name in _BAR]):
            self.last[coin] = points[-1]
            return [self._late_tick(coin, ts_ms, price) for price in points]
        added = (max(volume - seen_volume, 0.0), max(turnover - seen_turnover, 0.0))
        ticks = [self._tick(coin, ts_ms, price, 0.0, 0.0) for price in points[:-1]]
        return [*ticks, self._tick(coin, ts_ms, points[-1], *added)]

    def _late_tick(self, coin: int, ts_ms: int, price: float) -> Tick:
        """A price of a minute that is over: stops must see it, the open minute must not."""
        return Tick(ts_ms, self._symbols[coin], price, 0.0, 0.0, float(self.interest[coin]))

    def _new_extremes(self, coin: int, row: dict[str, Any], fresh: bool) -> list[float]:
        """The minute's high and low where price has not been seen there, in the order of `walk`."""
        bar = self.store.minutes.bars[:, coin, -1]
        high, low = float(row["high"]), float(row["low"])
        edge_high, edge_low = (self.last[coin],) * 2 if fresh else (bar[1], bar[2])
        rising = float(row["close"]) >= float(row["open"])
        reached = [(low, low < edge_low), (high, high > edge_high)]
        return [price for price, is_new in (reached if rising else reached[::-1]) if is_new]

    def _tick(self, coin: int, ts_ms: int, price: float, volume: float, turnover: float) -> Tick:
        self.last[coin] = price
        interest = float(self.interest[coin])
        self.store.minutes.add_one(coin, price, volume, turnover, interest)
        return Tick(ts_ms, self._symbols[coin], price, turnover, volume, interest)

    def push_price(
        self, symbol: str, price: float, *, turnover_usd: float = 0.0, open_interest: float | None = None
    ) -> Tick:
        coin = self._index[symbol]
        if open_interest is not None:
            self.interest[coin] = open_interest
        return self._tick(coin, self._now_ms, price, turnover_usd / price, turnover_usd)

    def ticker(self, symbol: str) -> TickerState:
        coin = self._index[symbol]
        row, last = self._fields[coin], float(self.last[coin])
        bid, ask = spread(last, float(self._ticks[coin]))
        hours = int(self.instrument(symbol).get("fundingInterval", 480)) // 60

        def number(name: str, otherwise: float) -> float:
            return float(row.get(name) or otherwise)

        return TickerState(
            symbol=symbol,
            ts_ms=self._now_ms,
            last=last,
            mark=number("markPrice", last),
            index=number("indexPrice", last),
            bid=number("bid1Price", bid),
            ask=number("ask1Price", ask),
            bid_size=number("bid1Size", 0.0),
            ask_size=number("ask1Size", 0.0),
            open_interest=float(self.interest[coin]),
            funding_rate=number("fundingRate", 0.0),
            next_funding_ms=int(number("nextFundingTime", next_funding_ms(self._now_ms, hours))),
            funding_interval_h=hours,
            volume_24h=number("volume24h", 0.0),
            turnover_24h=number("turnover24h", 0.0),
            high_24h=max(number("highPrice24h", last), last),
            low_24h=min(number("lowPrice24h", last), last),
            prev_24h=number("prevPrice24h", last),
            prev_1h=number("prevPrice1h", last),
        )


def open_mirror(
    url: str, *, start_ms: int, seed: int, coins: int, symbols: Sequence[str] = ()
) -> MirrorMarket:
    """A market that follows `url` from now on.

    Args:
        url: base URL of a Bybit-like REST API; its public socket is found from it.
        start_ms: market time now.
        seed: passed on.
        coins: how many coins, the busiest first, when `symbols` is empty.
        symbols: which coins.

    Raises:
        StopAndTell: the source cannot be reached, or has none of the symbols.
    """
    began_s = time.monotonic()
    rest = MirrorRest(url)
    tickers = rest.tickers()
    rows = {row["symbol"]: row for row in rest.instruments()}
    busiest = sorted(tickers, key=lambda symbol: -float(tickers[symbol].get("turnover24h") or 0.0))
    chosen = [symbol for symbol in (symbols or busiest) if symbol in rows and symbol in tickers]
    chosen = chosen if symbols else chosen[:coins]
    if not chosen:
        raise StopAndTell(f"{url} trades none of the coins asked for")
    begin_ms = start_ms // MINUTE_MS * MINUTE_MS
    backdrop = _past(rest, chosen, begin_ms)
    store = CandleStore(backdrop, Minutes(begin_ms, len(chosen)))
    instruments = Instruments({symbol: rows[symbol] for symbol in chosen}, ())
    log.info(
        "market_opened",
        kind="mirror",
        url=url,
        coins=len(chosen),
        took_s=round(time.monotonic() - began_s, 1),
    )
    return MirrorMarket(url, rest, instruments, store, tickers, start_ms=start_ms, seed=seed)


def _past(rest: MirrorRest, symbols: Sequence[str], begin_ms: int) -> Backdrop:
    """Candles before `begin_ms`; open interest by the rule, scaled to what the source says now."""
    sources = [_source(rest, symbols, name, interval_s, begin_ms) for name, interval_s in _PAST]
    sources.append(_source(rest, symbols, "1", 60, begin_ms))
    backdrop = join_sources([source for source in sources if len(source.start_ms)]).until(begin_ms)
    derived = derive_open_interest(backdrop, begin_ms).interest
    present: FloatArray = np.array([float(rest.tickers()[symbol]["openInterest"]) for symbol in symbols])
    backdrop.bars[INTEREST] = derived * (present / last_known(derived))[:, None]
    return backdrop


def _source(rest: MirrorRest, symbols: Sequence[str], name: str, interval_s: int, begin_ms: int) -> Source:
    """Candles of one length on one time axis."""
    fetched = rest.candles(symbols, name, _PAST_CANDLES if interval_s >= 300 else 60)
    step = interval_s * 1000
    starts = [rows[:, 0] for rows in fetched if len(rows)]
    if not starts:
        return Source(interval_s, np.empty(0, dtype=np.int64), np.empty((FIELDS, len(symbols), 0)))
    first, last = int(min(start[0] for start in starts)), int(max(start[-1] for start in starts))
    start_ms: IntArray = np.arange(first, last + step, step, dtype=np.int64)
    bars: FloatArray = np.full((FIELDS, len(symbols), len(start_ms)), np.nan)
    for coin, rows in enumerate(fetched):
        if len(rows):
            bars[:INTEREST, coin, ((rows[:, 0] - first) // step).astype(np.int64)] = rows[:, 1:].T
    closed = start_ms + step <= begin_ms
    return Source(interval_s, start_ms[closed], bars[:, :, closed])
