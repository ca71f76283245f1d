"""The public topics: tickers, kline, allLiquidation, publicTrade.

Tickers are sent every 100 ms of real time, as on Bybit, as long as that is at most
`TICKERS_PER_S` messages in all; with more coins they come less often. Klines come once a second
and when a candle closes, liquidations every 500 ms, trades with each step of the market. A step's
price points each count as one trade: the market has no single trades.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from whalestack.simulator.bybit_rest_market import KLINE_INTERVALS_S, MarketApi
from whalestack.simulator.bybit_ws_connection import Connection
from whalestack.simulator.exchange.refusals import Refused
from whalestack.simulator.market.base import Candles, Liquidation, Tick
from whalestack.simulator.world import World

Row = dict[str, Any]

TICKERS_PER_S = 500
SHORTEST_TICKER_S = 0.1
KLINE_S = 1.0
LIQUIDATIONS_S = 0.5
MOST_TRADES = 1024
MOST_CLOSED_CANDLES = 10


class PublicFeed:
    """Who has subscribed to what, and what is sent to them.

    Args:
        world: market, clock, exchange.
        real_s: a monotonic real clock in seconds.
    """

    def __init__(self, world: World, real_s: Callable[[], float]) -> None:
        self._market = world.market
        self._clock = world.clock
        self._rows = MarketApi(world)
        self._exchange = world.exchange
        self._real_s = real_s
        self._subscribers: defaultdict[str, set[Connection]] = defaultdict(set)
        self._moved: set[str] = set()
        self._tickers: dict[str, Row] = {}
        self._candles: dict[str, tuple[int, float]] = {}
        self._directions: dict[str, tuple[float, str]] = {}
        self._next_tickers_s = self._next_liquidations_s = 0.0
        self._liquidation_seq = max((event.seq for event in self._market.liquidations()), default=0)
        self._seq = 0

    # --- subscriptions --------------------------------------------------------------------

    def is_topic(self, topic: str) -> bool:
        """Whether a topic exists, its symbol included."""
        kind, _, rest = topic.partition(".")
        if kind == "kline":
            interval, _, rest = rest.partition(".")
            if interval not in KLINE_INTERVALS_S:
                return False
        elif kind not in ("tickers", "allLiquidation", "publicTrade"):
            return False
        try:
            self._exchange.state.rules(rest)
        except Refused:
            return False
        return True

    def subscribe(self, connection: Connection, topics: Iterable[str]) -> None:
        """Let a connection hear topics from now on; tickers and klines begin with what is now."""
        for topic in topics:
            self._subscribers[topic].add(connection)
            kind, _, rest = topic.partition(".")
            if kind == "tickers":
                connection.send(self._ticker_message(rest, "snapshot", self._ticker_base(rest)))
            elif kind == "kline":
                self._candles.setdefault(topic, (0, 0.0))

    def unsubscribe(self, connection: Connection, topics: Iterable[str]) -> None:
        """Let a connection hear topics no more."""
        for topic in topics:
            listeners = self._subscribers.get(topic)
            if listeners is not None:
                listeners.discard(connection)
                if not listeners:
                    self._forget(topic)

    # --- publishing -------------------------------------------------------------------------

    def on_step(self, now_ms: int, ticks: list[Tick]) -> None:
        """A step of the market: send what is due."""
        if not self._subscribers:
            return
        self._moved.update(tick.symbol for tick in ticks)
        self._publish_trades(now_ms, ticks)
        real_s = self._real_s()
        # As with a forced price: a candle first, so that who hears the price knows what was traded at it.
        self._publish_candles(now_ms, real_s)
        if real_s >= self._next_tickers_s:
            self._publish_tickers(real_s)
        if real_s >= self._next_liquidations_s:
            self._next_liquidations_s = real_s + LIQUIDATIONS_S
            self._publish_liquidations(now_ms)

    def on_push(self, now_ms: int, symbol: str) -> None:
        """A forced price: its candle and its ticker are sent now, whatever their turn."""
        self._moved.discard(symbol)
        for interval in KLINE_INTERVALS_S:
            topic = f"kline.{interval}.{symbol}"
            if topic in self._candles:
                start_ms, next_s = self._candles[topic]
                self._candles[topic] = (self._send_candles(topic, interval, symbol, start_ms, now_ms), next_s)
        if f"tickers.{symbol}" in self._subscribers:
            self._publish_ticker(symbol)

    def _publish_tickers(self, real_s: float) -> None:
        moved, self._moved = self._moved, set()
        self._next_tickers_s = real_s + max(SHORTEST_TICKER_S, len(self._tickers) / TICKERS_PER_S)
        for symbol in moved:
            if f"tickers.{symbol}" in self._subscribers:
                self._publish_ticker(symbol)

    def _publish_ticker(self, symbol: str) -> None:
        base = self._ticker_base(symbol)
        now = self._ticker_fields(symbol)
        changed = {name: value for name, value in now.items() if base.get(name) != value}
        if changed:
            self._tickers[symbol] = now
            message = self._ticker_message(symbol, "delta", {"symbol": symbol, **changed})
            self._send(f"tickers.{symbol}", message)

    def _ticker_base(self, symbol: str) -> Row:
        """The ticker as every subscriber knows it: deltas are made against this."""
        known = self._tickers.get(symbol)
        if known is None:
            known = self._tickers[symbol] = self._ticker_fields(symbol)
        return known

    def _ticker_fields(self, symbol: str) -> Row:
        ticker = self._market.ticker(symbol)
        direction = self._direction(symbol, ticker.last)
        return {**self._rows.live_ticker_fields(symbol, ticker), "tickDirection": direction}

    def _ticker_message(self, symbol: str, kind: str, data: Row) -> Row:
        return {
            "topic": f"tickers.{symbol}",
            "type": kind,
            "data": data,
            "cs": self._next_seq(),
            "ts": self._clock.now_ms(),
        }

    def _publish_candles(self, now_ms: int, real_s: float) -> None:
        for topic, (start_ms, next_s) in list(self._candles.items()):
            _, interval, symbol = topic.split(".", 2)
            step_ms = KLINE_INTERVALS_S[interval] * 1000
            closed = start_ms and now_ms - start_ms >= step_ms
            if closed or real_s >= next_s:
                latest = self._send_candles(topic, interval, symbol, start_ms, now_ms)
                self._candles[topic] = (latest, real_s + KLINE_S)

    def _send_candles(self, topic: str, interval: str, symbol: str, start_ms: int, now_ms: int) -> int:
        """Send the candles that closed since `start_ms` and the open one; returns the start of that."""
        step_ms = KLINE_INTERVALS_S[interval] * 1000
        passed = (now_ms - start_ms) // step_ms if start_ms else 0
        candles = self._market.candles(
            symbol, step_ms // 1000, end_ms=now_ms, limit=int(min(passed, MOST_CLOSED_CANDLES)) + 1
        )
        for number in range(len(candles)):
            if candles.start_ms[number] >= start_ms:
                data = [self._candle(symbol, interval, step_ms, candles, number, now_ms)]
                message = {"topic": topic, "data": data, "ts": now_ms, "type": "snapshot"}
                self._send(topic, message)
        return int(candles.start_ms[-1]) if len(candles) else start_ms

    def _candle(
        self, symbol: str, interval: str, step_ms: int, candles: Candles, number: int, now_ms: int
    ) -> Row:
        row = self._rows.candle_row(symbol, candles, number)
        start_ms = int(row[0])
        names = ("open", "high", "low", "close", "volume", "turnover")
        return {
            "start": start_ms,
            "end": start_ms + step_ms - 1,
            "interval": interval,
            **dict(zip(names, row[1:], strict=True)),
            "confirm": start_ms + step_ms <= now_ms,
            "timestamp": now_ms,
        }

    def _publish_liquidations(self, now_ms: int) -> None:
        by_symbol: defaultdict[str, list[Liquidation]] = defaultdict(list)
        for event in self._market.liquidations(self._liquidation_seq):
            self._liquidation_seq = max(self._liquidation_seq, event.seq)
            by_symbol[event.symbol].append(event)
        for symbol, events in by_symbol.items():
            topic = f"allLiquidation.{symbol}"
            if topic in self._subscribers:
                data = [self._liquidation(event) for event in events]
                message = {"topic": topic, "type": "snapshot", "ts": now_ms, "data": data}
                self._send(topic, message)

    def _liquidation(self, event: Liquidation) -> Row:
        """S is "Buy" when a long was liquidated."""
        return {
            "T": event.ts_ms,
            "s": event.symbol,
            "S": "Buy" if event.side == "long" else "Sell",
            "v": self._rows.qty_text(event.symbol, event.volume),
            "p": self._rows.price_text(event.symbol, event.price),
        }

    def _publish_trades(self, now_ms: int, ticks: list[Tick]) -> None:
        by_symbol: defaultdict[str, list[Row]] = defaultdict(list)
        for tick in ticks:
            if f"publicTrade.{tick.symbol}" in self._subscribers and tick.volume > 0:
                by_symbol[tick.symbol].append(self._trade(tick))
        for symbol, trades in by_symbol.items():
            topic = f"publicTrade.{symbol}"
            for first in range(0, len(trades), MOST_TRADES):
                data = trades[first : first + MOST_TRADES]
                message = {"topic": topic, "type": "snapshot", "ts": now_ms, "data": data}
                self._send(topic, message)

    def _trade(self, tick: Tick) -> Row:
        direction = self._direction(f"trade.{tick.symbol}", tick.price)
        return {
            "T": tick.ts_ms,
            "s": tick.symbol,
            "S": "Buy" if "Plus" in direction else "Sell",
            "v": self._rows.qty_text(tick.symbol, tick.volume),
            "p": self._rows.price_text(tick.symbol, tick.price),
            "L": direction,
            "i": str(uuid.uuid4()),
            "BT": False,
            "RPI": False,
            "seq": self._next_seq(),
        }

    # --- the parts -------------------------------------------------------------------------------

    def _send(self, topic: str, message: Row) -> None:
        text = orjson.dumps(message).decode()
        for connection in tuple(self._subscribers[topic]):
            connection.send_text(text)

    def _direction(self, key: str, price: float) -> str:
        before, direction = self._directions.get(key, (price, "PlusTick"))
        if price != before:
            direction = "PlusTick" if price > before else "MinusTick"
        elif not direction.startswith("Zero"):
            direction = f"Zero{direction}"
        self._directions[key] = (price, direction)
        return direction

    def _forget(self, topic: str) -> None:
        del self._subscribers[topic]
        self._candles.pop(topic, None)
        if topic.startswith("tickers."):
            self._tickers.pop(topic.removeprefix("tickers."), None)

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq
