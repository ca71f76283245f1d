"""The CoinGlass stream of realised liquidations on all exchanges, in both spellings."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import structlog
import websocket

from whalestack.db.market_store import FollowedCoin, LiquidationRow
from whalestack.sockets.frames import BadFrame, CoinglassLiquidation, number, read_coinglass
from whalestack.sockets.links import CONNECT_TIMEOUT_S, LinkLost

log = structlog.get_logger()

CHANNELS = ("liquidationOrders", "liquidation_orders")
SIDES = {1: "long", 2: "short"}
# Bybit's own stream tells these completely and sooner.
OWN_EXCHANGE = "bybit"


@dataclass(frozen=True)
class CoinNames:
    """How other exchanges' coins are called here.

    Args:
        by_symbol: Bybit symbols.
        by_coin: CoinGlass coin to (Bybit symbol, coins in one contract unit).
    """

    by_symbol: frozenset[str]
    by_coin: Mapping[str, tuple[str, int]]

    @classmethod
    def of(cls, coins: Iterable[FollowedCoin]) -> CoinNames:
        """The names of the followed coins."""
        followed = list(coins)
        return cls(
            frozenset(coin.symbol for coin in followed),
            {
                coin.coinglass_symbol: (coin.symbol, coin.price_multiplier)
                for coin in followed
                if coin.coinglass_symbol is not None
            },
        )


def liquidation_row(event: CoinglassLiquidation, names: CoinNames) -> LiquidationRow | None:
    """The event as a row with our symbol and price units; None if it is not about our coins.

    Raises:
        BadFrame: a side or a number that the stream does not document.
    """
    exchange = event.exName or event.exchange
    price = number(event.price)
    value_usd = number(event.volUsd if event.volUsd is not None else event.volume_usd)
    if event.side not in SIDES or price is None or value_usd is None:
        raise BadFrame(f"{event.symbol}: a liquidation without side, price or value")
    place = _placed(event, names, price)
    if place is None or exchange.lower() == OWN_EXCHANGE:
        return None
    symbol, own_price = place
    return LiquidationRow(event.time, symbol, exchange, SIDES[event.side], own_price, value_usd)


def _placed(event: CoinglassLiquidation, names: CoinNames, price: float) -> tuple[str, float] | None:
    if event.symbol in names.by_symbol:
        return event.symbol, price
    own = names.by_coin.get(event.baseAsset or event.base_asset)
    return None if own is None else (own[0], price * own[1])


class CoinglassLink:
    """A connection to the stream; see `whalestack.sockets.links.Link`.

    Args:
        url: without the key.
        api_key: goes into the query, so the full address is never logged.
        names: the coins as they are followed now.
        on_rows: gets the liquidations, in the link's thread.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        names: Callable[[], CoinNames],
        on_rows: Callable[[list[LiquidationRow]], None],
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._names = names
        self._on_rows = on_rows
        self._socket: websocket.WebSocket | None = None
        self._connected = False
        self._last_sign_s = time.monotonic()
        self.bad_frames = 0
        self.foreign = 0

    def open(self) -> None:
        try:
            self._socket = websocket.create_connection(
                f"{self._url}?{urlencode({'cg-api-key': self._api_key})}",
                timeout=CONNECT_TIMEOUT_S,
                skip_utf8_validation=True,
                enable_multithread=True,
            )
            # Silence is the keeper's to judge; a reading that times out would end the thread.
            self._socket.settimeout(None)
            for channel in CHANNELS:
                self._socket.send(json.dumps({"method": "subscribe", "channels": [channel]}))
        except (websocket.WebSocketException, OSError) as error:
            self.close()
            # The error's text may hold the address, and the address holds the key.
            raise LinkLost(f"coinglass: {type(error).__name__}") from None
        self._connected = True
        self._last_sign_s = time.monotonic()
        threading.Thread(target=self._read, args=(self._socket,), name="coinglass", daemon=True).start()

    def is_connected(self) -> bool:
        return self._connected

    def last_sign_s(self) -> float:
        return self._last_sign_s

    def ping(self) -> None:
        try:
            if self._socket is not None:
                self._socket.send("ping")
        except (websocket.WebSocketException, OSError) as error:
            raise LinkLost(f"coinglass: {type(error).__name__}") from None

    def close(self) -> None:
        self._connected = False
        socket, self._socket = self._socket, None
        if socket is not None:
            # The first wakes the reader, which would hold the connection open; a polite goodbye
            # would wait for the other side's.
            socket.abort()  # type: ignore[no-untyped-call]
            socket.shutdown()  # type: ignore[no-untyped-call]

    def _read(self, socket: websocket.WebSocket) -> None:
        try:
            while message := socket.recv():
                self._last_sign_s = time.monotonic()
                if message not in ("pong", b"pong"):
                    self._take(message)
        except (websocket.WebSocketException, OSError, ValueError) as error:
            log.debug("stream_read_ended", stream="coinglass", error=type(error).__name__)
        finally:
            self._connected = False

    def _take(self, message: str | bytes) -> None:
        try:
            rows = [liquidation_row(event, self._names()) for event in read_coinglass(message)]
        except BadFrame as error:
            self.bad_frames += 1
            if self.bad_frames & (self.bad_frames - 1) == 0:
                log.warning(
                    "stream_bad_frame", stream="coinglass", count=self.bad_frames, error=str(error)[:200]
                )
            return
        known = [row for row in rows if row is not None]
        self.foreign += len(rows) - len(known)
        if known:
            self._on_rows(known)
